"""The record in PostgreSQL, for several processes at once.

All writing transactions, of whichever process, stand in one order: each begins by taking one advisory lock. Each then
sees everything before it (READ COMMITTED), and entries follow one another without a gap.

A connection can break while the COMMIT is on its way, and then nobody knows whether the group stands. So each group
writes its random mark into a row of its process; afterwards the row tells.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeVar

import psycopg

from glasstumbler.errors import StoreError
from glasstumbler.store import migrations
from glasstumbler.store.base import Unit
from glasstumbler.store.groups import GroupStore, Outcome, Waiting, run_apart, run_together
from glasstumbler.store.postgres_link import Address, Link, Pool, Server, Settings, told
from glasstumbler.store.postgres_tasks import Tasks
from glasstumbler.store.records import Records

T = TypeVar("T")
_WRITER: Settings = {
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "8s",  # of a process that stands still inside its transaction
    "lock_timeout": "10s",
    "statement_timeout": "12s",
}
_READER: Settings = {"default_transaction_read_only": "on", "statement_timeout": "10s"}
_SNAPSHOT: Settings = {
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": 0,
    "statement_timeout": 0,
}
_PATIENCE = 15
"""Seconds for a server that says nothing; a little more than it has for a statement."""
_READERS = 4
"""Threads that read for the event loop."""
_LOCK = 0x676C617373
"""Of the writers; each schema of a database has its own, from its number."""
_DOUBT_SECONDS = 5
"""How long a commit's fate is looked for while the server is away."""
_BROKEN = (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError)
"""The server or the connection, not a unit."""


class PostgresStore(GroupStore):
    shared = True

    def __init__(self, url: str) -> None:
        """SettingsError for an address that cannot be one; StoreError if the database cannot be used."""
        super().__init__()
        self._server = Server(Address(url))
        self._id = uuid.uuid4().hex
        link = self._server.connect(None, **_WRITER)
        try:
            self._lock = _prepare(link, self._server.address.name)
        except psycopg.Error as error:
            raise StoreError(f"cannot prepare the store {self._server.address.name}: {told(error)}") from None
        finally:
            link.close()
        self._link: Link | None = None
        self._readers = Pool(self._server, _PATIENCE, **_READER)
        self._tasks = Tasks(self._server)
        self._threads = ThreadPoolExecutor(_READERS, "store-reader")
        self._begin_writing(self._commit, self._end)

    # -- writing --------------------------------------------------------------------------------------------------

    def _commit(self, group: list[Waiting]) -> list[Outcome]:
        """A group whose transaction was surely lost is run once more, on a new connection."""
        problem = StoreError("the store did not take a change: the connection broke at each try")
        for _ in range(2):
            try:
                link = self._link = self._link or self._server.connect(_PATIENCE, **_WRITER)
                outcomes = self._transaction(link, group)
            except psycopg.Error as error:
                problem = StoreError(f"the store did not take a change: {told(error)}")
                again = self._link is not None and self._link.lost(error)
                self._drop()
                if not again:
                    break
            except StoreError as error:
                problem = error
                break
            else:
                if outcomes is not None:
                    return outcomes
        return [(None, problem)] * len(group)

    def _transaction(self, link: Link, group: list[Waiting]) -> list[Outcome] | None:
        """Outcomes of what is committed; None if the connection broke and nothing stands."""
        outcomes, mark = None, ""
        if len(group) > 1:
            mark = self._begin(link)
            outcomes = run_together(link, group, _BROKEN)
            if outcomes is None:
                link.script("ROLLBACK")
        if outcomes is None:
            mark = self._begin(link)
            outcomes = run_apart(link, group, _BROKEN)
        try:
            if (answer := link.script("COMMIT")) != "COMMIT":
                raise StoreError(f"the store did not take a change: COMMIT was answered with {answer}")
        except psycopg.Error:
            self._drop()
            return outcomes if self._stands(mark) else None
        return outcomes

    def _begin(self, link: Link) -> str:
        mark = uuid.uuid4().hex
        link.script(
            f"BEGIN; SELECT pg_advisory_xact_lock({self._lock}); "
            f"INSERT INTO writer (id, last, at) VALUES ('{self._id}', '{mark}', now()) "
            "ON CONFLICT (id) DO UPDATE SET last = excluded.last, at = excluded.at"
        )
        return mark

    def _stands(self, mark: str) -> bool:
        """Whether the transaction with this mark was committed. StoreError if the server does not come back soon."""
        deadline = time.monotonic() + _DOUBT_SECONDS
        while True:
            with suppress(StoreError, psycopg.Error):
                link = self._link = self._server.connect(_PATIENCE, **_WRITER)
                link.script(f"BEGIN; SELECT pg_advisory_xact_lock({self._lock})")  # after the one in doubt has ended
                row = link.execute("SELECT last FROM writer WHERE id = ?", (self._id,)).fetchone()
                link.script("ROLLBACK")
                return row is not None and row[0] == mark
            self._drop()
            if time.monotonic() > deadline:
                raise StoreError("the store went away during a commit: whether the change stands is not known yet")
            time.sleep(0.1)

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _end(self) -> None:
        if self._link is not None:
            with suppress(psycopg.Error):
                self._link.execute("DELETE FROM writer WHERE id = ?", (self._id,))
        self._drop()

    # -- reading --------------------------------------------------------------------------------------------------

    def read(self, unit: Unit[T]) -> T:
        """On a connection of the pool, and again on a new one if that turns out to be broken."""
        try:
            with self._readers.link() as link:
                try:
                    return unit(Records(link))
                except psycopg.Error as error:
                    if not link.lost(error):
                        raise
                    link.close()
            self._readers.drain()
            with self._readers.link() as link:
                return unit(Records(link))
        except psycopg.Error as error:
            raise StoreError(f"cannot read the store: {told(error)}") from None

    async def read_soon(self, unit: Unit[T]) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.read, unit)

    def snapshot(self) -> AbstractContextManager[Records]:
        return _snapshot(self._server, None)

    # -- tasks and the end ----------------------------------------------------------------------------------------

    def hold(self, name: str, wait: bool = False) -> AbstractContextManager[bool]:
        return self._tasks.hold(name, wait)

    def close(self) -> None:
        if self._closed:
            return
        self._end_writing()
        self._tasks.close()
        self._threads.shutdown()
        self._readers.drain()


