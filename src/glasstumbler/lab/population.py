"""Customers by habit, drawn from a seed as whole arrays: who orders when, what, where, and how they pay.

Integers only, from PCG64, one stream for each purpose: the same numbers on any machine, and a new column changes no
other. An array's index is the order's number. Nothing here knows who drives the orders.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from glasstumbler.lab.scenario import DAY, Amounts, Scenario, units

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
MOST_PAYOUTS: Final = 5
WHOLE: Final = 1000
"""An order's shares, per mille."""
RHYTHM: Final = (3, 2, 2, 1, 1, 2, 3, 5, 7, 8, 9, 9, 8, 8, 9, 9, 10, 10, 11, 12, 12, 10, 7, 5)
"""Weight of each hour of the day, UTC."""
_HOUR: Final = 3600


class Funding(IntEnum):
    """In the order of the scenario's table."""

    ONE = 0
    SEVERAL = 1
    LATE = 2
    SHORT = 3
    EXCESS = 4


class Population(NamedTuple):
    """By order, first come first."""

    when: Ints
    """Seconds from the beginning, rising."""
    volume: Ints
    """Orders a day in its phase."""
    customer: Ints
    service: Ints
    """Index of scenario.Services' fields."""
    coin: Ints
    """Index of scenario.Coins' fields, for bestmixer's orders."""
    amount: Ints
    """Base units of the coin; swaps: sat."""
    payouts: Ints
    shares: Ints
    """(orders, MOST_PAYOUTS), per mille; 0 beyond `payouts`."""
    delay_hours: Ints
    """Of the order, or of its last payout where each has its own."""
    exact: Flags
    code: Flags
    """Comes back under the customer's code, if there is one."""
    reuse: Flags
    """Is paid where an earlier order was."""
    lightning: Flags
    partial: Flags
    """Content with what a short payment buys."""
    fee_ppm: Ints
    """That bestmixer's customer chooses."""
    funding: Ints
    wait: Ints
    """Seconds from the order to its first deposit."""
    pieces: Ints
    """Deposits, where there are several."""
    part: Ints
    """Per mille of what is asked: short below, excess above."""

    def __len__(self) -> int:
        return len(self.when)


