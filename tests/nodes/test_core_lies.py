"""Nodes that are refused: another network's, another coin's, exchanged behind our back, of no use as they are."""

from collections.abc import Mapping
from typing import Any

import pytest

from glasstumbler.chains.guard import NODES
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import RealClock
from glasstumbler.errors import ChainError, GlassTumblerError, NodeAway, RefusedNode, SettingsError
from glasstumbler.nodes.core import CoreChain
from glasstumbler.nodes.core_kinds import KINDS, refusal
from glasstumbler.nodes.core_node import CoreNode
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.running import Nodes
from tests.nodes.liar import Answer, served

RING = KeyRing(b"those who are lied to")
ELSEWHERE = "11" * 32
HONEST = {kind: str(NODES[row.coin][0]["genesis"]) for kind, row in KINDS.items()}
HTTP_KINDS = [kind for kind, row in KINDS.items() if not row.socket_path]


class Liar:
    """Answers as `kind` does, until told otherwise."""

    def __init__(self, kind: str, **said: Any) -> None:
        self.asked: list[str] = []
        self.said: dict[str, Any] = {
            "getblockhash": HONEST[kind],
            "getnetworkinfo": {"subversion": f"{KINDS[kind].shows}1.2.3/"},
            "getblockchaininfo": {"blocks": 7, "headers": 7, "pruned": False, "initialblockdownload": True},
            "getconnectioncount": 0,
            "getbestblockhash": "22" * 32,
            **said,
        }

    def __call__(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append(body["method"])
        found = self.said.get(body["method"], Error(-32601, "Method not found"))
        if isinstance(found, Error):
            return 500, {"id": 0, "result": None, "error": {"code": found.code, "message": found.message}}
        return 200, {"id": 0, "result": found, "error": None}


class Error:
    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message


def node(kind: str, url: str) -> CoreNode:
    return CoreNode(KINDS[kind].coin, Endpoint(kind, url))


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_the_right_name_and_the_wrong_first_block(kind: str) -> None:
    liar = Liar(kind, getblockhash=ELSEWHERE)
    with served(liar) as url, pytest.raises(RefusedNode, match=f"genesis '{ELSEWHERE}'"):
        node(kind, url).tip()
    assert liar.asked == ["getblockhash"], "nothing else was asked of it"


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_another_one_at_the_next_connection(kind: str) -> None:
    liar = Liar(kind)
    with served(liar, answers=4) as url:  # three for the look, and one
        honest = node(kind, url)
        assert honest.tip() == "22" * 32
        liar.said["getblockhash"] = ELSEWHERE
        for _ in range(2):
            with pytest.raises(RefusedNode):
                honest.send({ELSEWHERE: b"a transaction"})
    assert "sendrawtransaction" not in liar.asked


@pytest.mark.parametrize(
    ("kind", "agent"),
    [
        ("bitcoind", "/bcash:1.1.1/"),
        ("bitcoind", "/Bitcoin Cash Node:27.0.0(EB32.0)/"),
        ("bcash", "/Satoshi:28.0.0/"),
        ("bcoin", "/bcash:1.1.1/"),
    ],
)
def test_another_coins_node_with_the_same_first_block(kind: str, agent: str) -> None:
    with served(Liar(kind, getnetworkinfo={"subversion": agent})) as url, pytest.raises(RefusedNode) as refused:
        node(kind, url).tip()
    assert repr(agent) in str(refused.value) and repr(KINDS[kind].shows) in str(refused.value)


def test_a_real_node_of_another_coin(own_nodes: Nodes) -> None:
    bcash = own_nodes.start("bcash")
    with pytest.raises(RefusedNode, match="/bcash:"):
        CoreChain.open("btc", bcash._replace(kind="bcoin"), RING, RealClock())
    with pytest.raises(RefusedNode, match="genesis"):
        CoreChain.open("ltc", bcash._replace(kind="litecoind"), RING, RealClock())
    with pytest.raises(NodeAway, match="user and password"):
        CoreChain.open("bch", bcash._replace(password="guessed"), RING, RealClock())


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        (
            {"getblockchaininfo": {"blocks": 7, "headers": 7, "pruned": True}},
            ChainError,
            "is pruned: start it with prune=0",
        ),
        (
            {
                "getblockchaininfo": {"blocks": 7, "headers": 90, "initialblockdownload": True},
                "getconnectioncount": 2,
            },
            NodeAway,
            "still fetching blocks \\(7 of 90\\)",
        ),
        ({"getblockhash": Error(-28, "Verifying blocks...")}, NodeAway, "it is starting: Verifying blocks"),
    ],
)
def test_of_no_use_as_it_is(state: Mapping[str, Any], error: type[ChainError], says: str) -> None:
    with served(Liar("bitcoind", **state)) as url, pytest.raises(error, match=says):
        node("bitcoind", url).tip()


