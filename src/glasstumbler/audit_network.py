"""The Lightning network as the audit asks it, from its file: the model's, or what LND said (nodes/lnd_book.py)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from glasstumbler.audit_chain import Network
from glasstumbler.errors import StoreError

_CHANNELS = "SELECT sum(CASE a WHEN ?1 THEN balance ELSE capacity - balance END) FROM channels WHERE ?1 IN (a, b)"
_BOOK = """SELECT (SELECT sum(sendable_msat) FROM opened WHERE payer = ?1)
    - (SELECT coalesce(sum(amount_msat + fee_msat), 0) FROM payments WHERE payer = ?1)"""


class _ChannelFile:
    """The network's file, read by another process."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        book = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'opened'").fetchone()
        self._sendable = _CHANNELS if book is None else _BOOK

    def sendable(self, payer: str) -> int:
        return int(self._connection.execute(self._sendable, (payer,)).fetchone()[0] or 0)

    def settled(self, key: str) -> int | None:
        sql = "SELECT fee_msat FROM payments WHERE key = ? AND preimage IS NOT NULL"
        row = self._connection.execute(sql, (key,)).fetchone()
        return None if row is None else int(row[0])


@contextmanager
def channel_file(path: Path) -> Iterator[Network | None]:
    """None where there is no such file."""
    if not path.exists():
        yield None
        return
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN")
            yield _ChannelFile(connection)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {path}: {error}") from None
