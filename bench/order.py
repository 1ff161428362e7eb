"""Whole orders in a second, without HTTP: asked for, paid, confirmed, delayed, paid out, settled.

A batch of 1,000 orders goes through the house together: opened 500 at a time, each acknowledged from the disk; paid by
the faucet with signed transactions of 100 outputs; mined, the block judged by the consensus engine; an hour passes on
the virtual clock; one signed payout transaction for each order (three payouts and change); mined and settled. Measured
in two houses in turn, one with 1,000 and one with 100,000 other orders open. Beside it stands what remains when there
is no house: the same signed deposits and payouts, the same engine, nothing recorded.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine
from bench.crowd import HOUR, Crowd, chain, deposits, house
from glasstumbler.chains.base import Outpoint, Output, Spend
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.engine.order import Order, State
from glasstumbler.house import House

BATCH, ROUNDS, CHUNK = 1_000, 5, 100
_PART = 10_000
OPEN = (1_000, 100_000)
GOAL_RATE, GOAL_SLOWDOWN, GOAL_MB = 500, 1.5, 500


def run() -> dict[str, Any]:
    bare: list[_Batch] = []
    rounds: dict[int, list[_Batch]] = {number: [] for number in OPEN}
    with house() as full, house() as small:
        crowds = [(small, Crowd(small)), (full, Crowd(full))]
        memory = _fill(crowds[1][1], OPEN[1])
        _fill(crowds[0][1], OPEN[0])
        for _ in range(ROUNDS):  # in turn, so that a busy machine troubles all alike
            for number, (made, crowd) in zip(OPEN, crowds, strict=True):
                rounds[number].append(_batch(made, crowd))
            bare.append(_bare())
    return _report(bare, rounds, memory)


def _fill(crowd: Crowd, number: int) -> float:
    """Open so many orders that nobody pays; the process's memory then, MB."""
    took = 0.0
    for first in range(0, number, _PART):
        wanted = crowd.wishes(min(_PART, number - first))
        started = time.perf_counter()
        crowd.open(wanted)
        took += time.perf_counter() - started
    memory = machine.resident_mb()
    print(f"  {number} orders opened in {took:.1f} s, {memory:.0f} MB", flush=True)
    return memory


def _batch(made: House, crowd: Crowd) -> _Batch:
    wanted = crowd.wishes(BATCH)
    clock = _Batch()
    orders = crowd.open(wanted)
    clock.done("open")
    paid = deposits(orders)
    for first in range(0, BATCH, CHUNK):
        chain(made).pay_many(paid[first : first + CHUNK])
    clock.done("deposits: sign, send")
    made.turn()
    clock.done("deposits: seen")
    chain(made).mine(1)
    clock.done("deposits: mine")
    made.turn()
    clock.done("deposits: booked")
    made.advance(HOUR)
    clock.done("payouts: sign, store, send")
    chain(made).mine(1)
    clock.done("payouts: mine")
    made.turn()
    clock.done("payouts: settled")
    _check(made, orders)
    return clock


def _check(made: House, orders: list[Order]) -> None:
    now = made.store.read(lambda records: records.orders_by_number([order.number for order in orders]))
    left = [order.id for order in now.values() if order.state is not State.COMPLETED]
    if left:
        raise RuntimeError(f"{len(left)} of {len(orders)} orders did not complete")


def _bare() -> _Batch:
    """The batch's transactions by themselves: deposits and payouts are signed, sent and mined."""
    form, ring, chance = FORMATS["btc"], KeyRing(bytes(range(32))), random.Random(1)
    with TemporaryDirectory(prefix="bench-", dir=machine.disk()) as folder:
        bare = UtxoChain.open("btc", ring, VirtualClock(), Path(folder))
        secrets = [ring.secret("btc", "bare", "deposit", number) for number in range(BATCH)]
        strangers = [form.own_key("p2wpkh", ring.secret("btc", "bare", "lab", n)) for n in range(3 * BATCH)]
        changes = [form.own_key("p2wpkh", ring.secret("btc", "bare", "change", n)) for n in range(BATCH)]
        clock = _Batch()
        coins: list[Spend] = []
        for first in range(0, BATCH, CHUNK):
            part = secrets[first : first + CHUNK]
            outputs = [Output(form.own_key("p2wpkh", secret), chance.randrange(500_000, 3_000_000)) for secret in part]
            txid = bare.pay_many(outputs)
            coins += [Spend(Outpoint(txid, v), outputs[v].amount, "p2wpkh", secret) for v, secret in enumerate(part)]
        bare.mine(1)
        clock.done("deposits")
        for number, coin in enumerate(coins):
            keys = [*strangers[3 * number : 3 * number + 3], changes[number]]
            signed = form.sign([coin], [Output(key, coin.amount // 5) for key in keys])
            bare.broadcast(signed.raw)
        bare.mine(1)
        clock.done("payouts")
        bare.close()
    return clock


class _Batch:
    """Seconds of each step of a batch, and the processor time of all of them, all threads together."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.cpu = 0.0
        self._last, self._cpu = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())

    def done(self, name: str) -> None:
        now = time.perf_counter()
        self.steps[name], self._last = now - self._last, now
        self.cpu = time.process_time() - self._cpu


def _middle(rounds: list[_Batch]) -> _Batch:
    """The round that took the middle time."""
    return sorted(rounds, key=lambda batch: batch.seconds)[len(rounds) // 2]


def _report(limit: list[_Batch], found: dict[int, list[_Batch]], memory: float) -> dict[str, Any]:
    few, many = OPEN
    middle = {number: _middle(each) for number, each in found.items()}
    rates = {number: BATCH / batch.seconds for number, batch in middle.items()}
    best = {number: BATCH / min(batch.seconds for batch in each) for number, each in found.items()}
    bare, bare_best = BATCH / _middle(limit).seconds, BATCH / min(batch.seconds for batch in limit)
    print(f"\nWhole orders, {BATCH} at a time (the middle of {ROUNDS} rounds), microseconds an order")
    print(f"  {'step':28} {f'{few} open':>14} {f'{many} open':>14}")
    for step in middle[few].steps:
        shown = [middle[number].steps[step] / BATCH * 1e6 for number in OPEN]
        print(f"  {step:28} {shown[0]:14.0f} {shown[1]:14.0f}")
    used = {number: min(batch.cpu for batch in each) / BATCH * 1e6 for number, each in found.items()}
    print(f"  {'processor time, least':28} {used[few]:14.0f} {used[many]:14.0f}")
    print(f"  {'orders/s, middle round':28} {rates[few]:14.0f} {rates[many]:14.0f}")
    print(f"  {'orders/s, fastest round':28} {best[few]:14.0f} {best[many]:14.0f}")
    print(f"  without the house: {bare:.0f} orders/s, fastest {bare_best:.0f} (signed, judged and mined, not recorded)")
    print(f"  slowdown {rates[few] / rates[many]:.2f} (goal at most {GOAL_SLOWDOWN}), rate goal {GOAL_RATE} orders/s")
    print(f"  memory with {many} open: {memory:.0f} MB (goal under {GOAL_MB})")
    return {
        "orders_per_second": {"middle": rates, "fastest": best},
        "bare_orders_per_second": {"middle": bare, "fastest": bare_best},
        "cpu_us_per_order": used,
        "slowdown": rates[few] / rates[many],
        "resident_mb": memory,
        "seconds": {"bare": _middle(limit).steps, **{str(number): batch.steps for number, batch in middle.items()}},
    }
