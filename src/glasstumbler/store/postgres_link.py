"""Reaching a PostgreSQL server: its address, its connections, and what went wrong in one line without the password."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown

from glasstumbler.errors import SettingsError, StoreError

T = TypeVar("T")
Row = tuple[Any, ...]
Settings = Mapping[str, str | int]
"""Of a session, by PostgreSQL's names."""
_CONNECT: Mapping[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,  # milliseconds
    "application_name": "glasstumbler",
}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_IDLE = 4
"""Connections that are kept for the next one who needs one."""
_FIRST_CHUNK, _CHUNK = 20, 2_000
"""Rows that a stream brings at once: few to begin with, since often the first is all that is looked at."""
_MEND = (
    (r"refused|No such file", "is PostgreSQL running there?"),
    (r"password|pg_hba|authentication", "check user and password (a file ~/.pgpass can hold it)"),
    (r"database \S+ does not exist", "make it with `createdb`"),
    (r"role \S+ does not exist", "check the user"),
    (r"too many|connection slots", "raise its max_connections, or run fewer processes"),
    (r"timeout expired|translate host name|resolve host|unreachable", "check host and port"),
    (r"permission denied", "the user must own the database"),
    (r"read-only", "it is a standby, or set to read only: name a server that takes changes"),
)
"""What the server says, as a pattern, and what to do."""


class Address:
    """SettingsError if it cannot be one. `name` tells it without user and password."""

    def __init__(self, url: str) -> None:
        try:
            self.parts: dict[str, Any] = {**_CONNECT, **conninfo_to_dict(url)}
        except psycopg.Error:
            self.parts = {}
        host, database = str(self.parts.get("host", "")), str(self.parts.get("dbname", ""))
        if not self.parts or re.search(r"[@/]", database):  # a wild character in the password shifts what follows
            raise SettingsError(
                "the store's address is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE; "
                "in a name or a password, write characters other than letters and digits as %XX"
            )
        self.name = f"postgresql://{host}:{self.parts.get('port', 5432)}/{database}"


class _Connection(psycopg.Connection[Row]):
    """Gives up a server that says nothing for longer than `patience` seconds: one that is frozen keeps its connections
    open."""

    patience: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        limit, began = timeout or self.patience, time.monotonic()
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if limit is None or time.monotonic() - began < limit:
                raise
            self.close()
            raise psycopg.OperationalError(f"the server has not answered for {limit:.0f} s") from None


class Link:
    """One connection as the record needs it, with `?` placeholders."""

    def __init__(self, raw: psycopg.Connection[Row]) -> None:
        self.raw = raw
        self._names = count(1)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> psycopg.Cursor[Row]:
        return self.raw.execute(_numbered(sql), values or None, binary=True)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if len(rows) == 1:
            self.execute(sql, rows[0])
            return
        self.raw.cursor().executemany(_numbered(sql), rows)
        # The driver's pipeline ends with a message that stops the server's clock for idle transactions. Any statement
        # sets it going again; without one, a process that stands still here would keep its locks for good.
        self.script("SELECT 1")

    def stream(self, sql: str, values: Sequence[Any] = ()) -> Iterable[Row]:
        return self._chunks(sql, values) if self.in_transaction else self.execute(sql, values)

    def _chunks(self, sql: str, values: Sequence[Any]) -> Iterator[Row]:
        with psycopg.RawServerCursor(self.raw, f"rows{next(self._names)}") as cursor:
            cursor.execute(_numbered(sql), values or None, binary=True)
            size = _FIRST_CHUNK
            while rows := cursor.fetchmany(size):
                yield from rows
                size = _CHUNK

    def script(self, sql: str) -> str:
        """Several statements in one message; what the last one answers."""
        return self.raw.execute(sql.encode(), prepare=False).statusmessage or ""

    @property
    def in_transaction(self) -> bool:
        return self.raw.info.transaction_status is not TransactionStatus.IDLE

    def lost(self, error: psycopg.Error) -> bool:
        """Whether the server has ended the connection, or nobody knows."""
        state = error.sqlstate or ""
        return self.raw.closed or state[:3] == "57P" or state[:2] == "08" or state == "25P03"

    def close(self) -> None:
        with suppress(psycopg.Error):
            self.raw.close()


class Server:
    """Makes connections. After a failure it is not asked again for a moment: whoever comes then is told at once."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._pause, self._again, self._problem = _FIRST_PAUSE, 0.0, ""

    def connect(self, patience: float | None, **settings: str | int) -> Link:
        """StoreError if there is no connection to be had. `patience`: seconds after which a server that says nothing is
        given up; None: never."""
        with self._lock:
            if time.monotonic() < self._again:
                raise StoreError(self._problem)
        try:
            raw = _Connection.connect(**self.address.parts, autocommit=True, cursor_factory=psycopg.RawCursor)
            raw.patience = patience
            link = Link(raw)
            if settings:
                link.script("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))
        except psycopg.Error as error:
            raise self._failed(error) from None
        raw.adapters.register_dumper(int, Int8Dumper)  # one type whatever the number: one prepared statement
        raw.adapters.register_dumper(str, _Text)
        with self._lock:
            self._pause, self._again = _FIRST_PAUSE, 0.0
        return link

    def _failed(self, error: psycopg.Error) -> StoreError:
        with self._lock:
            self._problem = f"cannot reach the store {self.address.name}: {told(error)}"
            self._again = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return StoreError(self._problem)


class Pool:
    """Connections for short use, each with the same settings."""

    def __init__(self, server: Server, patience: float, **settings: str | int) -> None:
        self._server, self._patience, self._settings = server, patience, settings
        self._lock = threading.Lock()
        self._idle: list[Link] = []

    @contextmanager
    def link(self) -> Iterator[Link]:
        """Kept for the next one if it is left in good order."""
        with self._lock:
            link = self._idle.pop() if self._idle else None
        link = link or self._server.connect(self._patience, **self._settings)
        try:
            yield link
        finally:
            with self._lock:
                keep = not link.raw.closed and not link.in_transaction and len(self._idle) < _IDLE
                if keep:
                    self._idle.append(link)
            if not keep:
                link.close()

    def drain(self) -> None:
        """Close what is idle: after one connection broke, the others have too."""
        with self._lock:
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()


class _Text(StrDumperUnknown):
    """PostgreSQL has no text with a zero in it, so no column holds one, and a search for one must find nothing."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd"))


def told(error: psycopg.Error) -> str:
    """What went wrong and how to mend it, in one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = re.sub(r"^(connection failed: )?(connection to server .*? failed: )?((FATAL|ERROR): +)?", "", lines[0])
    mends = (mend for pattern, mend in _MEND if re.search(pattern, text, re.IGNORECASE))
    mend = next(mends, "")
    return f"{text} ({mend})" if mend else text


@lru_cache(maxsize=1_000)
def _numbered(sql: str) -> bytes:
    """With PostgreSQL's placeholders: $1, $2, ..."""
    parts = sql.split("?")
    return "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1)).encode() + parts[-1].encode()
