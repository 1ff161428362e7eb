"""What lies in a folder that somebody may have changed: documents and entries of the record, rows of the block logs.

The audit must name the damage and a chain must refuse it, both in one line.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from fuzz.target import NOW, Target, folder, split
from glasstumbler.audit import audit_record
from glasstumbler.chains.base import LabChain
from glasstumbler.chains.eth import EthChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroChain
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin, Origin
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.ledger import Entry
from glasstumbler.engine.order import Order, PlannedOutput, State, Terms
from glasstumbler.engine.payment import Carried, Payment
from glasstumbler.errors import BlockRefused, ChainError, StoreError, TransactionRefused
from glasstumbler.store.records import Code, Records, Watched
from glasstumbler.store.sqlite import SqliteConnection, SqliteStore
from glasstumbler.vault import key_row

# -- the record -----------------------------------------------------------------------------------------------------

ORDER = Order(
    1, "whir", "A" * 16, "whir-1", "btc", "btc", State.AWAITING, NOW, NOW, NOW + 60, "a", Terms(), [PlannedOutput("b")]
)
DEPOSIT = Deposit("btc", "11" * 32, 0, 1, "whir", 5, NOW)
COIN = Coin(1, "whir", "btc", "11" * 32, 0, 5, "p2wpkh", "deposit", 1, Origin.DEPOSIT)
PAYMENT = Payment(1, "whir", "btc", "22" * 32, "00", 1, NOW, [("11" * 32, 0)], [1], [Carried(1, 0, 4, 0)])


def _fill(records: Records) -> None:
    records.add_order(ORDER)
    records.put_deposit(DEPOSIT, None)
    records.add_coin(COIN)
    records.add_payment(PAYMENT)
    records.put_code(Code(1, "bestmixer", "ABCDEFGHIJ"))
    records.add_key(key_row("whir", "key", NOW))
    records.watch(Watched("btc", b"key", "whir", "deposit", 1, "p2wpkh", 1))
    records.append(Entry("order", NOW, "whir", 1))
    records.append(Entry("deposit", NOW, "whir", 1, ledger.move("btc", ("coins", 5), ("order:1", -5))))


@lru_cache(maxsize=1)
def record() -> sqlite3.Connection:
    path = folder() / "record.db"
    store = SqliteStore(path)
    store.write(_fill)
    store.close()
    return sqlite3.connect(path, isolation_level=None, factory=SqliteConnection)


PLACES = (
    *(f"UPDATE {table} SET doc = ?" for table in ("orders", "deposit", "coin", "payment", "code")),
    "UPDATE entry SET body = ? WHERE number = 2",
    "UPDATE watch SET key = ?",
    "UPDATE account SET key_hash = ?",
    "UPDATE account SET created = ?",
    "UPDATE account SET blocked = ?",
    "UPDATE watch SET idx = ?",
    "UPDATE entry SET kind = ? WHERE number = 2",
    "UPDATE entry SET hash = ? WHERE number = 1",
    "UPDATE orders SET wake = ?",
    "UPDATE deposit SET height = ?",
    "UPDATE coin SET spent_by = ?",
)


def run_record(data: bytes) -> None:
    way, rest = split(data)
    connection = record()
    connection.execute("BEGIN")
    try:
        value: object = rest.decode("utf-8", "replace") if way & 128 else rest
        connection.execute(PLACES[way & 15], (value,))
        for line in audit_record(Records(connection)).lines():
            assert "Traceback" not in line
    finally:
        connection.execute("ROLLBACK")


# -- block logs -----------------------------------------------------------------------------------------------------

_RING = KeyRing(b"\3" * 32)
OPEN: dict[str, Callable[[Path], LabChain]] = {
    "ltc": lambda folder: UtxoChain.open("ltc", _RING, VirtualClock(), folder, start=3),
    "bch": lambda folder: UtxoChain.open("bch", _RING, VirtualClock(), folder, start=3),
    "eth": lambda folder: EthChain(_RING, VirtualClock(), folder),
    "xmr": lambda folder: MoneroChain(_RING, VirtualClock(), folder),
}
_DAMAGE = (
    "UPDATE blocks SET raw = ? WHERE height = 2",
    "UPDATE blocks SET hash = ? WHERE height = 2",
    "UPDATE blocks SET previous = ? WHERE height = 2",
    "UPDATE active SET hash = ? WHERE height = 2",
    "UPDATE facts SET value = ? WHERE name = 'version'",
    "INSERT INTO waiting (txid, raw) VALUES ('11', ?)",
)


@lru_cache(maxsize=len(OPEN))
def log(coin: str) -> tuple[Path, bytes]:
    """A short chain's log: where it lies, and its bytes."""
    place = folder()
    chain = OPEN[coin](place)
    chain.mine(3)
    chain.close()
    path = place / f"{coin}.blocks"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    return path, path.read_bytes()


def run_block_log(data: bytes) -> None:
    way, rest = split(data)
    coin = tuple(OPEN)[way & 3]
    path, whole = log(coin)
    for old in path.parent.iterdir():
        old.unlink()
    path.write_bytes(whole)
    connection = sqlite3.connect(path)
    try:
        value: object = rest.decode("utf-8", "replace") if way & 128 else rest
        with connection:
            connection.execute(_DAMAGE[(way >> 2 & 31) % len(_DAMAGE)], (value,))
    finally:
        connection.close()
    OPEN[coin](path.parent).close()


TARGETS = {
    "record": Target(run_record, (), 8000),
    "block_log": Target(run_block_log, (StoreError, BlockRefused, TransactionRefused, ChainError), 1500),
}
