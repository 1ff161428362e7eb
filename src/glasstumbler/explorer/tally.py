"""What the services turned over, kept as sums beside the record: each entry is read once, however often somebody looks.

Balances of accounts (all orders' as one, all referrals' as one), and by day: orders, what came in for them, what was
paid out, fees. How long payouts waited, and what part of a deposit was the fee, as counts between bounds. The order
behind a payout is read as it stands when the cache comes to it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from glasstumbler.engine import ledger, plan
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment
from glasstumbler.explorer.file import kept
from glasstumbler.money import PPM
from glasstumbler.store.records import Records

DELAYS: Final = (60, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 48 * 3600, 72 * 3600)
"""Seconds from funding to payment: upper bounds, the last count is above them all."""
FEES: Final = (5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 50_000, 100_000)
"""Parts per million of what came in, likewise."""
ORDERS, REFERRALS = "orders", "referrals"
_DAY = 86_400
_AT_ONCE = 500
_FEES = (ledger.FEE, ledger.NETWORK)
_COUNTED = {"order": "made", "expired": "expired", "failed": "failed"}
"""Kinds of entries that are counted by day, and as what."""
_PAID = frozenset(("payout", "lightning paid"))
_ROWS = "SELECT number, body, hash FROM entry WHERE number > ? ORDER BY number LIMIT ?"
_BALANCE = "INSERT OR REPLACE INTO balance VALUES (?, ?, ?, ?)"
_COUNT = "INSERT INTO count VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number"


class Piece(NamedTuple):
    """Some entries, one after another, and what the payouts among them are about."""

    fits: bool
    """False: the record has another entry where the cache stands."""
    entries: Sequence[ledger.Entry]
    last: tuple[int, bytes]
    payments: dict[int, Payment]
    orders: dict[int, Order]


def stands(db: sqlite3.Connection) -> tuple[int, bytes]:
    """Number and hash of the last entry that was counted."""
    row = db.execute("SELECT number, hash FROM followed").fetchone()
    return (row[0], bytes(row[1])) if row else (0, ledger.GENESIS_HASH)


def read(records: Records, after: tuple[int, bytes]) -> Piece:
    """The entries behind this one."""
    if after[0]:
        found = list(records.rows(_ROWS, (after[0] - 1, 1)))
        if [(number, bytes(link)) for number, _, link in found] != [after]:
            return Piece(False, (), after, {}, {})
    rows = list(records.rows(_ROWS, (after[0], _AT_ONCE)))
    entries = [ledger.read(bytes(body)) for _, body, _ in rows]
    paying = {number for entry in entries if entry.kind in _PAID for number in _payments(entry)}
    payments = records.payments(paying) if paying else {}
    paid = {each.order for payment in payments.values() for each in payment.carried}
    orders = records.orders_by_number(paid) if paid else {}
    last = (int(rows[-1][0]), bytes(rows[-1][2])) if rows else after
    return Piece(True, entries, last, payments, orders)


def _payments(entry: ledger.Entry) -> list[int]:
    return [int(key) for table, key, _ in entry.docs if table == "payment"]


def take(db: sqlite3.Connection, piece: Piece) -> None:
    """Add them to the sums."""
    sums = _Sums()
    for entry in piece.entries:
        sums.add(entry)
        if entry.kind in _PAID:
            for number in _payments(entry):
                if payment := piece.payments.get(number):
                    sums.paid(entry, payment, piece.orders)
    sums.save(db)
    db.execute("DELETE FROM followed")
    db.execute("INSERT INTO followed VALUES (?, ?)", piece.last)


def forget(db: sqlite3.Connection) -> None:
    """Begin again: the record is another one."""
    for table in ("balance", "day", "count", "followed"):
        db.execute(f"DELETE FROM {table}")


class _Sums:
    """What some entries add."""

    def __init__(self) -> None:
        self._balances: Counter[tuple[str, str, str]] = Counter()
        self._days: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        """By service, coin and day: came, paid, fees."""
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def add(self, entry: ledger.Entry) -> None:
        day = entry.at // _DAY
        if entry.kind in _COUNTED:
            self._counts[entry.service, _COUNTED[entry.kind], day] += 1
        for account, coin, amount in entry.postings:
            name = _account(account)
            self._balances[entry.service, name, coin] += amount
            if name == ORDERS and entry.kind.startswith("deposit"):
                self._days[entry.service, coin, day][0] -= amount
            elif account in _FEES or name == REFERRALS:
                self._days[entry.service, coin, day][2] -= amount

    def paid(self, entry: ledger.Entry, payment: Payment, orders: dict[int, Order]) -> None:
        self._days[entry.service, payment.coin, entry.at // _DAY][1] += sum(each.amount for each in payment.carried)
        for each in payment.carried:
            order = orders.get(each.order)
            if order is None or order.funded is None:
                continue
            self._counts[entry.service, "delay", place(DELAYS, payment.created - order.funded)] += 1
            if order.swap is None and (used := plan.payable(order)):
                fee = used - sum(output.amount or 0 for output in order.outputs)
                self._counts[entry.service, "fee", place(FEES, fee * PPM // used)] += 1

    def save(self, db: sqlite3.Connection) -> None:
        for key, amount in self._balances.items():
            row = db.execute(
                "SELECT amount FROM balance WHERE service = ? AND account = ? AND coin = ?", key
            ).fetchone()
            db.execute(_BALANCE, (*key, kept(int(row[0] if row else 0) + amount)))
        for day, amounts in self._days.items():
            sql = "SELECT came, paid, fees FROM day WHERE service = ? AND coin = ? AND day = ?"
            row = db.execute(sql, day).fetchone() or (0, 0, 0)
            both = [kept(int(have) + more) for have, more in zip(row, amounts, strict=True)]
            db.execute("INSERT OR REPLACE INTO day VALUES (?, ?, ?, ?, ?, ?)", (*day, *both))
        db.executemany(_COUNT, [(*key, number) for key, number in self._counts.items()])


def place(bounds: Sequence[int], value: int) -> int:
    """Between which bounds: 0 up to the first, len(bounds) above the last."""
    return next((at for at, bound in enumerate(bounds) if value <= bound), len(bounds))


def _account(name: str) -> str:
    kind = name.partition(":")[0]
    return {"order": ORDERS, "referral": REFERRALS}.get(kind, name)


# -- looking ----------------------------------------------------------------------------------------------------------


class Day(NamedTuple):
    """Days are counted since the epoch; amounts are base units."""

    day: int
    came: int
    paid: int
    fees: int


class Turnover:
    """What the cache has counted of one record."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.last = stands(db)[0]

    def balances(self, service: str) -> list[tuple[str, str, int]]:
        """(account, coin, base units), those of nothing left out: assets above zero, what is owed below."""
        rows = self._db.execute("SELECT account, coin, amount FROM balance WHERE service = ? ORDER BY 2, 1", (service,))
        return [(account, coin, int(amount)) for account, coin, amount in rows if int(amount)]

    def days(self, service: str, coin: str, since: int) -> list[Day]:
        """Those on which something moved, from day `since` on."""
        sql = "SELECT day, came, paid, fees FROM day WHERE service = ? AND coin = ? AND day >= ? ORDER BY day"
        return [Day(day, int(a), int(b), int(c)) for day, a, b, c in self._db.execute(sql, (service, coin, since))]

    def counts(self, service: str, what: str, since: int = 0) -> dict[int, int]:
        """`what`: made, expired, failed (by day); delay, fee (by place between bounds)."""
        sql = "SELECT place, number FROM count WHERE service = ? AND what = ? AND place >= ?"
        return dict(self._db.execute(sql, (service, what, since)).fetchall())
