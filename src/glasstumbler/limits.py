"""Limits on clients: what the servers hold at once and how long they wait; and the documented rate limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Annotated

import msgspec

from glasstumbler.clock import Clock
from glasstumbler.errors import TooManyRequests

_MOST_PEERS = 10_000
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the hub and the services together. Times are seconds."""

    connections: Positive = 4_000
    """Past it, the connection whose client has kept the server waiting longest makes room."""
    connections_per_peer: Positive = 1_000
    """127.0.0.1 and ::1 excepted: a proxy in front of the servers may stand there."""
    requests: Positive = 1_000
    """Being worked on; past it the answer is 503 with Retry-After."""
    head_seconds: Positive = 10
    """For a request's line and headers, from the connection or their first byte on."""
    body_seconds: Positive = 30
    keep_alive_seconds: Positive = 30
    request_seconds: Positive = 30
    """For the answer of a service, before it is 503."""
    unread_seconds: Positive = 60
    """For an answer that the client does not read."""
    stop_seconds: Positive = 10
    """For requests that were read when the servers are stopped."""


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
                del self._seen[next(iter(self._seen))]  # who came first is forgotten first
            times = self._seen[name, peer] = deque()
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= count:
            raise TooManyRequests(f"at most {count} requests in {seconds} s", times[0] + seconds - now)
        times.append(now)
