"""Orders of the five services on a record in PostgreSQL: the same lives, and the same record, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glasstumbler.store.records import Records
from tests.laboratory import Laboratory
from tests.postgres import Server
from tests.test_house_orders import HOUR, OPEN, live, lives

CHAINS = ("btc", "xmr", "lightning")


@pytest.fixture
def lab(postgres_server: Server) -> Iterator[Laboratory]:
    made = Laboratory(*CHAINS, store=postgres_server.database())
    yield made
    made.close()


@pytest.mark.parametrize(("service", "steps", "state", "booked"), lives()[1::6])
def test_life(lab: Laboratory, service: str, steps: str, state: str, booked: str) -> None:
    """A part of those that SQLite is put through; each step ends with a clean audit."""
    order = OPEN[service](lab)
    live(lab, order, steps)
    assert lab.state(order) == state


def entries(lab: Laboratory) -> list[tuple[int, bytes, bytes]]:
    return lab.house.store.read(lambda records: list(records.entries()))


def documents(lab: Laboratory) -> dict[str, list[object]]:
    def read(records: Records) -> dict[str, list[object]]:
        return {
            "orders": list(records.all_orders()),
            "deposits": list(records.all_deposits()),
            "coins": list(records.all_coins()),
            "payments": list(records.all_payments()),
            "codes": list(records.all_codes()),
            "watched": list(records.all_watched()),
            "keys": list(records.keys()),
        }

    return lab.house.store.read(read)


def test_the_record_is_the_same_in_both_stores(postgres_server: Server) -> None:
    """All five services, a reorganisation among it: every entry, with its hash, and every document, in its order."""
    found = []
    for store in (None, postgres_server.database()):
        lab = Laboratory(*CHAINS, seed=7, store=store)
        try:
            orders = [make(lab) for name, make in OPEN.items() if name != "xmrto, small"]
            deposits = [lab.pay(order) for order in orders[:-1]]
            lab.settle()
            lab.reorg("btc", 1, deposits[:1])
            lab.settle()
            lab.house.advance(3 * HOUR)
            lab.settle()
            lab.check()
            found.append((entries(lab), documents(lab), [lab.state(order) for order in orders]))
        finally:
            lab.close()
    assert found[0][2].count("completed") >= 6
    assert found[1] == found[0]
