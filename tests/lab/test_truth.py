"""Both truths on hand-driven orders, and every link against the chain itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains.base import Chain, Outpoint, Tx
from glasstumbler.engine.order import Order
from glasstumbler.lab import custody, truth
from glasstumbler.money import parse
from tests.laboratory import Laboratory

SAT = 100_000_000
HOUR = 3600
ONE_COIN = {"coins": {"btc": {"float_pieces": 1}}, "selection": "oldest"}


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    laboratory = Laboratory("btc", tables={"btcmix": ONE_COIN, "whir": {**ONE_COIN, "selection": "smallest"}})
    yield laboratory
    laboratory.check()
    laboratory.close()


def told(lab: Laboratory, order: Order) -> dict[str, Any]:
    with lab.house.store.snapshot() as records:
        return truth.order_truth(records, lab.now(order))


def all_links(lab: Laboratory) -> list[truth.Link]:
    with lab.house.store.snapshot() as records:
        return list(truth.links(records))


def origins(payout: dict[str, Any]) -> set[tuple[str, str | None, int]]:
    return {(found["kind"], found["order"], found["level"]) for found in payout["custody"]["origins"]}


# -- arithmetic -------------------------------------------------------------------------------------------------------

amounts = st.lists(st.integers(1, 10**19), min_size=1, max_size=6)


@given(st.integers(0, 10**19), amounts)
def test_parts_add_up_and_stray_less_than_one_unit(total: int, weights: list[int]) -> None:
    parts = truth.divide(total, weights)
    assert sum(parts) == total
    assert all(
        abs(part * sum(weights) - total * weight) < sum(weights) for part, weight in zip(parts, weights, strict=True)
    )


@given(amounts, amounts)
def test_a_table_has_its_sums_both_ways(rows: list[int], columns: list[int]) -> None:
    columns[-1] += max(sum(rows) - sum(columns), 0)
    rows[-1] += max(sum(columns) - sum(rows), 0)
    table = truth.apportion(rows, columns)
    assert [sum(row) for row in table] == rows
    assert [sum(column) for column in zip(*table, strict=True)] == columns
    assert all(cell >= 0 for row in table for cell in row)


def test_tables_of_different_totals_are_refused() -> None:
    with pytest.raises(ValueError, match="rows add to 3, columns to 2"):
        truth.apportion([1, 2], [2])


# -- beneficial -------------------------------------------------------------------------------------------------------


def test_two_deposits_share_two_payouts_the_fee_and_the_excess(lab: Laboratory) -> None:
    order = lab.bearer("btcmix", [1_000_000, 2_000_000])
    lab.pay(order, 1_000_001)
    lab.fund(order, 3_000_006)
    lab.settle()
    found = told(lab, order)
    deposited = {deposit["outpoint"]: parse(deposit["amount"], "btc") for deposit in found["deposits"]}
    first, second = all_links(lab)
    for link, amount in ((first, 1_000_000), (second, 2_000_000)):
        assert sum(part.amount for part in link.parts) == amount
        for part in link.parts:
            exact = Fraction(amount * deposited[f"{part.txid}:{part.vout}"], 4_000_007)
            assert abs(part.amount - exact) < 1
    fee = 2 * 5_000 + 60_000  # per output, and 2 percent
    assert first.fee + second.fee == fee
    assert found["fee"] == {"amount": "0.0007", "coin": "btc"}
    assert found["excess"] == {"amount": "0.00930007", "coin": "btc"}


def test_an_order_without_payouts_has_no_links(lab: Laboratory) -> None:
    order = lab.bearer("btcmix", [1_000_000], hours=5)
    lab.fund(order)
    assert all_links(lab) == []
    (payout,) = told(lab, order)["payouts"]
    assert (payout["outpoint"], payout["custody"], payout["beneficial"]) == (None, None, [])


# -- custody ----------------------------------------------------------------------------------------------------------


def test_float_then_another_orders_deposit_then_change_of_change(lab: Laboratory) -> None:
    """One coin of float, oldest first: each order is paid with what the ones before left."""
    first, second, third = (lab.bearer("btcmix", [units]) for units in (1_000_000, 4_000_000, 3 * SAT))
    for order in (first, second, third):
        lab.fund(order)
        lab.settle()
    (by_float,), (by_deposit,), (by_change,) = (told(lab, order)["payouts"] for order in (first, second, third))
    assert origins(by_float) == {("float", None, 1)}
    # The first order's deposit is too small, so that its change is spent beside it.
    assert origins(by_deposit) == {("deposit", first.id, 1), ("float", None, 2)}
    assert origins(by_change) == {
        ("deposit", second.id, 1),
        ("deposit", first.id, 2),
        ("float", None, 3),
    }
    assert [hop["level"] for hop in by_change["custody"]["hops"]] == [1, 2, 3]
    assert [payout["custody"]["hops_between"] for payout in (by_float, by_deposit, by_change)] == [None] * 3


def test_an_own_deposit_that_comes_back_as_change_is_two_hops_away(lab: Laboratory) -> None:
    """Smallest first: while an order waits, its deposit pays another, and the change of that pays the order."""
    waiting = lab.bearer("whir", [SAT], hours=10)
    lab.fund(waiting)
    other = lab.bearer("whir", [SAT // 2])
    lab.fund(other, 2 * SAT)
    lab.settle()
    lab.house.advance(10 * HOUR)
    lab.settle()
    (payout,) = told(lab, waiting)["payouts"]
    assert ("deposit", waiting.id, 2) in origins(payout)
    assert payout["custody"]["hops_between"] == 2
    assert payout["delay"] == {"asked": 10 * HOUR, "passed": 10 * HOUR}


def test_a_code_keeps_a_customer_from_their_own_coins() -> None:
    lab = Laboratory("btc")
    first = lab.codes("btc", amounts=[1_000_000])
    lab.fund(first)
    lab.settle()
    again = lab.codes("btc", amounts=[3_000_000], code=first.code or "")
    stranger = lab.codes("btc", amounts=[600_000])  # the smallest coin that it may have is the first order's deposit
    for order in (again, stranger):
        lab.fund(order)
    lab.settle()
    mine, theirs = (told(lab, order)["payouts"][0]["custody"] for order in (again, stranger))
    assert first.id not in {origin["order"] for origin in mine["origins"]}
    own = told(lab, first)["deposits"][0]["outpoint"]
    assert own in mine["excluded"]
    assert first.id in {origin["order"] for origin in theirs["origins"]}
    lab.check()
    lab.close()


def test_a_walk_stops_at_its_limit_and_says_so(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    for units in (1_000_000, 4_000_000, 3 * SAT):
        last = lab.bearer("btcmix", [units])
        lab.fund(last)
        lab.settle()
    assert not all_links(lab)[-1].truncated
    monkeypatch.setattr(custody, "MOST_HOPS", 2)
    (payout,) = told(lab, last)["payouts"]
    assert len(payout["custody"]["hops"]) == 2
    assert payout["custody"]["truncated"] is True
    assert all_links(lab)[-1].truncated


def test_who_is_in_a_hurry_looks_less_far_and_is_told_so(lab: Laboratory) -> None:
    for units in (1_000_000, 4_000_000, 3 * SAT):
        last = lab.bearer("btcmix", [units])
        lab.fund(last)
        lab.settle()
    near, far = (
        lab.house.store.read(partial(truth.order_truth, order=lab.now(last), most_hops=most))["payouts"][0]["custody"]
        for most in (2, None)
    )
    assert (near["truncated"], near["most_hops"], len(near["hops"])) == (True, 2, 2)
    assert (far["truncated"], far["most_hops"]) == (False, 1000)
    assert far["hops"][:2] == near["hops"]


def test_accounts_keep_their_sources_apart() -> None:
    """Ethereum: an account that took a deposit pays others, and is not the coin that it was."""
    lab = Laboratory("eth")
    first = lab.codes("eth", amounts=[10**18])
    lab.fund(first)
    lab.settle()
    second = lab.codes("eth", amounts=[10**17])
    third = lab.codes("eth", amounts=[10**16])
    for order in (second, third):
        lab.fund(order)
        lab.settle()
    (by_float,), (by_deposit,), (by_change,) = (told(lab, order)["payouts"] for order in (first, second, third))
    assert {kind for kind, _, _ in origins(by_float)} == {"float"}
    assert origins(by_deposit) == {("deposit", first.id, 1)}
    assert {order for _, order, _ in origins(by_change)} & {first.id, second.id}
    (source,) = by_deposit["custody"]["origins"]
    assert source["outpoint"] == told(lab, first)["deposits"][0]["outpoint"]
    lab.close()


def test_swaps_pay_from_coins_that_never_met_the_deposit() -> None:
    lab = Laboratory("btc", "xmr", "lightning")
    on_chain, lightning = lab.swap(2_000_000), lab.swap_lightning(50_000)
    for order in (on_chain, lightning):
        lab.fund(order)
    lab.settle()
    chain, channel = all_links(lab)
    assert (chain.deposit_coin, chain.coin, chain.hops, chain.fee) == ("xmr", "btc", None, 0)
    assert [part.amount for part in chain.parts] == [2_000_000]
    assert channel.outpoint == f"lightning:{channel.txid}"
    assert [part.amount for part in channel.parts] == [50_000_000]  # thousandths of a satoshi
    payout = told(lab, lightning)["payouts"][0]
    assert (payout["amount"], payout["coin"], payout["custody"]["kind"]) == ("0.0005", "btc", "channel")
    lab.check()
    lab.close()


# -- against the chain ------------------------------------------------------------------------------------------------


def chain_hops(chain: Chain, payout: str, deposits: set[Outpoint]) -> int | None:
    """Transactions between, told from raw blocks alone: backwards through whatever inputs spend."""
    waiting, seen = deque([(payout, 1)]), {payout}
    while waiting:
        txid, level = waiting.popleft()
        tx = chain.transaction(txid)
        for spent in () if tx is None else tx.inputs:
            if spent in deposits:
                return level
            if spent.txid not in seen:
                seen.add(spent.txid)
                waiting.append((spent.txid, level + 1))
    return None


def mined(chain: Chain) -> dict[str, tuple[Tx, int]]:
    """Every transaction with its block's time."""
    blocks = (chain.block(chain.block_hash(height) or "") for height in range(chain.tip()[0] + 1))
    return {tx.txid: (tx, block.time) for block in blocks for tx in block.txs}


