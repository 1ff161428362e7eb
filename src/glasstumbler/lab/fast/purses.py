"""The background economy for millions of transactions: the same draws, its coins in one queue for each owner.

`Background` looks through all coins for every block. Here each owner's coins hang in a chain of their own, oldest
first, so that a block costs what happens in it. Both choose the same coins (tests hold them against each other).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from glasstumbler.lab.economy import OUTSIDE, Background, Chosen, Kind, Made, Wish
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.population import Flags, Ints, stream
from glasstumbler.lab.scenario import Economy

_END: Final = -1
_FIRST_ROOM: Final = 1 << 12
_FAUCET_RATE: Final = 2
"""sat/vB, as the faucet of the signed chains pays."""


class FaucetEmptyError(Exception):
    """The faucet was given too few coins for what it has to pay at once."""


class Purses(Background):
    """`faucet` is one more owner, who pays where customers have too little."""

    def __init__(self, settings: Economy, guests: int, seed: int, coin: str, block_seconds: int) -> None:
        super().__init__(settings, guests, seed, coin, block_seconds)
        self.faucet = self.owners
        self.owners += 1
        self.home = np.full(self.owners, OUTSIDE, np.int64)
        self._settled = np.array([self.faucet], np.int64)
        self._first, self._last = (np.full(self.owners, _END, np.int64) for _ in range(2))
        self._next, self._held, self._holder = (np.zeros(_FIRST_ROOM, np.int64) for _ in range(3))
        """By number of a coin: the one behind it, its amount, its owner."""
        self._taken = np.zeros(_FIRST_ROOM, np.bool_)
        self._ripe = 0
        """Numbers below can be spent."""
        self._enough = np.full(self.owners, _END, np.int64)
        """Of each owner, the oldest coin of so much as was last asked for. It stays the oldest until it is taken."""
        self._enough_for = 0

    def first_address(self, number: int) -> None:
        """Addresses of the economy's own begin with this number."""
        self._addresses = number

    def receive(self, owner: Ints, address: Ints, amount: Ints) -> Ints:
        number = np.arange(self._coins, self._coins + len(owner), dtype=np.int64)
        self._coins += len(owner)
        self._make_room()
        self._held[number], self._holder[number] = amount, owner
        _enqueue(number, owner, amount, self._dust, self._next, self._first, self._last)
        return number

    def mined(self) -> None:
        self._ripe = self._coins

    def pay_all(self, owner: Ints, amount: Ints, block: int) -> tuple[Made, Flags]:
        """One payment each to the outside, one after another; and who could. The others' are not among the made."""
        rng = stream(self._seed, "economy", self._coin, "deposits", block)
        rate = rng.integers(1, self._settings.most_fee_rate, len(owner), endpoint=True)
        outside = np.full(len(owner), OUTSIDE, np.int64)
        wish = Wish(owner, np.full(len(owner), Kind.DEPOSIT), np.arange(len(owner) + 1), outside, amount)
        chosen = self._choose(wish, rate)
        return self._build(wish, chosen, rng), chosen.good

    def faucet_pays(self, first: Ints, owner: Ints, amount: Ints, block: int) -> Made:
        """Transactions of the faucet, to these owners or to the OUTSIDE. Outputs of number t: first[t]:first[t + 1].
        FaucetEmptyError."""
        rng = stream(self._seed, "economy", self._coin, "faucet", block)
        payer = np.full(len(first) - 1, self.faucet, np.int64)
        wish = Wish(payer, np.full(len(payer), Kind.GRANT), first, owner, amount)
        made = self._build(wish, self._choose(wish, np.full(len(payer), _FAUCET_RATE, np.int64)), rng)
        if len(made) < len(payer):
            raise FaucetEmptyError
        return made

    def _choose(self, wish: Wish, rate: Ints) -> Chosen:
        sizes = np.diff(wish.first)
        asked = np.add.reduceat(wish.amount, wish.first[:-1]) if len(sizes) else np.zeros(0, np.int64)
        bare = asked + rate * (self._frame + self._output * (sizes + 1))
        good, counts, coins, brought = _take(
            wish.payer, bare, rate * self._input, self._most_inputs, self._ripe, self._first, self._last, self._next,
            self._held, self._taken,
        )  # fmt: skip
        fee = bare - asked + rate * self._input * counts
        return Chosen(good, counts, coins, brought - asked - fee, fee)

    def _numbers(self, places: Ints) -> Ints:
        return places

    def _drop(self, places: Ints) -> None:
        self._taken[places] = True

    def _with_enough(self, need: int) -> Ints:
        if need != self._enough_for:
            self._enough.fill(_END)
            self._enough_for = need
        return _oldest_of(
            self.people, need, self._ripe, self._enough, self._first, self._last, self._next, self._held, self._taken
        )

    def _of(self, owner: int) -> Ints:
        return _coins_of(owner, self._most_inputs, self._ripe, self._first, self._last, self._next, self._taken)

    def _owner_and_amount(self, coins: Ints) -> tuple[Ints, Ints]:
        return self._holder[coins], self._held[coins]

    def _poor(self, need: int) -> Ints:
        unknown = np.full(self.owners, _END, np.int64)
        rich = _oldest_of(
            self.peelers, need, self._ripe, unknown, self._first, self._last, self._next, self._held, self._taken
        )
        return self.peelers[~np.isin(self.peelers, self._holder[rich])]

    def _make_room(self) -> None:
        while self._coins > len(self._next):
            self._next, self._held, self._holder = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self._next, self._held, self._holder)
            )
            self._taken = np.concatenate([self._taken, np.zeros_like(self._taken)])


