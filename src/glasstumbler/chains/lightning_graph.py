"""The channels of the Lightning model: which routes a payment can take, how likely each is to carry it, what it costs.

Amounts are millisatoshi. A channel's capacity is public, how it is split between its two sides is not: a payer knows
the split of their own channels only. So the chance that another channel carries an amount is taken as uniform over
its capacity, (capacity + 1 - amount) / (capacity + 1), and that of a route is the product over its channels
(Pickhardt, Tikhomirov, Biryukov, Nowostawski 2021, "Security and Privacy of Lightning Network Payments with Uncertain
Channel Balances").
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

SAT: Final = 1000
_MSAT_PER_BTC: Final = 100_000_000 * SAT
_HUB_CAPACITIES: Final = (2, 4, 8)
_OWN_CAPACITY: Final = 20
"""BTC: of channels between hubs, and of those that a service or the lab opens."""
_BASE_MSAT: Final = (0, 1000)
_PPM: Final = (1, 500)
_CHORDS: Final = 2
_OWN_CHANNELS: Final = 3
_MOST_ROUTES: Final = 8


class Channel(msgspec.Struct):
    """Between nodes `a` and `b`. `balance` is what `a` can send to `b`; `b` can send the rest of the capacity."""

    number: int
    a: str
    b: str
    capacity: int
    balance: int
    base_msat: int
    ppm: int

    def other(self, node: str) -> str:
        return self.b if node == self.a else self.a

    def sendable(self, node: str) -> int:
        return self.balance if node == self.a else self.capacity - self.balance

    def move(self, node: str, amount: int) -> None:
        """From `node` to the other side."""
        self.balance += -amount if node == self.a else amount

    def fee(self, amount: int) -> int:
        """For forwarding an amount (BOLT 7: fee_base_msat, fee_proportional_millionths)."""
        return self.base_msat + amount * self.ppm // 1_000_000


class Hop(NamedTuple):
    """`node` sends `amount` through `channel`."""

    node: str
    channel: Channel
    amount: int


class Path(NamedTuple):
    """From payer to payee; what the first hop sends above what the last one does is the fee."""

    hops: tuple[Hop, ...]
    probability: float

    @property
    def fee(self) -> int:
        return self.hops[0].amount - self.hops[-1].amount

    def has_liquidity(self) -> bool:
        """What nobody but the channels' owners knows."""
        return all(hop.channel.sendable(hop.node) >= hop.amount for hop in self.hops)


class Graph:
    """Not safe from several threads. `hidden` nodes do not announce their channels: they pay and are paid, but carry
    nobody else's payments, which would mix with what they hold themselves."""

    def __init__(self, channels: Iterable[Channel] = (), hidden: Collection[str] = ()) -> None:
        self._hidden = frozenset(hidden)
        self.channels: list[Channel] = []
        self._at: dict[str, list[Channel]] = {}
        for channel in channels:
            self.add(channel)

    def add(self, channel: Channel) -> None:
        self.channels.append(channel)
        self._at.setdefault(channel.a, []).append(channel)
        self._at.setdefault(channel.b, []).append(channel)

    def paths(self, payer: str, payee: str, amount: int) -> list[Path]:
        """Paths without a common channel, the likeliest first; none if no capacity suffices."""
        used: set[int] = set()
        found: list[Path] = []
        while len(found) < _MOST_ROUTES:
            trail = self._likeliest(payer, payee, amount, used)
            if not trail:
                break
            used |= {channel.number for _, channel in trail}
            found.append(Path(tuple(_priced(trail, amount)), self._probability(trail, payer, amount)))
        return sorted(found, key=lambda path: -path.probability)

    def _probability(self, trail: list[tuple[str, Channel]], payer: str, amount: int) -> float:
        return math.prod(_chance(channel, node, payer, amount) for node, channel in trail)

    def _likeliest(self, payer: str, payee: str, amount: int, used: Collection[int]) -> list[tuple[str, Channel]]:
        """Dijkstra over -log(chance): (sending node, channel) from payer to payee; empty if there is no way."""
        best: dict[str, float] = {payer: 0.0}
        came: dict[str, tuple[str, Channel]] = {}
        queue = [(0.0, payer)]
        while queue:
            cost, node = heapq.heappop(queue)
            if node == payee:
                break
            if cost > best[node] or (node != payer and node in self._hidden):
                continue
            for channel in self._at.get(node, ()):
                chance = 0.0 if channel.number in used else _chance(channel, node, payer, amount)
                reached, after = channel.other(node), cost - math.log(chance) if chance else math.inf
                if after < best.get(reached, math.inf):
                    best[reached], came[reached] = after, (node, channel)
                    heapq.heappush(queue, (after, reached))
        return list(_walk_back(came, payer, payee))[::-1]


def _chance(channel: Channel, node: str, payer: str, amount: int) -> float:
    if node == payer:
        return 1.0 if channel.sendable(node) >= amount else 0.0
    return max(channel.capacity + 1 - amount, 0) / (channel.capacity + 1)


def _walk_back(came: dict[str, tuple[str, Channel]], payer: str, payee: str) -> Iterator[tuple[str, Channel]]:
    node = payee
    while node != payer and node in came:
        step = came[node]
        yield step
        node = step[0]


def _priced(trail: list[tuple[str, Channel]], amount: int) -> list[Hop]:
    """Each node on the way keeps its fee, so amounts grow towards the payer."""
    hops: list[Hop] = []
    for node, channel in reversed(trail):
        hops.append(Hop(node, channel, amount))
        amount += channel.fee(amount)
    return hops[::-1]


def hub_channels(hubs: list[str], chance: random.Random) -> Iterator[Channel]:
    """A ring of hubs, and two further channels from each to others."""
    number = 0
    for at, hub in enumerate(hubs):
        others = [other for other in hubs if other != hub]
        for other in (hubs[(at + 1) % len(hubs)], *chance.sample(others, _CHORDS)):
            number += 1
            capacity = chance.choice(_HUB_CAPACITIES) * _MSAT_PER_BTC
            split = chance.randint(capacity // 4, 3 * capacity // 4)
            yield _channel(number, hub, other, capacity, split, chance)


def own_channels(node: str, hubs: list[str], first: int, sends: bool, chance: random.Random) -> Iterator[Channel]:
    """Channels of a new node to three hubs. It `sends` (a service has most of the balance) or receives (the lab)."""
    capacity = _OWN_CAPACITY * _MSAT_PER_BTC
    for offset, hub in enumerate(chance.sample(hubs, _OWN_CHANNELS)):
        share = capacity * 9 // 10 if sends else capacity // 10
        yield _channel(first + offset, node, hub, capacity, share, chance)


def _channel(number: int, a: str, b: str, capacity: int, balance: int, chance: random.Random) -> Channel:
    return Channel(number, a, b, capacity, balance, chance.randint(*_BASE_MSAT), chance.randint(*_PPM))
