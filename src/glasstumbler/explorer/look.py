"""Questions to the cache, each through an index; what comes in any number comes a page at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from glasstumbler.chains.base import Outpoint
from glasstumbler.explorer.chain_index import id_bytes, where

END: Final = 2**62
"""Above every number."""
_ADDRESS = "SELECT n, key, owner, txs, came, went, cluster FROM address"


class BlockRow(NamedTuple):
    height: int
    hash: str
    time: int
    txs: int
    size: int


class Spent(NamedTuple):
    """An output of the active chain. `by`: (txid, height) of what spends it there."""

    key: bytes | None
    amount: int
    by: tuple[str, int] | None


class Address(NamedTuple):
    """Sums are base units; `cluster`: the number of one of its members."""

    n: int
    key: bytes
    owner: str
    txs: int
    came: int
    went: int
    cluster: int | None


class Move(NamedTuple):
    """One transaction as an address sees it. `n` orders them along the chain."""

    n: int
    txid: str
    height: int
    came: int
    went: int


class Cluster(NamedTuple):
    """`owners`: how many of its addresses each service has; "" for those that no service has."""

    n: int
    members: int
    owners: dict[str, int]


class Look:
    """One view of one chain's part of the cache."""

    def __init__(self, db: sqlite3.Connection, coin: str) -> None:
        self._db = db
        self._chain, self.height, self.hash = where(db, coin)
        self._mark = "0x" if coin == "eth" else ""

    def blocks(self, top: int, limit: int) -> list[BlockRow]:
        """Newest first, from height `top` down."""
        sql = "SELECT height, hash, time, txs, size FROM block WHERE chain = ? AND height <= ? ORDER BY height DESC"
        return [BlockRow(*row) for row in self._db.execute(f"{sql} LIMIT ?", (self._chain, top, limit))]

    def height_of(self, txid: str) -> int | None:
        """None if the active chain does not have it."""
        row = self._tx(txid)
        return row and row[1]

    def outputs(self, txid: str, first: int, limit: int) -> dict[int, Spent]:
        """By place; empty if the active chain does not have the transaction."""
        found = self._tx(txid)
        if found is None:
            return {}
        rows = self._db.execute(
            "SELECT vout, key, amount, tx.txid, tx.height FROM output LEFT JOIN address ON address.n = address "
            "LEFT JOIN tx ON tx.n = spent_by WHERE output.tx = ? AND vout >= ? ORDER BY vout LIMIT ?",
            (found[0], first, limit),
        )
        return {
            vout: Spent(key, int(amount), None if by is None else (self._text(by), height))
            for vout, key, amount, by, height in rows
        }

    def output(self, spent: Outpoint) -> Spent | None:
        """None if the active chain does not have it."""
        return self.outputs(spent.txid, spent.vout, 1).get(spent.vout) if spent.vout < END else None

    def address(self, key: bytes) -> Address | None:
        """None if the active chain never had it."""
        row = self._db.execute(f"{_ADDRESS} WHERE chain = ? AND key = ? AND txs > 0", (self._chain, key)).fetchone()
        return row and _address(row)

    def moves(self, address: int, before: int = END, limit: int = 50) -> list[Move]:
        """Newest first."""
        rows = self._db.execute(
            "SELECT move.tx, tx.txid, tx.height, came, went FROM move JOIN tx ON tx.n = move.tx "
            "WHERE address = ? AND move.tx < ? ORDER BY move.tx DESC LIMIT ?",
            (address, before, limit),
        )
        return [Move(n, self._text(txid), height, int(came), int(went)) for n, txid, height, came, went in rows]

    def cluster(self, member: int) -> Cluster | None:
        """That this address is in; None if it was never spent with another."""
        row = self._db.execute(
            "SELECT cluster.n, members FROM address JOIN cluster ON cluster.n = cluster "
            "WHERE address.n = ? AND chain = ?",
            (member, self._chain),
        ).fetchone()
        if row is None:
            return None
        owners = "SELECT owner, count(*) FROM address WHERE cluster = ? GROUP BY owner"
        return Cluster(row[0], row[1], dict(self._db.execute(owners, row[:1]).fetchall()))

    def members(self, cluster: int, after: int = 0, limit: int = 50) -> list[Address]:
        """In order of their numbers."""
        rows = self._db.execute(
            f"{_ADDRESS} WHERE cluster = ? AND n > ? ORDER BY n LIMIT ?",
            (cluster, after, limit),
        )
        return [_address(row) for row in rows]

    def _tx(self, txid: str) -> tuple[int, int] | None:
        try:
            raw = id_bytes(txid)
        except ValueError:
            return None
        sql = "SELECT n, height FROM tx WHERE txid = ? AND chain = ?"
        row: tuple[int, int] | None = self._db.execute(sql, (raw, self._chain)).fetchone()
        return row

    def _text(self, txid: bytes) -> str:
        return self._mark + txid.hex()


def _address(row: Sequence[int | bytes | str]) -> Address:
    n, key, owner, txs, came, went, cluster = row
    return Address(n, key, owner, txs, int(came), int(went), cluster)  # type: ignore[arg-type]
