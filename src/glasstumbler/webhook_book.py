"""Who is told of what happens, and how far each has been told: DATA/webhooks.db, beside the record and not of it.

Telling is no fact of the laboratory: an entry for each delivery would itself have to be told. So this is a file of its
own. Without it nothing is lost but the list of who listens. Processes on one folder share it; it is made when
somebody first wants to be told.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from glasstumbler.errors import StoreError

NAME: Final = "webhooks.db"
LOGGED: Final = 200
"""Deliveries that are remembered of each endpoint."""
LIVE, DEAD = "live", "dead"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS endpoint (
  id TEXT PRIMARY KEY, url TEXT NOT NULL, events TEXT NOT NULL, cursor INTEGER NOT NULL, state TEXT NOT NULL,
  attempts INTEGER NOT NULL, next_try REAL NOT NULL, why TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (
  number INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, message TEXT NOT NULL, event TEXT NOT NULL,
  at REAL NOT NULL, attempt INTEGER NOT NULL, status INTEGER, why TEXT NOT NULL, milliseconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS delivery_of ON delivery (endpoint, number);
"""
_NOTE: Final = (
    "INSERT INTO delivery (endpoint, message, event, at, attempt, status, why, milliseconds) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FORGET: Final = (
    "DELETE FROM delivery WHERE endpoint = ? AND number <= "
    "(SELECT number FROM delivery WHERE endpoint = ? ORDER BY number DESC LIMIT 1 OFFSET ?)"
)
_NEWEST: Final = (
    "SELECT endpoint, message, event, at, attempt, status, why, milliseconds FROM delivery ORDER BY number DESC LIMIT ?"
)


class Endpoint(NamedTuple):
    id: str
    url: str
    events: tuple[str, ...]
    """Kinds that are told; none: all."""
    cursor: int
    """Number of the last entry that has been told whole."""
    state: str
    attempts: int
    """Failures in a row, of the message that is next."""
    next_try: float
    """Epoch seconds of the machine's clock."""
    why: str
    """What went wrong last; "" if nothing."""


class Delivery(NamedTuple):
    endpoint: str
    message: str
    event: str
    at: float
    attempt: int
    status: int | None
    why: str
    milliseconds: float


class Book:
    """Safe for threads and processes. `folder` None: in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / NAME if folder else None
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def add(self, url: str, events: Sequence[str], cursor: int) -> Endpoint:
        made = Endpoint(f"ep_{secrets.token_hex(6)}", url, tuple(events), cursor, LIVE, 0, 0, "")
        values = (made.id, url, json.dumps(events), cursor, LIVE, 0, 0, "")
        self._run("INSERT INTO endpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return made

    def all(self) -> list[Endpoint]:
        if self._open is None and (self._path is None or not self._path.exists()):
            return []
        return [_endpoint(row) for row in self._run("SELECT * FROM endpoint ORDER BY rowid")]

    def get(self, name: str) -> Endpoint | None:
        return next((each for each in self.all() if each.id == name), None)

    def remove(self, name: str) -> None:
        self._run("DELETE FROM endpoint WHERE id = ?", (name,))
        self._run("DELETE FROM delivery WHERE endpoint = ?", (name,))

    def told(self, name: str, cursor: int) -> None:
        """Up to this entry; whatever failed before is over."""
        sql = "UPDATE endpoint SET cursor = ?, attempts = 0, next_try = 0, why = '' WHERE id = ?"
        self._run(sql, (cursor, name))

    def failed(self, name: str, attempts: int, next_try: float, why: str, dead: bool) -> None:
        sql = "UPDATE endpoint SET attempts = ?, next_try = ?, why = ?, state = ? WHERE id = ?"
        self._run(sql, (attempts, next_try, why, DEAD if dead else LIVE, name))

    def revive(self, name: str) -> None:
        """It goes on behind the last entry that it was told."""
        self._run("UPDATE endpoint SET state = ?, attempts = 0, next_try = 0, why = '' WHERE id = ?", (LIVE, name))

    def note(self, delivery: Delivery) -> None:
        self._run(_NOTE, delivery)
        self._run(_FORGET, (delivery.endpoint, delivery.endpoint, LOGGED))

    def deliveries(self, limit: int = LOGGED) -> list[Delivery]:
        """Newest first."""
        if not self.all():
            return []
        return [Delivery(*row) for row in self._run(_NEWEST, (limit,))]

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                if self._open is None:
                    self._open = _opened(self._path)
                return self._open.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{NAME} cannot be used: {error}") from None


def _opened(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        with suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)
    opened = sqlite3.connect(path or ":memory:", timeout=5, isolation_level=None, check_same_thread=False)
    opened.execute("PRAGMA journal_mode = WAL")
    opened.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes is told once more
    opened.executescript(_TABLES)
    return opened


def _endpoint(row: Sequence[Any]) -> Endpoint:
    return Endpoint(row[0], row[1], tuple(json.loads(row[2])), row[3], row[4], row[5], row[6], row[7])
