"""The Lightning network as the audit asks it, from the model's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from glasstumbler.audit_chain import Network
from glasstumbler.errors import StoreError


class _ChannelFile:
    """The Lightning model's file, read by another process."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def sendable(self, payer: str) -> int:
        sql = "SELECT sum(CASE a WHEN ? THEN balance ELSE capacity - balance END) FROM channels WHERE ? IN (a, b)"
        return int(self._connection.execute(sql, (payer, payer)).fetchone()[0] or 0)

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