@compiled
def _enqueue(number: Ints, owner: Ints, amount: Ints, dust: int, behind: Ints, first: Ints, last: Ints) -> None:
    """Dust is never spent, so it hangs nowhere."""
    for at in range(len(number)):
        if amount[at] <= dust:
            continue
        coin, mine = number[at], owner[at]
        behind[coin] = -1
        if first[mine] == -1:
            first[mine] = coin
        else:
            behind[last[mine]] = coin
        last[mine] = coin


@compiled
def _clean(owner: int, first: Ints, last: Ints, behind: Ints, taken: Flags) -> int:
    """The owner's oldest coin that is left."""
    coin = first[owner]
    while coin != -1 and taken[coin]:
        coin = behind[coin]
    first[owner] = coin
    if coin == -1:
        last[owner] = -1
    return int(coin)


@compiled
def _take(
    payer: Ints,
    bare: Ints,
    per_input: Ints,
    most: int,
    ripe: int,
    first: Ints,
    last: Ints,
    behind: Ints,
    held: Ints,
    taken: Flags,
) -> tuple[Flags, Ints, Ints, Ints]:
    """Each payer's oldest coins that pay `bare` and `per_input` for each: (whether they do, how many, which, together).
    As often as `Background` looks again at what the inputs themselves cost: four times."""
    good = np.zeros(len(payer), np.bool_)
    counts = np.zeros(len(payer), np.int64)
    brought = np.zeros(len(payer), np.int64)
    coins = np.empty(2 * len(payer) + most + 1, np.int64)
    filled = 0
    for at in range(len(payer)):
        if filled + most + 1 > len(coins):
            more = np.empty(2 * len(coins) + most + 1, np.int64)
            more[:filled] = coins[:filled]
            coins = more
        coin = _clean(payer[at], first, last, behind, taken)
        count, have, enough = 0, 0, True
        for _ in range(4):
            wanted = bare[at] + per_input[at] * max(count, 1)
            while enough and (count == 0 or have < wanted):
                while coin != -1 and taken[coin]:
                    coin = behind[coin]
                if coin == -1 or coin >= ripe or count == most:
                    enough = False
                else:
                    coins[filled + count] = coin
                    have += held[coin]
                    count += 1
                    coin = behind[coin]
        if enough and have >= bare[at] + per_input[at] * count:
            good[at], counts[at], brought[at] = True, count, have
            for place in range(filled, filled + count):
                taken[coins[place]] = True
            filled += count
    return good, counts, coins[:filled].copy(), brought


@compiled
def _oldest_of(
    owners: Ints, need: int, ripe: int, known: Ints, first: Ints, last: Ints, behind: Ints, held: Ints, taken: Flags
) -> Ints:
    """Of each owner who has one: the oldest coin of at least so much. `known`: by owner, as it was found before."""
    found = np.empty(len(owners), np.int64)
    many = 0
    for owner in owners:
        coin = known[owner]
        if coin == -1 or taken[coin]:
            coin = _clean(owner, first, last, behind, taken)
            while coin != -1 and coin < ripe and (taken[coin] or held[coin] < need):
                coin = behind[coin]
            if coin >= ripe:
                coin = -1
            known[owner] = coin
        if coin != -1:
            found[many] = coin
            many += 1
    return found[:many].copy()


@compiled
def _coins_of(owner: int, most: int, ripe: int, first: Ints, last: Ints, behind: Ints, taken: Flags) -> Ints:
    found = np.empty(most, np.int64)
    many = 0
    coin = _clean(owner, first, last, behind, taken)
    while coin != -1 and coin < ripe and many < most:
        if not taken[coin]:
            found[many] = coin
            many += 1
        coin = behind[coin]
    return found[:many].copy()
