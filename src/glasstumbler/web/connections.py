"""All open connections of the servers: how many there are, who is waited for, who does not read.

A client can hold a server up by sending slowly, by not reading what it is sent, or by being many. So each connection
has a time by which its client must have sent what it began, and one by which it must have read what it asked for.
When there is no room for a new connection, the one whose client has been waited for longest makes room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from glasstumbler.limits import Limits

UNSENT_MOST = 128 * 2**20
"""Bytes of answers, over all connections, that clients have not read yet."""
SWEEP_SECONDS = 0.5
_UNREAD_AT_THE_END = 2
"""Seconds for it once the servers are stopping."""
_TRUSTED = ("127.0.0.1", "::1")


class Connection(Protocol):
    peer: str
    due: float | None
    """When the client must have sent what it began; None: nothing is expected, or the server has not yet answered."""
    unread_since: float | None

    def expire(self) -> None:
        """Say 408 where it can still be said, and close."""
        ...

    def drop(self) -> None:
        """Close at once, whatever was still to be sent."""
        ...

    def unsent(self) -> int: ...
    def held_back(self) -> bool:
        """Whether it is the server that does not read."""
        ...


class Connections:
    """`dropped` hears why a connection was closed from this side: crowded, slow, unread."""

    def __init__(self, limits: Limits, most: int, dropped: Callable[[str], None]) -> None:
        self.limits, self.stopping = limits, False
        self._most, self._dropped = most, dropped
        self._all: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        """Whose client is waited for, the longest first."""
        self._peers: Counter[str] = Counter()
        self._swept: float | None = None

    def __len__(self) -> int:
        return len(self._all)

    def opened(self, connection: Connection) -> None:
        peer = connection.peer
        full = peer not in _TRUSTED and self._peers[peer] >= self.limits.connections_per_peer
        if len(self._all) >= self._most and not full:
            oldest = next(iter(self._waiting), None)
            full = oldest is None
            if oldest is not None:
                self._end(oldest, "crowded")
        self._all.add(connection)
        self._peers[peer] += 1
        self.waits(connection)
        if full:
            self._end(connection, "crowded")

    def closed(self, connection: Connection) -> None:
        if connection not in self._all:
            return
        self._all.discard(connection)
        self._waiting.pop(connection, None)
        self._peers[connection.peer] -= 1
        if not self._peers[connection.peer]:
            del self._peers[connection.peer]

    def waits(self, connection: Connection) -> None:
        """For its client: for a request, or for the rest of one."""
        self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """On a request that was read whole."""
        self._waiting.pop(connection, None)

    def lost(self, why: str) -> None:
        """A connection closes itself for a reason of its own."""
        self._dropped(why)

    def sweep(self, now: float) -> None:
        """Close what is overdue. Called every SWEEP_SECONDS; when that came late, the clients were not to blame."""
        late = 0 if self._swept is None else max(now - self._swept - SWEEP_SECONDS, 0)
        self._swept = now
        patience = _UNREAD_AT_THE_END if self.stopping else self.limits.unread_seconds
        unsent: list[tuple[int, Connection]] = []
        for connection in list(self._all):
            if connection.due is not None:
                connection.due += late
            if connection.due is not None and now > connection.due and not connection.held_back():
                self._dropped("slow")
                connection.expire()
            if size := connection.unsent():
                connection.unread_since = connection.unread_since or now
                if now - connection.unread_since > patience:
                    self._end(connection, "unread")
                else:
                    unsent.append((size, connection))
            else:
                connection.unread_since = None
        self._bound(unsent)

    def _bound(self, unsent: list[tuple[int, Connection]]) -> None:
        """Who has most to read goes first."""
        total = sum(size for size, _ in unsent)
        if total <= UNSENT_MOST:
            return
        for size, connection in sorted(unsent, key=lambda each: -each[0]):
            self._end(connection, "unread")
            total -= size
            if total <= UNSENT_MOST:
                return

    def _end(self, connection: Connection, why: str) -> None:
        self._dropped(why)
        self.closed(connection)
        connection.drop()
