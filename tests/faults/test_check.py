"""The checker finds what it is there to find: a history and a world with one fault planted in each."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from glasstumbler.chains.base import Output, Tx
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.chains.monero_keys import subaddress
from tests.faults.check import check
from tests.faults.customers import Look, Promise
from tests.faults.history import History
from tests.faults.wire import Refused, Unknown
from tests.faults.world import World

FORM = FORMATS["btc"]
DEPOSIT, PAYOUT, OTHER = (FORM.address(FORM.own_key("p2wpkh", bytes([n]) * 32)) for n in (1, 2, 3))
SUBADDRESS = subaddress(b"s" * 32, 1)
HASH = "ab" * 32


class Case:
    """A bearer order of 0.02 and a Lightning order, both funded, done and paid."""

    def __init__(self) -> None:
        self.history, self.world = History(), World()
        terms = {"address": DEPOSIT, "payouts": {PAYOUT: "0.02"}}
        self.order = Promise("whir", "ONE", "btc", DEPOSIT, Decimal("0.03"), {("btc", PAYOUT): Decimal("0.02")}, terms)
        self.swap = Promise("xmrto", "TWO", "xmr", SUBADDRESS, Decimal(1), {}, {"amount": Decimal("0.0002")}, HASH)
        for promise in (self.order, self.swap):
            with self.history.op("client", "create", service=promise.service) as op:
                op.ok(promise=promise)
        with self.history.op("client", "pay", coin="btc", order=self.order.name) as op:
            op.ok(txid="deposit")
        self.pay("deposit", DEPOSIT, 3_000_000)
        self.pay("payout", PAYOUT, 2_000_000)
        self.world.add("xmr", Tx("xmr deposit", (), (Output(MoneroFormat().key(SUBADDRESS), 10**12),), b""), 8)
        self.world.lightning[HASH] = 1
        self.looks: dict[tuple[str, str], Look | None] = {
            promise.name: Look(str(promise.address), promise.need, dict(promise.terms), True, False)
            for promise in (self.order, self.swap)
        }

    def pay(self, txid: str, address: str, amount: int, height: int | None = 7) -> None:
        self.world.add("btc", Tx(txid, (), (Output(FORM.key(address), amount),), b""), height)

    def look(self, promise: Promise) -> Look:
        found = self.looks[promise.name]
        assert found is not None
        return found


def test_a_good_end_has_no_differences() -> None:
    case = Case()
    assert check(case.history, case.world, case.looks, over=True) == []


def lost(case: Case) -> None:
    case.looks[case.order.name] = None


def other_address(case: Case) -> None:
    case.look(case.order).terms["address"] = OTHER


def paid_twice(case: Case) -> None:
    case.pay("again", PAYOUT, 2_000_000, None)


def paid_twice_in_one(case: Case) -> None:
    output = Output(FORM.key(PAYOUT), 2_000_000)
    case.world.paid.clear()
    case.pay("deposit", DEPOSIT, 3_000_000)
    case.world.add("btc", Tx("payout", (), (output, output), b""), 7)


def paid_too_much(case: Case) -> None:
    case.world.paid.pop(("btc", FORM.key(PAYOUT)))
    case.pay("payout", PAYOUT, 2_000_001)


def paid_without_a_deposit(case: Case) -> None:
    case.world.paid.pop(("btc", FORM.key(DEPOSIT)))


def paid_without_an_order(case: Case) -> None:
    with case.history.op("client", "create", service="whir", payouts={OTHER: "0.02"}):
        raise Unknown("broken off")
    case.pay("stray", OTHER, 2_000_000)


def deposit_gone(case: Case) -> None:
    case.world.txids.discard(("btc", "deposit"))


def invoice_paid_twice(case: Case) -> None:
    case.world.lightning[HASH] = 2


def never_done(case: Case) -> None:
    case.look(case.order).done = False


def never_paid(case: Case) -> None:
    case.world.paid.pop(("btc", FORM.key(PAYOUT)))


def never_mined(case: Case) -> None:
    case.world.paid.pop(("btc", FORM.key(PAYOUT)))
    case.pay("payout", PAYOUT, 2_000_000, None)


def invoice_never_paid(case: Case) -> None:
    case.world.lightning.clear()


FAULTS: list[tuple[Callable[[Case], None], str]] = [
    (lost, "acknowledged, and not there"),
    (other_address, "address was"),
    (paid_twice, "was paid 2 times"),
    (paid_twice_in_one, "was paid 2 times"),
    (paid_too_much, "was paid 2000001, not 0.02"),
    (paid_without_a_deposit, "nobody funded"),
    (paid_without_an_order, "never acknowledged was paid"),
    (deposit_gone, "is nowhere"),
    (invoice_paid_twice, "the invoice was paid 2 times"),
    (never_done, "funded, and not done"),
    (never_paid, "was paid as []"),
    (never_mined, "height=None"),
    (invoice_never_paid, "the invoice was not paid"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_each_fault_is_found(fault: Callable[[Case], None], said: str) -> None:
    case = Case()
    fault(case)
    found = check(case.history, case.world, case.looks, over=True)
    assert found and said in found[0], found


def test_before_the_end_nothing_needs_to_be_done() -> None:
    case = Case()
    never_done(case)
    never_paid(case)
    assert check(case.history, case.world, case.looks) == []


def test_a_history_tells_what_is_known(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    with history.op("one", "mine", coin="btc") as op:
        op.ok(height=1)
    with history.op("one", "mine", coin="btc"):
        raise Refused("nobody listens")
    with history.op("one", "mine", coin="btc"):
        raise Unknown("the connection broke")
    with pytest.raises(ZeroDivisionError), history.op("one", "mine", coin="btc"):
        raise ZeroDivisionError  # a fault of the driver's own
    history.close()
    assert [op.outcome for op in history.ops] == ["ok", "fail", "unknown", "unknown"]
    assert history.counts() == {"ok": 1, "fail": 1, "unknown": 2}
    assert len((tmp_path / "history").read_text().splitlines()) == 8
