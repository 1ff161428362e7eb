"""One chain's active blocks, taken in one after another and walked back again: outputs and who spent them, what each
address was in, and clusters of addresses that one transaction spent together.

Numbers of addresses and transactions are the cache's own. A cluster goes by the number of one of its members. When a
block goes, so do the co-spends in it: the clusters that they were in are worked out anew from what is left.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from glasstumbler.chains.base import Block, Tx
from glasstumbler.explorer.file import kept

Owners = Callable[[Collection[bytes]], Mapping[bytes, str]]
"""Of keys, those that a service has: its slug."""
_KEY_MOST = 80
"""Bytes of a key that is kept: longer ones are scripts that no address stands for."""
NOTHING = (-1, "")
"""Where a chain stands that nothing was taken in of."""


class Place(NamedTuple):
    n: int
    height: int
    hash: str


def where(db: sqlite3.Connection, coin: str) -> Place:
    """How far this chain was taken in."""
    row = db.execute("SELECT n, height, hash FROM chain WHERE coin = ?", (coin,)).fetchone()
    return Place(*row) if row else Place(0, *NOTHING)


def id_bytes(txid: str) -> bytes:
    return bytes.fromhex(txid.removeprefix("0x"))


class _Address:
    """As its row; sums are base units."""

    __slots__ = ("came", "n", "txs", "went")

    def __init__(self, n: int, txs: int, came: int, went: int) -> None:
        self.n, self.txs, self.came, self.went = n, txs, came, went


class _Move:
    """What one transaction does to one address."""

    __slots__ = ("came", "spends", "went")

    def __init__(self) -> None:
        self.came = self.went = self.spends = 0


class ChainIndex:
    """Inside one writing transaction. `finish` at its end."""

    def __init__(self, db: sqlite3.Connection, coin: str, accounts: bool, owners: Owners) -> None:
        """`accounts`: transactions spend accounts, not outputs (Ethereum)."""
        self._db, self._accounts, self._owners = db, accounts, owners
        found = where(db, coin)
        if not found.n:
            db.execute("INSERT INTO chain (coin, height, hash) VALUES (?, ?, ?)", (coin, *NOTHING))
            found = where(db, coin)
        self._chain, self.height, self.hash = found
        self._disturbed: set[int] = set()
        """Clusters that have lost a co-spend."""

    def finish(self) -> None:
        for cluster in sorted(self._disturbed):
            self._work_out(cluster)
        self._disturbed.clear()
        self._db.execute("UPDATE chain SET height = ?, hash = ? WHERE n = ?", (self.height, self.hash, self._chain))

    # -- a block comes ------------------------------------------------------------------------------------------------

    def connect(self, block: Block) -> None:
        """The block above the last one."""
        db, size = self._db, sum(len(tx.raw) for tx in block.txs)
        db.execute("INSERT INTO block VALUES (?, ?, ?, ?, ?, ?)",
                   (self._chain, block.height, block.hash, block.time, len(block.txs), size))  # fmt: skip
        first = (db.execute("SELECT max(n) FROM tx").fetchone()[0] or 0) + 1
        numbers = {tx.txid: n for n, tx in enumerate(block.txs, first)}
        rows = [(n, self._chain, id_bytes(txid), block.height) for txid, n in numbers.items()]
        db.executemany("INSERT INTO tx VALUES (?, ?, ?, ?)", rows)
        addresses = self._of_keys(_keys(block.txs, self._accounts))
        moves: dict[tuple[int, int], _Move] = defaultdict(_Move)
        self._outputs(block.txs, numbers, addresses, moves)  # first: a block may put children before parents (BCH)
        if self._accounts:
            self._senders(block.txs, numbers, addresses, moves)
            several: list[int] = []
        else:
            several = self._inputs(block.txs, numbers, moves)
        self._book(moves, {each.n: each for each in addresses.values()})
        together: dict[int, list[int]] = {n: [] for n in several}
        for (tx, address), move in moves.items():
            if tx in together and move.spends:
                together[tx].append(address)
        for members in together.values():
            if len(members) > 1:
                self._join(members)
        self.height, self.hash = block.height, block.hash

    def _outputs(
        self, txs: Iterable[Tx], numbers: Mapping[str, int], addresses: Mapping[bytes, _Address],
        moves: dict[tuple[int, int], _Move],
    ) -> None:  # fmt: skip
        rows = []
        for tx in txs:
            n = numbers[tx.txid]
            for vout, output in enumerate(tx.outputs):
                address = addresses.get(output.key)
                rows.append((n, vout, address and address.n, kept(output.amount)))
                if address:
                    moves[n, address.n].came += output.amount
        self._db.executemany("INSERT INTO output (tx, vout, address, amount) VALUES (?, ?, ?, ?)", rows)

    def _inputs(self, txs: Iterable[Tx], numbers: Mapping[str, int], moves: dict[tuple[int, int], _Move]) -> list[int]:
        """Transactions that spend several coins."""
        several, spent = [], []
        for tx in txs:
            n = numbers[tx.txid]
            if len(tx.inputs) > 1:
                several.append(n)
            for txid, vout in tx.inputs:
                source = numbers.get(txid) or self._number(txid)
                row = (
                    source
                    and self._db.execute(
                        "SELECT address, amount FROM output WHERE tx = ? AND vout = ?", (source, vout)
                    ).fetchone()
                )
                if not row:
                    continue  # a coinbase
                spent.append((n, source, vout))
                if row[0] is not None:
                    move = moves[n, row[0]]
                    move.went += int(row[1])
                    move.spends += 1
        self._db.executemany("UPDATE output SET spent_by = ? WHERE tx = ? AND vout = ?", spent)
        return several

    def _senders(
        self, txs: Iterable[Tx], numbers: Mapping[str, int], addresses: Mapping[bytes, _Address],
        moves: dict[tuple[int, int], _Move],
    ) -> None:  # fmt: skip
        for tx in txs:
            for account, _ in tx.inputs:
                move = moves[numbers[tx.txid], addresses[id_bytes(account)].n]
                move.went += sum(output.amount for output in tx.outputs)
                move.spends += 1

    def _book(self, moves: Mapping[tuple[int, int], _Move], known: dict[int, _Address]) -> None:
        rows, touched = [], {}
        for (tx, n), move in moves.items():
            address = known.get(n) or self._load(n)
            known[n] = touched[n] = address
            address.txs += 1
            address.came += move.came
            address.went += move.went
            rows.append((n, tx, kept(move.came), kept(move.went), move.spends))
        self._db.executemany("INSERT INTO move VALUES (?, ?, ?, ?, ?)", rows)
        self._save(touched.values())

    # -- a block goes -------------------------------------------------------------------------------------------------

    def disconnect(self) -> None:
        """The last block. All that it did stands in the cache, so the chain is not asked for it."""
        db, touched = self._db, dict[int, _Address]()
        txs = db.execute("SELECT n FROM tx WHERE chain = ? AND height = ?", (self._chain, self.height)).fetchall()
        for (tx,) in txs:
            together = []
            for n, came, went, spends in db.execute("SELECT address, came, went, spends FROM move WHERE tx = ?", (tx,)):
                address = touched[n] = touched.get(n) or self._load(n)
                address.txs -= 1
                address.came -= int(came)
                address.went -= int(went)
                together += [n] if spends else []
            if len(together) > 1:
                row = db.execute("SELECT cluster FROM address WHERE n = ?", (together[0],)).fetchone()
                self._disturbed.add(row[0])
            db.execute("UPDATE output SET spent_by = NULL WHERE spent_by = ?", (tx,))
        for table in ("output", "move"):
            db.executemany(f"DELETE FROM {table} WHERE tx = ?", txs)
        self._save(touched.values())
        db.execute("DELETE FROM tx WHERE chain = ? AND height = ?", (self._chain, self.height))
        db.execute("DELETE FROM block WHERE chain = ? AND height = ?", (self._chain, self.height))
        row = db.execute("SELECT hash FROM block WHERE chain = ? AND height = ?", (self._chain, self.height - 1))
        self.height, self.hash = self.height - 1, (row.fetchone() or NOTHING[1:])[0]

    # -- clusters -----------------------------------------------------------------------------------------------------

    def _join(self, addresses: list[int]) -> None:
        """Into the largest of their clusters, so that each address changes its cluster seldom."""
        db = self._db
        marks = ", ".join("?" * len(addresses))
        rows = db.execute(f"SELECT n, cluster FROM address WHERE n IN ({marks})", addresses).fetchall()
        labels = {label for _, label in rows if label is not None}
        fresh = sorted(n for n, label in rows if label is None)
        sizes = {label: db.execute("SELECT members FROM cluster WHERE n = ?", (label,)).fetchone()[0]
                 for label in labels}  # fmt: skip
        into = min(labels, key=lambda label: (-sizes[label], label)) if labels else fresh[0]
        for label in labels - {into}:
            db.execute("UPDATE address SET cluster = ? WHERE cluster = ?", (into, label))
            db.execute("DELETE FROM cluster WHERE n = ?", (label,))
            if label in self._disturbed:
                self._disturbed.remove(label)
                self._disturbed.add(into)
        db.executemany("UPDATE address SET cluster = ? WHERE n = ?", [(into, n) for n in fresh])
        db.execute("INSERT OR REPLACE INTO cluster VALUES (?, ?)", (into, sum(sizes.values()) + len(fresh)))

    def _work_out(self, cluster: int) -> None:
        """From the co-spends that are left, those of its members only: no other address was spent with one of them."""
        db = self._db
        spends = db.execute(
            "SELECT move.tx, move.address FROM address JOIN move ON move.address = address.n "
            "WHERE address.cluster = ? AND move.spends > 0 ORDER BY move.tx, move.address", (cluster,)
        ).fetchall()  # fmt: skip
        db.execute("UPDATE address SET cluster = NULL WHERE cluster = ?", (cluster,))
        db.execute("DELETE FROM cluster WHERE n = ?", (cluster,))
        for members in _components([address for _, address in group] for _, group in groupby(spends, itemgetter(0))):
            label = min(members)
            db.executemany("UPDATE address SET cluster = ? WHERE n = ?", [(label, n) for n in members])
            db.execute("INSERT INTO cluster VALUES (?, ?)", (label, len(members)))

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _number(self, txid: str) -> int | None:
        sql = "SELECT n FROM tx WHERE txid = ? AND chain = ?"
        row = self._db.execute(sql, (id_bytes(txid), self._chain)).fetchone()
        return row and int(row[0])

    def _of_keys(self, keys: Collection[bytes]) -> dict[bytes, _Address]:
        found: dict[bytes, _Address] = {}
        for key in keys:
            row = self._db.execute(
                "SELECT n, txs, came, went FROM address WHERE chain = ? AND key = ?", (self._chain, key)
            ).fetchone()
            if row:
                found[key] = _Address(row[0], row[1], int(row[2]), int(row[3]))
        fresh = [key for key in keys if key not in found]
        if fresh:
            owners = self._owners(fresh)
            n = (self._db.execute("SELECT max(n) FROM address").fetchone()[0] or 0) + 1
            rows = [(at, self._chain, key, owners.get(key, ""), 0, 0, 0, None) for at, key in enumerate(fresh, n)]
            self._db.executemany("INSERT INTO address VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            found.update({key: _Address(at, 0, 0, 0) for at, key in enumerate(fresh, n)})
        return found

    def _load(self, n: int) -> _Address:
        txs, came, went = self._db.execute("SELECT txs, came, went FROM address WHERE n = ?", (n,)).fetchone()
        return _Address(n, txs, int(came), int(went))

    def _save(self, addresses: Iterable[_Address]) -> None:
        self._db.executemany(
            "UPDATE address SET txs = ?, came = ?, went = ? WHERE n = ?",
            [(each.txs, kept(each.came), kept(each.went), each.n) for each in addresses],
        )


def _keys(txs: Iterable[Tx], accounts: bool) -> list[bytes]:
    """Each once, in the order of the block."""
    found: dict[bytes, None] = {}
    for tx in txs:
        if accounts:
            found |= dict.fromkeys(id_bytes(account) for account, _ in tx.inputs)
        found |= dict.fromkeys(output.key for output in tx.outputs if len(output.key) <= _KEY_MOST)
    return list(found)


def _components(groups: Iterable[list[int]]) -> list[list[int]]:
    """Of groups of numbers that share some; groups of one join nothing."""
    parents: dict[int, int] = {}

    def root(n: int) -> int:
        while parents[n] != n:
            parents[n] = n = parents[parents[n]]
        return n

    for group in groups:
        if len(group) > 1:
            for n in group:
                parents.setdefault(n, n)
            for n in group[1:]:
                parents[root(n)] = root(group[0])
    members: dict[int, list[int]] = defaultdict(list)
    for n in parents:
        members[root(n)].append(n)
    return list(members.values())
