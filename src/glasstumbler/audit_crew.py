"""Who does the audit's work: this process alone, or some others that see the same state of the record.

Nothing changes in the record without an entry, so two views with the same last entry are views of the same state.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from glasstumbler.audit_entries import head
from glasstumbler.errors import GlassTumblerError, StoreError
from glasstumbler.store.records import Records
from glasstumbler.store.url import reading

TEAM = max(2, min(os.cpu_count() or 2, 4))
"""Processes. The tables, each one piece of work, would not keep more of them busy."""
_TRIES = 100


class Task(NamedTuple):
    """A function of the record, found by name in another process, and what it is to be given."""

    work: Callable[..., Any]
    arguments: tuple[Any, ...]


class Crew(Protocol):
    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Any]]:
        """(place in the row of tasks, result), in any order."""
        ...


class Alone:
    def __init__(self, records: Records) -> None:
        self._records = records

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Any]]:
        for place, task in enumerate(tasks):
            yield place, task.work(self._records, *task.arguments)


class Team:
    def __init__(self, members: list[Connection]) -> None:
        self._members = members

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Any]]:
        waiting = list(enumerate(tasks))[::-1]
        busy: dict[Connection, int] = {}
        for member in self._members:
            _give(member, waiting, busy)
        while busy:
            for member in [each for each in wait(list(busy)) if isinstance(each, Connection)]:
                place = busy.pop(member)
                result = _hear(member)
                _give(member, waiting, busy)
                yield place, result


def _give(member: Connection, waiting: list[tuple[int, Task]], busy: dict[Connection, int]) -> None:
    if waiting:
        place, task = waiting.pop()
        member.send(task)
        busy[member] = place


def _hear(member: Connection) -> Any:
    try:
        result = member.recv()
    except EOFError:
        raise StoreError("a process of the audit has died; is there enough memory, and is the disk sound?") from None
    if isinstance(result, BaseException):
        raise result
    return result


@contextmanager
def team(place: str | Path, before: Callable[[], None]) -> Iterator[tuple[Records, Crew] | None]:
    """A view of the record, and a crew that sees the same; None if it changes too fast for that. `before` is called
    before each look."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        members: list[Connection] = []
        for _ in range(TEAM):
            ours, theirs = context.Pipe()
            process = context.Process(target=_member, args=(theirs, place), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(process.terminate)
            members.append(ours)
        for member in members:
            _hear(member)  # it is there
        for _ in range(_TRIES):
            before()
            with ExitStack() as look:
                records = look.enter_context(reading(place))
                seen = head(records)
                for member in members:
                    member.send(None)
                heads = [_hear(member) for member in members]
                if all(each == seen for each in heads):
                    yield records, Team(members)
                    return
            time.sleep(random.uniform(0, 0.02))  # noqa: S311
        yield None


def _member(main: Connection, place: str | Path) -> None:
    """Look when told to (None), then do what is asked, until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the asking process's
    gc.disable()  # millions of rows come and go, none of them in circles
    main.send("here")
    with ExitStack() as stack:
        look = stack.enter_context(ExitStack())
        records: Records | None = None
        while True:
            try:
                task: Task | None = main.recv()
            except (EOFError, OSError):
                return
            try:
                if task is None:
                    look.close()
                    records = look.enter_context(reading(place, mapped=True))
                    main.send(head(records))
                elif records is not None:
                    main.send(task.work(records, *task.arguments))
            except GlassTumblerError as error:
                main.send(StoreError(str(error)))
            except Exception as error:  # of the database, say: the view that asked for it knows what to make of it
                error.add_note(traceback.format_exc())
                main.send(error)
