"""What others do at a Core-style node that we follow; and how many calls it takes."""

from collections.abc import Iterator

import pytest

from glasstumbler.chains.base import Output, Place
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import RealClock
from glasstumbler.errors import RefusedNode
from glasstumbler.nodes.core import CoreChain
from glasstumbler.nodes.running import Nodes
from tests.nodes.proxy import Proxy, between

AMOUNT = 1_000_000
OURS, THEIRS = KeyRing(b"we who follow it"), KeyRing(b"somebody else who has it")


@pytest.fixture(scope="module")
def line(own_nodes: Nodes) -> Iterator[Proxy]:
    with between(own_nodes.start("litecoind")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def ours(line: Proxy) -> Iterator[CoreChain]:
    chain = CoreChain.open("ltc", line.endpoint, OURS, RealClock())
    yield chain
    chain.close()


@pytest.fixture(scope="module")
def theirs(line: Proxy, ours: CoreChain) -> Iterator[CoreChain]:
    """Another's adapter at the same node, with another's faucet."""
    chain = CoreChain.open("ltc", line.node, THEIRS, RealClock())
    yield chain
    chain.close()


def paid(chain: CoreChain, address: str) -> str:
    return chain.pay(address, AMOUNT)


def test_their_payment_is_seen_waiting_and_mined(ours: CoreChain, theirs: CoreChain) -> None:
    address = ours.fresh_address()
    txid = paid(theirs, address)
    assert txid in ours.mempool()
    tx = ours.transaction(txid)
    assert tx is not None and Output(ours.format.key(address), AMOUNT) in tx.outputs
    theirs.mine()
    assert ours.tip() == theirs.tip()
    assert ours.place(txid) == Place(*theirs.tip())
    assert ours.block(ours.tip()[1]) == theirs.block(theirs.tip()[1])


def test_a_payment_seen_first_in_a_block(ours: CoreChain, theirs: CoreChain) -> None:
    txid = paid(theirs, ours.fresh_address())
    theirs.mine()
    assert ours.tip() == theirs.tip()
    assert txid not in ours.mempool()
    assert ours.place(txid) == Place(*theirs.tip())


def test_their_reorganisation_is_followed(ours: CoreChain, theirs: CoreChain) -> None:
    txid = paid(theirs, ours.fresh_address())
    theirs.mine(2)
    stale = ours.tip()[1]
    theirs.reorg(2)
    assert ours.tip() == theirs.tip()
    assert ours.place(txid) == Place(None, None)
    assert ours.block(stale).hash == stale
    ours.mine()
    assert ours.place(txid) == Place(*theirs.tip())


def test_what_they_made_the_node_forget_is_sent_again(ours: CoreChain, theirs: CoreChain) -> None:
    """A node does not say whether it lost a transaction or was made to: what was seen is not lost by it."""
    txid = paid(theirs, ours.fresh_address())
    theirs.mine()
    assert ours.tip() == theirs.tip()
    theirs.reorg(1, forget=[txid])
    assert txid not in theirs.mempool()
    assert txid in ours.mempool()
    assert txid in theirs.mempool()


def test_a_block_that_is_taken_back_by_hand(ours: CoreChain, theirs: CoreChain) -> None:
    """`invalidateblock`: the chain is shorter for a while, and the node does not want its block back."""
    txid = paid(ours, ours.fresh_address())
    height = ours.mine()
    assert theirs.tip()[0] == height
    theirs._node.invalidate(ours.tip()[1])
    assert ours.tip()[0] == theirs.tip()[0] == height - 1
    assert ours.place(txid) == Place(None, None)
    assert ours.mine() == height
    assert ours.place(txid) == Place(*theirs.tip())


def test_both_mine_and_pay(ours: CoreChain, theirs: CoreChain) -> None:
    txids = []
    for one in (ours, theirs, theirs, ours):
        txids.append(paid(one, ours.fresh_address()))
        one.mine()
    assert ours.tip() == theirs.tip()
    assert all(ours.place(txid) == theirs.place(txid) != Place(None, None) for txid in txids)


def test_a_miner_of_the_nodes_own(ours: CoreChain, theirs: CoreChain) -> None:
    """Blocks that no builder of ours made, read by us and by the audit."""
    txid = paid(ours, ours.fresh_address())
    (mined,) = theirs._node._rpc.call("generatetoaddress", 1, theirs.fresh_address())
    assert ours.tip()[1] == mined
    assert ours.place(txid) == Place(*ours.tip())
    assert ours.mine() == theirs.tip()[0]


def test_another_chain_of_the_same_coin_is_not_taken_for_a_reorganisation(own_nodes: Nodes, ours: CoreChain) -> None:
    own_nodes.start("litecoind", "stranger")
    stranger = CoreChain.open("ltc", own_nodes.endpoint("stranger"), THEIRS, RealClock())
    stranger.close()
    before = ours.tip()
    ours_there = CoreChain("ltc", stranger._node, OURS, RealClock(), ours._log)
    ours_there._load()
    with pytest.raises(RefusedNode, match="another chain"):
        ours_there.tip()
    ours_there._node.close()
    assert ours.tip() == before


def calls(line: Proxy, ours: CoreChain, theirs: CoreChain, payments: int) -> tuple[int, int]:
    """(HTTP calls, single questions) to see so many payments wait, and be mined."""
    ours.tip(), ours.mempool()
    keys = [ours.format.key(ours.fresh_address()) for _ in range(payments)]
    txids = [theirs.pay_many([Output(key, AMOUNT)]) for key in keys]
    posts, asked = line.posts, line.asked.total()
    assert set(txids) <= set(ours.mempool())
    theirs.mine()
    assert ours.tip() == theirs.tip()
    assert ours.place(txids[-1]) == Place(*ours.tip())
    return line.posts - posts, line.asked.total() - asked


def test_calls_do_not_grow_with_the_transactions(line: Proxy, ours: CoreChain, theirs: CoreChain) -> None:
    few, _ = calls(line, ours, theirs, 2)
    many, _ = calls(line, ours, theirs, 90)
    assert many == few <= 12


def test_a_block_costs_the_same_whatever_is_in_it(line: Proxy, ours: CoreChain, theirs: CoreChain) -> None:
    """Seen in the block only: not one question for a transaction."""
    asked = []
    for payments in (1, 150):
        theirs.pay_many([Output(ours.format.key(ours.fresh_address()), AMOUNT + n) for n in range(payments)])
        for _ in range(payments // 5):
            paid(theirs, ours.fresh_address())
        theirs.mine()
        before = line.asked.copy()
        assert ours.tip() == theirs.tip()
        asked.append(line.asked - before)
    assert asked[0] == asked[1]
    assert asked[1].total() <= 10
    assert not asked[1]["getrawtransaction"]
