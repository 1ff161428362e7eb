"""How a laboratory is: of one that runs, and of a folder on which none runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from glasstumbler import __version__
from glasstumbler.chains.base import LabChain
from glasstumbler.clock import RealClock
from glasstumbler.errors import NodeAway
from glasstumbler.house import House
from glasstumbler.store.counts import Counts, count
from glasstumbler.store.url import reading

_TURN_SECONDS = 60
"""A house whose last turn ended longer ago is not ready."""


class ChainCondition(msgspec.Struct, frozen=True):
    coin: str
    height: int | None
    """Of the chain; None where it does not run."""
    recorded: int
    """Of the last block that the record has taken in."""
    away: str | None = None
    """Why its node does not answer."""

    @property
    def lag(self) -> int:
        return 0 if self.height is None else max(self.height - self.recorded, 0)


class Condition(msgspec.Struct, frozen=True):
    """`due_lag`: seconds since something should have been done. `queue`: units of work that wait for the store's
    writer. `since_turn`: seconds since the last turn came to rest. What only a running laboratory knows is None."""

    running: bool
    not_ready: tuple[str, ...]
    version: str
    orders: Mapping[str, Mapping[str, int]]
    """By service and state."""
    payouts: Mapping[str, int]
    """Payments that are not settled, by coin."""
    chains: tuple[ChainCondition, ...]
    due_lag: int
    entries: int
    head: str
    uptime: int | None = None
    since_turn: float | None = None
    queue: int | None = None


def of_house(house: House, began: float, turning: bool) -> Condition:
    """`began`: the monotonic time at which it was opened. Reads the record: for threads, not for the event loop."""
    counts = house.store.read(count)
    now, turned = time.monotonic(), house.metrics.turned
    since = None if turned is None else round(now - turned, 3)
    return Condition(
        running=True,
        not_ready=("no turn has come to rest lately",) if turning and _stale(house, now) else (),
        version=__version__,
        orders=counts.orders,
        payouts=counts.payouts,
        chains=tuple(_chain(chain, counts.heights.get(coin, 0)) for coin, chain in house.chains.items()),
        due_lag=_due_lag(counts, house.clock.now()),
        entries=counts.entries,
        head=counts.head,
        uptime=int(now - began),
        since_turn=since,
        queue=house.store.waiting(),
    )


def of_record(place: str | Path) -> Condition:
    """StoreError if there is no record, or it cannot be read."""
    with reading(place) as records:
        counts = count(records)
        clock = RealClock()
        clock.restore(int(records.meta("clock offset") or 0))
    chains = tuple(ChainCondition(coin, None, height) for coin, height in sorted(counts.heights.items()))
    due = _due_lag(counts, clock.now())
    return Condition(
        False, ("not running",), __version__, counts.orders, counts.payouts, chains, due, counts.entries, counts.head
    )  # fmt: skip


def _chain(chain: LabChain, recorded: int) -> ChainCondition:
    try:
        return ChainCondition(chain.coin, chain.tip()[0], recorded)
    except NodeAway as error:
        return ChainCondition(chain.coin, None, recorded, str(error))


def _stale(house: House, now: float) -> bool:
    turned = house.metrics.turned
    return turned is None or now - turned > _TURN_SECONDS


def _due_lag(counts: Counts, now: int) -> int:
    return 0 if counts.oldest_due is None else max(now - counts.oldest_due, 0)