def test_an_old_tip_of_a_node_alone_is_no_download() -> None:
    ahead = {"blocks": 7, "headers": 18, "initialblockdownload": True}
    with served(Liar("litecoind", getblockchaininfo=ahead)) as url:
        assert node("litecoind", url).tip() == "22" * 32


@pytest.mark.parametrize("answer", [None, 7, "ab", {"hash": "cd"}])
def test_an_answer_that_is_none(answer: Any) -> None:
    with served(Liar("litecoind", getbestblockhash=answer)) as url, pytest.raises(ChainError, match="strangely"):
        node("litecoind", url).tip()


def test_not_json_and_not_json_rpc() -> None:
    broken: list[Answer] = [lambda *_: (200, "hello"), lambda *_: (200, []), lambda *_: (200, {"jsonrpc": "2.0"})]
    for each in broken:
        with served(each) as url, pytest.raises(NodeAway, match="not JSON-RPC"):
            node("litecoind", url).tip()


def test_nobody_there() -> None:
    with served(Liar("litecoind")) as url:
        pass
    with pytest.raises(NodeAway, match="nobody listens there"):
        node("litecoind", url).tip()


@pytest.mark.parametrize(("coin", "kind"), [("btc", "litecoind"), ("ltc", "bitcoind"), ("bch", "geth")])
def test_software_that_a_coin_does_not_have(coin: str, kind: str) -> None:
    with pytest.raises(SettingsError, match=f"'{kind}' is no node software for {coin}; there is"):
        CoreNode(coin, Endpoint(kind, "http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("TX decode failed. Make sure the tx has at least one input.", "malformed"),
        ("dust (code 64)", "dust"),
        ("min relay fee not met, 0 < 141 (code 66)", "fee-too-low"),
        ("insufficient fee, rejecting replacement 12ab; new feerate 0.1 <= old feerate 0.2", "fee-too-low"),
        ("transaction 12ab has an insufficient absolute fee: needs 300, has 100", "fee-too-low"),
        ("txn-mempool-conflict (code 18)", "conflict"),
        ("output 12ab:0 already spent by transaction 34cd in the memory pool", "conflict"),
        ("bad-txns-inputs-missingorspent", "missing-inputs"),
        ("Missing inputs", "missing-inputs"),
        (
            "mandatory-script-verify-flag-failed (Signature must be zero for failed CHECK(MULTI)SIG operation)",
            "bad-signature",
        ),
        ("failed to validate input 12ab:0 which references output 34cd:1", "bad-signature"),
        ("too-long-mempool-chain, too many unconfirmed ancestors [limit: 25]", "chain-limit"),
        ("bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 1", "immature"),
        ("non-BIP68-final", "locked"),
        ("bad-txns-in-belowout, value in (0.1) < value out (0.2)", "funds"),
        ("something that nobody knew of yet", "other"),
    ],
)
def test_what_a_node_says_as_a_reason_of_ours(said: str, reason: str) -> None:
    refused = refusal(said)
    assert refused.reason == reason and refused.text == said


def test_all_of_these_are_one_line() -> None:
    with served(Liar("bitcoind", getblockhash=ELSEWHERE)) as url, pytest.raises(GlassTumblerError) as error:
        CoreChain.open("btc", Endpoint("bitcoind", url), RING, RealClock())
    assert "\n" not in str(error.value)
