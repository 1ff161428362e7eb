"""The record in SQLite: WAL, synchronous FULL, one writer thread that commits requests in groups.

A unit of work is a function of `Records` and of nothing that it changes itself: it may be run again. The writer takes
whatever waits in its queue into one transaction; a unit that fails takes nothing along, since the others are then run
anew, each in a savepoint. What a unit returned is handed over only after the commit has reached the disk. Several
processes may write to one folder: each takes the database's lock for the length of a group.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from glasstumbler.errors import GlassTumblerError, StoreError
from glasstumbler.store.base import Unit
from glasstumbler.store.records import Records

T = TypeVar("T")
_GROUP = 256
"""Units in one commit."""
_BUSY_SECONDS = 10
VERSION = 1
"""Of the schema: the number of the last migration."""


class Waiting(NamedTuple):
    unit: Unit[Any]
    future: Future[Any] | asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop | None


class SqliteStore:
    """`path` None: in a temporary folder that goes with it, for runs that leave only their dataset behind."""

    shared = False
    _kind = sqlite3.Connection

    def __init__(self, path: Path | None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="glasstumbler-") if path is None else None
        self._target = path or Path(self._temporary.name if self._temporary else "") / "record.db"
        self._local = threading.local()
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._rounds: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
        self._reader_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._tasks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._closed = False
        writer = self._connect()
        _migrate(writer)
        self._begin(writer)

    def _begin(self, writer: sqlite3.Connection) -> None:
        """From here on, the writer's connection is its thread's alone."""
        self._thread = threading.Thread(target=self._write_groups, args=(writer,), name="store-writer", daemon=True)
        self._thread.start()

    # -- writing --------------------------------------------------------------------------------------------------

    def write(self, unit: Unit[T]) -> T:
        """Run a unit of work and wait until it is on disk. For threads, not for the event loop."""
        if self._closed:
            raise StoreError("the store is closed")
        future: Future[T] = Future()
        self._put([Waiting(unit, future, None)])
        return future.result()

    def write_soon(self, unit: Unit[T]) -> asyncio.Future[T]:
        """The same for the event loop: what one of its rounds brings is handed to the writer together, so that the
        writer does not wake up, and fight for the interpreter, in the middle of the round."""
        if self._closed:
            raise StoreError("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        round_ = self._rounds.get(loop)
        if round_ is None:
            round_ = self._rounds[loop] = []
            loop.call_soon(self._hand_over, loop)
        round_.append(Waiting(unit, future, loop))
        return future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._rounds.pop(loop)
        if self._closed:
            deliver(waiting, [(None, StoreError("the store is closed"))] * len(waiting))
        else:
            self._put(waiting)

    def waiting(self) -> int:
        """Units that wait for the writer."""
        return self._queue.qsize()

    def _put(self, waiting: list[Waiting]) -> None:
        for each in waiting:
            self._queue.put(each)

    def _write_groups(self, connection: sqlite3.Connection) -> None:
        while (first := self._queue.get()) is not None:
            group, last = self._gather(first)
            deliver(group, commit(connection, group))
            if last:
                break
        connection.close()

    def _gather(self, first: Waiting) -> tuple[list[Waiting], bool]:
        group = [first]
        while len(group) < _GROUP:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
        return group, False

    # -- reading --------------------------------------------------------------------------------------------------

    def read(self, unit: Unit[T]) -> T:
        """Run a function of `Records` on this thread's reading connection; it sees what is committed."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            with self._reader_lock:
                self._readers.append(connection)
        try:
            return unit(Records(connection))
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {self._target}: {error}") from None

    async def read_soon(self, unit: Unit[T]) -> T:
        """At once: a look into a file is shorter than handing it to a thread and back."""
        return self.read(unit)

    @contextmanager
    def snapshot(self) -> Iterator[Records]:
        """One consistent view over many reads."""
        connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield Records(connection)
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {self._target}: {error}") from None
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
        """Finish what was put in, then close."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        with self._reader_lock:
            for connection in self._readers:
                connection.close()
        if self._temporary:
            self._temporary.cleanup()

    def _connect(self) -> sqlite3.Connection:
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
            raise StoreError(f"cannot open the store {self._target}: {error}") from None
        return connection


@contextmanager
def reading(path: Path) -> Iterator[Records]:
    """One consistent view of a record that this process must not change; it may be in use elsewhere.

    StoreError if there is none, it is damaged, or of another version.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the store {path}: {error}") from None
    try:
        connection.execute("BEGIN")
        have = connection.execute("PRAGMA user_version").fetchone()[0]
        if have != VERSION:
            raise StoreError(f"the store {path} has version {have}, this program reads {VERSION}")
        yield Records(connection)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {path}: {error}") from None
    finally:
        connection.close()


