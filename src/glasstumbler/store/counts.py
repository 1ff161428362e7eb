"""How things stand, in numbers: from the columns that are searched by, without reading documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from glasstumbler.engine.order import State
from glasstumbler.store.records import Records


class Counts(NamedTuple):
    orders: Mapping[str, Mapping[str, int]]
    """By service and state."""
    payouts: Mapping[str, int]
    """Payments that are not settled yet, by coin."""
    oldest_due: int | None
    """Epoch seconds: the earliest time at which something is to be done, past or to come."""
    heights: Mapping[str, int]
    """Of the last block of each chain that the record has taken in."""
    entries: int
    head: str
    """Hash of the last entry, hex."""


def count(records: Records) -> Counts:
    orders: dict[str, dict[str, int]] = {}
    for (service, state), number in records.order_states().items():
        orders.setdefault(service, {})[state] = number
    open_ = "SELECT coin, count(*) FROM payment WHERE state IN ('stored', 'sent', 'mined') GROUP BY coin"
    wake = next(records.rows("SELECT min(wake) FROM orders WHERE wake IS NOT NULL"))[0]
    heights = "SELECT coin, max(height) FROM block GROUP BY coin"
    number, link = records.head()
    return Counts(
        orders, dict(records.rows(open_)), wake, dict(records.rows(heights)), number, link.hex()
    )  # fmt: skip


def states_up_to(records: Records, services: Collection[str], most: int) -> dict[tuple[str, str], int]:
    """How many orders are in each state, by (service, state); none of them is counted further than `most`."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM orders WHERE service = ? AND state = ? LIMIT ?) AS counted"
    found = {
        (service, state.value): int(next(iter(records.rows(sql, (service, state.value, most))))[0])
        for service in services
        for state in State
    }
    return {place: number for place, number in found.items() if number}
