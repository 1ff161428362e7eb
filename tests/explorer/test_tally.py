"""The sums beside the record are what the whole record adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from glasstumbler.engine.ledger import Entry
from glasstumbler.explorer import tally
from glasstumbler.explorer.file import CacheFile
from tests.laboratory import Laboratory

DAY = 86_400


@pytest.fixture
def laboratory() -> Iterator[Laboratory]:
    made = Laboratory("btc", "eth")
    yield made
    made.close()


@pytest.fixture
def file() -> Iterator[CacheFile]:
    made = CacheFile(None, "lab")
    yield made
    made.close()


def bring_up(file: CacheFile, laboratory: Laboratory) -> tally.Turnover:
    more = True
    while more:
        with file.writing() as db:
            assert db is not None
            piece = laboratory.house.store.read(partial(tally.read, after=tally.stands(db)))
            more = bool(piece.entries) or not piece.fits
            (tally.take(db, piece) if piece.fits else tally.forget(db))
    with file.reading() as db:
        return tally.Turnover(db)


def walked(entries: list[Entry]) -> Counter[tuple[str, str, str]]:
    """Balances by service, account and coin, all orders' as one."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for entry in entries:
        for account, coin, amount in entry.postings:
            name = {"order": "orders", "referral": "referrals"}.get(account.partition(":")[0], account)
            sums[entry.service, name, coin] += amount
    return Counter({key: amount for key, amount in sums.items() if amount})


def trade(laboratory: Laboratory) -> None:
    first = laboratory.bearer("whir", [50_000_000, 25_000_000], hours=2, ref="friend")
    second = laboratory.codes("eth", (600, 400), minutes=30)
    laboratory.bearer("btcmix", [10_000_000])
    laboratory.fund(first)
    laboratory.fund(second)
    laboratory.house.advance(3 * 3600)
    laboratory.settle()


def test_balances_are_those_of_all_entries(laboratory: Laboratory, file: CacheFile) -> None:
    bring_up(file, laboratory)
    trade(laboratory)
    turnover = bring_up(file, laboratory)
    with file.reading():
        for slug in laboratory.house.services:
            found = {(slug, account, coin): amount for account, coin, amount in turnover.balances(slug)}
            assert found == {key: amount for key, amount in walked(laboratory.entries()).items() if key[0] == slug}
    assert turnover.last == len(laboratory.entries())


def test_orders_volume_delays_and_fees_are_counted_once(laboratory: Laboratory, file: CacheFile) -> None:
    trade(laboratory)
    bring_up(file, laboratory)
    turnover = bring_up(file, laboratory)
    assert sum(turnover.counts("whir", "made").values()) == 1
    assert sum(turnover.counts("btcmix", "made").values()) == 1
    days = turnover.days("whir", "btc", 0)
    came, paid, fees = (sum(getattr(day, name) for day in days) for name in ("came", "paid", "fees"))
    order = next(each for each in laboratory.orders() if each.service == "whir")
    assert (came, paid) == (order.credited, 75_000_000)
    assert came == paid + fees
    assert turnover.counts("whir", "delay") == {tally.place(tally.DELAYS, 2 * 3600): 2}
    assert turnover.counts("whir", "fee") == {tally.place(tally.FEES, fees * 10**6 // came): 2}
    assert sum(turnover.counts("bestmixer", "delay").values()) == 2
    assert turnover.counts("btcmix", "delay") == {}


def test_an_order_that_nobody_pays_is_counted_as_expired(laboratory: Laboratory, file: CacheFile) -> None:
    trade(laboratory)
    laboratory.house.advance(4 * DAY)
    turnover = bring_up(file, laboratory)
    assert sum(turnover.counts("btcmix", "expired").values()) == 1


def test_a_deposit_that_the_chain_takes_back_is_not_volume(laboratory: Laboratory, file: CacheFile) -> None:
    order = laboratory.bearer("whir", [50_000_000], hours=5)
    txid = laboratory.fund(order)
    came = bring_up(file, laboratory).days("whir", "btc", 0)[0].came
    assert came == laboratory.now(order).credited > 0
    laboratory.reorg("btc", 1, {txid})
    assert bring_up(file, laboratory).days("whir", "btc", 0)[0].came == 0


def test_another_record_is_counted_anew(laboratory: Laboratory, file: CacheFile) -> None:
    trade(laboratory)
    bring_up(file, laboratory)
    other = Laboratory("btc", seed=2)
    try:
        turnover = bring_up(file, other)
        assert turnover.last == len(other.entries())
        assert turnover.counts("whir", "made") == {}
        found = {("whir", account, coin): amount for account, coin, amount in turnover.balances("whir")}
        assert found == {key: amount for key, amount in walked(other.entries()).items() if key[0] == "whir"}
    finally:
        other.close()


@pytest.mark.parametrize(("value", "at"), [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2), (10**9, 2)])
def test_a_bound_belongs_below(value: int, at: int) -> None:
    assert tally.place((10, 20), value) == at
