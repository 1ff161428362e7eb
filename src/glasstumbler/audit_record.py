"""The record against itself: the chain of entries, the balances they make, the documents they speak of.

What was last said of each document is kept in a temporary database, so that a million entries need little memory.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple, Self

from glasstumbler.engine import ledger, plan
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.order import OPEN_STATES, Order, OutputState, State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import RecordError
from glasstumbler.store.connection import as_bytes
from glasstumbler.store.documents import UNREADABLE, Standing, standing
from glasstumbler.store.records import Records

MOST = 20
"""Differences that are collected."""
_BATCH = 100_000
_SCHEMA = """
CREATE TABLE said (name TEXT PRIMARY KEY, digest TEXT NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE stands (name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
"""
_ON_CHAIN = frozenset((PaymentState.MINED, PaymentState.SETTLED))


class Findings:
    """The first differences; past `MOST` of them there is no point in going on."""

    def __init__(self) -> None:
        self.found: list[RecordError] = []

    def add(self, number: int | None, text: str) -> None:
        if len(self.found) < MOST:
            self.found.append(RecordError(number, text))


class Account(NamedTuple):
    service: str
    name: str
    coin: str


class Book:
    """What the entries say when they are played again. Close it: it holds a temporary file."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._words = sqlite3.connect("", isolation_level=None)
        self._words.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._fresh: dict[str, tuple[str, int]] = {}
        self.balances: dict[Account, int] = {}
        """Accounts that are not at zero."""
        self.entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._words.close()

    # -- entries --------------------------------------------------------------------------------------------------

    def replay(self, records: Records) -> None:
        """Recompute numbers, links and sums of all entries."""
        expected, previous = 1, ledger.GENESIS_HASH
        sql = "SELECT number, kind, service, order_number, body, hash FROM entry ORDER BY number"
        for number, kind, service, order, body, link in records.rows(sql):
            raw, hashed = as_bytes(body), as_bytes(link)
            if number != expected:
                self._findings.add(number, f"entries {expected} to {number - 1} are missing")
            if ledger.link(previous, number, raw) != hashed:
                self._findings.add(number, "its hash does not follow from its body and the entry before")
            self._take(number, raw, (kind, service, order))
            expected, previous = number + 1, hashed
            self.entries += 1
        self._flush()

    def _take(self, number: int, raw: bytes, columns: tuple[str, str, int | None]) -> None:
        try:
            entry = ledger.read(raw)
        except UNREADABLE as error:
            self._findings.add(number, f"its body does not parse: {error}")
            return
        if columns != (entry.kind, entry.service, entry.order):
            self._findings.add(number, f"its columns say {columns}, its body another thing")
        try:
            ledger.check(entry)
        except RecordError as error:
            self._findings.add(number, str(error))
        for name, coin, amount in entry.postings:
            self._post(Account(entry.service, name, coin), amount)
        for table, key, digest in entry.docs:
            self._fresh[f"{table} {key}"] = (digest, number)
        if len(self._fresh) >= _BATCH:
            self._flush()

    def _post(self, account: Account, amount: int) -> None:
        balance = self.balances.get(account, 0) + amount
        if balance:
            self.balances[account] = balance
        else:
            self.balances.pop(account, None)

    def _flush(self) -> None:
        rows = sorted((name, digest, number) for name, (digest, number) in self._fresh.items())
        with self._transaction():
            self._words.executemany(
                "INSERT INTO said VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                "SET digest = excluded.digest, number = excluded.number",
                rows,
            )
        self._fresh.clear()

    def _transaction(self) -> sqlite3.Connection:
        self._words.execute("BEGIN")
        return self._words

    def number_of(self, name: str) -> int | None:
        """The last entry that speaks of a document."""
        row = self._words.execute("SELECT number FROM said WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    # -- documents ------------------------------------------------------------------------------------------------

    def stand(self, documents: Iterator[Standing]) -> Iterator[Standing]:
        """Pass the documents on and remember their digests."""
        rows: list[tuple[str, str]] = []
        for each in documents:
            rows.append((each.name, each.digest))
            if len(rows) >= _BATCH:
                self._write_standing(rows)
            if each.document is None:
                self._findings.add(self.number_of(each.name), f"{each.name} does not parse")
                continue
            if not each.columns:
                self._findings.add(self.number_of(each.name), f"the columns of {each.name} differ from the document")
            yield each
        self._write_standing(rows)

    def _write_standing(self, rows: list[tuple[str, str]]) -> None:
        with self._transaction():
            self._words.executemany("INSERT INTO stands VALUES (?, ?)", sorted(rows))
        rows.clear()

    def compare(self) -> None:
        """After all documents: name those that are not as the last entry left them."""
        for text, sql in _COMPARISONS.items():
            with closing(self._words.execute(f"{sql} LIMIT {MOST}")) as rows:
                for name, number in rows:
                    self._findings.add(number, f"{name} {text}")


_COMPARISONS = {
    "was changed after this entry": (
        "SELECT name, number FROM said JOIN stands USING (name) WHERE said.digest != stands.digest ORDER BY number"
    ),
    "is missing": "SELECT name, number FROM said WHERE name NOT IN (SELECT name FROM stands) ORDER BY number",
    "stands in no entry": (
        "SELECT name, NULL FROM stands WHERE name NOT IN (SELECT name FROM said) ORDER BY name"
    ),
}  # fmt: skip


class Sums:
    """What the documents say the balances are, gathered as they pass."""

    def __init__(self, book: Book, findings: Findings) -> None:
        self._book, self._findings = book, findings
        self._coins: dict[tuple[str, str], int] = defaultdict(int)
        self.orders = self.coins = self.payments = 0
        self.mined: dict[str, int] = defaultdict(int)
        """Payments by coin that the record holds to be in a block."""
        self._owing: set[Account] = set()

    def take(self, document: object) -> None:
        if isinstance(document, Order):
            self.orders += 1
            self._order(document)
        elif isinstance(document, Coin):
            self.coins += 1
            self._coins[document.service, document.coin] += document.amount * (
                document.booked - (document.spent_by is not None)
            )
        elif isinstance(document, Payment):
            self.payments += 1
            self.mined[document.coin] += document.state in _ON_CHAIN

    def _order(self, order: Order) -> None:
        due = owing(order)
        for coin in {order.coin, order.payout_coin}:
            account = Account(order.service, ledger.owed(order.number), coin)
            balance = self._book.balances.get(account, 0)
            self._owing.add(account)
            if balance != -due.get(coin, 0):
                self._findings.add(
                    self._book.number_of(f"order {order.number}"),
                    f"order {order.number} ({order.state}) owes {-balance} {coin}, and should owe {due.get(coin, 0)}",
                )
            if not balance:
                self._owing.discard(account)

    def compare(self) -> None:
        """Every balance that documents explain, and none that they do not."""
        kept = {account for account in self._book.balances if account.name == ledger.COINS}
        for service, coin in {*self._coins, *((a.service, a.coin) for a in kept)}:
            booked, balance = (
                self._coins.get((service, coin), 0),
                self._book.balances.get(Account(service, ledger.COINS, coin), 0),
            )
            if booked != balance:
                self._findings.add(None, f"{service}: coins of {booked} {coin}, and {balance} in the ledger")
        for account, balance in self._book.balances.items():
            if account.name.startswith("order:") and account not in self._owing:
                self._findings.add(None, f"{account.service}: {account.name} owes {-balance} {account.coin} to nobody")


def owing(order: Order) -> dict[str, int]:
    """What is owed to an order's customer, base units by coin: deposits until the bargain is closed, then the payouts
    that are not yet claimed."""
    if order.state in OPEN_STATES:
        return {order.coin: order.credited}
    if order.state is State.PAYING:
        left = sum(output.amount or 0 for output in order.outputs if output.state is OutputState.PENDING)
        return {order.payout_coin: left}
    return {}


def check_deposits(records: Records, order: Order, findings: Findings, number: int | None) -> None:
    """An open order's credit is the sum of its credited deposits, and a funded one has what it needs."""
    mine = ledger.owed(order.number)
    try:
        credited = sum(d.amount for d in records.deposits_of(order.number) if d.account == mine)
    except UNREADABLE:
        return  # the deposit itself is reported
    if credited != order.credited:
        findings.add(number, f"order {order.number} is credited {order.credited}; its deposits are {credited}")
    if order.state is State.WAITING and order.credited < plan.needed(order):
        findings.add(number, f"order {order.number} waits for its payout with {order.credited} credited")


def check_record(records: Records, book: Book, findings: Findings) -> Sums:
    """Entries, documents and balances against one another."""
    book.replay(records)
    sums = Sums(book, findings)
    for each in book.stand(standing(records)):
        sums.take(each.document)
        if isinstance(each.document, Order) and each.document.state in OPEN_STATES:
            check_deposits(records, each.document, findings, book.number_of(each.name))
    book.compare()
    sums.compare()
    return sums