def test_links_are_what_the_chain_shows(lab: Laboratory) -> None:
    asked = [
        lab.bearer(slug, [units, units // 3], hours)
        for slug, units, hours in (
            ("whir", SAT, 10), ("btcmix", 2_000_000, 1), ("whir", SAT // 2, 0), ("coinjoin", 6 * SAT, 2),
            ("btcmix", 4_000_000, 3), ("whir", 3_000_000, 4), ("btcmix", 7_000_000, 0),
        )
    ]  # fmt: skip
    for order in asked:
        lab.fund(order)
    lab.settle()
    for _ in range(10):
        lab.house.advance(HOUR)
        lab.settle()
    chain = lab.house.chains["btc"]
    txs = mined(chain)
    found = all_links(lab)
    assert len(found) == 14
    for order in asked:
        mine = [link for link in found if link.order == order.id]
        deposits = {
            Outpoint(txid, vout): output.amount
            for txid, (tx, _) in txs.items()
            for vout, output in enumerate(tx.outputs)
            if output.key == chain.format.key(order.address)
        }
        paid = 0
        for link, wanted in zip(mine, order.outputs, strict=True):
            tx, _ = txs[link.txid]
            assert tx.outputs[link.vout] == (chain.format.key(wanted.address), link.amount)
            assert {(part.txid, part.vout) for part in link.parts} == set(deposits)
            assert link.hops == chain_hops(chain, link.txid, set(deposits))
            assert link.passed == link.asked == wanted.delay
            paid += link.amount
        assert sum(link.fee for link in mine) == sum(deposits.values()) - paid
    assert {link.hops for link in found} >= {None, 1}  # both kinds were there to be told apart
