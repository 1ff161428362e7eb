"""Every block that a chain ever took, stale ones too, and the transactions that wait: one SQLite file per coin.

Blocks are only ever added. Which of them are active is a table of its own, replaced from the fork upwards in the same
transaction that adds the blocks of a reorganisation. Blocks are written with `synchronous=FULL` (they survive a power
cut), waiting transactions with NORMAL (they survive a killed process; a node forgets its mempool in a power cut too).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from glasstumbler.errors import StoreError

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    number INTEGER PRIMARY KEY,     -- order of arrival
    hash TEXT NOT NULL UNIQUE,
    height INTEGER NOT NULL,
    previous TEXT NOT NULL,
    raw BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS active (height INTEGER PRIMARY KEY, hash TEXT NOT NULL REFERENCES blocks (hash));
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY,     -- order of arrival
    txid TEXT NOT NULL UNIQUE,
    raw BLOB NOT NULL
);
"""


class LoggedBlock(NamedTuple):
    """`hash` and `previous` in display order; `raw` the consensus serialisation."""

    height: int
    hash: str
    previous: str
    raw: bytes


class BlockLog:
    """Safe from any thread; one process writes, any number may read (`read_only`). StoreError if the file is damaged,
    of another coin or of another version."""

    def __init__(self, path: Path | None, coin: str) -> None:
        """`path` None: in memory."""
        self._lock = threading.RLock()
        self._connection = _connect(":memory:" if path is None else path.absolute().as_uri())
        with _reported(path, self._connection.close):
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.executescript(_SCHEMA)
            self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('coin', ?)", (coin,))
            self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('version', ?)", (_VERSION,))
            self._check(coin)

    @classmethod
    def read_only(cls, path: Path, coin: str) -> BlockLog:
        """For another process, while the chain runs."""
        log = cls.__new__(cls)
        log._lock = threading.RLock()
        log._connection = _connect(path.absolute().as_uri() + "?mode=ro")
        with _reported(path, log._connection.close):
            log._check(coin)
        return log

    def _check(self, coin: str) -> None:
        facts = dict(self._connection.execute("SELECT name, value FROM facts WHERE name IN ('coin', 'version')"))
        if facts != {"coin": coin, "version": _VERSION}:
            raise StoreError(f"the block log is of {facts}, not of {coin} in version {_VERSION}")

    def height(self) -> int:
        """Of the active chain's tip; -1 while the log is empty."""
        (height,) = self._connection.execute("SELECT max(height) FROM active").fetchone()
        return -1 if height is None else int(height)

    def count(self) -> int:
        """Blocks ever taken."""
        (number,) = self._connection.execute("SELECT count(*) FROM blocks").fetchone()
        return int(number)

    def hash_at(self, height: int) -> str | None:
        row = self._connection.execute("SELECT hash FROM active WHERE height = ?", (height,)).fetchone()
        return row[0] if row else None

    def hashes(self) -> list[str]:
        """Of the active chain, by height."""
        return [row[0] for row in self._connection.execute("SELECT hash FROM active ORDER BY height")]

    def find(self, block_hash: str) -> LoggedBlock | None:
        """A block by hash, active or stale."""
        row = self._connection.execute(
            "SELECT height, hash, previous, raw FROM blocks WHERE hash = ?", (block_hash,)
        ).fetchone()
        return _logged(row) if row else None

    def piece(self, block_hash: str, offset: int, size: int) -> bytes:
        """Bytes out of a raw block that is known. StoreError if it is not there."""
        row = self._connection.execute(
            "SELECT substr(raw, ?, ?) FROM blocks WHERE hash = ?", (offset + 1, size, block_hash)
        ).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise StoreError(f"the block log is damaged: it has lost block {block_hash}")
        return row[0]

    def chain(self, first: int = 0) -> Iterator[LoggedBlock]:
        """The active chain's blocks in order, from height `first`."""
        for row in self._connection.execute(
            "SELECT b.height, b.hash, b.previous, b.raw FROM active a JOIN blocks b USING (hash)"
            " WHERE a.height >= ? ORDER BY a.height",
            (first,),
        ):
            yield _logged(row)

    def waiting(self) -> list[bytes]:
        """Raw transactions of the mempool in order of arrival."""
        raws = [raw for (raw,) in self._connection.execute("SELECT raw FROM waiting ORDER BY number")]
        if not all(isinstance(raw, bytes) for raw in raws):
            raise StoreError("the block log is damaged: a waiting transaction is no row of bytes")
        return raws

    def append(self, blocks: Sequence[LoggedBlock], gone: Collection[str] = ()) -> None:
        """Make these blocks, which follow one another, the end of the active chain, and strike what they mined or
        put out of the mempool (`gone`, txids). A block that is known already is only made active."""
        with self._writing("FULL") as write:
            write.executemany("INSERT OR IGNORE INTO blocks (height, hash, previous, raw) VALUES (?, ?, ?, ?)", blocks)
            write.execute("DELETE FROM active WHERE height >= ?", (blocks[0].height,))
            write.executemany("INSERT INTO active VALUES (?, ?)", [(b.height, b.hash) for b in blocks])
            write.executemany("DELETE FROM waiting WHERE txid = ?", [(txid,) for txid in gone])

    def wait(self, arrived: Collection[tuple[str, bytes]], gone: Collection[str] = ()) -> None:
        """Transactions (txid, raw) that came to the mempool, and txids that left it unmined."""
        with self._writing("NORMAL") as write:
            write.executemany("DELETE FROM waiting WHERE txid = ?", [(txid,) for txid in gone])
            write.executemany("INSERT OR IGNORE INTO waiting (txid, raw) VALUES (?, ?)", arrived)

    def next_number(self, name: str) -> int:
        """0, 1, 2, ...: never the same again, also after a restart."""
        with self._writing("FULL") as write:
            row = write.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            number = row[0] if row else 0
            write.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, number + 1))
        return int(number)

    def note(self, name: str, value: str) -> None:
        """A fact to be kept; an earlier one of this name is replaced."""
        with self._writing("FULL") as write:
            write.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    @contextmanager
    def _writing(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute(f"PRAGMA synchronous={synchronous}")
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:  # a full disk may have rolled it back
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise StoreError(f"the block log did not take a change: {error}") from error
                raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _logged(row: tuple[object, ...]) -> LoggedBlock:
    """SQLite keeps whatever somebody puts into a column: only what was written as a block is read as one."""
    try:
        return msgspec.convert(row, LoggedBlock, builtin_types=(bytes,))  # no base64
    except msgspec.ValidationError:
        raise StoreError(f"the block log is damaged: its row at height {row[0]!r} is no block") from None


def _connect(uri: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            uri, uri=uri.startswith("file:"), isolation_level=None, check_same_thread=False, timeout=10
        )
    except sqlite3.Error as error:
        raise StoreError(f"the block log {uri} cannot be opened: {error}") from error


@contextmanager
def _reported(path: Path | None, close: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        close()
        raise StoreError(f"the block log {path} cannot be used: {error}") from error
    except StoreError:
        close()
        raise
