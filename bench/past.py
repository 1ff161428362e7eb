"""A folder with a long past: orders that were paid, settled and recorded as a house does it, only without the house.

Documents and entries are written through `Records`, in units of one batch as the watch and the payer would; the chain's
log holds the transactions that they speak of, in blocks whose hashes hold. Only signatures are missing: the audit does
not judge them, the chain does when it is opened. Five entries an order, as in life: asked for, seen, credited, paid,
settled; and for each batch the broadcast and two blocks.
"""

from __future__ import annotations

import time
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from glasstumbler.chains import blocks
from glasstumbler.chains.base import Outpoint, Output
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.tx import RawIn, RawTx, identify
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin, Origin
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.order import Order, OutputState, PlannedOutput, State, Terms
from glasstumbler.engine.payment import Carried, Payment, PaymentState
from glasstumbler.store.records import Records, Watched
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.vault import Vault

BATCH, TOGETHER, KEEP = 200, 100, 500
SERVICE, COIN, KIND = "btcmix", "btc", "p2wpkh"
BEGAN, FEE, MINER_FEE = 1_700_000_000, 20_000, 2_000
OPEN = 10_000
"""Orders that nobody has paid yet, at the end."""
PAYOUTS = (500_000, 300_000, 200_000)
DEPOSIT = sum(PAYOUTS) + FEE


class Paid(NamedTuple):
    """What one order leaves on the chain and in the record."""

    order: Order
    deposit: Deposit
    coin: Coin
    change: Coin
    payment: Payment


def make(folder: Path, entries: int) -> None:
    Vault.of_folder(folder)
    (folder / "chains").mkdir(exist_ok=True)
    log, store = BlockLog(folder / "chains" / f"{COIN}.blocks", COIN), SqliteStore(folder / "record.db")
    try:
        past, done = _Past(log, store), 0
        began = time.perf_counter()
        while done < entries - OPEN:
            done = past.batch()
            if past.height % 100 == 0:
                print(f"  making the record: {done} entries, {time.perf_counter() - began:.0f} s", flush=True)
        store.write(lambda records: [past.open(records) for _ in range(entries - done)])
    finally:
        store.close()
        log.close()


