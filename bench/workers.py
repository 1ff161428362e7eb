"""Orders worked off in a second by 1, 2 and 4 workers on one record in PostgreSQL, beside one process on SQLite.

This process opens the orders, pays their deposits, mines and lets an hour pass; it holds the chains, as a server would.
The workers do what follows: deposits are seen and booked, payouts claimed, signed, sent and settled. Measured is the
time from the deposits' first sight to the last settled payout, without this process's own mining.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.postgres import server as postgres

from bench import machine
from bench.crowd import HOUR, Crowd, deposits
from glasstumbler.clock import RealClock
from glasstumbler.engine.order import Order, State
from glasstumbler.house import House
from glasstumbler.vault import Vault

WORKERS = (1, 2, 4)
BATCH, ROUNDS, CHUNK = 500, 3, 100
PATIENCE = 120.0
_POLL = 0.02
_SETTINGS = {"lab": {"rate_limits": "off", "chains": ["btc"]}}
_ENVIRONMENT = {"GLASSTUMBLER__LAB__CHAINS": '["btc"]', "GLASSTUMBLER__LAB__RATE_LIMITS": "off"}


def run() -> dict[str, Any]:
    rates: dict[str, list[float]] = {}
    with postgres() as running:
        for _ in range(ROUNDS):  # in turn, so that a busy machine troubles all alike
            rates.setdefault("one process on SQLite", []).append(_round(None, 0))
            for number in WORKERS:
                name = f"{number} worker{'s' * (number > 1)} on PostgreSQL"
                rates.setdefault(name, []).append(_round(running.database(), number))
    for name, found in rates.items():
        middle = sorted(found)[len(found) // 2]
        print(f"  {name:24} {middle:6.0f} orders/s  (rounds {', '.join(f'{rate:.0f}' for rate in found)})")
    return {"batch": BATCH, "orders_per_second": rates}


def _round(store: str | None, workers: int) -> float:
    with TemporaryDirectory(prefix="bench-", dir=machine.disk()) as name, ExitStack() as crew:
        folder = Path(name)
        house = House(folder, Vault.of_folder(folder), RealClock(), None, _SETTINGS, store)
        crew.callback(house.close)
        house.start()
        for _ in range(workers):
            crew.enter_context(_worker(folder, str(store)))
        return _rate(house, alone=store is None)


@contextmanager
def _worker(folder: Path, store: str) -> Iterator[None]:
    command = [sys.executable, "-m", "glasstumbler", "worker", "--data", str(folder), "--store", store]
    process = subprocess.Popen(
        [*command, "--block-interval", "0"], stdout=subprocess.PIPE, env=os.environ | _ENVIRONMENT
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("a worker did not start")
        yield
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def _rate(house: House, alone: bool) -> float:
    """Orders a second. `alone`: this process does the work itself."""
    crowd, chain = Crowd(house), house.chains["btc"]
    orders = crowd.open(crowd.wishes(BATCH))
    paid = deposits(orders)
    for first in range(0, BATCH, CHUNK):
        chain.pay_many(paid[first : first + CHUNK])
    chain.mine(1)
    began = time.perf_counter()
    _until(house, orders, State.WAITING, alone)
    house._agreed.advance(HOUR)  # without a turn: what falls due now is the workers'
    while len(chain.mempool()) < BATCH:
        _wait(house, alone, began)
    mining = time.perf_counter()
    chain.mine(1)
    began += time.perf_counter() - mining
    _until(house, orders, State.COMPLETED, alone)
    return BATCH / (time.perf_counter() - began)


def _until(house: House, orders: list[Order], state: State, alone: bool) -> None:
    began, wanted = time.perf_counter(), len(orders)
    sql = f"SELECT count(*) FROM orders WHERE state = '{state.value}'"
    while house.store.read(lambda records: next(records.rows(sql))[0]) < wanted:
        _wait(house, alone, began)


def _wait(house: House, alone: bool, began: float) -> None:
    if time.perf_counter() > began + PATIENCE:
        raise RuntimeError(f"the workers did not finish in {PATIENCE:.0f} s")
    if alone:
        house.turn()
    else:
        time.sleep(_POLL)
