"""The disk under the record, and the store on it: the real transaction code of store/sqlite.py, without its thread.

A process that dies leaves its files as they are. When the power fails, what was synced stays and the rest is there in
part, changed sector by sector. Statements and commits can fail, also after the commit stands, and the disk can be
full (SQLite's own SQLITE_FULL).
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from glasstumbler.errors import StoreError
from glasstumbler.store.base import Unit
from glasstumbler.store.groups import Waiting, deliver
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteConnection, SqliteStore, commit
from glasstumbler.torture.mischief import Mischief, Process

T = TypeVar("T")
_SECTOR = 512
_WAL_HEADER = 32
"""SQLite syncs it before the first frame that follows it."""
_FULL = 2
"""PRAGMA synchronous."""
_CHECKPOINT_PAGES = 40
"""Few, so that a short run has many checkpoints for the power to fail in."""
_NO_LIMIT = 2**30


class Files(NamedTuple):
    base: bytes
    log: bytes


class Disk:
    """Close it: it holds a temporary folder, in memory where the system has one."""

    def __init__(self, mischief: Mischief, chance: random.Random) -> None:
        memory = Path("/dev/shm")  # noqa: S108
        self._folder = Path(tempfile.mkdtemp(prefix="glasstumbler-", dir=memory if memory.is_dir() else None))
        self.mischief, self._chance = mischief, chance
        self._number = 0
        self.full: int | None = None
        """Pages that are left; None: enough."""
        self.holders: dict[str, Process] = {}
        """Who has which task."""
        self._unsynced: Files | None = None
        """What a power cut leaves, where commits do not reach the disk."""
        self._left: Files | None = None
        """What the last power cut left."""

    @property
    def path(self) -> Path:
        return self._folder / str(self._number) / "record.db"

    def prepare(self) -> Path:
        self.path.parent.mkdir(exist_ok=True)
        return self.path

    def read(self) -> Files:
        return Files(_bytes(self.path), _bytes(_log(self.path)))

    def opened(self, synchronous: int) -> None:
        """A process has opened the record with this durability."""
        if synchronous < _FULL and self._unsynced is None:
            self._unsynced = self.read()

    def cut(self, before: Files, after: Files) -> None:
        """The power fails while this change is written."""
        self.mischief.power = True
        if self._unsynced is None:
            self._left = _torn(before, after, self._chance)

    def moved(self) -> None:
        """Nobody has the files open as they were: what is on the disk goes to a place of its own, and the old
        connections can be closed without doing any more to it."""
        left = self._left or (self._unsynced if self.mischief.power else None) or self.read()
        self._left = self._unsynced = None
        self.mischief.power = False
        self._number += 1
        self.prepare().write_bytes(left.base)
        _log(self.path).write_bytes(left.log)

    def close(self) -> None:
        shutil.rmtree(self._folder)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _torn(before: Files, after: Files, chance: random.Random) -> Files:
    """What may be on the disk: the log's new frames in part; or, if a checkpoint had begun, all of the log (which was
    synced before) and the base in part."""
    if before.base != after.base:
        return Files(_mixed(before.base, after.base, chance, garble=False), after.log)
    head = after.log[:_WAL_HEADER]
    if before.log[:_WAL_HEADER] != head and chance.random() < 0.3:
        return before
    return Files(after.base, head + _mixed(before.log[_WAL_HEADER:], after.log[_WAL_HEADER:], chance, garble=True))


def _mixed(before: bytes, after: bytes, chance: random.Random, garble: bool) -> bytes:
    """Sectors of either; a new one may hold anything if nobody has relied on it. All of the new ones, now and then."""
    kept = chance.choice((0.0, 0.5, 0.9, 0.99, 1.0))
    end = len(after) if chance.random() < 0.5 else max(len(before), chance.randint(0, len(after)))
    parts = []
    for start in range(0, min(end, len(after)), _SECTOR):
        old, new = before[start : start + _SECTOR], after[start : start + _SECTOR]
        if old == new or chance.random() < kept:
            parts.append(new)
        elif garble and chance.random() < 0.2:
            parts.append(_garbled(old, new, chance))
        else:
            parts.append(old.ljust(len(new), b"\0"))
    return b"".join(parts)


def _garbled(old: bytes, new: bytes, chance: random.Random) -> bytes:
    """Only where something was written: SQLite relies on that, and disks keep to it (POWERSAFE_OVERWRITE)."""
    first = next((place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    return new[:first] + chance.randbytes(len(new) - first)


class SimConnection(SqliteConnection):
    """The writer's connection, where statements and commits can go wrong."""

    disk: Disk | None = None
    process: Process

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        if self.disk is None or self.disk.mischief.silent:
            return super().execute(sql, values)
        if sql == "COMMIT":
            return self._commit(self.disk)
        if sql == "BEGIN IMMEDIATE":
            self.disk.mischief.reach(self.process, "begin")
            self.process.busy = True
        elif sql == "ROLLBACK":
            self.process.busy = False
        elif self.process.busy:
            self._strike(self.disk)
        return super().execute(sql, values)

    def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
        if self.disk is not None and self.process.busy:
            self._strike(self.disk)
        return super().executemany(sql, rows)

    def _strike(self, disk: Disk) -> None:
        fault = disk.mischief.reach(self.process, "statement")
        if fault is not None and fault.kind == "write fails":
            raise sqlite3.OperationalError("disk I/O error")

    def _commit(self, disk: Disk) -> sqlite3.Cursor:
        fault = disk.mischief.reach(self.process, "commit")
        kind = fault.kind if fault is not None else ""
        if kind == "write fails":
            raise sqlite3.OperationalError("disk I/O error")
        before = disk.read() if kind == "power fails" else None
        done = super().execute("COMMIT")
        self.process.busy = False
        if before is not None:
            disk.cut(before, disk.read())
            disk.mischief.crash(self.process)
        if kind == "crash after":
            disk.mischief.crash(self.process)
        if kind == "write fails but stands":
            raise sqlite3.OperationalError("disk I/O error")
        return done


