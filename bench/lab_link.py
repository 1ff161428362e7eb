"""Linking a million deposits to payments by windows of delay and fee, beside DuckDB's range join on the same rows.

DuckDB gets a hundredth of the orders, and is held against our scan of as many. Each side has a process of its own, and
its peak memory is that process's.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

ORDERS = int(os.environ.get("LINK_ORDERS", "1000000"))
A_DAY = 10_000
LONGEST = 6 * 3600
"""Seconds of delay, drawn evenly."""
GOAL_SECONDS = 15
SIDES = (("numba", ORDERS), ("numba", ORDERS // 10), ("numba", ORDERS // 100), ("duckdb", ORDERS // 100))


def run() -> dict[str, Any]:
    rounds = [_measured(side, orders) for side, orders in SIDES]
    for each in rounds:
        print(
            f"  {each['side']:7} {each['orders']:>9,} orders  {each['seconds']:8.2f} s  {each['pairs']:>12,} pairs"
            f"  right {each['right']:.3f}  peak {each['memory_mb']:,.0f} MB"
        )
    one, few, duck = rounds[1:]
    print(f"  a million in {rounds[0]['seconds']:.1f} s (goal {GOAL_SECONDS}); DuckDB takes", end=" ")
    print(f"{duck['seconds'] / few['seconds']:.1f} times as long for {duck['orders']:,} orders")
    print(f"  growth: exponent {np.log10(rounds[0]['seconds'] / one['seconds']):.2f} from a tenth to the whole")
    return {"rounds": rounds}


def _measured(side: str, orders: int) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "bench.lab_link", side, str(orders)], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _orders(count: int) -> tuple[Any, Any, Any, Any, Any]:
    """Deposits and payments in the order of time; the true deposit of each payment."""
    draw = np.random.default_rng(1)
    deposited = np.sort(draw.integers(0, count * 86_400 // A_DAY, count))
    paid_amount = np.exp(draw.normal(17, 1.5, count)).astype(np.int64) + 100_000
    amount = paid_amount + (paid_amount * draw.uniform(0.01, 0.03, count)).astype(np.int64)
    paid = deposited + draw.integers(0, LONGEST, count)
    order = np.argsort(paid, kind="stable")
    return deposited, amount, paid[order], paid_amount[order], order


def _numba(count: int) -> dict[str, Any]:
    from glasstumbler.lab.methods.candidates import candidates
    from glasstumbler.lab.methods.densities import Habits, density

    def linked(orders: int) -> tuple[float, Any, Any]:
        deposited, amount, paid, paid_amount, order = _orders(orders)
        delay = density(np.linspace(0, LONGEST, 1000), 600.0)
        habits = Habits(delay, density(np.linspace(0.0099, 0.0292, 1000), 1e-6))
        started = time.perf_counter()
        found = candidates(deposited, amount.astype(float), paid, paid_amount.astype(float), habits)
        return time.perf_counter() - started, found, order

    linked(1000)  # compiles
    seconds, found, order = linked(count)
    right = float((order[found.row[:, 0]] == np.arange(count)).mean())
    return {"seconds": seconds, "pairs": int(found.many.sum()), "right": right}


def _duckdb(count: int) -> dict[str, Any]:
    import duckdb
    import pyarrow as pa

    deposited, amount, paid, paid_amount, order = _orders(count)
    base = duckdb.connect()
    base.register("deposits", pa.table({"d": np.arange(count), "t": deposited, "a": amount.astype(float)}))
    base.register("payments", pa.table({"p": np.arange(count), "t": paid, "a": paid_amount.astype(float)}))
    started = time.perf_counter()
    found = base.execute(
        "SELECT d, count(*) AS n, min_by(p, abs(1 - payments.a / deposits.a - 0.02)) AS best"
        f" FROM deposits JOIN payments ON payments.t BETWEEN deposits.t AND deposits.t + {LONGEST}"
        " AND payments.a BETWEEN deposits.a * 0.9707 AND deposits.a * 0.9902 GROUP BY d"
    ).fetchnumpy()
    seconds = time.perf_counter() - started
    right = float((order[found["best"]] == found["d"]).sum() / count)
    return {"seconds": seconds, "pairs": int(found["n"].sum()), "right": right}


if __name__ == "__main__":
    side, orders = sys.argv[1], int(sys.argv[2])
    measured = {"numba": _numba, "duckdb": _duckdb}[side](orders)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"side": side, "orders": orders, **measured, "memory_mb": memory}))
