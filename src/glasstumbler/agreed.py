"""What all processes of one laboratory agree on: its time, what it tells the services to do wrong, its price.

The time is kept in the record always; mischief and price only where several processes work on one record, and there
each looks before each turn. Alone, a restart ends them.
"""

from __future__ import annotations

from functools import partial

import msgspec

from glasstumbler.behaviour import Behaviour, Behaviours
from glasstumbler.clock import Clock
from glasstumbler.engine import price
from glasstumbler.engine.ledger import LAB, Entry
from glasstumbler.engine.policy import SwapPolicy
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records

_OFFSET, _PRICE, _BEHAVIOUR = "clock offset", "price", "behaviour:"


class Rates:
    """The price of 1 XMR: a seeded walk over time, until the laboratory sets it."""

    def __init__(self, seed: bytes, clock: Clock) -> None:
        self._seed, self._clock = seed, clock
        self.fixed: int | None = None

    def rate(self, swap: SwapPolicy) -> int:
        if self.fixed is not None:
            return self.fixed
        return price.rate(self._seed, self._clock.now(), swap.base_rate, swap.swing_ppm)


class Agreed:
    def __init__(self, store: Store, clock: Clock, behaviours: Behaviours, rates: Rates) -> None:
        self._store, self._clock, self._behaviours, self._rates = store, clock, behaviours, rates
        self._heard: dict[str, str] = {}
        """What was last set, so that answers that were given already are not owed again."""
        self._clock.restore(int(self._store.read(lambda records: records.meta(_OFFSET)) or 0))

    def follow(self) -> None:
        """Take over what other processes have set."""
        if not self._store.shared:
            return
        for key, value in self._store.read(_all).items():
            if self._heard.get(key) != value:
                self._heard[key] = value
                self._hear(key, value)

    def advance(self, seconds: int) -> None:
        self._clock.restore(self._store.write(partial(_advance, seconds, self._clock.now() - self._clock.offset)))

    def behave(self, slug: str, behaviour: Behaviour) -> None:
        self._behaviours.set(slug, behaviour)
        self._tell(f"{_BEHAVIOUR}{slug}", msgspec.json.encode(behaviour).decode())

    def set_price(self, rate: int | None) -> None:
        self._rates.fixed = rate
        self._tell(_PRICE, "" if rate is None else str(rate))

    def _tell(self, key: str, value: str) -> None:
        if self._store.shared:
            self._heard[key] = value
            self._store.write(partial(_set, key, value, self._clock.now()))

    def _hear(self, key: str, value: str) -> None:
        if key == _OFFSET:
            self._clock.restore(max(int(value), self._clock.offset))
        elif key == _PRICE:
            self._rates.fixed = int(value) if value else None
        elif key.startswith(_BEHAVIOUR):
            self._behaviours.set(key.removeprefix(_BEHAVIOUR), msgspec.json.decode(value, type=Behaviour))


def _set(key: str, value: str, now: int, records: Records) -> None:
    records.set_meta(key, value)
    records.append(Entry("set", now, LAB, detail={key: value}))


def _advance(seconds: int, unmoved: int, records: Records) -> int:
    """`unmoved`: what the clock shows without an offset."""
    offset = int(records.meta(_OFFSET) or 0) + seconds
    records.set_meta(_OFFSET, str(offset))
    records.append(Entry("time", unmoved + offset, LAB, detail={"seconds": seconds}))
    return offset


def _all(records: Records) -> dict[str, str]:
    return {str(key): str(value) for key, value in records.rows("SELECT key, value FROM meta")}
