"""A folder with a million orders behind it, written in bulk: what the pages of the web are measured on.

The same kinds of documents, entries and blocks as bench/past.py makes, but written as they ended and straight into the
tables, so that a million orders take minutes. Payouts go to a pool of customers' addresses, each paid many times. The
chain is not judged, so no house opens it by itself: `PastChain` reads its log.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from bench.past import BEGAN, COIN, DEPOSIT, FEE, KIND, MINER_FEE, PAYOUTS, SERVICE, _key
from glasstumbler.audit_blocks import LoggedBlocks
from glasstumbler.chains import blocks
from glasstumbler.chains.base import Outpoint, Output, Place, Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.tx import RawIn, RawTx, identify
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin, Origin
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.order import Order, OutputState, PlannedOutput, State, Terms
from glasstumbler.engine.payment import Carried, Payment, PaymentState
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.vault import Vault

BATCH, POOL, OPEN = 500, 10_000, 2_000
"""Orders of a block, customers' addresses, orders that nobody has paid yet."""
_WITNESS = (bytes(71), bytes(33))
_encode = msgspec.json.Encoder().encode
_ROWS = {
    "orders": "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "deposit": "INSERT INTO deposit VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "coin": "INSERT INTO coin VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "payment": "INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, ?)",
    "watch": "INSERT INTO watch VALUES (?, ?, ?, ?, ?, ?, ?)",
    "entry": "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)",
}


def make(folder: Path, orders: int) -> None:
    Vault.of_folder(folder)
    (folder / "chains").mkdir(exist_ok=True)
    SqliteStore(folder / "record.db").close()
    with closing(sqlite3.connect(folder / "record.db", isolation_level=None)) as record:
        record.execute("PRAGMA synchronous = OFF")
        log = BlockLog(folder / "chains" / f"{COIN}.blocks", COIN)
        past, began = _Past(record, log), time.perf_counter()
        for done in range(0, orders, BATCH):
            past.batch()
            if done % 50_000 == 0:
                print(f"  making the record: {done} orders, {time.perf_counter() - began:.0f} s", flush=True)
        past.end()
        log.close()


