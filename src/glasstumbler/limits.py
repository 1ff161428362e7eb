"""Documented rate limits, counted for each peer on the laboratory's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from glasstumbler.clock import Clock
from glasstumbler.errors import TooManyRequests

_MOST_PEERS = 10_000


class Limiter:
    """So many requests in so many seconds, by limit and peer (the socket's, never a header's)."""

    def __init__(self, limits: Mapping[str, tuple[int, int]], clock: Clock) -> None:
        self._limits, self._clock = limits, clock
        self._seen: dict[tuple[str, str], deque[int]] = {}

    def take(self, name: str | None, peer: str) -> None:
        """TooManyRequests if the peer has used up this limit."""
        if name is None or name not in self._limits:
            return
        count, seconds = self._limits[name]
        now = self._clock.now()
        times = self._seen.get((name, peer))
        if times is None:
            if len(self._seen) >= _MOST_PEERS:
                self._seen.clear()
            times = self._seen[name, peer] = deque()
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= count:
            raise TooManyRequests(f"at most {count} requests in {seconds} s", times[0] + seconds - now)
        times.append(now)
