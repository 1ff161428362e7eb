"""The contract of every chain, on monerod with monero-wallet-rpc; then what only a real node can do to us."""

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.audit_blocks import LoggedBlocks
from glasstumbler.chains.base import LabChain, Output, Place
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroChain
from glasstumbler.chains.monero_keys import (
    PRIMARY,
    decode_address,
    integrated_address,
    subaddress,
    subaddress_key,
)
from glasstumbler.chains.monero_scan import viewer
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import BadAddress, ChainError, NodeAnswer, NodeAway, NoFunds, RefusedNode, StoreError
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.monero import DEEPEST, START_HEIGHT, XMR, MoneroNode
from glasstumbler.nodes.monero_wallet import FaucetWallet, wire_address
from glasstumbler.nodes.rpc import Rpc
from glasstumbler.nodes.running import Nodes
from tests.chains import test_contract_xmr
from tests.chains.contract import ChainContract
from tests.nodes.conftest import running
from tests.nodes.liar import served

RING = KeyRing(b"monerod of the contract")
SERVICE = RING.secret("xmr", "service", "deposit", 0)
VIEWERS = (viewer(SERVICE),)


@pytest.fixture
def endpoint(own_nodes: Nodes) -> Endpoint:
    """Running, whatever the test before has done to them."""
    monerod, wallet = own_nodes.start("monerod"), own_nodes.start("monero-wallet-rpc")
    return monerod._replace(extra={"wallet": wallet.url})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laboratory")


@pytest.fixture
def chain(endpoint: Endpoint, folder: Path) -> Iterator[MoneroNode]:
    chain = MoneroNode(endpoint, RING, folder, VIEWERS)
    chain.mine()
    yield chain
    chain.close()


