"""Custody: which coins of a service really paid, followed backwards from a payment to where its coins came from.

A coin comes from outside (float, deposit, stray) or from an earlier payment of the service (change, sweep). The walk
goes back through payments, breadth first, so that the level at which an origin is first met is the length of the
shortest path: 1 where the coin itself was spent by the payment, 2 through one change or sweep, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from glasstumbler.engine.coins import Coin, Origin
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.order import Order
from glasstumbler.engine.payment import Payment
from glasstumbler.store.records import Records

MOST_HOPS = 1_000
"""Transactions that one walk looks at; a longer history is cut off there and says so."""


class Source(NamedTuple):
    """Where coins entered the service's wallet: an outpoint of the chain, a deposit's or not."""

    kind: str
    """`deposit`, `float` or `stray`."""
    coin: str
    txid: str
    vout: int
    amount: int
    order: int | None


class Input(NamedTuple):
    """A coin as a payment spends it; amounts in base units. `txid` of an account is its address, `vout` its nonce."""

    txid: str
    vout: int
    amount: int
    origin: Origin
    order: int | None
    """Number of the order that it came in for."""
    made_by: tuple[str, ...]
    """Transactions of the service's own that left it (change, sweep) or, of an account, filled it up."""
    came_in: tuple[Source, ...]
    """What came into it from outside. With `made_by`, all that it is made of."""


class Hop(NamedTuple):
    """A transaction of the service's on the way back. `level` 1 is the payout's own."""

    level: int
    txid: str
    kind: str
    """`payout`, or `sweep`: it carries no payout."""
    inputs: tuple[Input, ...]


class Walk(NamedTuple):
    hops: tuple[Hop, ...]
    origins: dict[Source, int]
    """Each with the level at which it was first met."""
    truncated: bool
    """True if `most` was reached: origins further back are not named."""
    most: int
    """Transactions that it would look at."""


class Book:
    """Documents of the record by number, each read once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._coins: dict[int, Coin] = {}
        self._payments: dict[int, Payment] = {}
        self._orders: dict[int, Order] = {}
        self._sources: dict[int, list[Source]] = {}

    @classmethod
    def whole(cls, records: Records) -> Book:
        """With every coin, payment and order read at once: for work over the whole record."""
        book = cls(records)
        book._coins = {coin.number: coin for coin in records.all_coins()}
        book._payments = {payment.number: payment for payment in records.all_payments()}
        book._orders = {order.number: order for order in records.all_orders()}
        return book

    def coin(self, number: int) -> Coin:
        if number not in self._coins:
            self._coins[number] = self._records.coin(number)
        return self._coins[number]

    def payment(self, number: int) -> Payment:
        if number not in self._payments:
            self._payments[number] = self._records.payment(number)
        return self._payments[number]

    def order(self, number: int) -> Order:
        if number not in self._orders:
            self._orders[number] = self._records.order_by_number(number)
        return self._orders[number]

    def orders(self) -> Iterator[Order]:
        yield from self._orders.values()

    def every_order(self) -> Iterator[Order]:
        """One after another, from the record."""
        return self._records.all_orders()

    def deposits(self, order: Order) -> list[Deposit]:
        return self._records.deposits_of(order.number)

    def spender(self, order: Order, deposit: Deposit) -> Payment | None:
        """What the service did with this very coin, if anything; of an account, its first payment since."""
        held = self._records.coin_at(deposit.coin, deposit.txid, deposit.vout)
        account = () if held else self._records.account_coins(deposit.coin, order.address.lower())
        coins = [held] if held else [coin for coin in account if deposit.txid in coin.sources]
        spent = [coin.spent_by for coin in coins if coin.spent_by is not None]
        return self.payment(min(spent)) if spent else None

    def sources(self, coin: Coin) -> list[Source]:
        """What came into this coin from outside. An account (Ethereum) may have been paid several times, and on top
        of the change that it holds."""
        if coin.number not in self._sources:
            self._sources[coin.number] = self._account_sources(coin) if coin.sources else _own_source(coin)
        return self._sources[coin.number]

    def _account_sources(self, coin: Coin) -> list[Source]:
        there = [txid for txid in coin.sources if txid not in coin.missing]
        deposits = {deposit.txid: deposit for deposit in self._records.deposits_in(coin.coin, there)}
        known = [deposits[txid] for txid in there if txid in deposits]
        found = [Source("deposit", d.coin, d.txid, d.vout, d.amount, d.order) for d in known]
        others = [txid for txid in there if txid not in deposits]
        # Only a float or a stray is paid without a deposit, and the record knows what they brought together.
        rest = coin.amount - sum(deposit.amount for deposit in known)
        kind = Origin.FLOAT if coin.origin is Origin.FLOAT else Origin.STRAY
        whole = rest if len(others) == 1 and not coin.made_by else 0
        return found + [Source(kind.value, coin.coin, txid, 0, whole, None) for txid in others]


def _own_source(coin: Coin) -> list[Source]:
    if coin.made_by is not None:
        return []
    return [Source(coin.origin.value, coin.coin, coin.txid, coin.vout, coin.amount, coin.order)]


def walk(book: Book, payment: Payment, most: int | None = None) -> Walk:
    """All custody behind a payment on chain, within `most` transactions (by default MOST_HOPS). A Lightning payment has
    no coins: its custody is the channel."""
    most = MOST_HOPS if most is None else most
    hops: list[Hop] = []
    origins: dict[Source, int] = {}
    known = {payment.number}
    front, level = [payment], 1
    while front:
        behind: list[Payment] = []
        for paid in front:
            if len(hops) == most:
                return Walk(tuple(hops), origins, True, most)
            coins = [book.coin(number) for number in paid.coins]
            hops.append(_hop(book, level, paid, coins))
            for coin in coins:
                for source in book.sources(coin):
                    origins.setdefault(source, level)
                for number in _makers(coin):
                    if number not in known:
                        known.add(number)
                        behind.append(book.payment(number))
        front, level = behind, level + 1
    return Walk(tuple(hops), origins, False, most)


def _makers(coin: Coin) -> list[int]:
    return [*([] if coin.made_by is None else [coin.made_by]), *coin.filled_by]


def _hop(book: Book, level: int, payment: Payment, coins: list[Coin]) -> Hop:
    return Hop(
        level, payment.txid, "payout" if payment.carried else "sweep", tuple(_input(book, each) for each in coins)
    )


def _input(book: Book, coin: Coin) -> Input:
    made_by = tuple(book.payment(number).txid for number in _makers(coin))
    return Input(coin.txid, coin.vout, coin.amount, coin.origin, coin.order, made_by, tuple(book.sources(coin)))
