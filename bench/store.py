"""Orders opened in a second on each store: one after another, each waiting for its own commit, and 500 at a time, which
share commits. And orders looked up by name. No HTTP; the chain is in memory, both records are on the same disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.postgres import server as postgres

from bench import machine
from bench.crowd import CUSTOMER, SERVICE, Crowd
from glasstumbler.clock import VirtualClock
from glasstumbler.engine.commands import FindOrder
from glasstumbler.house import House
from glasstumbler.vault import Vault

ALONE, TOGETHER, LOOKED_UP, ROUNDS = 100, 2_000, 500, 5


def run() -> dict[str, Any]:
    rates: dict[str, dict[str, list[float]]] = {}
    with TemporaryDirectory(prefix="bench-", dir=machine.disk()) as folder, postgres() as running:
        places = {"SQLite": f"sqlite:///{folder}/record.db", "PostgreSQL": running.database()}
        with _house(places["SQLite"]) as one, _house(places["PostgreSQL"]) as other:
            crowds = {"SQLite": (one, Crowd(one)), "PostgreSQL": (other, Crowd(other))}
            for _ in range(ROUNDS):  # in turn, so that a busy machine troubles both alike
                for name, (house, crowd) in crowds.items():
                    for what, rate in _round(house, crowd).items():
                        rates.setdefault(what, {}).setdefault(name, []).append(rate)
    print(f"  {'a second, the middle of ' + str(ROUNDS) + ' rounds':34} {'SQLite':>10} {'PostgreSQL':>10}")
    for what, found in rates.items():
        sqlite, postgresql = (median(found[name]) for name in ("SQLite", "PostgreSQL"))
        print(f"  {what:34} {sqlite:10.0f} {postgresql:10.0f}  ({postgresql / sqlite:.2f})")
    return {"rates": rates}


@contextmanager
def _house(store: str) -> Iterator[House]:
    tables = {"lab": {"rate_limits": "off", "chains": ["btc"]}}
    made = House(None, Vault(b"b" * 32), VirtualClock(), 1, tables, store)
    try:
        made.start()
        yield made
    finally:
        made.close()


def _round(house: House, crowd: Crowd) -> dict[str, float]:
    alone, together = crowd.wishes(ALONE), crowd.wishes(TOGETHER)
    began = time.perf_counter()
    for wish in alone:
        crowd.open([wish])
    one_by_one = time.perf_counter() - began
    began = time.perf_counter()
    orders = crowd.open(together)
    at_once = time.perf_counter() - began
    service, names = house.services[SERVICE], [order.id for order in orders[:LOOKED_UP]]

    async def look_up() -> None:
        for name in names:
            await service.find_order(FindOrder(name), CUSTOMER)

    began = time.perf_counter()
    asyncio.run(look_up())
    looked_up = time.perf_counter() - began
    return {
        "orders opened one by one": ALONE / one_by_one,
        "orders opened 500 together": TOGETHER / at_once,
        "orders looked up one by one": LOOKED_UP / looked_up,
    }
