"""What LND said of payments and balances, kept for an audit that has no node to ask.

The file is called as the in-process network's (`lightning.sqlite`), has the same table of payments, and in place of
channels what each payer had to send when its channels were opened.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glasstumbler.chains.lightning import LightningPayment
from glasstumbler.errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS opened (payer TEXT PRIMARY KEY, sendable_msat INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS payments (
    key TEXT PRIMARY KEY,           -- the payment hash
    payer TEXT NOT NULL,
    amount_msat INTEGER NOT NULL,
    fee_msat INTEGER NOT NULL,
    preimage BLOB NOT NULL
);
"""


class Book:
    """Safe from any thread. StoreError if the file cannot be used."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` None: in memory."""
        self._name = ":memory:" if folder is None else str(folder / "lightning.sqlite")
        self._lock = threading.Lock()
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._name, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the Lightning payments' file {self._name} cannot be used: {error}") from None

    def opened(self, payer: str, sendable_msat: int) -> None:
        """The first time counts."""
        with self._writing():
            self._db.execute("INSERT OR IGNORE INTO opened VALUES (?, ?)", (payer, sendable_msat))

    def paid(self, payer: str, payment: LightningPayment) -> None:
        """Noted once, however often it is told."""
        row = (payment.payment_hash, payer, payment.amount_msat, payment.fee_msat, bytes.fromhex(payment.preimage))
        with self._writing():
            self._db.execute("INSERT OR IGNORE INTO payments VALUES (?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock, self._db:
                yield
        except sqlite3.Error as error:
            raise StoreError(f"the Lightning payments' file did not take a change: {error}") from error