class TestMonerod(ChainContract):
    coin = "xmr"
    amount = XMR
    spends = False
    persists = True
    main_network_addresses = test_contract_xmr.TestXmr.main_network_addresses

    @pytest.fixture(autouse=True)
    def places(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint, self.folder = endpoint, folder

    def reopen(self, chain: LabChain) -> LabChain:
        chain.close()
        return MoneroNode(self.endpoint, RING, self.folder, VIEWERS)


def test_what_it_shows_of_itself(chain: MoneroNode) -> None:
    assert chain.node.startswith("monerod 0.")
    assert not chain.model


def test_every_payment_is_found_that_a_wallet_finds(chain: MoneroNode, endpoint: Endpoint) -> None:
    """105 outputs to 60 subaddresses and the first address, and to integrated addresses of both kinds."""
    wanted = [Output(subaddress_key(SERVICE, number % 61), XMR // 100 + number) for number in range(105)]
    chain.pay_many(wanted)
    chain.pay(integrated_address(SERVICE, b"8 bytes."), XMR // 50)
    chain.pay(integrated_address(SERVICE, b"8 bytes!", 7), XMR // 50 + 1)
    chain.pay(subaddress(SERVICE, 150), XMR // 50 + 2)
    seen = {txid: tx for txid in chain.mempool() if (tx := chain.transaction(txid)) is not None}
    height = chain.mine()
    assert len(seen) == 10
    block = chain.block(chain.tip()[1])
    assert {tx.txid: tx for tx in block.txs[1:]} == seen, "the same in the mempool and in its block"
    chain.close()

    number_of = {subaddress_key(SERVICE, number): number for number in range(200)}
    found = Counter[tuple[str, int]]()
    for tx in block.txs:
        for key, amount in tx.outputs:
            if key in number_of:
                found[tx.txid, number_of[key]] += amount
    assert sum(found.values()) == sum(amount for _, amount in wanted) + 3 * (XMR // 50) + 3
    assert found == _as_a_wallet_sees(endpoint, height)


def _as_a_wallet_sees(endpoint: Endpoint, height: int) -> Counter[tuple[str, int]]:
    """What monero-wallet-rpc finds in this block with the service's view key, by transaction and subaddress."""
    with closing(Rpc(Endpoint("oracle", endpoint.extra["wallet"]), lambda ask: None, 300)) as oracle:
        primary = wire_address(decode_address(subaddress(SERVICE, 0)))
        view = VIEWERS[0].view.hex()
        oracle.call("generate_from_keys", filename="oracle", address=primary, viewkey=view, password="")
        oracle.call("refresh")
        rows = oracle.call("get_transfers", **{"in": True}, filter_by_height=True, min_height=height - 1)["in"]
        oracle.call("close_wallet")
    found = Counter[tuple[str, int]]()
    for row in rows:
        found[row["txid"], row["subaddr_index"]["minor"]] += row["amount"]
    return found


def test_a_subaddress_far_ahead_is_found(chain: MoneroNode) -> None:
    txid = chain.pay(subaddress(SERVICE, 2500), XMR)
    tx = chain.transaction(txid)
    assert tx is not None and Output(subaddress_key(SERVICE, 2500), XMR) in tx.outputs


def test_others_outputs_are_keys_without_amounts(chain: MoneroNode) -> None:
    stranger = bytes(range(32))
    tx = chain.transaction(chain.pay(subaddress(stranger, 1), XMR))
    assert tx is not None
    assert [(len(key), amount) for key, amount in tx.outputs] == [(32, 0)] * 2


def test_the_log_is_read_without_the_node_and_without_keys(chain: MoneroNode, folder: Path) -> None:
    chain.pay(subaddress(SERVICE, 3), XMR)
    height = chain.mine()
    chain.reorg(1)
    with closing(LoggedBlocks(folder / "xmr.blocks", "xmr")) as logged:
        assert logged.tip() == chain.tip()
        for at in range(height - 5, height + 2):
            name = chain.block_hash(at)
            assert name is not None and logged.block_hash(at) == name
            assert logged.block(name) == chain.block(name)


def test_a_turn_asks_little(chain: MoneroNode, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    call, post = Rpc.call, Rpc.post

    def counted_call(self: Rpc, method: str, *params: Any, **named: Any) -> Any:
        asked.append(method)
        return call(self, method, *params, **named)

    def counted_post(self: Rpc, path: str, **fields: Any) -> Any:
        asked.append(path)
        return post(self, path, **fields)

    chain.pay_many([Output(subaddress_key(SERVICE, number), XMR // 100) for number in range(45)])
    monkeypatch.setattr(Rpc, "call", counted_call)
    monkeypatch.setattr(Rpc, "post", counted_post)
    tip, _ = chain.tip(), chain.mempool()
    assert asked == ["get_info", "/get_transaction_pool_hashes"]
    chain.block(tip[1]), chain.block_hash(tip[0]), chain.place("00"), chain.transaction("00")
    assert len(asked) == 2, "answered from what was seen"
    asked.clear()
    chain.mine()
    assert asked.count("get_block") == 1
    assert "/get_transactions" not in asked, "seen in the mempool before"
    assert len(asked) <= 6


def test_a_reorganisation_by_others_is_followed(chain: MoneroNode, endpoint: Endpoint) -> None:
    txid = chain.pay(subaddress(SERVICE, 9), XMR)
    chain.mine()
    stale = chain.tip()
    others = Rpc(endpoint, lambda ask: None)
    others.post("/pop_blocks", nblocks=1)
    assert chain.tip()[0] == stale[0] - 1
    assert chain.place(txid) == Place(None, None)
    others.call("flush_txpool", txids=[txid])
    address = wire_address(decode_address(subaddress(SERVICE, 0)))
    others.call("generateblocks", amount_of_blocks=2, wallet_address=address)
    others.close()
    assert chain.tip()[0] == stale[0] + 1
    assert chain.block(stale[1]).hash == stale[1]
    assert txid not in chain.mempool() and chain.place(txid) is None
    paid = chain.block(chain.tip()[1]).txs[0].outputs
    assert [(key, amount > 30 * XMR) for key, amount in paid] == [(subaddress_key(SERVICE, 0), True)], (
        "a miner's reward"
    )


def test_what_cannot_be_paid(chain: MoneroNode) -> None:
    with pytest.raises(NoFunds, match="mine some blocks"):
        chain.pay(chain.fresh_address(), 10**6 * XMR)
    nonsense = Output(b"\x02" * 64, XMR)  # no points
    with pytest.raises(BadAddress) as refused:
        chain.pay_many([nonsense])
    assert refused.value.text == "no Monero address that can be paid"
    with pytest.raises(ChainError, match="are the most"):
        chain.reorg(DEEPEST + 1)


def test_no_address_in_the_nodes_form_is_told(endpoint: Endpoint) -> None:
    wire = wire_address(decode_address(subaddress(SERVICE, 1)))
    assert decode_address(wire).network_byte not in (PRIMARY, 25, 36)

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        return 200, {"error": {"code": -1, "message": f"cannot pay {wire} today"}}

    with served(answer) as url, pytest.raises(NodeAnswer) as told:
        FaucetWallet(Endpoint("monerod", "", extra={"wallet": url}), SERVICE).make([(wire, 1)])
    assert "cannot pay (an address) today" in str(told.value)


def test_a_folder_of_the_model_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    MoneroChain(RING, VirtualClock(), tmp_path).close()
    with pytest.raises(StoreError, match="in-process"):
        MoneroNode(endpoint, RING, tmp_path)


@pytest.mark.parametrize(
    "facts",
    [
        {"nettype": "mainnet", "offline": True},
        {"nettype": "fakechain", "offline": False},
        {"nettype": "stagenet", "offline": True},
        {"nettype": "fakechain"},
        {},
    ],
)
def test_a_node_of_another_network_is_refused(endpoint: Endpoint, facts: dict[str, Any]) -> None:
    asked: list[Any] = []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        asked.append(body["method"])
        return 200, {"result": {"status": "OK", **facts}}

    with served(answer) as url, pytest.raises(RefusedNode):
        MoneroNode(endpoint._replace(url=url), RING)
    assert set(asked) == {"get_info"}, "nothing else is said to it"


def test_a_node_that_changes_its_answer_is_refused(chain: MoneroNode, endpoint: Endpoint) -> None:
    """On the same connection, too: each look at the tip is a look at the network."""
    others = Rpc(endpoint, lambda ask: None)
    lying = False

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path != "/json_rpc":
            return 200, others.post(path, **(body or {}))
        params = body["params"]
        result = others.call(body["method"], **params) if isinstance(params, dict) else others.call(body["method"])
        return 200, {"result": {**result, "nettype": "mainnet"} if lying else result}

    chain.close()
    with served(answer) as url, closing(MoneroNode(endpoint._replace(url=url), RING, None, VIEWERS)) as watched:
        watched.tip()
        lying = True
        with pytest.raises(RefusedNode):
            watched.tip()
        with pytest.raises(RefusedNode):
            watched.pay(subaddress(SERVICE, 1), XMR)
    others.close()


def test_a_wallet_that_offers_spent_coins_again(chain: MoneroNode, endpoint: Endpoint) -> None:
    """As one does that was killed before it noted what had been sent."""
    chain.close()
    wallet = Rpc(Endpoint("wallet", endpoint.extra["wallet"]), lambda ask: None, 300)
    made: list[Any] = []
    asked: list[str] = []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        name, params = body["method"], dict(body["params"])
        asked.append(name)
        if name == "relay_tx" and asked.count(name) == 1:
            return 200, {"error": {"code": -38, "message": "no connection to daemon"}}
        if name == "transfer" and len(made) == 1:
            name, where = "sweep_single", params.pop("destinations")[0]["address"]
            params |= {"address": where, "key_image": made[0]["spent_key_images"]["key_images"][0]}
        try:
            result = wallet.call(name, **params)
        except NodeAnswer as error:
            return 200, {"error": {"code": error.code, "message": error.text}}
        if "tx_blob" in result:
            made.append(result)
        return 200, {"result": result}

    with served(answer) as url, closing(wallet):
        forgetful = endpoint._replace(extra={"wallet": url})
        with closing(MoneroNode(forgetful, RING, None, VIEWERS)) as chain:
            txids = [chain.pay(subaddress(SERVICE, number), XMR) for number in (1, 2)]
            assert len(made) >= 3 and "freeze" in asked
            assert [txid for txid in chain.mempool() if txid in txids] == txids
            chain.mine()


def test_a_wallet_server_that_was_killed(chain: MoneroNode, own_nodes: Nodes) -> None:
    first = chain.pay(subaddress(SERVICE, 1), XMR)
    _kill(own_nodes, "monero-wallet-rpc")
    chain.mine()
    with pytest.raises(NodeAway, match="monero-wallet-rpc"):
        chain.pay(subaddress(SERVICE, 1), XMR)
    own_nodes.ensure("monero-wallet-rpc")
    second = chain.pay(subaddress(SERVICE, 1), XMR)
    chain.mine()
    assert chain.place(second) == Place(*chain.tip())
    assert chain.place(first) == Place(chain.tip()[0] - 1, chain.block_hash(chain.tip()[0] - 1))


def test_a_node_that_was_killed_and_lost_everything(chain: MoneroNode, own_nodes: Nodes, endpoint: Endpoint) -> None:
    mined = chain.pay(subaddress(SERVICE, 1), XMR)
    chain.mine()
    waiting = [chain.pay(subaddress(SERVICE, number), XMR) for number in (2, 3)]
    tip, place = chain.tip(), chain.place(mined)
    data = _kill(own_nodes, "monerod")
    for ask in (chain.tip, chain.mempool, chain.mine, lambda: chain.pay(subaddress(SERVICE, 1), XMR)):
        with pytest.raises(NodeAway, match="monerod"):
            ask()
    assert chain.place(mined) == place
    shutil.rmtree(data / "fake")
    own_nodes.ensure("monerod")
    assert list(chain.mempool()) == waiting
    assert (chain.tip(), chain.place(mined)) == (tip, place)
    chain.mine()
    assert [chain.place(txid) for txid in waiting] == [Place(*chain.tip())] * 2


def _kill(nodes: Nodes, name: str) -> Path:
    """Its data folder."""
    process = nodes.process(name)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    nodes.stop(name)
    return nodes._folder / name


def test_a_first_start_that_broke_off_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the faucet's coins are split then, and what is left of them does not do for all."""
    with running() as nodes:
        monerod, wallet = nodes.start("monerod"), nodes.start("monero-wallet-rpc")
        endpoint, pays, left = monerod._replace(extra={"wallet": wallet.url}), MoneroNode._pay, [9]

        def breaks_off(self: MoneroNode, payments: Sequence[tuple[str, int]]) -> str:
            left[0] -= 1
            if left[0] < 0:
                raise NodeAway("monero-wallet-rpc", "no answer in time")
            return pays(self, payments)

        with monkeypatch.context() as patched:
            patched.setattr(MoneroNode, "_pay", breaks_off)
            with pytest.raises(NodeAway):
                MoneroNode(endpoint, RING, tmp_path, VIEWERS)
        with closing(MoneroNode(endpoint, RING, tmp_path, VIEWERS)) as chain:
            assert chain.tip()[0] == START_HEIGHT
            assert chain.pay(chain.fresh_address(), XMR)
