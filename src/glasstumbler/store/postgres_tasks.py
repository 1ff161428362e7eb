"""Tasks that one process at a time does: each is a row, and whoever has it holds a lock on the row.

The lock lives as long as a transaction of its own connection. It goes when the process dies; and since the transaction
is idle, the server ends it soon after the process stands still. A thread keeps the transactions of a living process
from looking idle.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from glasstumbler.errors import StoreError
from glasstumbler.store.postgres_link import Link, Pool, Server, told

_SETTINGS = {
    "idle_in_transaction_session_timeout": "8s",
    "lock_timeout": "1s",
    "statement_timeout": "5s",
    "synchronous_commit": "off",  # a lock on a row leaves nothing that would have to outlive the server
}
_PATIENCE = 8
_BEAT_SECONDS = 2


class Tasks:
    def __init__(self, server: Server) -> None:
        self._pool = Pool(server, _PATIENCE, **_SETTINGS)
        self._lock = threading.Lock()
        self._held: set[Link] = set()
        self._known: set[str] = set()
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    @contextmanager
    def hold(self, name: str, wait: bool) -> Iterator[bool]:
        with self._pool.link() as link:
            try:
                self._make(link, name)
                held = self._take(link, name, wait)
            except psycopg.Error as error:
                link.close()
                raise StoreError(f"cannot take the task {name!r}: {told(error)}") from None
            try:
                yield held
            except BaseException:
                with suppress(psycopg.Error):
                    self._give_up(link)
                raise
            try:
                self._give_up(link)
            except psycopg.Error as error:
                link.close()
                raise StoreError(f"the task {name!r} was lost on the way: {told(error)}") from None

    def close(self) -> None:
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
        self._pool.drain()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _make(self, link: Link, name: str) -> None:
        if name not in self._known:
            link.execute("INSERT INTO task (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (name,))
            self._known.add(name)

    def _take(self, link: Link, name: str, wait: bool) -> bool:
        """Waiting goes by the second, so that a store that is closed meanwhile ends it."""
        sql = "SELECT name FROM task WHERE name = ? FOR UPDATE" + ("" if wait else " SKIP LOCKED")
        while not self._stop.is_set():
            link.script("BEGIN")
            try:
                held = link.execute(sql, (name,)).fetchone() is not None
            except psycopg.errors.LockNotAvailable:
                link.script("ROLLBACK")
                continue
            if held:
                self._keep(link)
            else:
                link.script("ROLLBACK")
            return held
        raise StoreError("the store is closed")

    def _keep(self, link: Link) -> None:
        with self._lock:
            self._held.add(link)
            if self._heart is None:
                self._heart = threading.Thread(target=self._beat, name="store-tasks", daemon=True)
                self._heart.start()

    def _give_up(self, link: Link) -> None:
        with self._lock:
            self._held.discard(link)
        if link.in_transaction:
            link.script("COMMIT")

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_SECONDS):
            with self._lock:
                held = list(self._held)
            for link in held:
                with suppress(psycopg.Error):  # whoever holds it learns it at the end of the block
                    link.script("SELECT 1")
