"""The background of one chain of coins, made in whole arrays: who pays whom, with which coins, at what fee.

Coins, owners and addresses are numbers. `step` makes all transactions of one block at once; what it makes can be spent
from the next block on. Whoever drives it turns the arrays into a chain: signed transactions, or rows of a dataset.
Integers only, and a stream of randomness for each block: the same numbers on any machine.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.population import RHYTHM, Flags, Ints, spread, stream
from glasstumbler.lab.scenario import DAY, Economy, units

OUTSIDE: Final = -1
"""Owner, address and number of what the economy does not own: it pays a service."""
_FRAME, _INPUT, _OUTPUT = 12, 149, 43
"""Virtual bytes of a transaction and its parts, as of the largest kind of address."""
_MOST_INPUTS: Final = 200
_DUST: Final = 10_000
"""Base units below which change goes to the fee, and a coin is left alone."""
_HOUR: Final = 3600


ROLES: Final = ("customer", "person", "exchange", "employer", "peeler")
"""In the order of their numbers."""


class Kind(IntEnum):
    """What a transaction is, for the answer key."""

    GRANT = 0
    PAYMENT = 1
    DEPOSIT = 2
    WITHDRAWALS = 3
    CONSOLIDATION = 4
    PAYROLL = 5
    PEEL = 6
    COINJOIN = 7


class Made(NamedTuple):
    """Transactions. Those of number t: inputs[first_input[t]:first_input[t + 1]], outputs likewise."""

    kind: Ints
    fee: Ints
    first_input: Ints
    inputs: Ints
    """Numbers of the coins that are spent, each made by an earlier step."""
    first_output: Ints
    output: Ints
    """Numbers of the coins that are made; OUTSIDE where they pay a service."""
    owner: Ints
    address: Ints
    amount: Ints

    def __len__(self) -> int:
        return len(self.kind)


class Wish(NamedTuple):
    """Payments that somebody wants to make in one transaction each: by transaction, and by output."""

    payer: Ints
    kind: Ints
    first: Ints
    payee: Ints
    amount: Ints


class Chosen(NamedTuple):
    """With what wishes are paid, by wish; and the places of the coins of all that can be."""

    good: Flags
    counts: Ints
    coins: Ints
    change: Ints
    fee: Ints


class Background:
    """The economy's state. Owners: first `guests` (whoever else drives the chain names them), then people, exchanges,
    employers, peelers. A coin's *place* is its index in the arrays of coins."""

    _frame, _input, _output, _most_inputs, _dust = _FRAME, _INPUT, _OUTPUT, _MOST_INPUTS, _DUST

    def __init__(self, settings: Economy, guests: int, seed: int, coin: str, block_seconds: int) -> None:
        self._settings, self._seed, self._coin, self._block_seconds = settings, seed, coin, block_seconds
        counts = (guests, settings.people, settings.exchanges, settings.payrolls, settings.peel_chains)
        edges = np.concatenate([[0], np.cumsum(counts)])
        self.guests, self.people, self.exchanges, self.employers, self.peelers = (
            np.arange(edges[n], edges[n + 1], dtype=np.int64) for n in range(len(counts))
        )
        self.owners, self._ends = int(edges[-1]), edges[1:]
        self.number, self.owner, self.address, self.amount = (np.zeros(0, np.int64) for _ in range(4))
        """Coins that can be spent now, oldest first."""
        self._young: list[tuple[Ints, Ints, Ints, Ints]] = []
        self.home = np.full(self.owners, OUTSIDE, np.int64)
        """By owner: the address that is used again."""
        self._settled = np.zeros(0, np.int64)
        """Owners who never use another one."""
        self.owner_of: list[Ints] = []
        self._coins = self._addresses = 0
        self._payment = units("payment", settings.payment, "btc")
        self._funds = units("funds", (settings.funds,) * 2, "btc")[0]
        self._exchange_funds = units("exchange_funds", (settings.exchange_funds,) * 2, "btc")[0]
        self._joined = units("coinjoin_amount", (settings.coinjoin_amount,) * 2, "btc")[0]

    def role(self, owner: int) -> str:
        """customer, person, exchange, employer or peeler."""
        return ROLES[int(np.searchsorted(self._ends, owner, side="right"))]

    def roles(self) -> Ints:
        """By owner: index of ROLES, or their number for who has none."""
        return np.searchsorted(self._ends, np.arange(self.owners), side="right").astype(np.int64)

    # -- coins and addresses --------------------------------------------------------------------------------------

    def fresh(self, owners: Ints) -> Ints:
        """A new address for each; an owner's first one is the one that is used again."""
        found = np.arange(self._addresses, self._addresses + len(owners), dtype=np.int64)
        self._addresses += len(owners)
        self.owner_of.append(owners)
        first, at = np.unique(owners, return_index=True)
        new = self.home[first] == OUTSIDE
        self.home[first[new]] = found[at[new]]
        return found

    def receive(self, owner: Ints, address: Ints, amount: Ints) -> Ints:
        """Numbers of coins that came from elsewhere; they can be spent from the next block on."""
        number = np.arange(self._coins, self._coins + len(owner), dtype=np.int64)
        self._coins += len(owner)
        self._young.append((number, owner, address, amount))
        return number

    def grants(self) -> tuple[Ints, Ints]:
        """(owner, amount): what everybody begins with, in two coins each; exchanges in ten."""
        rich = np.concatenate([self.exchanges, self.employers])
        modest = np.concatenate([self.guests, self.people, self.peelers])
        owner = np.concatenate([np.repeat(modest, 2), np.repeat(rich, 10)])
        amount = np.repeat(
            np.array([self._funds // 2, self._exchange_funds // 10], np.int64), (2 * len(modest), 10 * len(rich))
        )
        return owner, amount

    def mined(self) -> None:
        """A block came: what is young can be spent."""
        columns = zip((self.number, self.owner, self.address, self.amount), *self._young, strict=True)
        self.number, self.owner, self.address, self.amount = (np.concatenate(column) for column in columns)
        self._young.clear()

    # -- making ---------------------------------------------------------------------------------------------------

    def pay(self, owner: int, amount: int, block: int, serial: int) -> Made | None:
        """One payment to the outside; None if the owner's coins do not suffice."""
        rng = stream(self._seed, "economy", self._coin, "deposit", block, serial)
        one = np.array([owner], np.int64)
        wish = Wish(one, np.array([Kind.DEPOSIT]), np.array([0, 1]), np.array([OUTSIDE]), np.array([amount], np.int64))
        made = self._spend(wish, rng)
        return made if len(made) else None

    def step(self, block: int, seconds: int) -> list[Made]:
        """All that happens in the block that is mined `seconds` after the beginning."""
        rng = stream(self._seed, "economy", self._coin, "block", block)
        joins = self._coinjoins(rng, seconds)
        wishes = _joined([self._peels(rng), self._payrolls(rng, seconds), self._withdrawals(rng, seconds)])
        made = [*joins, self._spend(wishes, rng), self._consolidations(rng)]
        return [*made, self._spend(self._payments(rng, seconds), rng)]

    def _often(self, rng: np.random.Generator, a_day: int, seconds: int) -> int:
        """How often something happens in a block: a binomial near to Poisson's law, with the day's rhythm."""
        hour = RHYTHM[seconds % DAY // _HOUR] * len(RHYTHM)
        whole = DAY * sum(RHYTHM)
        tries = 8 * (a_day * self._block_seconds * hour // whole + 1)
        return int(np.count_nonzero(rng.integers(0, whole * tries, tries) < a_day * self._block_seconds * hour))

    def _payments(self, rng: np.random.Generator, seconds: int) -> Wish:
        count = self._often(rng, self._settings.payments_a_day, seconds)
        everybody = np.concatenate([self.people, self.guests])
        payer = rng.choice(self.people, count)
        payee = rng.choice(everybody, count)
        if len(self.exchanges):
            into = rng.integers(0, 100, count) < self._settings.to_exchanges
            payee = np.where(into, rng.choice(self.exchanges, count), payee)
        amount = spread(rng, *self._payment, count)
        return _single(payer, payee, amount, Kind.PAYMENT)

    def _withdrawals(self, rng: np.random.Generator, seconds: int) -> Wish:
        """Each batch from one exchange's hot wallet; peelers who have run out are among those who withdraw."""
        count = self._often(rng, self._settings.withdrawal_batches_a_day, seconds) if len(self.exchanges) else 0
        each = self._settings.withdrawals_each
        payee = rng.choice(np.concatenate([self.people, self.guests]), count * each)
        amount = spread(rng, *self._payment, count * each)
        poor = self._poor(2 * self._payment[0] + 1)
        known = min(len(poor), count * each)
        payee[:known], amount[:known] = poor[:known], self._funds
        first = np.arange(count + 1, dtype=np.int64) * each
        payer = rng.choice(self.exchanges, count) if count else np.zeros(0, np.int64)
        return Wish(payer, np.full(count, Kind.WITHDRAWALS), first, payee, amount)

    def _payrolls(self, rng: np.random.Generator, seconds: int) -> Wish:
        """Once a day, at nine, each employer pays the same people the same wages."""
        due = seconds % DAY // self._block_seconds == 9 * _HOUR // self._block_seconds
        payer = self.employers if due else self.employers[:0]
        each = self._settings.payroll_people
        place = (payer[:, None] * 31 + np.arange(each)[None, :] * 7) % len(self.people)
        wage = self._payment[0] * (1 + np.arange(each, dtype=np.int64) % 5)
        first = np.arange(len(payer) + 1, dtype=np.int64) * each
        kind = np.full(len(payer), Kind.PAYROLL)
        return Wish(payer, kind, first, self.people[place.ravel()], np.tile(wage, len(payer)))

    def _peels(self, rng: np.random.Generator) -> Wish:
        """Each peeler pays a little out of the one coin that is left, block after block."""
        return _single(
            self.peelers,
            rng.choice(self.people, len(self.peelers)),
            self._payment[0] + rng.integers(0, self._payment[0], len(self.peelers)),
            Kind.PEEL,
        )

    def _consolidations(self, rng: np.random.Generator) -> Made:
        """An exchange with many coins makes them one."""
        made = []
        for exchange in self.exchanges:
            mine = self._of(int(exchange))
            if len(mine) >= self._settings.consolidate_at:
                fee = np.array([_FRAME + _INPUT * len(mine) + _OUTPUT], np.int64)
                left = self._owner_and_amount(mine)[1].sum(keepdims=True) - fee
                owner = np.array([exchange], np.int64)
                made.append(self._finish(Kind.CONSOLIDATION, mine, owner, self.fresh(owner), left, fee))
        return _together(made)

    def _coinjoins(self, rng: np.random.Generator, seconds: int) -> list[Made]:
        """Each of several people gives one coin, and gets an equal amount and their change at new addresses."""
        made = []
        size = self._settings.coinjoin_people
        for _ in range(self._often(rng, self._settings.coinjoins_a_day, seconds)):
            own = _FRAME + _INPUT + 2 * _OUTPUT
            able = self._with_enough(self._joined + own)
            if len(able) < size:
                break
            taken = able[rng.permutation(len(able))[:size]]
            owner, held = self._owner_and_amount(taken)
            change = held - self._joined - own
            kept = change > _DUST
            owners = np.concatenate([owner, owner[kept]])
            amounts = np.concatenate([np.full(size, self._joined, np.int64), change[kept]])
            shuffled = rng.permutation(len(owners))
            fee = np.array([held.sum() - amounts.sum()], np.int64)
            owners, amounts = owners[shuffled], amounts[shuffled]
            made.append(self._finish(Kind.COINJOIN, taken, owners, self.fresh(owners), amounts, fee))
        return made

    # -- spending -------------------------------------------------------------------------------------------------

    def _spend(self, wish: Wish, rng: np.random.Generator) -> Made:
        """Each payer's oldest coins that suffice; one transaction for a payer, and none for who has too little."""
        wish = _once(wish)
        rate = rng.integers(1, self._settings.most_fee_rate, len(wish.payer), endpoint=True)
        return self._build(wish, self._choose(wish, rate), rng)

    def _choose(self, wish: Wish, rate: Ints) -> Chosen:
        sizes = np.diff(wish.first)
        asked = np.add.reduceat(wish.amount, wish.first[:-1]) if len(sizes) else np.zeros(0, np.int64)
        order = np.flatnonzero(self.amount > _DUST)
        order = order[np.argsort(self.owner[order], kind="stable")]
        begin = np.searchsorted(self.owner[order], wish.payer, "left")
        end = np.searchsorted(self.owner[order], wish.payer, "right")
        end = np.minimum(end, begin + _MOST_INPUTS)
        run = np.concatenate([[0], np.cumsum(self.amount[order])])
        # A first guess at the inputs, then as many again as their own cost asks for.
        bare = asked + rate * (_FRAME + _OUTPUT * (sizes + 1))
        until = begin + 1
        for _ in range(4):
            wanted = bare + rate * _INPUT * np.maximum(until - begin, 1)
            until = np.maximum(until, np.searchsorted(run, run[begin] + wanted, "left"))
        brought = run[np.minimum(until, len(order))] - run[begin]
        fee = rate * (_FRAME + _OUTPUT * (sizes + 1) + _INPUT * (until - begin))
        good = (until <= end) & (brought >= asked + fee)
        coins = order[_ranges(begin[good], (until - begin)[good])]
        return Chosen(good, until - begin, coins, brought - asked - fee, fee)

    def _build(self, wish: Wish, found: Chosen, rng: np.random.Generator) -> Made:
        chosen = np.flatnonzero(found.good)
        payer, change, fee, counts = wish.payer[chosen], found.change[chosen], found.fee[chosen], found.counts[chosen]
        sizes = np.diff(wish.first)[chosen]
        paid = _ranges(wish.first[:-1][chosen], sizes)
        kept = change > _DUST
        fee = np.where(kept, fee, fee + change)
        payee = wish.payee[paid]
        places = np.concatenate([np.repeat(np.arange(len(chosen)), sizes), np.flatnonzero(kept)])
        # The change stands before all others or behind them.
        side = np.where(rng.integers(0, 2, int(kept.sum())) == 0, -1, 1)
        rank = np.lexsort((np.concatenate([np.zeros(len(paid), np.int64), side]), places))
        owner = np.concatenate([payee, payer[kept]])[rank]
        amount = np.concatenate([wish.amount[paid], change[kept]])[rank]
        is_change = np.concatenate([np.zeros(len(paid), np.bool_), np.ones(int(kept.sum()), np.bool_)])[rank]
        address = self._addressed(owner, is_change, rng)
        outputs = np.bincount(places, minlength=len(chosen))
        made = Made(
            wish.kind[chosen], fee, _offsets(counts), self._numbers(found.coins), _offsets(outputs),
            self._numbered(owner, address, amount), owner, address, amount,
        )  # fmt: skip
        self._drop(found.coins)
        return made

    def _addressed(self, owner: Ints, change: Flags, rng: np.random.Generator) -> Ints:
        """A new address for each output, or now and then the owner's home; peelers' change is always new."""
        found = np.full(len(owner), OUTSIDE, np.int64)
        again = rng.integers(0, 100, len(owner)) < self._settings.reuse
        again &= (owner != OUTSIDE) & (self.home[owner] != OUTSIDE) & ~(change & np.isin(owner, self.peelers))
        again |= np.isin(owner, self._settled)
        found[again] = self.home[owner[again]]
        new = (owner != OUTSIDE) & ~again
        found[new] = self.fresh(owner[new])
        return found

    def _finish(self, kind: Kind, taken: Ints, owner: Ints, address: Ints, amount: Ints, fee: Ints) -> Made:
        """One transaction out of the coins at these places."""
        made = Made(
            np.array([kind]), fee, np.array([0, len(taken)]), self._numbers(taken), np.array([0, len(owner)]),
            self._numbered(owner, address, amount), owner, address, amount,
        )  # fmt: skip
        self._drop(taken)
        return made

    def _numbered(self, owner: Ints, address: Ints, amount: Ints) -> Ints:
        found = np.full(len(owner), OUTSIDE, np.int64)
        inside = owner != OUTSIDE
        found[inside] = self.receive(owner[inside], address[inside], amount[inside])
        return found

    # -- coins by their places ------------------------------------------------------------------------------------

    def _numbers(self, places: Ints) -> Ints:
        return self.number[places]

    def _owner_and_amount(self, places: Ints) -> tuple[Ints, Ints]:
        return self.owner[places], self.amount[places]

    def _of(self, owner: int) -> Ints:
        """The owner's oldest coins."""
        return np.flatnonzero((self.owner == owner) & (self.amount > _DUST))[:_MOST_INPUTS]

    def _with_enough(self, need: int) -> Ints:
        """Each person's oldest coin of at least so much, person by person."""
        good = np.flatnonzero((self.amount >= need) & np.isin(self.owner, self.people))
        return good[np.unique(self.owner[good], return_index=True)[1]]

    def _poor(self, need: int) -> Ints:
        """Peelers without a coin of at least so much."""
        return self.peelers[~np.isin(self.peelers, self.owner[self.amount >= need])]

    def _drop(self, places: Ints) -> None:
        kept = np.ones(len(self.number), np.bool_)
        kept[places] = False
        self.number, self.owner = self.number[kept], self.owner[kept]
        self.address, self.amount = self.address[kept], self.amount[kept]

    # -- keeping --------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Ints]:
        """All that a later run goes on from, between two blocks."""
        self.mined()
        return {
            "number": self.number,
            "owner": self.owner,
            "address": self.address,
            "amount": self.amount,
            "home": self.home,
            "owner_of": np.concatenate([np.zeros(0, np.int64), *self.owner_of]),
            "counts": np.array([self._coins, self._addresses], np.int64),
        }

    def restore(self, state: dict[str, Ints]) -> None:
        self.number, self.owner = state["number"], state["owner"]
        self.address, self.amount = state["address"], state["amount"]
        self.home, self.owner_of = state["home"], [state["owner_of"]]
        self._coins, self._addresses = (int(value) for value in state["counts"])


def _single(payer: Ints, payee: Ints, amount: Ints, kind: Kind) -> Wish:
    return Wish(payer, np.full(len(payer), kind), np.arange(len(payer) + 1, dtype=np.int64), payee, amount)


def _joined(wishes: list[Wish]) -> Wish:
    """One after another."""
    starts = np.cumsum([0, *(len(wish.payee) for wish in wishes)])
    return Wish(
        np.concatenate([wish.payer for wish in wishes]),
        np.concatenate([wish.kind for wish in wishes]),
        np.concatenate([*(wish.first[:-1] + start for wish, start in zip(wishes, starts, strict=False)), starts[-1:]]),
        np.concatenate([wish.payee for wish in wishes]),
        np.concatenate([wish.amount for wish in wishes]),
    )


def _once(wish: Wish) -> Wish:
    """The first wish of each payer: two would spend the same coins."""
    kept = np.sort(np.unique(wish.payer, return_index=True)[1])
    sizes = np.diff(wish.first)[kept]
    paid = _ranges(wish.first[:-1][kept], sizes)
    return Wish(wish.payer[kept], wish.kind[kept], _offsets(sizes), wish.payee[paid], wish.amount[paid])


def _ranges(begin: Ints, counts: Ints) -> Ints:
    """begin[0], begin[0] + 1, ... (counts[0] of them), begin[1], ..."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(begin - ends + counts, counts)


def _offsets(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _together(parts: list[Made]) -> Made:
    """One after another."""
    if not parts:
        nothing, start = np.zeros(0, np.int64), np.zeros(1, np.int64)
        return Made(nothing, nothing, start, nothing, start, nothing, nothing, nothing, nothing)
    ins = _offsets(np.concatenate([np.diff(part.first_input) for part in parts]))
    outs = _offsets(np.concatenate([np.diff(part.first_output) for part in parts]))
    rest = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("kind", "fee", "inputs", "output", "owner", "address", "amount")
    }
    return Made(first_input=ins, first_output=outs, **rest)
