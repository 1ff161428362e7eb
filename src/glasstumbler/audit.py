"""Every coin is accounted for: the record recomputed, and the wallets held against the chains.

Reads only, on one consistent view of the record; it may run beside `serve`, and after a kill.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from glasstumbler.audit_chain import (
    COINS,
    Blocks,
    LoggedBlocks,
    Network,
    Wallets,
    check_channels,
    check_mined,
    up_to,
)
from glasstumbler.audit_record import Book, Findings, Sums, check_record
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.errors import ChainError, PaymentFailed, RecordError, StoreError
from glasstumbler.house import House
from glasstumbler.store.documents import UNREADABLE
from glasstumbler.store.records import Records
from glasstumbler.store.url import reading

Progress = Callable[[str], None]


class Report(NamedTuple):
    """`differences`: the first twenty, each with the number of its entry where one is known."""

    differences: tuple[RecordError, ...]
    entries: int
    orders: int
    payments: int
    coins: int
    chains: tuple[str, ...]
    seconds: float
    head: str
    """Hash of the last entry: kept elsewhere, it shows later that nothing before it was rewritten."""

    @property
    def clean(self) -> bool:
        return not self.differences

    def lines(self) -> list[str]:
        size = (
            f"{self.entries} entries, {self.orders} orders, {self.payments} payments, {self.coins} coins, "
            f"chains {', '.join(self.chains) or 'none'}: {self.seconds:.1f} s"
        )
        if self.clean:
            return [f"the record is whole: {size}", f"entry {self.entries} has the hash {self.head}"]
        return [*map(str, self.differences), f"{len(self.differences)} differences in {size}"]


def audit(folder: Path, progress: Progress | None = None, store: str | Path | None = None, owner: str = "") -> Report:
    """Of a folder, also while it is in use. `store`: the record's address, by default a file in the folder. `owner`:
    the laboratory's fingerprint, which the record must have."""
    with ExitStack() as open_files:
        records = open_files.enter_context(reading(store or folder / "record.db", owner))
        chains: dict[str, Blocks] = {}
        for coin in COINS:
            path = folder / "chains" / f"{coin}.blocks"
            if path.exists():
                log = BlockLog.read_only(path, coin)
                open_files.callback(log.close)
                chains[coin] = LoggedBlocks(log, coin)
        network = open_files.enter_context(_channel_file(folder / "chains" / "lightning.sqlite"))
        return _audit(records, chains, network, progress)


def audit_house(house: House, progress: Progress | None = None) -> Report:
    """Of a running laboratory, its chains in memory or not. Lightning is compared well only at rest."""
    network = _HouseNetwork(house) if house.lightning is not None else None
    with house.store.snapshot() as records:
        return _audit(records, house.chains, network, progress)


def _audit(
    records: Records, chains: Mapping[str, Blocks], network: Network | None, progress: Progress | None
) -> Report:
    began = time.perf_counter()
    tell = progress or _silent
    findings = Findings()
    with Book(findings) as book:
        tell("entries and documents")
        sums = check_record(records, book, findings)
        seen = tuple(coin for coin in COINS if records.cursor(coin) is not None)
        _check_chains(records, chains, seen, book, sums, findings, tell)
        if network is not None:
            check_channels(records, network, book, findings)
    elapsed = time.perf_counter() - began
    head = records.head()[1].hex()
    return Report(tuple(findings.found), book.entries, sums.orders, sums.payments, sums.coins, seen, elapsed, head)


def _check_chains(
    records: Records,
    chains: Mapping[str, Blocks],
    seen: tuple[str, ...],
    book: Book,
    sums: Sums,
    findings: Findings,
    tell: Progress,
) -> None:
    mined: set[int] = set()
    for coin in seen:
        if coin not in chains:
            findings.add(None, f"the record follows {coin}, whose chain is not here")
            continue
        tell(f"{coin} chain")
        wallets = Wallets(records, coin, book, findings)
        height, block_hash = records.cursor(coin) or (0, "")
        try:
            wallets.check(up_to(chains[coin], height, block_hash))
        except (ChainError, RecordError, *UNREADABLE) as error:
            findings.add(None, f"{coin}: the wallets cannot be compared: {error}")
        mined |= wallets.mined
    if not findings.found:  # else payments that no block shows may be a consequence
        check_mined(records, sums.mined, mined, findings, book)


def _silent(stage: str) -> None:
    pass


class _HouseNetwork:
    def __init__(self, house: House) -> None:
        assert house.lightning is not None
        self._network = house.lightning

    def sendable(self, payer: str) -> int:
        return self._network.sendable(payer)

    def settled(self, key: str) -> int | None:
        try:
            paid = self._network.paid(key)
        except PaymentFailed:
            return None
        return None if paid is None else paid.fee_msat


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
def _channel_file(path: Path) -> Iterator[_ChannelFile | None]:
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN")
            yield _ChannelFile(connection)
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {path}: {error}") from None