def commit(connection: sqlite3.Connection, group: list[Waiting]) -> list[tuple[Any, BaseException | None]]:
    """Run the units in one transaction: (result, error) of each.

    Nearly always all units succeed, so they first run together; if one fails, they run again, each in a savepoint.
    """
    outcomes = _attempt(connection, group, _run_together) if len(group) > 1 else None
    if outcomes is None:
        outcomes = _attempt(connection, group, _run_apart)
    assert outcomes is not None
    return outcomes


_Outcomes = list[tuple[Any, BaseException | None]]
_Runner = Callable[[sqlite3.Connection, list["Waiting"]], "_Outcomes | None"]


def _attempt(connection: sqlite3.Connection, group: list[Waiting], run: _Runner) -> _Outcomes | None:
    """None if the units have to be run another way; nothing stands then."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = run(connection, group)
        connection.execute("ROLLBACK" if outcomes is None else "COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        failure = StoreError(f"the store did not take a change: {error}")
        return [(None, failure)] * len(group)
    return outcomes


def _run_together(connection: sqlite3.Connection, group: list[Waiting]) -> _Outcomes | None:
    records = Records(connection)
    outcomes: _Outcomes = []
    try:
        for waiting in group:
            outcomes.append((waiting.unit(records), None))
            records.finish()
        records.flush()
    except sqlite3.OperationalError:
        raise  # the disk, not a unit
    except Exception:
        return None
    return outcomes


def _run_apart(connection: sqlite3.Connection, group: list[Waiting]) -> _Outcomes:
    return [_run_unit(connection, waiting.unit) for waiting in group]


def _run_unit(connection: sqlite3.Connection, unit: Unit[Any]) -> tuple[Any, BaseException | None]:
    connection.execute("SAVEPOINT unit")
    records = Records(connection)
    try:
        result = unit(records)
        records.finish()
        records.flush()
    except sqlite3.OperationalError:
        raise  # the disk, not the unit: nothing of the group stands
    except Exception as error:
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
        return None, error
    connection.execute("RELEASE unit")
    return result, None


def deliver(group: list[Waiting], outcomes: list[tuple[Any, BaseException | None]]) -> None:
    """Hand results over: one wake-up of the event loop for the whole group."""
    soon: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
    for waiting, (result, error) in zip(group, outcomes, strict=True):
        if isinstance(waiting.future, asyncio.Future):
            if waiting.loop is not None:
                soon.setdefault(waiting.loop, []).append((waiting.future, result, error))
        else:
            _set(waiting.future, result, error)
    for loop, items in soon.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set_all, items)


def _set_all(items: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in items:
        if not future.done():  # a client that went away has cancelled it; the unit stands all the same
            _set(future, result, error)


def _set(future: Future[Any] | asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to VERSION, forwards only."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        have = connection.execute("PRAGMA user_version").fetchone()[0]
        if have > VERSION:
            raise StoreError(f"the store has version {have}, this program knows {VERSION}: use a newer program")
        for number, script in _migrations():
            if number > have:
                for statement in script.split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except (sqlite3.Error, GlassTumblerError) as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.close()
        raise error if isinstance(error, StoreError) else StoreError(f"cannot prepare the store: {error}") from None


def _migrations() -> list[tuple[int, str]]:
    folder = resources.files("glasstumbler.store") / "migrations"
    files = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), entry.read_text()) for name, entry in files]