class _Past:
    def __init__(self, record: sqlite3.Connection, log: BlockLog) -> None:
        self._record, self._log = record, log
        self._rows: dict[str, list[Any]] = {name: [] for name in _ROWS}
        self._order = self._entry = 0
        self._hash = ledger.GENESIS_HASH
        self._height, self._tip, self._now = -1, "00" * 32, BEGAN
        form = FORMATS[COIN]
        self._pool = [(_key("customer", number), form.address(_key("customer", number))) for number in range(POOL)]
        self._mine([])

    def batch(self) -> None:
        """BATCH orders from first to last, in two blocks."""
        numbers = range(self._order + 1, self._order + BATCH + 1)
        self._order += BATCH
        source = RawIn(Outpoint(sha256(repr(numbers).encode()).hexdigest(), 0), b"", 0, _WITNESS)
        paid_in = identify(RawTx(2, (source,), tuple(Output(_key("deposit", n), DEPOSIT) for n in numbers)))
        self._mine([paid_in])
        mined = [self._one(number, paid_in[0], vout) for vout, number in enumerate(numbers)]
        self._mine(mined)
        self._now += 1800
        self._write()

    def end(self) -> None:
        """What waits for deposits, and where everything stands."""
        for number in range(self._order + 1, self._order + OPEN + 1):
            self._save_order(self._planned(number, State.AWAITING))
            self._append(ledger.Entry("order", self._now, SERVICE, number))
        counters = {"order": self._order + OPEN, "coin": 2 * self._order, "payment": self._order}
        self._write()
        self._record.executemany("INSERT INTO counter VALUES (?, ?)", counters.items())
        self._record.execute("INSERT INTO block VALUES (?, ?, ?)", (COIN, self._height, self._tip))

    # -- one order ------------------------------------------------------------------------------------------------

    def _planned(self, number: int, state: State) -> Order:
        outputs = [
            PlannedOutput(self._pool[(7 * number + place) % POOL][1], wanted=amount, delay=3600, network_fee=1500)
            for place, amount in enumerate(PAYOUTS)
        ]
        terms = Terms(fee_ppm=10_000, per_output=1_500, quote=DEPOSIT, fee=FEE, minimum=DEPOSIT, maximum=DEPOSIT)
        key = _key("deposit", number)
        self._rows["watch"].append((COIN, key, SERVICE, "deposit", number, KIND, number))
        return Order(
            number, SERVICE, sha256(key).hexdigest()[:16].upper(), f"customer-{number % 97}", COIN, COIN, state,
            self._now, self._now, self._now + 86_400, FORMATS[COIN].address(key), terms, outputs, fixed=True,
        )  # fmt: skip

    def _one(self, number: int, txid: str, vout: int) -> tuple[str, bytes]:
        now, mine, rows = self._now, ledger.owed(number), self._rows
        order = self._planned(number, State.COMPLETED)
        delay = 60 * (number * 37 % 4000)
        order.seen = order.credited = DEPOSIT
        order.deposit_txid, order.funded = txid, now
        for output in order.outputs:
            output.amount, output.due, output.state, output.payment = (
                output.wanted, now + delay, OutputState.CONFIRMED, number,
            )  # fmt: skip
        outputs = [Output(self._pool[(7 * number + place) % POOL][0], amount) for place, amount in enumerate(PAYOUTS)]
        outputs.append(Output(_key("change", number), FEE - MINER_FEE))
        paid, raw = identify(RawTx(2, (RawIn(Outpoint(txid, vout), b"", 0xFFFFFFFD, _WITNESS),), tuple(outputs)))
        deposit = Deposit(COIN, txid, vout, number, SERVICE, DEPOSIT, now, DepositState.CREDITED, self._height, mine)
        coins = [
            Coin(2 * number - 1, SERVICE, COIN, txid, vout, DEPOSIT, KIND, "deposit", number, Origin.DEPOSIT, number,
                 height=self._height, spent_by=number),
            Coin(2 * number, SERVICE, COIN, paid, len(PAYOUTS), FEE - MINER_FEE, KIND, "change", number, Origin.CHANGE,
                 height=self._height + 1, made_by=number),
        ]  # fmt: skip
        payment = Payment(
            number, SERVICE, COIN, paid, raw.hex(), MINER_FEE, now + delay, [(txid, vout)], [2 * number - 1],
            [Carried(number, place, amount, place) for place, amount in enumerate(PAYOUTS)], 2 * number, 10,
            PaymentState.SETTLED, self._height + 1,
        )  # fmt: skip
        rows["watch"].append((COIN, _key("change", number), SERVICE, "change", number, KIND, None))
        about = self._save_order(order)
        document = _encode(deposit)
        rows["deposit"].append((COIN, txid, vout, number, "credited", self._height, None, document))
        for coin in coins:
            rows["coin"].append(
                (coin.number, SERVICE, COIN, coin.txid, coin.vout, coin.height, coin.spent_by, _encode(coin))
            )
        rows["payment"].append((number, SERVICE, COIN, paid, "settled", None, _encode(payment)))
        docs = [("order", str(number), about)]
        came = ledger.move(COIN, (ledger.COINS, DEPOSIT), (mine, -DEPOSIT))
        out = [(mine, FEE), (ledger.FEE, -FEE), *((mine, amount) for amount in PAYOUTS), (ledger.MINER, MINER_FEE)]
        went = ledger.move(COIN, *out, (ledger.COINS, -sum(PAYOUTS) - MINER_FEE))
        both = [*docs, ("payment", str(number), ledger.digest(raw))]
        self._append(ledger.Entry("order", now, SERVICE, number, docs=docs))
        self._append(ledger.Entry("deposit", now, SERVICE, number, docs=docs))
        self._append(ledger.Entry("deposit", now, SERVICE, number, came, docs))
        self._append(ledger.Entry("payout", now + delay, SERVICE, number, went, both, {"txid": paid}))
        self._append(ledger.Entry("payment settled", now + delay, SERVICE, number, docs=both))
        return paid, raw

    # -- rows -----------------------------------------------------------------------------------------------------

    def _save_order(self, order: Order) -> str:
        raw = _encode(order)
        wake = order.expires if order.state is State.AWAITING else None
        self._rows["orders"].append(
            (order.number, SERVICE, order.id, order.account, COIN, order.state.value, wake, raw)
        )
        return ledger.digest(raw)

    def _append(self, entry: ledger.Entry) -> None:
        raw = ledger.body(entry)
        self._entry += 1
        self._hash = ledger.link(self._hash, self._entry, raw)
        self._rows["entry"].append((self._entry, entry.kind, entry.service, entry.order, raw, self._hash))

    def _write(self) -> None:
        self._record.execute("BEGIN")
        for name, rows in self._rows.items():
            self._record.executemany(_ROWS[name], rows)
            rows.clear()
        self._record.execute("COMMIT")

    def _mine(self, txs: list[tuple[str, bytes]]) -> None:
        self._height += 1
        raws = [raw for _, raw in txs]
        first = identify(blocks.coinbase(self._height, [Output(_key("miner", 0), 1)], raws))
        txids = [bytes.fromhex(txid)[::-1] for txid, _ in [first, *txs]]
        header = blocks.Header(4, self._tip, blocks.merkle_root(txids), BEGAN + 900 * self._height, 0x207FFFFF, 0)
        raw = blocks.block_bytes(header, [first[1], *raws])
        previous, self._tip = self._tip, blocks.block_hash(raw)
        self._log.append([LoggedBlock(self._height, self._tip, previous, raw)])


class PastChain:
    """Reads the log as a `Chain`; nothing is mined, paid or judged."""

    coin, network, node, model = COIN, "regtest", "block log", False
    format = FORMATS[COIN]

    def __init__(self, path: Path) -> None:
        self._blocks = LoggedBlocks(path, COIN)
        self.tip, self.block_hash, self.block = self._blocks.tip, self._blocks.block_hash, self._blocks.block
        self._heights: dict[bytes, int] = {}
        for height in range(self.tip()[0] + 1):
            block = self.block(self.block_hash(height) or "")
            self._heights.update((bytes.fromhex(tx.txid), height) for tx in block.txs)

    def mempool(self) -> Collection[str]:
        return ()

    def transaction(self, txid: str) -> Tx | None:
        place = self.place(txid)
        if place is None:
            return None
        return next(tx for tx in self.block(place.block or "").txs if tx.txid == txid)

    def place(self, txid: str) -> Place | None:
        try:
            height = self._heights.get(bytes.fromhex(txid))
        except ValueError:
            return None
        return None if height is None else Place(height, self.block_hash(height))

    def close(self) -> None:
        self._blocks.close()
