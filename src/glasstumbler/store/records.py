"""Reading and writing the record, inside one transaction of whichever database.

Every document that is written is named, with its digest, in the entry that is appended next: nothing changes outside
the record. A unit of work that writes documents and appends no entry fails.

What is written is kept until something is read, or until the transaction ends, and then goes to the database table by
table: rows one after another cost much less than statements in turn. A unit never notices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from glasstumbler.engine import desk, ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import RecordError
from glasstumbler.store.connection import Connection, Cursor, as_bytes
from glasstumbler.store.rows import Code, KeyRow, Watched

__all__ = ["Code", "KeyRow", "Records", "Row", "Watched"]
T = TypeVar("T")
Row = tuple[Any, ...]
_CHUNK = 500
"""Values in one IN (...)."""


_encode = msgspec.json.Encoder().encode
_order = msgspec.json.Decoder(Order).decode
_deposit = msgspec.json.Decoder(Deposit).decode
_coin = msgspec.json.Decoder(Coin).decode
_payment = msgspec.json.Decoder(Payment).decode
_code = msgspec.json.Decoder(Code).decode

_WATCHED = "SELECT coin, key, service, branch, idx, kind, order_number FROM watch"
_OPEN = "coin = ? AND state IN ('stored', 'sent', 'mined')"  # as the index says it
_COUNT = "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_BLOCKS = "SELECT height, hash FROM block WHERE coin = ? ORDER BY height"
_ARRIVAL = attrgetter("first_seen", "txid", "vout")


class Records:
    """One unit of work's view of the record. Not shared between threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._docs: list[tuple[str, str, str]] = []
        self._moved: set[str] = set()
        """Coins whose cursor has moved since the last entry."""
        self._head: tuple[int, bytes] | None = None
        self._rows: dict[str, list[Row]] = {}
        self._counters: dict[str, int] = {}
        self._counted: set[str] = set()
        self._names: set[tuple[str, str]] = set()

    # -- the chain of entries ---------------------------------------------------------------------------------

    def head(self) -> tuple[int, bytes]:
        """Number and hash of the last entry."""
        if self._head is None:
            row = self._run("SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1").fetchone()
            self._head = (row[0], bytes(row[1])) if row else (0, ledger.GENESIS_HASH)
        return self._head

    def append(self, entry: ledger.Entry) -> int:
        """Add an entry; its number. RecordError if it does not balance."""
        ledger.check(entry)
        for coin in sorted(self._moved):
            self._docs.append(("cursor", coin, self.cursor_digest(coin)))
        self._moved.clear()
        entry.docs, self._docs = self._docs, []
        number, previous = self.head()
        number += 1
        raw = ledger.body(entry)
        link = ledger.link(previous, number, raw)
        self._add_entry(number, entry, raw, link)
        self._head = (number, link)
        return number

    def _add_entry(self, number: int, entry: ledger.Entry, raw: bytes, link: bytes) -> None:
        self._later(
            "INSERT INTO entry (number, kind, service, order_number, body, hash) VALUES (?, ?, ?, ?, ?, ?)",
            (number, entry.kind, entry.service, entry.order, raw, link),
        )

    def finish(self) -> None:
        """At the end of a unit; RecordError if a document was written and no entry names it."""
        if self._docs or self._moved:
            changed = [*self._docs[:3], *self._moved]
            raise RecordError(None, f"documents changed outside the record: {changed}")

    def flush(self) -> None:
        """Give the database what was kept back: new rows before changes of rows, each table's in their order."""
        if self._rows:
            rows, self._rows = self._rows, {}
            for sql in sorted(rows, key=lambda sql: not sql.startswith("INSERT")):
                self._connection.executemany(sql, rows[sql])
        if self._counted:
            self._connection.executemany(_COUNT, [(name, self._counters[name]) for name in sorted(self._counted)])
            self._counted.clear()

    def entries(self, first: int = 1) -> Iterator[tuple[int, bytes, bytes]]:
        """(number, body, hash) from entry `first` on."""
        rows = self._stream("SELECT number, body, hash FROM entry WHERE number >= ? ORDER BY number", (first,))
        for number, raw, link in rows:
            yield number, bytes(raw), bytes(link)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Tables as they stand, for the audit and for copies."""
        return iter(self._stream(sql, values))

    def load(self, sql: str, rows: list[Row]) -> None:
        """Rows of another record, into one that is empty."""
        self._connection.executemany(sql, rows)

    @property
    def connection(self) -> Connection:
        return self._connection

    # -- orders -----------------------------------------------------------------------------------------------

    def add_order(self, order: Order) -> None:
        raw = self._note("order", str(order.number), order)
        self._names.add((order.service, order.id))
        self._later(
            "INSERT INTO orders (number, service, id, account, coin, state, wake, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                order.number,
                order.service,
                order.id,
                order.account,
                order.coin,
                order.state.value,
                desk.wake(order),
                raw,
            ),
        )

    def save_order(self, order: Order) -> None:
        raw = self._note("order", str(order.number), order)
        self._later(
            "UPDATE orders SET state = ?, wake = ?, doc = ? WHERE number = ?",
            (order.state.value, desk.wake(order), raw, order.number),
        )

    def order(self, service: str, name: str) -> Order | None:
        return self._one(_order, "SELECT doc FROM orders WHERE service = ? AND id = ?", (service, name))

    def has_order(self, service: str, name: str) -> bool:
        if (service, name) in self._names:
            return True
        sql = "SELECT 1 FROM orders WHERE service = ? AND id = ?"
        return self._connection.execute(sql, (service, name)).fetchone() is not None

    def order_by_number(self, number: int) -> Order:
        order = self._one(_order, "SELECT doc FROM orders WHERE number = ?", (number,))
        if order is None:
            raise RecordError(None, f"order {number} is missing")
        return order

    def orders_by_number(self, numbers: Collection[int]) -> dict[int, Order]:
        found = self._in("SELECT doc FROM orders WHERE number IN ", sorted(numbers), order="number")
        return {order.number: order for order in (_order(row[0]) for row in found)}

    def orders_of(self, service: str, account: str, limit: int, offset: int) -> list[Order]:
        """Newest first."""
        rows = self._run(
            "SELECT doc FROM orders WHERE service = ? AND account = ? ORDER BY number DESC LIMIT ? OFFSET ?",
            (service, account, limit, offset),
        )
        return [_order(row[0]) for row in rows]

    def count_orders(self, service: str, account: str) -> int:
        sql = "SELECT count(*) FROM orders WHERE service = ? AND account = ?"
        return int(self._run(sql, (service, account)).fetchone()[0])

    def due_orders(self, now: int, limit: int, after: tuple[int, int] = (-1, 0)) -> list[Order]:
        """Orders whose time has come, earliest first, behind the (wake, number) given."""
        rows = self._run(
            "SELECT doc FROM orders WHERE wake <= ? AND (wake > ? OR (wake = ? AND number > ?)) "
            "ORDER BY wake, number LIMIT ?",
            (now, after[0], after[0], after[1], limit),
        )
        return [_order(row[0]) for row in rows]

    def next_wake(self, after: int) -> int | None:
        """The earliest time behind `after` at which something is due."""
        found = self._run("SELECT min(wake) FROM orders WHERE wake > ?", (after,)).fetchone()[0]
        return None if found is None else int(found)

    def order_states(self) -> dict[tuple[str, str], int]:
        """How many orders are in each state, by (service, state)."""
        rows = self.rows("SELECT service, state, count(*) FROM orders GROUP BY service, state")
        return {(service, state): number for service, state, number in rows}

    def all_orders(self) -> Iterator[Order]:
        for row in self._stream("SELECT doc FROM orders ORDER BY number"):
            yield _order(row[0])

    # -- keys that are paid to ----------------------------------------------------------------------------------

    def watch(self, watched: Watched) -> None:
        self._docs.append(("watch", f"{watched.coin}:{watched.key.hex()}", ledger.digest(repr(watched[2:]).encode())))
        self._later(
            "INSERT INTO watch (coin, key, service, branch, idx, kind, order_number) VALUES (?, ?, ?, ?, ?, ?, ?)",
            watched,
        )

    def watched(self, coin: str, keys: Collection[bytes]) -> dict[bytes, Watched]:
        rows = self._in(f"{_WATCHED} WHERE coin = ? AND key IN ", list(keys), (coin,), order="key")
        return {bytes(row[1]): Watched(row[0], bytes(row[1]), *row[2:]) for row in rows}

    def all_watched(self) -> Iterator[Watched]:
        for row in self._stream(f"{_WATCHED} ORDER BY coin, key"):
            yield Watched(row[0], as_bytes(row[1]), *row[2:])

    def float_keys(self, service: str, coin: str) -> list[Watched]:
        """Keys that were set aside for the coins a service begins with, in the order they were made."""
        sql = f"{_WATCHED} WHERE service = ? AND coin = ? AND branch = 'float' ORDER BY idx"
        return [Watched(row[0], bytes(row[1]), *row[2:]) for row in self._run(sql, (service, coin))]

    def float_places(self, service: str, coin: str) -> set[int]:
        """Indices of those that were paid."""
        rows = self._run("SELECT doc FROM coin WHERE service = ? AND coin = ?", (service, coin))
        return {coin.index for coin in (_coin(row[0]) for row in rows) if coin.branch == "float"}

    # -- deposits -----------------------------------------------------------------------------------------------

    def put_deposit(self, deposit: Deposit, mature: int | None) -> None:
        """`mature`: see `Deposit`."""
        deposit.mature = mature
        raw = self._note("deposit", f"{deposit.coin}:{deposit.txid}:{deposit.vout}", deposit)
        self._later(
            "INSERT INTO deposit (coin, txid, vout, order_number, state, height, mature, doc) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (coin, txid, vout) DO UPDATE "
            "SET state = excluded.state, height = excluded.height, mature = excluded.mature, doc = excluded.doc",
            (
                *(deposit.coin, deposit.txid, deposit.vout, deposit.order),
                *(deposit.state.value, deposit.height, mature, raw),
            ),
        )

    def deposits_of(self, order: int) -> list[Deposit]:
        return self.deposits_of_all([order])[order]

    def deposits_of_all(self, orders: Collection[int]) -> dict[int, list[Deposit]]:
        """As `deposits_of`, for many orders at once."""
        found: dict[int, list[Deposit]] = {number: [] for number in orders}
        for row in self._in(
            "SELECT doc FROM deposit WHERE order_number IN ", sorted(orders), order="order_number, coin, txid, vout"
        ):
            deposit = _deposit(row[0])
            found[deposit.order].append(deposit)
        return {number: sorted(mine, key=_ARRIVAL) for number, mine in found.items()}

    def deposits_in(self, coin: str, txids: Collection[str]) -> list[Deposit]:
        rows = self._in("SELECT doc FROM deposit WHERE coin = ? AND txid IN ", list(txids), (coin,), order="txid, vout")
        return [_deposit(row[0]) for row in rows]

    def maturing(self, coin: str, height: int) -> list[Deposit]:
        rows = self._run(
            "SELECT doc FROM deposit WHERE coin = ? AND state = 'seen' AND mature IS NOT NULL AND mature <= ? "
            "ORDER BY mature, txid, vout",
            (coin, height),
        )
        return [_deposit(row[0]) for row in rows]

    def unmined_deposits(self, coin: str) -> list[Deposit]:
        """Live deposits that no block holds."""
        sql = "SELECT doc FROM deposit WHERE coin = ? AND state != 'gone' AND height IS NULL ORDER BY txid, vout"
        return [_deposit(row[0]) for row in self._run(sql, (coin,))]

    def all_deposits(self) -> Iterator[Deposit]:
        for row in self._stream("SELECT doc FROM deposit ORDER BY coin, txid, vout"):
            yield _deposit(row[0])

    # -- coins --------------------------------------------------------------------------------------------------

    def add_coin(self, coin: Coin) -> None:
        raw = self._note("coin", str(coin.number), coin)
        self._later(
            "INSERT INTO coin (number, service, coin, txid, vout, height, spent_by, doc) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (coin.number, coin.service, coin.coin, coin.txid, coin.vout, coin.height, coin.spent_by, raw),
        )

    def save_coin(self, coin: Coin) -> None:
        raw = self._note("coin", str(coin.number), coin)
        self._later(
            "UPDATE coin SET height = ?, spent_by = ?, doc = ? WHERE number = ?",
            (coin.height, coin.spent_by, raw, coin.number),
        )

    def coin(self, number: int) -> Coin:
        coin = self._one(_coin, "SELECT doc FROM coin WHERE number = ?", (number,))
        if coin is None:
            raise RecordError(None, f"coin {number} is missing")
        return coin

    def coins(self, numbers: Collection[int]) -> dict[int, Coin]:
        found = self._in("SELECT doc FROM coin WHERE number IN ", sorted(numbers), order="number")
        return {coin.number: coin for coin in (_coin(row[0]) for row in found)}

    def coin_at(self, coin: str, txid: str, vout: int) -> Coin | None:
        sql = "SELECT doc FROM coin WHERE coin = ? AND txid = ? AND vout = ?"
        return self._one(_coin, sql, (coin, txid, vout))

    def account_coins(self, coin: str, address: str) -> Iterator[Coin]:
        """The coins of an account: the unspent one at its highest nonce, then the others back to the first."""
        for row in self._stream("SELECT doc FROM coin WHERE coin = ? AND txid = ? ORDER BY vout DESC", (coin, address)):
            yield _coin(row[0])

    def coins_in(self, coin: str, txids: Collection[str]) -> list[Coin]:
        rows = self._in("SELECT doc FROM coin WHERE coin = ? AND txid IN ", list(txids), (coin,), order="txid, vout")
        return [_coin(row[0]) for row in rows]

    def ready_coins(self, service: str, coin: str, limit: int) -> list[Coin]:
        """Unspent and mined, oldest first."""
        rows = self._run(
            "SELECT doc FROM coin WHERE service = ? AND coin = ? AND spent_by IS NULL AND height IS NOT NULL "
            "ORDER BY number LIMIT ?",
            (service, coin, limit),
        )
        return [_coin(row[0]) for row in rows]

    def all_coins(self) -> Iterator[Coin]:
        for row in self._stream("SELECT doc FROM coin ORDER BY number"):
            yield _coin(row[0])

    # -- payments -----------------------------------------------------------------------------------------------

    def add_payment(self, payment: Payment) -> None:
        raw = self._note("payment", str(payment.number), payment)
        self._later(
            "INSERT INTO payment (number, service, coin, txid, state, mature, doc) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (payment.number, payment.service, payment.coin, payment.txid, payment.state.value, None, raw),
        )

    def save_payment(self, payment: Payment, mature: int | None = None) -> None:
        """`mature`: see `Payment`."""
        payment.mature = mature
        raw = self._note("payment", str(payment.number), payment)
        self._later(
            "UPDATE payment SET state = ?, mature = ?, doc = ? WHERE number = ?",
            (payment.state.value, mature, raw, payment.number),
        )

    def payment(self, number: int) -> Payment:
        payment = self._one(_payment, "SELECT doc FROM payment WHERE number = ?", (number,))
        if payment is None:
            raise RecordError(None, f"payment {number} is missing")
        return payment

    def payments(self, numbers: Collection[int]) -> dict[int, Payment]:
        rows = self._in("SELECT doc FROM payment WHERE number IN ", sorted(numbers), order="number")
        return {payment.number: payment for payment in (_payment(row[0]) for row in rows)}

    def payments_in(self, coin: str, txids: Collection[str]) -> list[Payment]:
        """Including those that were replaced."""
        rows = self._in("SELECT doc FROM payment WHERE coin = ? AND txid IN ", list(txids), (coin,), order="number")
        return sorted((_payment(row[0]) for row in rows), key=lambda payment: payment.number)

    def open_payments(self, coin: str, states: Iterable[PaymentState], limit: int = 100_000) -> list[Payment]:
        wanted = tuple(state.value for state in states)
        marks = ", ".join("?" * len(wanted))
        sql = f"SELECT doc FROM payment WHERE {_OPEN} AND state IN ({marks}) ORDER BY number LIMIT ?"
        return [_payment(row[0]) for row in self._run(sql, (coin, *wanted, limit))]

    def on_their_way(self, coin: str, limit: int) -> list[tuple[int, str, PaymentState]]:
        """(number, txid, state) of payments that no block holds yet, oldest first: without the documents."""
        sql = f"SELECT number, txid, state FROM payment WHERE {_OPEN} AND state != 'mined' ORDER BY number LIMIT ?"
        return [(row[0], row[1], PaymentState(row[2])) for row in self._run(sql, (coin, limit))]

    def settling(self, coin: str, height: int) -> list[Payment]:
        """Mined payments that are deep enough at this height."""
        sql = "SELECT doc FROM payment WHERE coin = ? AND state = 'mined' AND mature <= ? ORDER BY number"
        return [_payment(row[0]) for row in self._run(sql, (coin, height))]

    def all_payments(self) -> Iterator[Payment]:
        for row in self._stream("SELECT doc FROM payment ORDER BY number"):
            yield _payment(row[0])

    # -- API keys, codes ----------------------------------------------------------------------------------------

    def add_key(self, key: KeyRow) -> None:
        self._note("account", key.id, key)
        self._run(
            "INSERT INTO account (id, service, key_hash, created, blocked) VALUES (?, ?, ?, ?, ?)",
            (key.id, key.service, key.key_hash, key.created, int(key.blocked)),
        )

    def block_key(self, key: KeyRow) -> None:
        self._note("account", key.id, key._replace(blocked=True))
        self._run("UPDATE account SET blocked = 1 WHERE id = ?", (key.id,))

    def key(self, service: str, key_hash: bytes) -> KeyRow | None:
        sql = "SELECT id, service, key_hash, created, blocked FROM account WHERE service = ? AND key_hash = ?"
        row = self._run(sql, (service, key_hash)).fetchone()
        return None if row is None else _key_row(row)

    def keys(self) -> list[KeyRow]:
        sql = "SELECT id, service, key_hash, created, blocked FROM account ORDER BY service, created, id"
        return [_key_row(row) for row in self._run(sql)]

    def code(self, service: str, code: str) -> Code | None:
        return self._one(_code, "SELECT doc FROM code WHERE service = ? AND code = ?", (service, code))

    def put_code(self, code: Code) -> None:
        raw = self._note("code", str(code.number), code)
        self._later(
            "INSERT INTO code (number, service, code, doc) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (number) DO UPDATE SET doc = excluded.doc",
            (code.number, code.service, code.code, raw),
        )

    def all_codes(self) -> Iterator[Code]:
        for row in self._stream("SELECT doc FROM code ORDER BY number"):
            yield _code(row[0])

    # -- where we stand -----------------------------------------------------------------------------------------

    def next(self, name: str) -> int:
        """The next number of a counter: 1, 2, 3, ..."""
        number = self._counters.get(name)
        if number is None:
            row = self._connection.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
            number = int(row[0]) if row else 0
        self._counters[name] = number = number + 1
        self._counted.add(name)
        return number

    def cursor(self, coin: str) -> tuple[int, str] | None:
        """Height and hash of the last block taken in."""
        row = self._run(f"{_BLOCKS} DESC LIMIT 1", (coin,)).fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def push_block(self, coin: str, height: int, block_hash: str, keep: int) -> None:
        self._run("INSERT INTO block (coin, height, hash) VALUES (?, ?, ?)", (coin, height, block_hash))
        self._run("DELETE FROM block WHERE coin = ? AND height <= ?", (coin, height - keep))
        self._moved.add(coin)

    def pop_block(self, coin: str, height: int) -> None:
        self._run("DELETE FROM block WHERE coin = ? AND height = ?", (coin, height))
        self._moved.add(coin)

    def cursor_digest(self, coin: str) -> str:
        """Of all blocks that the cursor remembers."""
        return ledger.digest(repr([tuple(row) for row in self._run(_BLOCKS, (coin,))]).encode())

    def meta(self, key: str) -> str | None:
        row = self._run("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self._docs.append(("meta", key, ledger.digest(value.encode())))
        self._run(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    # -- inside ---------------------------------------------------------------------------------------------------

    def _run(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        self.flush()
        return self._connection.execute(sql, values)

    def _stream(self, sql: str, values: Sequence[Any] = ()) -> Iterable[Row]:
        self.flush()
        return self._connection.stream(sql, values)

    def _later(self, sql: str, row: Row) -> None:
        self._rows.setdefault(sql, []).append(row)

    def _note(self, table: str, key: str, document: Any) -> bytes:
        raw = _encode(document)
        self._docs.append((table, key, ledger.digest(raw)))
        return raw

    def _one(self, decode: Callable[[bytes], T], sql: str, values: Sequence[Any]) -> T | None:
        row = self._run(sql, values).fetchone()
        return None if row is None else decode(row[0])

    def _in(self, sql: str, wanted: list[Any], before: tuple[Any, ...] = (), *, order: str) -> list[Row]:
        """Rows for any number of values of an IN clause, in chunks. Their order is said: without one, databases
        differ, and what is done row by row would leave another record behind."""
        rows: list[Row] = []
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            rows += self._run(f"{sql}({', '.join('?' * len(part))}) ORDER BY {order}", (*before, *part)).fetchall()
        return rows


def _key_row(row: Row) -> KeyRow:
    return KeyRow(row[0], row[1], as_bytes(row[2]), row[3], bool(row[4]))