class SimStore(SqliteStore):
    """A process's store. What is put in is committed at once, in the thread that asks."""

    _kind = SimConnection

    def __init__(self, disk: Disk, process: Process, shared: bool) -> None:
        """`shared`: other processes work on it too."""
        self.shared = shared
        self._disk, self._process = disk, process
        self._reader: SqliteConnection | None = None
        self._writer: SqliteConnection
        super().__init__(disk.prepare())

    def _begin(self, writer: SqliteConnection) -> None:
        self._writer = writer
        self._disk.opened(writer.execute("PRAGMA synchronous").fetchone()[0])
        writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        self.limit()
        assert isinstance(writer, SimConnection)
        writer.process, writer.disk = self._process, self._disk

    def limit(self) -> None:
        """Let the disk be as full as it is."""
        pages = self._writer.execute("PRAGMA page_count").fetchone()[0]
        most = _NO_LIMIT if self._disk.full is None else pages + self._disk.full
        self._writer.execute(f"PRAGMA max_page_count = {most}")

    def _put(self, waiting: list[Waiting]) -> None:
        try:
            outcomes = commit(self._writer, waiting)
        except BaseException as crash:  # into the future: a loop's callback has nobody else to hear it
            deliver(waiting, [(None, crash)] * len(waiting))
        else:
            self._process.busy = False  # a full disk takes a transaction back by itself
            deliver(waiting, outcomes)

    def read(self, unit: Unit[T]) -> T:
        fault = self._disk.mischief.reach(self._process, "read")
        if self._reader is None:
            self._reader = self._connect()
            self._reader.execute("PRAGMA query_only = ON")
        try:
            found = unit(Records(self._reader))
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store: {error}") from None
        if fault is not None and fault.kind == "crash after":
            self._disk.mischief.crash(self._process)
        return found

    @contextmanager
    def hold(self, name: str, wait: bool = False) -> Iterator[bool]:
        """A task can be lost on the way: another process then has it too, and this one hears of it at the end."""
        fault = self._disk.mischief.reach(self._process, "hold")
        holders = self._disk.holders
        while wait and holders.get(name, self._process) is not self._process:
            self._disk.mischief.reach(self._process, "hold")
        held = holders.setdefault(name, self._process) is self._process
        lost = held and fault is not None and fault.kind == "task lost"
        if lost:
            del holders[name]
        try:
            yield held
        finally:
            if held and holders.get(name) is self._process:
                del holders[name]
        if lost:
            raise StoreError(f"the task {name} was lost")

    def die(self) -> None:
        """The system takes back what a dead process had begun, and its locks."""
        if self._writer.in_transaction:
            sqlite3.Connection.execute(self._writer, "ROLLBACK")
        self._let_go()

    def _let_go(self) -> None:
        for name in [name for name, holder in self._disk.holders.items() if holder is self._process]:
            del self._disk.holders[name]

    def close(self) -> None:
        """As when the process ends: what was not committed is gone."""
        self._closed = True
        self._let_go()
        if self._reader is not None:
            self._reader.close()
        self._writer.close()
