"""Time and randomness come from objects that are handed in: same seed, same bytes.

Times are whole seconds since the epoch, UTC. A source of randomness is a `random.Random`:
`SystemChance()` where people are served, `random.Random(seed)` where a run must repeat.
"""

from __future__ import annotations

import os
import random
import struct
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

_PAGE = 512
GENESIS_TIME = 1_700_000_000
"""Where a virtual clock starts: 2023-11-14T22:13:20Z."""


class Clock(Protocol):
    offset: int
    """Seconds that the laboratory has advanced it by."""

    def now(self) -> int: ...
    def advance(self, seconds: int) -> int: ...
    def restore(self, offset: int) -> None:
        """Go on where an earlier run had advanced to."""
        ...


class RealClock:
    """The machine's time plus an offset that only grows: the laboratory's time travel goes forwards."""

    def __init__(self) -> None:
        self.offset = 0

    def now(self) -> int:
        return int(time.time()) + self.offset

    def advance(self, seconds: int) -> int:
        self.offset += seconds
        return self.now()

    def restore(self, offset: int) -> None:
        self.offset = offset


class VirtualClock:
    """Stands still until it is advanced."""

    def __init__(self, start: int = GENESIS_TIME) -> None:
        self._start, self.offset = start, 0

    def now(self) -> int:
        return self._start + self.offset

    def advance(self, seconds: int) -> int:
        self.offset += seconds
        return self.now()

    def restore(self, offset: int) -> None:
        self.offset = offset


@lru_cache(maxsize=1024)
def iso_offset(when: int) -> str:
    """2022-05-05T08:56:05+00:00, as the bearer services write it."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def iso_z(when: int) -> str:
    """2017-07-01T08:11:27Z, as XMR.to writes it."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SystemChance(random.SystemRandom):
    """The system's randomness, fetched in pages: a name draws many small numbers, each of them a call of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._ready: list[float] = []

    def random(self) -> float:
        """53 random bits as a float in [0, 1); safe from any thread."""
        while True:
            try:
                return self._ready.pop()
            except IndexError:
                page = struct.unpack(f"{_PAGE}Q", os.urandom(8 * _PAGE))
                self._ready.extend([(word >> 11) * 2.0**-53 for word in page])


def token(chance: random.Random, alphabet: str, length: int) -> str:
    return "".join(chance.choices(alphabet, k=length))
