"""The parts of the fast mode: its economy, its addresses, its chains, its record."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from glasstumbler.chains.base import Format, Output
from glasstumbler.chains.eth_format import EthFormat
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.engine.ledger import Entry, Posting, digest
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import BadAddress, RecordError, RefusedNode, StoreError, TransactionRefused
from glasstumbler.lab.economy import Background
from glasstumbler.lab.fast import people, shard
from glasstumbler.lab.fast.chain import UnsignedChain, key_of
from glasstumbler.lab.fast.chains import COINBASE, Chain, Txs, conserve, first_seen, in_order
from glasstumbler.lab.fast.left import NONE
from glasstumbler.lab.fast.names import names
from glasstumbler.lab.fast.purses import Purses
from glasstumbler.lab.scenario import Economy, read
from glasstumbler.store.memory import MemoryStore
from glasstumbler.store.records import Code, Records
from glasstumbler.web.serving import Serving

SETTINGS = Economy(
    people=80, payments_a_day=900, exchanges=2, withdrawal_batches_a_day=24, consolidate_at=25, payrolls=2,
    peel_chains=2, coinjoins_a_day=24, funds="1",
)  # fmt: skip
BLOCK, GUESTS = 600, 20


# -- the economy ------------------------------------------------------------------------------------------------------


def begun(kind: type[Background]) -> Background:
    economy = kind(SETTINGS, GUESTS, 1, "btc", BLOCK)
    owner, amount = economy.grants()
    economy.receive(owner, economy.fresh(owner), amount)
    economy.mined()
    return economy


def test_purses_choose_what_the_background_chooses() -> None:
    one, other = begun(Background), begun(Purses)
    made = 0
    for block in range(1, 300):
        for ours, theirs in zip(other.step(block, block * BLOCK), one.step(block, block * BLOCK), strict=True):
            made += len(theirs)
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
        for each in (one, other):
            each.receive(np.array([block % GUESTS]), np.array([5]), np.array([block * 1000]))
            each.mined()
    assert made > 1500


def test_who_has_too_little_pays_nothing_and_others_are_paid_in_turn() -> None:
    economy = begun(Purses)
    assert isinstance(economy, Purses)
    owner, amount = np.array([3, 3, 3, 3, 4]), np.array([60_000_000, 30_000_000, 20_000_000, 10, 1])
    made, good = economy.pay_all(owner, amount, 1)
    assert good.tolist() == [True, False, False, False, True]  # two coins of half a bitcoin; the change is not mined
    assert made.amount[made.owner == -1].tolist() == [60_000_000, 1]
    assert len(set(made.inputs.tolist())) == len(made.inputs) == 3


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coin", ["btc", "bch", "ltc", "eth", "xmr"])
def test_addresses_in_bulk_are_those_of_the_format(coin: str) -> None:
    formats: dict[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}
    form = formats[coin]
    payloads = np.random.default_rng(1).integers(0, 256, (200, 64), np.uint8)
    payloads[:20, :10] = 0
    kind = np.arange(200) % len(form.kinds)
    found = names(coin, form.kinds, kind, payloads).to_pylist()
    assert found == [
        form.address(key_of(form.kinds[k], row.tobytes())) for k, row in zip(kind.tolist(), payloads, strict=True)
    ]


def test_no_two_people_have_one_address() -> None:
    found = people.payloads(np.arange(100_000), "btc", 1)
    assert len(np.unique(found[:, :8].copy().view(np.uint64))) == 100_000
    assert not np.array_equal(found, people.payloads(np.arange(100_000), "ltc", 1))


# -- chains -----------------------------------------------------------------------------------------------------------


def unsigned() -> UnsignedChain:
    return UnsignedChain("btc", "whir", VirtualClock())


def test_an_unsigned_chain_is_not_served() -> None:
    wanted = read({"services": {"whir": 1}}, "test")
    with shard.opened("whir", wanted, 1) as house:
        serving = Serving(lambda: house, "127.0.0.1", 0, turning=False)
        with pytest.raises(RefusedNode, match="btc chain: saw network 'unsigned'; allowed here: chains whose"):
            asyncio.run(serving.run())


def test_a_real_chain_takes_nothing_of_an_unsigned_one_nor_the_other_way_round() -> None:
    chain, real = unsigned(), UtxoChain.open("btc", KeyRing(b"x" * 32), VirtualClock())
    address = chain.format.address(key_of("p2wpkh", bytes(64)))
    with pytest.raises(BadAddress):
        real.format.key(address)
    with pytest.raises(BadAddress):
        chain.format.key(real.fresh_address())
    txid = chain.pay(address, 1000)
    tx = chain.transaction(txid)
    assert tx is not None
    with pytest.raises(TransactionRefused, match="malformed"):
        real.broadcast(tx.raw)
    with pytest.raises(TransactionRefused, match="malformed"):
        chain.broadcast(bytes(60))
    assert (chain.network, chain.node) == ("unsigned", "unsigned")


def test_an_unsigned_transaction_pays_no_more_than_it_has() -> None:
    chain = unsigned()
    with pytest.raises(TransactionRefused, match="1000 more"):
        chain.format.sign([], [Output(b"", 1000)])


def small(height: list[int], fee: list[int], spends: list[list[int]], amounts: list[list[int]]) -> Chain:
    """Transactions with these inputs and outputs, each output at an address of its own."""
    flat = [amount for row in amounts for amount in row]
    spent = np.array([place for row in spends for place in row], np.int64)
    none = np.full(len(spent), NONE)
    txs = Txs(
        np.array(height), np.array(fee), np.full(len(height), NONE), np.cumsum([0, *map(len, spends)]), spent,
        none, none, none, np.cumsum([0, *map(len, amounts)]), np.arange(len(flat)), np.array(flat),
    )  # fmt: skip
    txid = np.random.default_rng(1).integers(0, 256, (len(height), 32), np.uint8)
    return in_order(txs, txid, len(flat))


def test_a_chain_is_put_in_order_and_adds_up() -> None:
    chain = small([2, 1, 0], [4, 1, COINBASE], [[1, 2], [3], []], [[3], [4, 5], [10]])
    # Outputs were gathered as 0 | 1, 2 | 3; the chain has them the other way round.
    assert chain.height.tolist() == [0, 1, 2]
    assert chain.amount.tolist() == [10, 4, 5, 3]
    assert chain.spends.tolist() == [0, 1, 2]
    assert chain.paid_in.tolist() == [10, 4, 5]
    assert chain.address.tolist() == [0, 1, 2, 3] and chain.known.tolist() == [3, 1, 2, 0]
    with pytest.raises(RecordError, match="btc transaction 2: inputs less outputs are 6, its fee 4"):
        conserve("btc", chain)
    conserve("btc", small([2, 1, 0], [6, 1, COINBASE], [[1, 2], [3], []], [[3], [4, 5], [10]]))


@pytest.mark.parametrize(
    ("height", "spends", "what"),
    [([1, 2, 0], [[2], [2], []], "btc output 0 is spent twice"), ([1, 1, 0], [[2], [0], []], "before a block has it")],
)
def test_what_cannot_be_is_found(height: list[int], spends: list[list[int]], what: str) -> None:
    with pytest.raises(RecordError, match=what):
        conserve("btc", small(height, [1, 1, COINBASE], spends, [[9], [8], [10]]))


def test_names_are_numbered_as_they_first_appear() -> None:
    known, number = first_seen(np.array([4, 2, NONE, 4, 0, 2]), 6)
    assert known.tolist() == [4, 2, 0]
    assert number.tolist() == [2, NONE, 1, NONE, 0, NONE]


# -- the record in memory ---------------------------------------------------------------------------------------------


def add(name: str, postings: tuple[Posting, ...] = ()) -> object:
    def unit(records: Records) -> None:
        records.put_code(Code(records.next("code"), "bestmixer", name))
        records.append(Entry("code", 0, "bestmixer", postings=list(postings)))

    return unit


def test_a_unit_that_fails_after_a_change_ends_the_record() -> None:
    store = MemoryStore()
    store.write(add("one"))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"cannot take back what failed: .*out of balance by 1 btc"):
        store.write(add("two", (Posting("coins", "btc", 1),)))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="the record in memory ended with"):
        store.write(add("three"))  # type: ignore[arg-type]


def test_a_unit_that_fails_before_a_change_changes_nothing() -> None:
    store = MemoryStore()

    def unit(records: Records) -> None:
        raise TransactionRefused("other", "no")

    with pytest.raises(TransactionRefused):
        store.write(unit)
    store.write(add("one"))  # type: ignore[arg-type]
    assert store.read(lambda records: records.head())[0] == 1


def test_a_document_without_an_entry_is_refused() -> None:
    def unit(records: Records) -> None:
        records.put_code(Code(records.next("code"), "bestmixer", "x"))

    with pytest.raises(StoreError, match="documents changed outside the record"):
        MemoryStore().write(unit)


def test_a_record_in_memory_answers_no_sql() -> None:
    with pytest.raises(StoreError, match="answers no SQL: SELECT 1"):
        MemoryStore().read(lambda records: records.rows("SELECT 1"))


def test_what_a_record_in_memory_tells_comes_in_the_order_of_a_database() -> None:
    """A payment that comes back stands where its number says, and a cursor's digest is that of its blocks."""

    def unit(records: Records) -> list[int]:
        paid = [Payment(n, "whir", "btc", f"{n}", "", 1, 0, [], [], []) for n in (1, 2, 3)]
        for each in paid:
            records.add_payment(each)
        paid[0].state = PaymentState.SETTLED
        records.save_payment(paid[0])
        paid[0].state = PaymentState.SENT
        records.save_payment(paid[0])
        for height in range(5):
            records.push_block("btc", height, f"hash {height}", 3)
        records.pop_block("btc", 4)
        records.append(Entry("x", 0, "whir"))
        assert records.cursor("btc") == (3, "hash 3")
        assert records.cursor_digest("btc") == digest(repr([(2, "hash 2"), (3, "hash 3")]).encode())
        assert records.on_their_way("btc", 2) == [(1, "1", PaymentState.SENT), (2, "2", PaymentState.STORED)]
        return [number for number, _, _ in records.on_their_way("btc", 9)]

    assert MemoryStore().write(unit) == [1, 2, 3]
