"""The record as people look at it: a page at a time, newest first, through an index however long the record is.

A page begins below the last number of the page before (`before`), never at an offset: what is skipped costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from glasstumbler.engine.ledger import GENESIS_HASH, Entry, read
from glasstumbler.engine.ledger import link as recomputed
from glasstumbler.engine.order import Order
from glasstumbler.store.records import Records

END: Final = 2**62
"""Above every number."""
_order = msgspec.json.Decoder(Order).decode


class Numbered(NamedTuple):
    """An entry of the record, with its place in the chain of hashes."""

    number: int
    entry: Entry
    hash: bytes


class Linked(NamedTuple):
    """`recomputed` is the hash that the entry's bytes and the entry before it give."""

    numbered: Numbered
    previous: bytes
    recomputed: bytes

    @property
    def holds(self) -> bool:
        return self.recomputed == self.numbered.hash


def orders(
    records: Records, service: str | None = None, state: str | None = None, before: int = END, limit: int = 50
) -> list[Order]:
    """Newest first, of one service or of all, in one state or in any."""
    if service is None and state is not None:
        found = [each for slug in _services(records) for each in orders(records, slug, state, before, limit)]
        return nlargest(limit, found, key=attrgetter("number"))
    where, values = _where(("service", service), ("state", state))
    rows = records.rows(f"SELECT doc FROM orders WHERE {where}number < ? ORDER BY number DESC LIMIT ?",
                        (*values, before, limit))  # fmt: skip
    return [_order(row[0]) for row in rows]


def entries(
    records: Records, order: int | None = None, service: str | None = None, before: int = END, limit: int = 50
) -> list[Numbered]:
    """Newest first, of one order, of one service or of all."""
    where, values = _where(("order_number", order), ("service", service))
    rows = records.rows(f"SELECT number, body, hash FROM entry WHERE {where}number < ? ORDER BY number DESC LIMIT ?",
                        (*values, before, limit))  # fmt: skip
    return [Numbered(number, read(bytes(body)), bytes(link)) for number, body, link in rows]


def entry(records: Records, number: int) -> Numbered | None:
    return next((each for each in entries(records, before=number + 1, limit=1) if each.number == number), None)


def linked(records: Records, number: int) -> Linked | None:
    """An entry with its place in the chain of hashes, recomputed. None if there is no such entry."""
    sql = "SELECT number, body, hash FROM entry WHERE number >= ? AND number <= ? ORDER BY number"
    rows = {int(at): (bytes(body), bytes(link)) for at, body, link in records.rows(sql, (number - 1, number))}
    if number not in rows:
        return None
    body, link = rows[number]
    previous = rows[number - 1][1] if number - 1 in rows else GENESIS_HASH
    return Linked(Numbered(number, read(body), link), previous, recomputed(previous, number, body))


def orders_named(records: Records, start: str, limit: int = 10) -> list[Order]:
    """Of any service, whose name begins so; in the order of names."""
    rows = [
        row
        for slug in _services(records)
        for row in records.rows(
            "SELECT doc FROM orders WHERE service = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?",
            (slug, start, start + "\U0010ffff", limit),
        )
    ]
    return [_order(row[0]) for row in rows][:limit]


def _services(records: Records) -> list[str]:
    """Each by one step through the index, however many orders it has."""
    found: list[str] = []
    after = ""
    while rows := list(records.rows("SELECT service FROM orders WHERE service > ? ORDER BY service LIMIT 1", (after,))):
        after = str(rows[0][0])
        found.append(after)
    return found


def _where(*terms: tuple[str, Any]) -> tuple[str, Sequence[Any]]:
    given = [(column, value) for column, value in terms if value is not None]
    return "".join(f"{column} = ? AND " for column, _ in given), [value for _, value in given]
