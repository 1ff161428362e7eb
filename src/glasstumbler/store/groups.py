"""The writer's thread: what waits is written together, in groups; a group is one transaction.

A unit that fails takes nothing along, since the others of its group are then run anew, each in a savepoint. What a
unit returned is handed over only after its group has been committed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from glasstumbler.errors import StoreError
from glasstumbler.store.base import Unit
from glasstumbler.store.connection import Connection
from glasstumbler.store.records import Records

T = TypeVar("T")
_GROUP = 256
"""Units in one commit."""
Outcome = tuple[Any, BaseException | None]
"""Result and error of a unit; the result is worth something only if there is no error."""


class Waiting(NamedTuple):
    unit: Unit[Any]
    future: Future[Any] | asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop | None


class GroupStore:
    """The writing half of a store. `_begin_writing` starts the thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._rounds: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
        self._closed = False
        self._thread: threading.Thread | None = None
        self.on_group: Callable[[int], None] = lambda units: None
        """Hears how many units each commit has."""

    def _begin_writing(self, commit: Callable[[list[Waiting]], list[Outcome]], end: Callable[[], None]) -> None:
        """`commit` runs a group in one transaction and never raises; `end` is called after the last group. Both are
        called in the writer's thread only."""
        self._thread = threading.Thread(target=self._write_groups, args=(commit, end), name="store-writer", daemon=True)
        self._thread.start()

    def _end_writing(self) -> None:
        """Finish what was put in."""
        self._closed = True
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

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

    def _write_groups(self, commit: Callable[[list[Waiting]], list[Outcome]], end: Callable[[], None]) -> None:
        while (first := self._queue.get()) is not None:
            group, last = self._gather(first)
            self.on_group(len(group))
            deliver(group, commit(group))
            if last:
                break
        end()

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


# -- units in a transaction ---------------------------------------------------------------------------------------


def run_together(
    connection: Connection, group: list[Waiting], broken: tuple[type[Exception], ...]
) -> list[Outcome] | None:
    """Nearly always all units succeed, so they share one view and no savepoints. None if one fails: nothing of this
    may stand then. Errors of the kinds `broken` are the database's and not a unit's; they are raised."""
    records = Records(connection)
    outcomes: list[Outcome] = []
    try:
        for waiting in group:
            outcomes.append((waiting.unit(records), None))
            records.finish()
        records.flush()
    except broken:
        raise
    except Exception:
        return None
    return outcomes


def run_apart(connection: Connection, group: list[Waiting], broken: tuple[type[Exception], ...]) -> list[Outcome]:
    """Each in a savepoint of its own."""
    return [_run_unit(connection, waiting.unit, broken) for waiting in group]


def _run_unit(connection: Connection, unit: Unit[Any], broken: tuple[type[Exception], ...]) -> Outcome:
    connection.execute("SAVEPOINT unit")
    records = Records(connection)
    try:
        result = unit(records)
        records.finish()
        records.flush()
    except broken:
        raise
    except Exception as error:
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
        return None, error
    connection.execute("RELEASE unit")
    return result, None


Runner = Callable[[Connection, list[Waiting], tuple[type[Exception], ...]], list[Outcome] | None]


# -- handing results over -----------------------------------------------------------------------------------------


def deliver(group: list[Waiting], outcomes: list[Outcome]) -> None:
    """One wake-up of the event loop for the whole group."""
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
