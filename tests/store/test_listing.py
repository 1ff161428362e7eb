"""The record a page at a time, in both stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glasstumbler.store import listing
from tests.laboratory import Laboratory

MADE = ("btcmix", "whir", "btcmix", "coinjoin", "btcmix")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """Five orders; the first is paid."""
    place = request.getfixturevalue("postgres_server").database() if request.param == "postgresql" else None
    made = Laboratory("btc", store=place)
    orders = [made.bearer(slug, [50_000_000]) for slug in MADE]
    made.fund(orders[0])
    yield made
    made.close()


def test_pages_of_orders_join_without_a_gap(laboratory: Laboratory) -> None:
    seen: list[tuple[int, str]] = []
    before = listing.END
    while page := laboratory.house.store.read(lambda records, b=before: listing.orders(records, before=b, limit=2)):
        seen += [(order.number, order.service) for order in page]
        before = page[-1].number
    assert seen == list(zip((5, 4, 3, 2, 1), reversed(MADE), strict=True))


@pytest.mark.parametrize(
    ("service", "state", "numbers"),
    [
        ("btcmix", None, [5, 3, 1]),
        ("btcmix", "awaiting", [5, 3]),
        (None, "awaiting", [5, 4, 3, 2]),
        ("whir", "expired", []),
        ("nobody", None, []),
    ],
)
def test_orders_of_a_service_and_a_state(
    laboratory: Laboratory, service: str | None, state: str | None, numbers: list[int]
) -> None:
    found = laboratory.house.store.read(lambda records: listing.orders(records, service, state))
    assert [order.number for order in found] == numbers


def test_entries_of_an_order_newest_first(laboratory: Laboratory) -> None:
    every = laboratory.house.store.read(lambda records: listing.entries(records, limit=1000))
    assert [each.number for each in every] == list(range(len(every), 0, -1))
    mine = laboratory.house.store.read(lambda records: listing.entries(records, order=1))
    assert mine == [each for each in every if each.entry.order == 1]
    assert mine[-1].entry.kind == "order"
    whirs = laboratory.house.store.read(lambda records: listing.entries(records, service="whir", limit=1000))
    assert whirs == [each for each in every if each.entry.service == "whir"]


def test_one_entry_by_its_number(laboratory: Laboratory) -> None:
    found = laboratory.house.store.read(lambda records: listing.entry(records, 3))
    assert found is not None and found.number == 3
    assert laboratory.house.store.read(lambda records: listing.entry(records, 0)) is None


def test_an_entry_that_is_not_there_is_none(laboratory: Laboratory) -> None:
    last = laboratory.house.store.read(lambda records: listing.entries(records, limit=1))[0].number
    assert laboratory.house.store.read(lambda records: listing.entry(records, last + 1)) is None


def test_orders_by_the_beginning_of_their_name(laboratory: Laboratory) -> None:
    wanted = laboratory.house.store.read(lambda records: listing.orders(records, "whir"))[0]
    found = laboratory.house.store.read(lambda records: listing.orders_named(records, wanted.id[:6]))
    assert wanted.number in [order.number for order in found]
    assert laboratory.house.store.read(lambda records: listing.orders_named(records, "~")) == []


QUERIES = [
    ("SELECT doc FROM orders WHERE number < ? ORDER BY number DESC LIMIT ?", (9, 2)),
    ("SELECT doc FROM orders WHERE service = ? AND number < ? ORDER BY number DESC LIMIT ?", ("whir", 9, 2)),
    (
        "SELECT doc FROM orders WHERE service = ? AND state = ? AND number < ? ORDER BY number DESC LIMIT ?",
        ("whir", "expired", 9, 2),
    ),
    ("SELECT number FROM entry WHERE order_number = ? AND number < ? ORDER BY number DESC LIMIT ?", (1, 9, 2)),
    ("SELECT number FROM entry WHERE service = ? AND number < ? ORDER BY number DESC LIMIT ?", ("whir", 9, 2)),
]


@pytest.mark.parametrize(("sql", "values"), QUERIES)
def test_every_query_goes_through_an_index(sql: str, values: tuple[object, ...]) -> None:
    laboratory = Laboratory("btc")
    plan = laboratory.house.store.read(lambda records: list(records.rows(f"EXPLAIN QUERY PLAN {sql}", values)))
    laboratory.close()
    told = " ".join(str(row[-1]) for row in plan)
    assert "SEARCH" in told
    assert "TEMP B-TREE" not in told
