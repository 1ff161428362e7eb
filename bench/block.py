"""One full block against many watched addresses: what the record of it costs beside the consensus engine.

100,000 orders are open, so that as many deposit addresses are watched. A block of 5,000 signed transactions is mined,
of which some pay to orders: none, one in ten, or all. The mempool is looked at before, as it is in life. Ours is what
happens after the block is there: watch, turn and store, until nothing moves.
"""

from __future__ import annotations

import time
from typing import Any

from bench.crowd import Crowd, chain, deposits, house
from glasstumbler.chains import kernel
from glasstumbler.chains.base import Outpoint, Output, Spend
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.engine.order import Order
from glasstumbler.house import House

WATCHED, SIZE, HITS = 100_000, 5_000, (0, 500, 5_000)
GOAL_SECONDS = 0.5
_FAN_OUT = 500
_AMOUNT = 10_000_000


def run() -> dict[str, Any]:
    rows: list[dict[str, float]] = []
    with house() as made:
        crowd = Crowd(made)
        started = time.perf_counter()
        orders = crowd.open(crowd.wishes(WATCHED))
        print(f"  {WATCHED} addresses watched after {time.perf_counter() - started:.0f} s", flush=True)
        for number, hits in enumerate(HITS):
            rows.append(_block(made, number, orders[:hits]))
            del orders[:hits]
    return _report(rows)


def _block(made: House, number: int, paid: list[Order]) -> dict[str, float]:
    on = chain(made)
    coins = _coins(made, number)
    targets = deposits(paid)
    signed = [_sign(coin, targets[place] if place < len(targets) else None) for place, coin in enumerate(coins)]
    took: dict[str, float] = {"hits": len(paid)}
    started = time.perf_counter()
    for raw in signed:
        on.broadcast(raw)
    took["broadcast"] = time.perf_counter() - started
    took["mempool seen"] = _timed(made.turn)
    with _engine_time() as engine:
        took["block made and judged"] = _timed(lambda: on.mine(1))
    took["of it the engine"] = engine.seconds
    took["ours"] = _timed(made.turn)
    _check(made, paid, len(on.block(on.tip()[1]).txs))
    return took


def _check(made: House, paid: list[Order], size: int) -> None:
    if size != SIZE + 1:
        raise RuntimeError(f"the block has {size} transactions")
    now = made.store.read(lambda records: records.orders_by_number([order.number for order in paid]))
    if any(not order.credited for order in now.values()):
        raise RuntimeError("a deposit was not credited")


def _coins(made: House, number: int) -> list[Spend]:
    """As many confirmed coins of the laboratory's as the block has transactions."""
    form, ring, on = FORMATS["btc"], KeyRing(bytes(range(32))), chain(made)
    secrets = [ring.secret("btc", f"block {number}", "lab", place) for place in range(SIZE)]
    coins: list[Spend] = []
    for first in range(0, SIZE, _FAN_OUT):
        part = secrets[first : first + _FAN_OUT]
        txid = on.pay_many([Output(form.own_key("p2wpkh", secret), _AMOUNT) for secret in part])
        coins += [Spend(Outpoint(txid, vout), _AMOUNT, "p2wpkh", secret) for vout, secret in enumerate(part)]
        on.mine(1)
    made.turn()
    return coins


def _sign(coin: Spend, target: Output | None) -> bytes:
    """To an order what it asks for, else to a stranger; the rest to another stranger."""
    form = FORMATS["btc"]
    stranger = form.own_key("p2wpkh", coin.secret)
    first = target or Output(form.own_key("p2pkh", coin.secret), _AMOUNT // 3)
    return form.sign([coin], [first, Output(stranger, _AMOUNT - first.amount - 1_000)]).raw


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class _engine_time:  # noqa: N801
    """Adds up what the engine takes while this is open."""

    def __enter__(self) -> _engine_time:
        self.seconds, self._real = 0.0, kernel.Kernel.process

        def process(judge: kernel.Kernel, raw: bytes, tip: str) -> None:
            self.seconds += _timed(lambda: self._real(judge, raw, tip))

        kernel.Kernel.process = process  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        kernel.Kernel.process = self._real  # type: ignore[method-assign]


def _report(rows: list[dict[str, float]]) -> dict[str, Any]:
    print(f"\nA block of {SIZE} transactions against {WATCHED} watched addresses, seconds")
    names = [name for name in rows[0] if name != "hits"]
    print(f"  {'transactions to orders':28}" + "".join(f"{row['hits']:10.0f}" for row in rows))
    for name in names:
        print(f"  {name:28}" + "".join(f"{row[name]:10.3f}" for row in rows))
    print(f"  goal: ours under {GOAL_SECONDS} s")
    return {"seconds": rows, "goal": GOAL_SECONDS}
