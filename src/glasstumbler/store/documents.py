"""Every document as it stands in its table, with its digest: what the audit holds against the entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from glasstumbler.engine import desk, ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment
from glasstumbler.store.connection import as_bytes
from glasstumbler.store.records import Code, KeyRow, Records, Row, Watched

UNREADABLE = (msgspec.MsgspecError, TypeError, UnicodeDecodeError)
"""What a document's reader raises when the bytes, or the column's type, are not as they were written."""


class Standing(NamedTuple):
    """`name` is table and key as entries write them. `document` is None if the bytes do not parse. `columns`: whether
    the columns that are searched by say the same as the document."""

    name: str
    digest: str
    document: Any
    columns: bool


class _Table(NamedTuple):
    name: str
    kind: Any
    select: str
    key: Callable[[Row], str]
    columns: Callable[[Any], Row]
    """Of a document: what the selected columns, all but the last, must be."""


_DOCUMENTS = (
    _Table(
        "order",
        Order,
        "SELECT number, service, id, account, coin, state, wake, doc FROM orders ORDER BY number",
        lambda row: str(row[0]),
        lambda order: (
            order.number,
            order.service,
            order.id,
            order.account,
            order.coin,
            order.state.value,
            desk.wake(order),
        ),
    ),
    _Table(
        "deposit",
        Deposit,
        "SELECT coin, txid, vout, order_number, state, height, doc FROM deposit ORDER BY coin, txid, vout",
        lambda row: f"{row[0]}:{row[1]}:{row[2]}",
        lambda deposit: (
            deposit.coin,
            deposit.txid,
            deposit.vout,
            deposit.order,
            deposit.state.value,
            deposit.height,
        ),
    ),
    _Table(
        "coin",
        Coin,
        "SELECT number, service, coin, txid, vout, height, spent_by, doc FROM coin ORDER BY number",
        lambda row: str(row[0]),
        lambda coin: (coin.number, coin.service, coin.coin, coin.txid, coin.vout, coin.height, coin.spent_by),
    ),
    _Table(
        "payment",
        Payment,
        "SELECT number, service, coin, txid, state, doc FROM payment ORDER BY number",
        lambda row: str(row[0]),
        lambda payment: (payment.number, payment.service, payment.coin, payment.txid, payment.state.value),
    ),
    _Table(
        "code",
        Code,
        "SELECT number, service, code, doc FROM code ORDER BY number",
        lambda row: str(row[0]),
        lambda code: (code.number, code.service, code.code),
    ),
)


def standing(records: Records) -> Iterator[Standing]:
    """All documents, table by table: orders, deposits, coins, payments, codes, watched keys, API keys."""
    for table in _DOCUMENTS:
        decode = msgspec.json.Decoder(table.kind).decode
        for row in records.rows(table.select):
            yield _read(table, decode, row)
    yield from map(_watched, records.all_watched())
    yield from map(_key, records.keys())


def _read(table: _Table, decode: Callable[[bytes], Any], row: Row) -> Standing:
    raw = as_bytes(row[-1])
    try:
        document = decode(raw)
    except UNREADABLE:
        document = None
    agrees = document is not None and table.columns(document) == tuple(row[:-1])
    return Standing(f"{table.name} {table.key(row)}", ledger.digest(raw), document, agrees)


def _watched(watched: Watched) -> Standing:
    digest = ledger.digest(repr(watched[2:]).encode())
    return Standing(f"watch {watched.coin}:{watched.key.hex()}", digest, watched, True)


def _key(key: KeyRow) -> Standing:
    return Standing(f"account {key.id}", ledger.digest(msgspec.json.encode(key)), key, True)
