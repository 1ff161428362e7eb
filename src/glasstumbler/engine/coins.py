"""A service's own coins, and which of them pay: coin selection by policy, with the code's exclusion.

Which coin funds which payout is the ground truth, so the choice is made here and not in a wallet. A coin carries the
codes of the deposits it descends from (`codes`); a payout to the holder of a code never spends such a coin.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

import msgspec

from glasstumbler.engine.policy import Selection
from glasstumbler.errors import NoFunds


class Origin(StrEnum):
    FLOAT = "float"
    DEPOSIT = "deposit"
    CHANGE = "change"
    SWEEP = "sweep"
    STRAY = "stray"


class Coin(msgspec.Struct, omit_defaults=True):
    """One coin of a service. On Ethereum a coin is an account at a nonce."""

    number: int
    service: str
    coin: str
    txid: str
    vout: int
    amount: int
    kind: str
    branch: str
    index: int
    origin: Origin
    order: int | None = None
    """The order that it came in for."""
    codes: tuple[int, ...] = ()
    """Numbers of the codes it descends from, sorted."""
    height: int | None = None
    """Where its transaction was mined; None: not yet, and it is not spent before."""
    spent_by: int | None = None
    """Number of the payment that spends it."""
    booked: bool = True
    """False while the chain has taken it back: the ledger does not count it."""
    made_by: int | None = None
    """Number of the payment of ours that created it (change, sweep)."""
    sources: list[str] = []
    """Where accounts hold money: the transactions that paid into this coin."""
    missing: list[str] = []
    """Of the sources, those that the chain has taken back. The account's last coin is so much poorer."""
    filled_by: list[int] = []
    """Numbers of our payments that made up for what was missing."""


class Choice(NamedTuple):
    coins: tuple[Coin, ...]
    fee: int
    change: int
    """0: no change output, and the fee took the rest."""
    excluded: tuple[Coin, ...] = ()
    """Coins passed over because they descend from one of the payees' codes."""


FeeOf = Callable[[Sequence[str], bool], int]
"""Fee of a transaction with inputs of these kinds, with or without a change output."""

_NUMBER, _AMOUNT = attrgetter("number"), attrgetter("amount")
_ORDERS: dict[Selection, Callable[[list[Coin]], list[Coin]]] = {
    Selection.OLDEST: lambda coins: coins,
    Selection.LARGEST: lambda coins: sorted(coins, key=_AMOUNT, reverse=True),
    Selection.SMALLEST: lambda coins: sorted(coins, key=_AMOUNT),
}
"""Of coins by number, which is how equal ones stay."""


def arrange(coins: list[Coin], selection: Selection, chance: random.Random) -> list[Coin]:
    if selection is Selection.RANDOM:
        return chance.sample(coins, len(coins))
    return _ORDERS[selection](sorted(coins, key=_NUMBER))


def choose(
    coins: Iterable[Coin], target: int, fee_of: FeeOf, dust: int, most: int, codes: frozenset[int] = frozenset()
) -> Choice:
    """The first coins, in the order given, that pay `target` and the fee; NoFunds if no `most` of them do. Once there
    are `most`, the smallest makes room for the next, so that many small coins keep no large payout waiting.

    Coins that descend from one of `codes` are passed over. Change below `dust` goes to the fee.
    """
    chosen: list[Coin] = []
    excluded: list[Coin] = []
    total = 0
    for coin in coins:
        if codes and not codes.isdisjoint(coin.codes):
            excluded.append(coin)
            continue
        chosen.append(coin)
        total += coin.amount
        if total > target and (paid := _pays(chosen, total, target, fee_of, dust)):
            return Choice(tuple(chosen), *paid, tuple(excluded))
        if len(chosen) == most:
            total -= chosen.pop(min(range(most), key=lambda index: chosen[index].amount)).amount
    raise NoFunds(f"{total} in {len(chosen)} coins does not pay {target} and its fee")


def _pays(chosen: list[Coin], total: int, target: int, fee_of: FeeOf, dust: int) -> tuple[int, int] | None:
    """(fee, change) if these coins are enough."""
    kinds = [coin.kind for coin in chosen]
    change = total - target - fee_of(kinds, True)
    if change >= dust:
        return total - target - change, change
    return (total - target, 0) if total >= target + fee_of(kinds, False) else None


def choose_account(coins: Iterable[Coin], target: int, fee_of: FeeOf, codes: frozenset[int] = frozenset()) -> Choice:
    """The first account that alone pays `target` and the fee; what is left stays in it."""
    excluded: list[Coin] = []
    for coin in coins:
        if codes and not codes.isdisjoint(coin.codes):
            excluded.append(coin)
        elif coin.amount >= target + (fee := fee_of([coin.kind], True)):
            return Choice((coin,), fee, coin.amount - target - fee, tuple(excluded))
    raise NoFunds(f"no single account pays {target} and its fee")
