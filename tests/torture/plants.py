"""Known bugs, planted one at a time: the simulator is worth something only if it finds them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from glasstumbler.claim import Claim
from glasstumbler.engine import desk
from glasstumbler.engine.payment import PaymentState
from glasstumbler.errors import PaymentFailed, Rejection
from glasstumbler.pay import Payer
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteConnection, SqliteStore
from glasstumbler.torture.disk import SimStore
from glasstumbler.watch import Watch


def pay_before_store(patch: pytest.MonkeyPatch) -> None:
    """A payment is sent as soon as it is signed, before the record has it."""
    real = Claim._store_payment

    def store(self: Claim, number: int, signed: Any, *rest: Any, **named: Any) -> None:
        assert self._chain is not None
        self._chain.broadcast(signed.raw)
        real(self, number, signed, *rest, **named)

    patch.setattr(Claim, "_store_payment", store)


def build_anew_to_send_again(patch: pytest.MonkeyPatch) -> None:
    """What a process that has died stored and had not marked as sent is built anew, from other coins."""
    looked: set[int] = set()
    real = Payer._send

    def send(self: Payer, coin: str) -> bool:
        waiting = self._store.read(lambda records: records.open_payments(coin, (PaymentState.STORED,)))
        left = [] if id(self) in looked else [payment for payment in waiting if payment.carried]
        looked.add(id(self))
        moved = [self._anew(partial(anew, self, payment.number)) for payment in left]
        return any(moved) or real(self, coin)

    def anew(self: Payer, number: int, records: Records) -> bool:
        old = records.payment(number)
        claim = self._claim(records, old.service, old.coin, self._clock.now())
        others = [coin for coin in claim._load() if coin.number not in old.coins]
        for coin in map(records.coin, old.coins):
            coin.spent_by = None
            records.save_coin(coin)
        patch.setattr(claim, "_load", lambda: others)
        claim.replace(old, "not marked as sent")
        return True

    patch.setattr(Payer, "_send", send)


def fresh_lightning_key(patch: pytest.MonkeyPatch) -> None:
    """Each attempt at an invoice has a key of its own."""
    attempts = iter(range(10**9))

    def send(self: Payer) -> bool:
        if self._lightning is None:
            return False
        waiting = self._store.read(lambda records: records.open_payments("msat", (PaymentState.STORED,)))
        for payment in waiting:
            try:
                paid = self._lightning.pay(payment.service, payment.raw, f"attempt {next(attempts)}")
            except (PaymentFailed, Rejection) as error:
                self._store.write(partial(self._lightning_failed, payment.number, str(error)))
            else:
                self._store.write(partial(self._lightning_paid, payment.number, paid.preimage, paid.fee_msat))
        return bool(waiting)

    patch.setattr(Payer, "_send_lightning", send)


def claim_without_lock(patch: pytest.MonkeyPatch) -> None:
    """What is due is read before the unit of work that claims it, and no task keeps another process out."""
    real = Payer._claim_page

    class Before:
        """The record, with what was due a moment ago."""

        def __init__(self, records: Records, orders: list[Any]) -> None:
            self._records, self._orders = records, orders

        def due_orders(self, *asked: Any) -> list[Any]:
            return self._orders

        def __getattr__(self, name: str) -> Any:
            return getattr(self._records, name)

    def claim_all(self: Payer) -> bool:
        now = self._clock.now()
        orders = self._store.read(lambda records: records.due_orders(now, 200))
        page = self._store.write(lambda records: real(self, now, (-1, 0), Before(records, orders)))  # type: ignore[arg-type]
        for coin, raws in page.signed.items():
            self._chains[coin].broadcast_all(raws)
        return page.moved

    patch.setattr(Payer, "_claim_all", claim_all)
    patch.setattr(SimStore, "hold", lambda self, name, wait=False: nullcontext(True))


def ignore_reorganisations(patch: pytest.MonkeyPatch) -> None:
    """Blocks that are gone are forgotten, and nothing that they did is taken back."""

    def disconnect(self: Watch, block: Any) -> None:
        def unit(records: Records) -> None:
            if records.cursor(self._coin) == (block.height, block.hash):
                records.pop_block(self._coin, block.height)
                self._note(records, "block gone", block.height, self._clock.now())

        self._known = None
        self._store.write(unit)

    patch.setattr(Watch, "_disconnect", disconnect)


def round_in_our_favour(patch: pytest.MonkeyPatch) -> None:
    """Each payout is a base unit short; the ledger says so, and adds up."""
    real = desk.assess

    def assess(order: Any, *rest: Any) -> None:
        real(order, *rest)
        for output in order.outputs if order.state.value == "waiting" and order.payout_coin != "msat" else ():
            output.amount -= 1

    patch.setattr(desk, "assess", assess)


def acknowledge_before_the_disk_has_it(patch: pytest.MonkeyPatch) -> None:
    """Commits are not synced, as for speed."""
    real = SqliteStore._connect

    def connect(self: SqliteStore) -> SqliteConnection:
        connection = real(self)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    patch.setattr(SqliteStore, "_connect", connect)


PLANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "pay before store": pay_before_store,
    "build anew to send again": build_anew_to_send_again,
    "a fresh Lightning key": fresh_lightning_key,
    "claim without lock": claim_without_lock,
    "ignore reorganisations": ignore_reorganisations,
    "round in our favour": round_in_our_favour,
    "acknowledge before the disk has it": acknowledge_before_the_disk_has_it,
}
