"""The cache's file: one SQLite database, thrown away and begun anew whenever it is not what it should be."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from glasstumbler import log
from glasstumbler.errors import StoreError

NAME: Final = "explorer.db"
FORM: Final = 1
"""Of the tables below; a file of another form is begun anew."""
_BUSY_SECONDS = 5
"""In which another process has made the file."""
_PATIENCE_MS = 100
_CACHE_KIB = 32_768
_BESIDE = ("", "-wal", "-shm")

_TABLES = """
CREATE TABLE about (owner TEXT NOT NULL);
CREATE TABLE chain (n INTEGER PRIMARY KEY, coin TEXT NOT NULL UNIQUE, height INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TABLE block (
  chain INTEGER NOT NULL, height INTEGER NOT NULL, hash TEXT NOT NULL, time INTEGER NOT NULL,
  txs INTEGER NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (chain, height)
) WITHOUT ROWID;
CREATE TABLE tx (n INTEGER PRIMARY KEY, chain INTEGER NOT NULL, txid BLOB NOT NULL, height INTEGER NOT NULL);
CREATE UNIQUE INDEX tx_txid ON tx (txid, chain);
CREATE INDEX tx_height ON tx (chain, height);
CREATE TABLE output (
  tx INTEGER NOT NULL, vout INTEGER NOT NULL, address INTEGER, amount NOT NULL, spent_by INTEGER,
  PRIMARY KEY (tx, vout)
) WITHOUT ROWID;
CREATE INDEX output_spent ON output (spent_by) WHERE spent_by IS NOT NULL;
CREATE TABLE address (
  n INTEGER PRIMARY KEY, chain INTEGER NOT NULL, key BLOB NOT NULL, owner TEXT NOT NULL,
  txs INTEGER NOT NULL, came NOT NULL, went NOT NULL, cluster INTEGER
);
CREATE UNIQUE INDEX address_key ON address (chain, key);
CREATE INDEX address_cluster ON address (cluster, owner) WHERE cluster IS NOT NULL;
CREATE TABLE move (
  address INTEGER NOT NULL, tx INTEGER NOT NULL, came NOT NULL, went NOT NULL, spends INTEGER NOT NULL,
  PRIMARY KEY (address, tx)
) WITHOUT ROWID;
CREATE INDEX move_tx ON move (tx);
CREATE TABLE cluster (n INTEGER PRIMARY KEY, members INTEGER NOT NULL);
CREATE TABLE followed (number INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE balance (
  service TEXT NOT NULL, account TEXT NOT NULL, coin TEXT NOT NULL, amount NOT NULL,
  PRIMARY KEY (service, account, coin)
) WITHOUT ROWID;
CREATE TABLE day (
  service TEXT NOT NULL, coin TEXT NOT NULL, day INTEGER NOT NULL, came NOT NULL, paid NOT NULL, fees NOT NULL,
  PRIMARY KEY (service, coin, day)
) WITHOUT ROWID;
CREATE TABLE count (
  service TEXT NOT NULL, what TEXT NOT NULL, place INTEGER NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (service, what, place)
) WITHOUT ROWID;
"""
"""Columns without a type hold base units: integers, or their digits where 64 bits are too few (`kept`). `tx.n` grows
along each chain. `cluster`: the number of one of its members, none for an address that was never spent with another."""


def kept(units: int) -> int | str:
    """As the columns for amounts take it; `int` reads it back."""
    return units if -(2**63) <= units < 2**63 else str(units)


class CacheFile:
    """One file for any number of threads and processes: readers see what was last finished, writers take turns."""

    def __init__(self, folder: Path | None, owner: str) -> None:
        """`folder` None: in a temporary one that goes with it. `owner`: the laboratory's fingerprint; another
        laboratory's cache is begun anew. StoreError if no file can be made."""
        self._temporary = tempfile.TemporaryDirectory(prefix="glasstumbler-") if folder is None else None
        self.path = (folder or Path(self._temporary.name if self._temporary else "")) / NAME
        self._owner = owner
        self._lock = threading.Lock()
        self._local = threading.local()
        self._age = 0
        """Counts how often it was begun anew: a reader's connection to an older file is not used."""
        self._open: list[sqlite3.Connection] = []
        try:
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot make the explorer's cache {self.path}: {error}") from None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view. StoreError if the file is damaged: it is begun anew then."""
        with self._mending():
            connection = self._mine()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection | None]:
        """All of it or nothing; None if another process is at it."""
        with self._mending():
            connection = self._mine()
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _busy(error):
                    raise
                yield None
                return
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Once nobody looks any more."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
        if self._temporary:
            self._temporary.cleanup()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _mine(self) -> sqlite3.Connection:
        """This thread's own connection."""
        age, connection = getattr(self._local, "own", (-1, None))
        if connection is None or age != self._age:
            with self._lock:
                if connection is not None:
                    self._open.remove(connection)
                    connection.close()
                connection = self._connect()
                connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
                self._open.append(connection)
                self._local.own = (self._age, connection)
        return connection

    @contextmanager
    def _mending(self) -> Iterator[None]:
        age = self._age
        try:
            yield
        except sqlite3.Error as error:
            if _busy(error):
                raise StoreError("the explorer's cache is busy: look again in a moment") from None
            self._begin_anew(age, error)
            raise StoreError("the explorer's cache was damaged and is made anew: look again in a moment") from None

    def _begin_anew(self, age: int, error: sqlite3.Error) -> None:
        """Connections of other threads are left to them: each closes its own when it next looks."""
        with self._lock:
            if self._age != age:
                return  # another thread has done it
            log.warning("the explorer's cache is made anew", reason=str(error))
            self._age += 1
            try:
                if not isinstance(error, sqlite3.OperationalError):
                    self._remove()
                self._prepare()
            except (sqlite3.Error, OSError) as worse:
                raise StoreError(f"cannot make the explorer's cache {self.path}: {worse}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut costs the last moments, which are read again
        connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
        return connection

    def _prepare(self) -> None:
        try:
            self._prepare_file()
        except sqlite3.DatabaseError as error:
            if _busy(error):
                raise
            self._remove()
            self._prepare_file()
        self.path.chmod(0o600)

    def _prepare_file(self) -> None:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")  # of processes that begin together one does it
            form = connection.execute("PRAGMA user_version").fetchone()[0]
            if form == FORM and connection.execute("SELECT owner FROM about").fetchone() == (self._owner,):
                connection.execute("COMMIT")
                return
            kinds = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            for (name,) in connection.execute(kinds).fetchall():
                connection.execute(f'DROP TABLE "{name}"')
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO about VALUES (?)", (self._owner,))
            connection.execute(f"PRAGMA user_version = {FORM}")
            connection.execute("COMMIT")

    def _remove(self) -> None:
        for end in _BESIDE:
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)


def _busy(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
