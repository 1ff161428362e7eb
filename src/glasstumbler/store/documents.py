"""Every document as it stands in its table: what the audit holds against the entries.

A document's name is its table and its key, as entries write them. A table of rows that are no JSON has the row itself
for its document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from glasstumbler.engine import desk, ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment
from glasstumbler.store.records import Code, KeyRow, Records, Row, Watched

Standing = tuple[str, str, Any, bool]
"""Key, digest, document (None if it cannot be read), whether the columns that are searched by say the same as it."""
Read = Callable[[Iterable[Row]], Iterator[Standing]]


class Table(NamedTuple):
    select: str
    read: Read

    def standing(self, records: Records) -> Iterator[Standing]:
        return self.read(records.rows(self.select))


def _json(
    kind: type[Any], select: str, columns: Callable[[Any], Row], key: Callable[[Row], str] = lambda row: str(row[0])
) -> Table:
    """A table whose last column is the document; `columns`: what the others must be."""
    decode, digest = msgspec.json.Decoder(kind).decode, ledger.digest

    def read(rows: Iterable[Row]) -> Iterator[Standing]:
        for row in rows:
            raw = row[-1]
            if type(raw) is not bytes:
                yield key(row), digest(repr(raw).encode()), None, False
                continue
            try:
                document = decode(raw)
            except ledger.UNREADABLE:
                yield key(row), digest(raw), None, False
                continue
            yield key(row), digest(raw), document, columns(document) == row[:-1]

    return Table(select, read)


def _each(read: Callable[[Row], Standing]) -> Read:
    return lambda rows: map(read, rows)


def _watched(row: Row) -> Standing:
    key = row[1]
    name = key.hex() if type(key) is bytes else repr(key)
    return f"{row[0]}:{name}", ledger.digest(repr(row[2:]).encode()), Watched(*row), True


def _account(row: Row) -> Standing:
    key = KeyRow(row[0], row[1], row[2], row[3], bool(row[4]))
    return str(row[0]), ledger.digest(msgspec.json.encode(key)), key, row[4] in (0, 1)


def _fact(row: Row) -> Standing:
    name, value = row
    raw = value.encode() if type(value) is str else repr(value).encode()
    return str(name), ledger.digest(raw), row, type(value) is str


def _cursors(rows: Iterable[Row]) -> Iterator[Standing]:
    for coin, blocks in groupby(rows, itemgetter(0)):
        remembered = [(height, block_hash) for _, height, block_hash in blocks]
        yield str(coin), ledger.digest(repr(remembered).encode()), remembered, True


TABLES: dict[str, Table] = {
    "order": _json(
        Order,
        "SELECT number, service, id, account, coin, state, wake, doc FROM orders ORDER BY number",
        lambda o: (o.number, o.service, o.id, o.account, o.coin, o.state, desk.wake(o)),
    ),
    "coin": _json(
        Coin,
        "SELECT number, service, coin, txid, vout, height, spent_by, doc FROM coin ORDER BY number",
        lambda c: (c.number, c.service, c.coin, c.txid, c.vout, c.height, c.spent_by),
    ),
    "payment": _json(
        Payment,
        "SELECT number, service, coin, txid, state, mature, doc FROM payment ORDER BY number",
        lambda p: (p.number, p.service, p.coin, p.txid, p.state, p.mature),
    ),
    "deposit": _json(
        Deposit,
        "SELECT coin, txid, vout, order_number, state, height, mature, doc FROM deposit ORDER BY coin, txid, vout",
        lambda d: (d.coin, d.txid, d.vout, d.order, d.state, d.height, d.mature),
        lambda row: f"{row[0]}:{row[1]}:{row[2]}",
    ),
    "watch": Table(
        "SELECT coin, key, service, branch, idx, kind, order_number FROM watch ORDER BY coin, key", _each(_watched)
    ),
    "code": _json(
        Code,
        "SELECT number, service, code, doc FROM code ORDER BY number",
        lambda c: (c.number, c.service, c.code),
    ),
    "account": Table("SELECT id, service, key_hash, created, blocked FROM account ORDER BY id", _each(_account)),
    "meta": Table("SELECT key, value FROM meta ORDER BY key", _each(_fact)),
    "cursor": Table("SELECT coin, height, hash FROM block ORDER BY coin, height", _cursors),
}
"""Names as entries write them. The longest to read come first."""