def customers(scenario: Scenario, orders: int) -> int:
    """How many there are."""
    return max(1, orders // scenario.customers.orders_each)


def stream(seed: int, *purpose: object) -> np.random.Generator:
    """A generator of its own for each purpose."""
    digest = sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def choose(rng: np.random.Generator, weights: tuple[int, ...], count: int) -> Ints:
    """Indices, as frequent as their weights."""
    edges = np.cumsum(np.array(weights, np.int64))
    return np.searchsorted(edges, rng.integers(0, int(edges[-1]), count), side="right").astype(np.int64)


def spread(rng: np.random.Generator, least: int, most: int, count: int) -> Ints:
    """From `least` to `most`, every doubling equally frequent."""
    edges = [least]
    while edges[-1] < most:
        edges.append(min(edges[-1] * 2, most))
    if len(edges) == 1:
        return np.full(count, least, np.int64)
    low = np.array(edges, np.int64)
    at = rng.integers(0, len(edges) - 1, count)
    return rng.integers(low[at], low[at + 1] + (at == len(edges) - 2))


def population(scenario: Scenario, orders: int, seed: int) -> Population:
    """SettingsError if so many take too long."""
    habits, people = scenario.customers, customers(scenario, orders)

    def draw(purpose: str) -> np.random.Generator:
        return stream(seed, "population", purpose)

    def share(purpose: str, percent: int) -> Flags:
        return draw(purpose).integers(0, 100, orders) < percent

    when, volume = _arrivals(scenario, orders, draw("arrivals"))
    who = draw("customer")
    customer = np.minimum(who.integers(0, people, orders), who.integers(0, people, orders))
    service = _services(scenario, customer, people, draw("service"), share("loyal", habits.loyal))
    coin = choose(draw("coin"), _or_first(msgspec.structs.astuple(scenario.coins)), orders)
    lightning = share("lightning", habits.lightning) & (service == _XMRTO)
    payouts = draw("payouts").integers(1, habits.most_payouts, orders, endpoint=True)
    payouts[service == _XMRTO] = 1
    hours = draw("delay").integers(1, habits.most_delay_hours, orders, endpoint=True)
    funding = choose(draw("funding"), msgspec.structs.astuple(scenario.funding), orders)
    part = np.full(orders, WHOLE, np.int64)
    part[funding == Funding.SHORT] = draw("short").integers(200, 900, orders)[funding == Funding.SHORT]
    part[funding == Funding.EXCESS] = draw("excess").integers(1010, 1200, orders)[funding == Funding.EXCESS]
    return Population(
        when=when,
        volume=volume,
        customer=customer,
        service=service,
        coin=coin,
        amount=_amounts(scenario.amounts, service, coin, lightning, draw("amount")),
        payouts=payouts,
        shares=_shares(payouts, draw("shares")),
        delay_hours=np.where(share("delayed", habits.delayed), hours, 0),
        exact=share("exact", habits.exact),
        code=share("code", habits.code),
        reuse=share("reuse", habits.reuse),
        lightning=lightning,
        partial=share("partial", habits.partial),
        fee_ppm=draw("fee").integers(300, 500, orders, endpoint=True) * 100,
        funding=funding,
        wait=draw("wait").integers(60, habits.most_wait_minutes * 60, orders, endpoint=True),
        pieces=draw("pieces").integers(2, 4, orders, endpoint=True),
        part=part,
    )


_XMRTO: Final = 4


def _or_first(weights: tuple[int, ...]) -> tuple[int, ...]:
    """All 0 where no order asks."""
    return weights if any(weights) else (1,)


def _arrivals(scenario: Scenario, orders: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """A Poisson process with a daily rhythm, given how many came: their times are then independent draws. The last
    day of a phase is cut off where the phase ends."""
    begin, times, volumes = 0, [], []
    for volume, count, seconds in scenario.days(orders):
        edges = _hours(begin, seconds)
        hour = choose(rng, tuple(weight for _, _, weight in edges), count)
        low = np.array([edge[0] for edge in edges], np.int64)[hour]
        high = np.array([edge[1] for edge in edges], np.int64)[hour]
        times.append(np.sort(rng.integers(low, high)) if count else np.zeros(0, np.int64))
        volumes.append(np.full(count, volume, np.int64))
        begin += seconds
    return np.concatenate(times), np.concatenate(volumes)


def _hours(begin: int, seconds: int) -> list[tuple[int, int, int]]:
    """(first second, end, weight) of each hour in a span; what is left of an hour weighs its part."""
    found, at, end = [], begin, begin + max(seconds, 1)
    while at < end:
        until = min(end, at - at % _HOUR + _HOUR)
        found.append((at, until, RHYTHM[at % DAY // _HOUR] * (until - at)))
        at = until
    return found


def _services(scenario: Scenario, customer: Ints, people: int, rng: np.random.Generator, loyal: Flags) -> Ints:
    """Everybody's favourite, and now and then another one."""
    weights = msgspec.structs.astuple(scenario.services)
    favourite = choose(rng, weights, people)[customer]
    return np.where(loyal, favourite, choose(rng, weights, len(customer)))


def _amounts(ranges: Amounts, service: Ints, coin: Ints, lightning: Flags, rng: np.random.Generator) -> Ints:
    """Each kind of order has its range."""
    kind = np.where(service == 0, coin, 0)
    kind[service == _XMRTO] = 4
    kind[lightning] = 5
    found = np.zeros(len(service), np.int64)
    for number, name in enumerate(ranges.__struct_fields__):
        least, most = units(name, getattr(ranges, name), {"swap": "btc", "lightning": "btc"}.get(name, name))
        drawn = spread(rng, least, most, len(service))
        found[kind == number] = drawn[kind == number]
    return found


def _shares(payouts: Ints, rng: np.random.Generator) -> Ints:
    """At least half of an equal share each, and the rest by chance; they add up."""
    raw = rng.integers(1, 100, (len(payouts), MOST_PAYOUTS))
    raw[np.arange(MOST_PAYOUTS)[None, :] >= payouts[:, None]] = 0
    least = WHOLE // (2 * payouts)
    rest = WHOLE - least * payouts
    found: Ints = raw * rest[:, None] // raw.sum(axis=1)[:, None] + np.where(raw > 0, least[:, None], 0)
    found[:, 0] += WHOLE - found.sum(axis=1)
    return found
