"""Every document as it stands in its table: what the audit holds against the entries.

A document's name is its table and its key, as entries write them. A table of rows that are no JSON has the row itself
for its document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import msgspec

from glasstumbler.engine import desk, ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment
from glasstumbler.store.records import Code, KeyRow, Records, Row, Watched
from glasstumbler.store.rows import batches


class Standing(NamedTuple):
    """Some documents of a table, one after another; the four lists are of one length."""

    keys: list[str]
    digests: list[str]
    documents: list[Any]
    """None where one cannot be read."""
    agree: list[bool]
    """Whether the columns that are searched by say the same as the document."""


class Table(NamedTuple):
    select: str
    read: Callable[[list[Row]], Standing]
    batches: Callable[[Iterable[Row]], Iterator[list[Row]]] = batches

    def standing(self, records: Records) -> Iterator[Standing]:
        return map(self.read, self.batches(records.rows(self.select)))


def _json(
    kind: type[Any], select: str, columns: Callable[[Any], Row], key: Callable[[Row], str] = lambda row: str(row[0])
) -> Table:
    """A table whose last column is the document; `columns`: what the others must be."""
    decode = msgspec.json.Decoder(kind).decode

    def read_one(raw: Any) -> Any:
        try:
            return decode(raw) if type(raw) is bytes else None
        except ledger.UNREADABLE:
            return None

    def read(rows: list[Row]) -> Standing:
        raws = [row[-1] for row in rows]
        try:
            documents = [*map(decode, raws)]
            whole = {*map(type, raws)} == {bytes}
        except (*ledger.UNREADABLE, TypeError):
            whole = False
        if not whole:
            documents = [*map(read_one, raws)]
            raws = [raw if type(raw) is bytes else repr(raw).encode() for raw in raws]
        agree = [
            document is not None and columns(document) == row[:-1]
            for document, row in zip(documents, rows, strict=True)
        ]
        return Standing([*map(key, rows)], [*map(ledger.digest, raws)], documents, agree)

    return Table(select, read)


def _watched(rows: list[Row]) -> Standing:
    keys = [f"{row[0]}:{row[1].hex() if type(row[1]) is bytes else repr(row[1])}" for row in rows]
    digests = [ledger.digest(repr(row[2:]).encode()) for row in rows]
    return Standing(keys, digests, [*map(Watched._make, rows)], [True] * len(rows))


def _accounts(rows: list[Row]) -> Standing:
    keys = [KeyRow(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows]
    digests = [ledger.digest(msgspec.json.encode(key)) for key in keys]
    return Standing([str(key.id) for key in keys], digests, keys, [row[4] in (0, 1) for row in rows])


def _facts(rows: list[Row]) -> Standing:
    raws = [value.encode() if type(value) is str else repr(value).encode() for _, value in rows]
    agree = [type(value) is str for _, value in rows]
    return Standing([str(name) for name, _ in rows], [*map(ledger.digest, raws)], [*rows], agree)


def _cursor(rows: list[Row]) -> Standing:
    """All blocks that are remembered of one chain."""
    remembered = [(height, block_hash) for _, height, block_hash in rows]
    return Standing([str(rows[0][0])], [ledger.digest(repr(remembered).encode())], [remembered], [True])


def _by_chain(rows: Iterable[Row]) -> Iterator[list[Row]]:
    return (list(blocks) for _, blocks in groupby(rows, itemgetter(0)))


TABLES: dict[str, Table] = {
    "order": _json(
        Order,
        "SELECT number, service, id, account, coin, state, wake, doc FROM orders ORDER BY number",
        lambda o: (o.number, o.service, o.id, o.account, o.coin, o.state, desk.wake(o)),
    ),
    "coin": _json(
        Coin,
        "SELECT number, service, coin, txid, vout, height, spent_by, doc FROM coin ORDER BY number",
        attrgetter("number", "service", "coin", "txid", "vout", "height", "spent_by"),
    ),
    "watch": Table(
        "SELECT coin, key, service, branch, idx, kind, order_number FROM watch ORDER BY coin, key", _watched
    ),
    "payment": _json(
        Payment,
        "SELECT number, service, coin, txid, state, mature, doc FROM payment ORDER BY number",
        attrgetter("number", "service", "coin", "txid", "state", "mature"),
    ),
    "deposit": _json(
        Deposit,
        "SELECT coin, txid, vout, order_number, state, height, mature, doc FROM deposit ORDER BY coin, txid, vout",
        attrgetter("coin", "txid", "vout", "order", "state", "height", "mature"),
        lambda row: f"{row[0]}:{row[1]}:{row[2]}",
    ),
    "code": _json(
        Code,
        "SELECT number, service, code, doc FROM code ORDER BY number",
        attrgetter("number", "service", "code"),
    ),
    "account": Table("SELECT id, service, key_hash, created, blocked FROM account ORDER BY id", _accounts),
    "meta": Table("SELECT key, value FROM meta ORDER BY key", _facts),
    "cursor": Table("SELECT coin, height, hash FROM block ORDER BY coin, height", _cursor, _by_chain),
}
"""Names as entries write them. The longest to read come first."""
