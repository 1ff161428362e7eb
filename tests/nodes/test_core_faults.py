"""A Core-style node that is away, slow, answers nonsense, is cut off, dies and comes back with less than it had."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.chains.base import Output, Place
from glasstumbler.clock import RealClock
from glasstumbler.errors import NodeAway
from glasstumbler.nodes.core import CoreChain
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.running import Nodes
from tests.nodes.proxy import Proxy, between
from tests.nodes.real import RING

AMOUNT = 1_000_000
COINS = {"litecoind": "ltc", "bcash": "bch", "btcd": "btc"}
SPEAK_HTTP = ("litecoind", "bcash")


@pytest.fixture(params=COINS)
def node(request: pytest.FixtureRequest, own_nodes: Nodes) -> Endpoint:
    return own_nodes.ensure(request.param) if request.param in own_nodes.names() else own_nodes.start(request.param)


@pytest.fixture(params=SPEAK_HTTP)
def http_node(request: pytest.FixtureRequest, own_nodes: Nodes) -> Endpoint:
    return own_nodes.ensure(request.param) if request.param in own_nodes.names() else own_nodes.start(request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our logs: the nodes' chains outlive a test, so these do."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture
def line(http_node: Endpoint) -> Iterator[Proxy]:
    with between(http_node) as proxy:
        yield proxy


def opened(endpoint: Endpoint, folder: Path) -> CoreChain:
    return CoreChain.open(COINS[endpoint.kind], endpoint, RING, RealClock(), folder)


@pytest.fixture
def chain(line: Proxy, folder: Path) -> Iterator[CoreChain]:
    chain = opened(line.endpoint, folder)
    chain.mine()
    yield chain
    line.away, line.status, line.delay, line.cut = False, 0, 0.0, ""
    chain.close()


def paid(chain: CoreChain) -> str:
    return chain.pay(chain.fresh_address(), AMOUNT)


def test_away_for_a_while(chain: CoreChain, line: Proxy) -> None:
    waiting = paid(chain)
    tip = chain.tip()
    line.away = True
    for ask in (chain.tip, chain.mempool, chain.mine, lambda: paid(chain), lambda: chain.reorg(1)):
        with pytest.raises(NodeAway, match="node is away"):
            ask()
    line.away = False
    looked = line.asked["getblockchaininfo"]
    assert chain.tip() == tip
    assert line.asked["getblockchaininfo"] == looked + 1, "the guard looked again"
    assert list(chain.mempool()) == [waiting]
    height = chain.mine()
    assert chain.place(waiting) == Place(height, chain.tip()[1])


def test_slow(chain: CoreChain, line: Proxy) -> None:
    line.delay = 0.1
    txid = paid(chain)
    height = chain.mine()
    assert chain.place(txid) == Place(height, chain.tip()[1])


@pytest.mark.parametrize(("status", "says"), [(500, "HTTP 500, and no JSON"), (401, "user and password")])
def test_errors(chain: CoreChain, line: Proxy, status: int, says: str) -> None:
    tip = chain.tip()
    line.status = status
    with pytest.raises(NodeAway, match=says):
        chain.tip()
    with pytest.raises(NodeAway, match=says):
        paid(chain)
    line.status = 0
    assert chain.tip() == tip
    assert paid(chain) in chain.mempool()


@pytest.mark.parametrize("arrives", [True, False])
def test_cut_off_in_the_middle_of_a_payment(chain: CoreChain, line: Proxy, arrives: bool) -> None:
    """The faucet's coin is spent once, or is there to be spent; a payment made again does not disturb the first."""
    key = chain.format.key(chain.fresh_address())
    line.cut, line.arrives = "sendrawtransaction", arrives
    with pytest.raises(NodeAway):
        chain.pay_many([Output(key, AMOUNT)])
    line.cut = ""
    again = chain.pay_many([Output(key, AMOUNT + 1)])
    assert again in chain.mempool()
    assert len(chain.mempool()) == 1 + arrives
    chain.mine()
    outputs = [output for tx in chain.block(chain.tip()[1]).txs for output in tx.outputs]
    assert outputs.count(Output(key, AMOUNT)) == arrives
    assert outputs.count(Output(key, AMOUNT + 1)) == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_cut_off_in_the_middle_of_a_block(chain: CoreChain, line: Proxy, arrives: bool) -> None:
    txid = paid(chain)
    height, _ = chain.tip()
    line.cut, line.arrives = "submitblock", arrives
    with pytest.raises(NodeAway):
        chain.mine()
    line.cut = ""
    assert chain.tip()[0] == height + arrives
    assert (txid in chain.mempool()) is not arrives
    assert chain.mine() == height + 1 + arrives
    place = chain.place(txid)
    assert place is not None and place.height == height + 1


def test_cut_off_once_is_asked_again(chain: CoreChain, line: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrived the first time is known the second time."""
    whole = line.answer

    def first_cut(body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        found = whole(body, headers)
        line.cut = "" if found is None else line.cut
        return found

    monkeypatch.setattr(line, "answer", first_cut)
    line.cut, line.arrives = "sendrawtransaction", True
    txid = paid(chain)
    assert list(chain.mempool()) == [txid]
    line.cut = "submitblock"
    height = chain.mine()
    assert chain.place(txid) == Place(height, chain.tip()[1])


def test_killed_and_back_with_less(own_nodes: Nodes, node: Endpoint, folder: Path) -> None:
    """Mempools are lost, and bcash's chain: all get back what the log has."""
    chain = opened(node, folder)
    mined = paid(chain)
    chain.mine()
    stale = chain.tip()[1]
    chain.reorg(1)
    chain.mine()
    waiting = [paid(chain) for _ in range(3)]
    tip, place = chain.tip(), chain.place(mined)
    process = own_nodes.process(node.kind)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(NodeAway):
        while True:  # until the kill has reached it
            chain.tip()
    assert own_nodes.ensure(node.kind) == node
    assert chain.tip() == tip
    assert list(chain.mempool()) == waiting
    assert chain.place(mined) == place
    assert chain.block(stale).hash == stale
    chain.mine()
    assert [chain.place(txid) for txid in waiting] == [Place(*chain.tip())] * 3
    chain.close()


def test_our_process_killed_and_opened_again(node: Endpoint, folder: Path) -> None:
    """While it was dead somebody mined what waited, and took back what it had seen mined."""
    died = opened(node, folder)
    mined = paid(died)
    died.mine()
    waiting = paid(died)
    died._node.close()
    other = CoreChain.open(COINS[node.kind], node, RING, RealClock())
    other.reorg(1)
    other.mine()
    assert other.place(mined) == other.place(waiting) == Place(*other.tip())
    unseen = paid(other)
    chain = opened(node, folder)
    assert chain.tip() == other.tip()
    assert chain.place(mined) == chain.place(waiting) == Place(*chain.tip())
    assert chain.place(unseen) == Place(None, None)
    for each in (chain, other, died):
        each.close()


def test_a_wrong_password_is_one_clear_line(node: Endpoint) -> None:
    with pytest.raises(NodeAway, match=f"the {node.kind} node is away: it does not take this user and password"):
        CoreChain.open(COINS[node.kind], node._replace(password="guessed"), RING, RealClock())
