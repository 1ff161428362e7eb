"""The record in SQLite: WAL, synchronous FULL. Several processes may write to one file: each takes the database's lock
for the length of a group."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from glasstumbler.errors import StoreError
from glasstumbler.store import migrations
from glasstumbler.store.base import Unit
from glasstumbler.store.groups import GroupStore, Outcome, Runner, Waiting, run_apart, run_together
from glasstumbler.store.records import Records

T = TypeVar("T")
_BUSY_SECONDS = 10
_READER_CACHE_KIB = 8192
"""Of each reading thread's own pages; the system keeps the file's in any case."""
_WHOLE_FILE = 2**40
"""More bytes than a record has; SQLite maps what there is, up to the bound that it was built with."""
_BROKEN = (sqlite3.OperationalError,)
"""The disk or the lock, not a unit."""

_MEND = {
    "locked": "another program holds it: end that one, or wait",
    "readonly": "file and folder must be writable",
    "unable to open": "check that the folder is there and can be written",
    "malformed": "the file is damaged: restore a backup",
    "not a database": "name another file, or restore a backup",
    "full": "make room on the disk",
    "disk I/O": "check the disk",
}
"""A part of what SQLite says, and what to do."""


class SqliteConnection(sqlite3.Connection):
    def stream(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self.execute(sql, values)


class SqliteStore(GroupStore):
    """`path` None: in a temporary folder that goes with it, for runs that leave only their dataset behind."""

    shared = False
    _kind = SqliteConnection

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory(prefix="glasstumbler-") if path is None else None
        self._target = path or Path(self._temporary.name if self._temporary else "") / "record.db"
        self._local = threading.local()
        self._reader_lock = threading.Lock()
        self._readers: list[SqliteConnection] = []
        self._tasks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        if self._target.exists():
            _refuse_others(self._target)
        writer = self._connect()
        _migrate(writer, self._target)
        self._begin(writer)

    def _begin(self, writer: SqliteConnection) -> None:
        """From here on, the writer's connection is its thread's alone."""
        self._begin_writing(partial(commit, writer), writer.close)

    # -- reading --------------------------------------------------------------------------------------------------

    def read(self, unit: Unit[T]) -> T:
        """On this thread's own connection."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA cache_size = {-_READER_CACHE_KIB}")
            self._local.connection = connection
            with self._reader_lock:
                self._readers.append(connection)
        try:
            return unit(Records(connection))
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {self._target}: {told(error)}") from None

    async def read_soon(self, unit: Unit[T]) -> T:
        """At once: a look into a file is shorter than handing it to a thread and back."""
        return self.read(unit)

    @contextmanager
    def snapshot(self) -> Iterator[Records]:
        connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield Records(connection)
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {self._target}: {told(error)}") from None
        finally:
            connection.close()

    # -- tasks ----------------------------------------------------------------------------------------------------

    @contextmanager
    def hold(self, name: str, wait: bool = False) -> Iterator[bool]:
        """One process serves a folder, so a lock inside it is enough."""
        task = self._tasks[name]
        held = task.acquire(blocking=wait)
        try:
            yield held
        finally:
            if held:
                task.release()

    def close(self) -> None:
        if self._closed:
            return
        self._end_writing()
        with self._reader_lock:
            for connection in self._readers:
                connection.close()
        if self._temporary:
            self._temporary.cleanup()

    def _connect(self) -> SqliteConnection:
        try:
            connection = sqlite3.connect(
                self._target,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                factory=self._kind,
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'OFF' if self._temporary else 'FULL'}")
            connection.execute("PRAGMA cache_size = -65536")
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the store {self._target}: {told(error)}") from None
        return connection


@contextmanager
def reading(path: Path, mapped: bool = False) -> Iterator[Records]:
    """One consistent view of a record that this process must not change; it may be in use elsewhere. `mapped`: the file
    is read as if it were memory, which is faster; an error of the disk then ends the process by a signal.

    StoreError if there is none, it is damaged, or of another version.
    """
    if not path.exists():
        raise StoreError(f"there is no record {path}: name another, or begin one with `glasstumbler serve`")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, factory=SqliteConnection
        )
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the store {path}: {told(error)}") from None
    try:
        if mapped:
            connection.execute(f"PRAGMA mmap_size = {_WHOLE_FILE}")
        connection.execute("BEGIN")
        have = connection.execute("PRAGMA user_version").fetchone()[0]
        migrations.check("sqlite", have, f"the store {path}")
        yield Records(connection)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {path}: {told(error)}") from None
    finally:
        connection.close()


def commit(connection: SqliteConnection, group: list[Waiting]) -> list[Outcome]:
    """Run the units in one transaction: (result, error) of each.

    Nearly always all units succeed, so they first run together; if one fails, they run again, each in a savepoint.
    """
    outcomes = _attempt(connection, group, run_together) if len(group) > 1 else None
    if outcomes is None:
        outcomes = _attempt(connection, group, run_apart)
    assert outcomes is not None
    return outcomes


def _attempt(connection: SqliteConnection, group: list[Waiting], run: Runner) -> list[Outcome] | None:
    """None if the units have to be run another way; nothing stands then."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = run(connection, group, _BROKEN)
        connection.execute("ROLLBACK" if outcomes is None else "COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        failure = StoreError(f"the store did not take a change: {told(error)}")
        return [(None, failure)] * len(group)
    return outcomes


def told(error: sqlite3.Error) -> str:
    """What went wrong and how to mend it."""
    mend = next((mend for part, mend in _MEND.items() if part in str(error)), "")
    return f"{error} ({mend})" if mend else str(error)


def _migrate(connection: SqliteConnection, path: Path) -> None:
    """Bring the schema up to this program's version."""
    try:
        connection.execute("BEGIN IMMEDIATE")  # of several processes that begin, one does it and the others wait
        have = connection.execute("PRAGMA user_version").fetchone()[0]
        reached = migrations.bring_up("sqlite", have, f"the store {path}", connection.execute)
        connection.execute(f"PRAGMA user_version = {reached}")
        connection.execute("COMMIT")
    except (sqlite3.Error, StoreError) as error:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        connection.close()
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot prepare the store {path}: {told(error)}") from None


def _refuse_others(path: Path) -> None:
    """A file that another program keeps is no place for a record; it is looked at before anything in it is set."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the store {path}: {told(error)}") from None
    if tables and ("entry",) not in tables:
        raise StoreError(f"{path} holds another program's tables: name a file of its own for the record")