def reading(url: str) -> AbstractContextManager[Records]:
    """One consistent view of a record that this process must not change; a standby server will do.

    StoreError if there is none, or one of another version.
    """
    server = Server(Address(url))
    return _snapshot(server, f"the store {server.address.name}")


@contextmanager
def _snapshot(server: Server, check: str | None) -> Iterator[Records]:
    """`check`: the store's name, if its version has to be looked at first."""
    link = server.connect(None, **_SNAPSHOT)
    try:
        link.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if check is not None:
            migrations.check("postgresql", _version(link, check), check)
        yield Records(link)
    except psycopg.Error as error:
        raise StoreError(f"cannot read the store: {told(error)}") from None
    finally:
        link.close()


# -- the schema ---------------------------------------------------------------------------------------------------


def _prepare(link: Link, name: str) -> int:
    """Bring the schema up to this program's version; the key of the writers' lock."""
    encoding, schema = _one(
        link, "SELECT current_setting('server_encoding'), current_schema()::text::regnamespace::oid::bigint"
    )
    if encoding != "UTF8":
        raise StoreError(f"the database {name} has the encoding {encoding}: make one with UTF8")
    if schema is None:
        raise StoreError(f"the database {name} has no schema that the user may use: check its search_path")
    lock = _LOCK << 24 ^ int(schema)
    link.script("SET lock_timeout = '60s'; SET statement_timeout = 0")
    link.script(f"BEGIN; SELECT pg_advisory_xact_lock({lock})")  # others may be at it
    have = _version(link, f"the database {name}")
    reached = migrations.bring_up("postgresql", have, f"the store {name}", link.script)
    if reached != have:
        link.script(f"DELETE FROM schema_version; INSERT INTO schema_version (number) VALUES ({reached})")
    link.script("DELETE FROM writer WHERE at < now() - interval '1 day'; COMMIT")
    return lock


def _version(link: Link, name: str) -> int:
    """0 for an empty schema. StoreError for one in which something else is kept."""
    rows = link.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::text::regnamespace AND relkind IN "
        "('r', 'p', 'v', 'm', 'f') ORDER BY relname"
    )
    tables = [str(row[0]) for row in rows]
    if not tables:
        return 0
    if "schema_version" not in tables or "entry" not in tables:
        raise StoreError(
            f"{name} holds something else ({', '.join(tables[:3])}): give the record a database of its own"
        )
    return int(_one(link, "SELECT coalesce(max(number), 0) FROM schema_version")[0])


def _one(link: Link, sql: str) -> tuple[Any, ...]:
    row = link.execute(sql).fetchone()
    assert row is not None
    return row