class _Past:
    def __init__(self, log: BlockLog, store: SqliteStore) -> None:
        self._log, self._store = log, store
        self.height, self._tip, self._now = -1, "00" * 32, BEGAN
        self._mine([])
        store.write(lambda records: self._take_in(records, "watch begins"))

    def batch(self) -> int:
        """BATCH orders from first to last; the number of entries then."""
        orders = self._store.write(lambda records: [self.open(records) for _ in range(BATCH)])
        sent = [self._pay_in(orders[first : first + TOGETHER]) for first in range(0, BATCH, TOGETHER)]
        paid = [each for _, found in sent for each in found]
        self._store.write(lambda records: self._seen(records, paid))
        self._mine([tx for tx, _ in sent])
        self._store.write(lambda records: self._credited(records, paid))
        settled = self._store.write(lambda records: self._paid(records, paid))
        self._mine([(each.payment.txid, bytes.fromhex(each.payment.raw)) for each in settled])
        self._now += 3600
        return self._store.write(lambda records: self._settled(records, settled))

    # -- the chain ------------------------------------------------------------------------------------------------

    def _mine(self, txs: list[tuple[str, bytes]]) -> None:
        """The transactions as (txid, bytes)."""
        self.height += 1
        raws = [raw for _, raw in txs]
        first = identify(blocks.coinbase(self.height, [Output(_key("miner", 0), 1)], raws))
        txids = [bytes.fromhex(txid)[::-1] for txid, _ in [first, *txs]]
        header = blocks.Header(4, self._tip, blocks.merkle_root(txids), BEGAN + 600 * self.height, 0x207FFFFF, 0)
        raw = blocks.block_bytes(header, [first[1], *raws])
        previous, self._tip = self._tip, blocks.block_hash(raw)
        self._log.append([LoggedBlock(self.height, self._tip, previous, raw)])

    def _pay_in(self, orders: list[Order]) -> tuple[tuple[str, bytes], list[Paid]]:
        """One transaction that pays them all."""
        source = RawIn(Outpoint(sha256(repr(orders[0].number).encode()).hexdigest(), 0), b"", 0, (bytes(71), bytes(33)))
        outputs = tuple(Output(_key("deposit", order.number), DEPOSIT) for order in orders)
        txid, raw = identify(RawTx(2, (source,), outputs))
        return (txid, raw), [self._plan(order, txid, vout) for vout, order in enumerate(orders)]

    # -- documents ------------------------------------------------------------------------------------------------

    def open(self, records: Records) -> Order:
        number = records.next("order")
        form = FORMATS[COIN]
        outputs = [
            PlannedOutput(form.address(_key(f"payout {place}", number)), wanted=amount, delay=3600, network_fee=1500)
            for place, amount in enumerate(PAYOUTS)
        ]
        terms = Terms(fee_ppm=10_000, per_output=1_500, quote=DEPOSIT, fee=FEE, minimum=DEPOSIT, maximum=DEPOSIT)
        key = _key("deposit", number)
        name = sha256(key).hexdigest()[:16].upper()
        order = Order(
            number, SERVICE, name, f"customer-{number % 97}", COIN, COIN, State.AWAITING, self._now, self._now,
            self._now + 86_400, form.address(key), terms, outputs, fixed=True, letter="-" * 900,
        )  # fmt: skip
        records.watch(Watched(COIN, key, SERVICE, "deposit", number, KIND, number))
        records.add_order(order)
        records.append(ledger.Entry("order", self._now, SERVICE, number))
        return order

    def _plan(self, order: Order, txid: str, vout: int) -> Paid:
        deposit = Deposit(COIN, txid, vout, order.number, SERVICE, DEPOSIT, self._now)
        coin = Coin(
            2 * order.number - 1, SERVICE, COIN, txid, vout, DEPOSIT, KIND, "deposit", order.number, Origin.DEPOSIT,
            order=order.number,
        )  # fmt: skip
        keys = [_key(f"payout {place}", order.number) for place in range(len(PAYOUTS))]
        left = FEE - MINER_FEE
        outputs = [*map(Output, keys, PAYOUTS), Output(_key("change", order.number), left)]
        source = RawIn(Outpoint(txid, vout), b"", 0xFFFFFFFD, (bytes(71), bytes(33)))
        paid, raw = identify(RawTx(2, (source,), tuple(outputs)))
        change = Coin(
            2 * order.number, SERVICE, COIN, paid, len(PAYOUTS), left, KIND, "change", order.number, Origin.CHANGE,
            made_by=order.number,
        )  # fmt: skip
        carried = [Carried(order.number, place, amount, place) for place, amount in enumerate(PAYOUTS)]
        payment = Payment(
            order.number, SERVICE, COIN, paid, raw.hex(), MINER_FEE, self._now, [(txid, vout)], [coin.number], carried,
            change=change.number, rate=10,
        )  # fmt: skip
        return Paid(order, deposit, coin, change, payment)

    # -- units of work --------------------------------------------------------------------------------------------

    def _take_in(self, records: Records, kind: str) -> int:
        records.push_block(COIN, self.height, self._tip, KEEP)
        detail = {"coin": COIN, "height": self.height}
        return records.append(ledger.Entry(kind, self._now, ledger.LAB, detail=detail))

    def _seen(self, records: Records, paid: list[Paid]) -> None:
        for order, deposit, *_ in paid:
            records.put_deposit(deposit, None)
            order.seen, order.deposit_txid, order.state = DEPOSIT, deposit.txid, State.CONFIRMING
            records.save_order(order)
            records.append(ledger.Entry("deposit", self._now, SERVICE, order.number))

    def _credited(self, records: Records, paid: list[Paid]) -> None:
        for order, deposit, coin, _, _ in paid:
            deposit.state, deposit.height, deposit.account = (
                DepositState.CREDITED,
                self.height,
                ledger.owed(order.number),
            )
            records.put_deposit(deposit, None)
            assert records.next("coin") == coin.number
            records.next("coin")  # the change, which comes with the payment
            coin.height = self.height
            records.add_coin(coin)
            order.credited, order.state, order.funded = DEPOSIT, State.WAITING, self._now
            for output in order.outputs:
                output.amount, output.due = output.wanted, self._now + output.delay
            records.save_order(order)
            mine = ledger.owed(order.number)
            postings = ledger.move(COIN, (ledger.COINS, DEPOSIT), (mine, -DEPOSIT))
            records.append(ledger.Entry("deposit", self._now, SERVICE, order.number, postings))
        self._take_in(records, "block")

    def _paid(self, records: Records, paid: list[Paid]) -> list[Paid]:
        for order, _, coin, change, payment in paid:
            records.next("payment")
            coin.spent_by = payment.number
            records.save_coin(coin)
            place = records.next(f"change:{SERVICE}:{COIN}")
            records.watch(Watched(COIN, _key("change", order.number), SERVICE, "change", place, KIND, None))
            records.add_coin(change)
            records.add_payment(payment)
            order.state = State.PAYING
            for output in order.outputs:
                output.state, output.payment = OutputState.CLAIMED, payment.number
            records.save_order(order)
            mine = ledger.owed(order.number)
            legs = [(mine, FEE), (ledger.FEE, -FEE), *((mine, amount) for amount in PAYOUTS)]
            postings = ledger.move(COIN, *legs, (ledger.MINER, MINER_FEE), (ledger.COINS, -sum(PAYOUTS) - MINER_FEE))
            detail = {"txid": payment.txid}
            records.append(ledger.Entry("payout", self._now, SERVICE, order.number, postings, detail=detail))
        for *_, payment in paid:
            payment.state, payment.sent_at = PaymentState.SENT, self.height
            records.save_payment(payment)
        detail_ = {"txids": [each.payment.txid for each in paid]}
        records.append(ledger.Entry("broadcast", self._now, SERVICE, detail=detail_))
        return paid

    def _settled(self, records: Records, paid: list[Paid]) -> int:
        for order, _, _, change, payment in paid:
            payment.state, payment.height, change.height = PaymentState.SETTLED, self.height, self.height
            records.save_coin(change)
            records.save_payment(payment)
            order.state = State.COMPLETED
            for output in order.outputs:
                output.state = OutputState.CONFIRMED
            records.save_order(order)
            records.append(ledger.Entry("payment settled", self._now, SERVICE, order.number))
        return self._take_in(records, "block")


def _key(purpose: str, number: int) -> bytes:
    return b"\x00\x14" + sha256(f"{purpose} {number}".encode()).digest()[:20]
