"""The documents as they stand: against the digests in the entries, the columns, the counters and the balances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glasstumbler.audit_entries import Account, Finding, Findings, Words, words_of
from glasstumbler.engine import ledger, plan
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.order import OPEN_STATES, Order, OutputState, State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.store.documents import TABLES, Standing
from glasstumbler.store.records import Code, Records, Watched

_ON_CHAIN = frozenset((PaymentState.MINED, PaymentState.SETTLED))
_OWING = OPEN_STATES | {State.PAYING}
_COUNTED = ("change", "sweep", "float")
"""Branches whose keys are numbered by a counter."""
DAMAGED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What working with documents may raise whose bytes are not as they were written (the digests tell that too)."""


@dataclass
class Sums:
    """What the documents of a table add up to; with `add`, of several tables."""

    counts: Counter[str] = field(default_factory=Counter)
    """Documents by table."""
    highest: Counter[str] = field(default_factory=Counter)
    """What each counter must say: the highest number that was given."""
    coins: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Base units by service and coin."""
    mined: Counter[str] = field(default_factory=Counter)
    """Payments by coin that the record holds to be in a block."""
    explained: set[Account] = field(default_factory=set)
    """What is owed to orders that are there."""

    def add(self, other: Sums) -> None:
        self.counts.update(other.counts)
        self.coins.update(other.coins)
        self.mined.update(other.mined)
        self.highest |= other.highest
        self.explained |= other.explained


def check_table(
    records: Records, name: str, parts: Iterable[Words], balances: Mapping[Account, int]
) -> tuple[list[Finding], Sums]:
    """`parts`: what the entries said of the table's documents. `balances`: of orders, where something is owed."""
    findings, sums, said = Findings(), Sums(), words_of(parts)
    look = _Look(records, balances, findings, sums)
    take = _TAKE.get(name)
    count = 0
    for some in TABLES[name].standing(records):
        expected = [said.pop(key, None) for key in some.keys]
        documents = some.documents
        if expected != some.digests or not all(some.agree):
            _tell(name, some, expected, findings)
            documents = [document for document in documents if document is not None]
        count += len(documents)
        if take is not None and documents:
            take(look, documents)
    sums.counts[name] = count
    for key in sorted(said):
        findings.add(f"{name} {key} is missing", about=f"{name} {key}")
    return findings.found, sums


def _tell(name: str, some: Standing, said: list[str | None], findings: Findings) -> None:
    """Which of these documents are not as they should be."""
    for key, digest, expected, document, agrees in zip(
        some.keys, some.digests, said, some.documents, some.agree, strict=True
    ):
        about = f"{name} {key}"
        if digest != expected:
            findings.add(
                f"{about} {'stands in no entry' if expected is None else 'was changed after this entry'}", about=about
            )
        if document is None:
            findings.add(f"{about} does not parse", about=about)
        elif not agrees:
            findings.add(f"the columns of {about} differ from the document", about=about)


class _Look:
    """At the documents of one table as they pass, some at a time."""

    def __init__(self, records: Records, balances: Mapping[Account, int], findings: Findings, sums: Sums) -> None:
        self._records, self._balances, self._findings, self._sums = records, balances, findings, sums
        self._owed = {name for _, name, _ in balances}

    def orders(self, orders: list[Order]) -> None:
        self._number("order", max(order.number for order in orders))
        for order in orders:
            account = ledger.owed(order.number)
            if order.state in _OWING or account in self._owed:
                self._order(order, account)

    def _order(self, order: Order, account: str) -> None:
        due = owing(order)
        for coin in {order.coin, order.payout_coin}:
            balance = self._balances.get((order.service, account, coin), 0)
            if balance:
                self._sums.explained.add((order.service, account, coin))
            if balance != -due.get(coin, 0):
                self._findings.add(
                    f"order {order.number} ({order.state}) owes {-balance} {coin}, and should owe {due.get(coin, 0)}",
                    about=f"order {order.number}",
                )
        if order.state in OPEN_STATES:
            check_deposits(self._records, order, self._findings)

    def coins(self, coins: list[Coin]) -> None:
        self._number("coin", max(coin.number for coin in coins))
        for coin in coins:
            if owned := coin.booked - (coin.spent_by is not None):
                self._sums.coins[coin.service, coin.coin] += coin.amount * owned

    def payments(self, payments: list[Payment]) -> None:
        self._number("payment", max(payment.number for payment in payments))
        self._sums.mined.update(payment.coin for payment in payments if payment.state in _ON_CHAIN)

    def codes(self, codes: list[Code]) -> None:
        self._number("code", max(code.number for code in codes))

    def watched(self, keys: list[Watched]) -> None:
        for watched in keys:
            if watched.branch in _COUNTED and type(watched.place) is int:
                self._number(f"{watched.branch}:{watched.service}:{watched.coin}", watched.place)

    def _number(self, counter: str, number: int) -> None:
        self._sums.highest[counter] = max(self._sums.highest[counter], number)


_TAKE: dict[str, Callable[[_Look, Any], None]] = {
    "order": _Look.orders,
    "coin": _Look.coins,
    "payment": _Look.payments,
    "code": _Look.codes,
    "watch": _Look.watched,
}


def owing(order: Order) -> dict[str, int]:
    """What is owed to an order's customer, base units by coin: deposits until the bargain is closed, then the payouts
    that are not yet claimed."""
    if order.state in OPEN_STATES:
        return {order.coin: order.credited}
    if order.state is State.PAYING:
        left = sum(output.amount or 0 for output in order.outputs if output.state is OutputState.PENDING)
        return {order.payout_coin: left}
    return {}


def check_deposits(records: Records, order: Order, findings: Findings) -> None:
    """An open order's credit is the sum of its credited deposits, and a funded one has what it needs."""
    about, mine = f"order {order.number}", ledger.owed(order.number)
    try:
        credited = sum(d.amount for d in records.deposits_of(order.number) if d.account == mine)
        short = order.state is State.WAITING and order.credited < plan.needed(order)
    except DAMAGED:
        return  # the document itself is reported
    if credited != order.credited:
        findings.add(f"{about} is credited {order.credited}; its deposits are {credited}", about=about)
    if short:
        findings.add(f"{about} waits for its payout with {order.credited} credited", about=about)


def check_sums(records: Records, sums: Sums, balances: Mapping[Account, int], findings: Findings) -> None:
    """Every balance that documents explain and none that they do not; every counter where the numbers end."""
    kept = {(service, coin) for service, name, coin in balances if name == ledger.COINS}
    for service, coin in sorted({*sums.coins, *kept}):
        booked, balance = sums.coins[service, coin], balances.get((service, ledger.COINS, coin), 0)
        if booked != balance:
            findings.add(f"{service}: coins of {booked} {coin}, and {balance} in the ledger")
    for account, balance in balances.items():
        service, name, coin = account
        if balance and name.startswith("order:") and account not in sums.explained:
            findings.add(f"{service}: {name} owes {-balance} {coin} to nobody")
    stands: dict[Any, Any] = dict(records.rows("SELECT name, value FROM counter"))
    for name in sorted({*map(str, stands), *sums.highest}):
        if stands.get(name) != sums.highest.get(name):
            findings.add(f"counter {name} is {stands.get(name)}; the highest number is {sums.highest.get(name)}")
