"""The record told as it grows: every entry, once it is on the disk, becomes a line of the log for each order it is of.

Nobody has to remember to log: what the record has is told, and nothing else. Where nothing is told at this level,
nothing is read. Names of orders, services, coins and transactions are in it; keys and secrets are not in the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from glasstumbler import log
from glasstumbler.engine import ledger
from glasstumbler.engine.ledger import Entry
from glasstumbler.engine.order import Order, State
from glasstumbler.engine.payment import Payment
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records

_PAGE = 1_000
EVENTS = {
    "order": "opened",
    "deposit": "deposit seen",
    "payout": "claimed",
    "lightning intent": "claimed",
    "payment settled": "settled",
    "lightning paid": "settled",
}
"""What an entry's kind is called here; the others (broadcast, expired, failed, deposit reorganised, ...) keep their
names."""


class Line(NamedTuple):
    event: str
    fields: dict[str, Any]


class Story:
    """Begins behind the last entry that there is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: int = store.read(lambda records: records.head()[0])

    def tell(self) -> None:
        """Everything that is new."""
        while True:
            last, lines = self._store.read(partial(page, self._last))
            if last == self._last:
                return
            self._last = last
            for line in lines:
                log.info(line.event, **line.fields)


def page(last: int, records: Records) -> tuple[int, list[Line]]:
    """The next entries behind `last`: the number of the last of them, and their lines."""
    found = [(number, ledger.read(raw)) for number, raw, _ in islice(records.entries(last + 1), _PAGE)]
    return (found[-1][0], told(found, records)) if found else (last, [])


def told(found: Sequence[tuple[int, Entry]], records: Records) -> list[Line]:
    """The lines of some entries, which come with their numbers and in their order."""
    payments = records.payments({number for _, entry in found for number in _named(entry, "payment")})
    touched = [(number, entry, dict(_touched(entry, payments))) for number, entry in found]
    orders = records.orders_by_number({order for _, _, mine in touched for order in mine})
    finished = {
        order: number
        for number, entry, mine in touched
        if EVENTS.get(entry.kind) == "settled"
        for order in mine
        if order in orders and orders[order].state is State.COMPLETED
    }
    lines: list[Line] = []
    for number, entry, mine in touched:
        lines += _lines(number, entry, mine, orders)
        lines += [_line("completed", number, entry, orders[order]) for order in mine if finished.get(order) == number]
    return lines


def _touched(entry: Entry, payments: dict[int, Payment]) -> Iterator[tuple[int, str | None]]:
    """(order, txid of the payment by which it is touched)"""
    if entry.order is not None:
        yield entry.order, None
    for order in _named(entry, "order"):
        yield order, None
    for number in _named(entry, "payment"):
        for carried in payments[number].carried if number in payments else ():
            yield carried.order, payments[number].txid


def _named(entry: Entry, table: str) -> Iterator[int]:
    """Numbers of the documents of a table that an entry names."""
    return (int(key) for name, key, _ in entry.docs if name == table)


def _lines(number: int, entry: Entry, mine: dict[int, str | None], orders: dict[int, Order]) -> Iterable[Line]:
    event = EVENTS.get(entry.kind, entry.kind)
    if entry.kind == "deposit" and entry.postings:
        event = "credited"  # it had its confirmations when it was seen
    elif entry.kind == "deposit credited":
        event = "credited"
    if not mine:
        return [Line(event, {"service": entry.service, "entry": number})]
    reason = (entry.detail or {}).get("reason")
    more = {"reason": reason} if reason else {}
    return [
        _line(event, number, entry, orders[order], **({"txid": txid} if txid else {}), **more)
        for order, txid in mine.items()
        if order in orders
    ]


def _line(event: str, number: int, entry: Entry, order: Order, **more: str) -> Line:
    return Line(event, {"service": order.service, "order": order.id, "coin": order.coin, "entry": number, **more})
