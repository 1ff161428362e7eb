"""Fast simulations of growing size, to Parquet, by the real engine; beside them the bare graph: arrays of as many rows,
drawn and written, which no generator can be faster than.

One process each, so that processor time and memory are all of the work. GENERATE_ORDERS=1000000 adds a size.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.apart import exponent, measure

SIZES = (1_000, 10_000, 100_000, *map(int, os.environ.get("GENERATE_ORDERS", "").split()))
DAYS, BACKGROUND = 2, 5
"""Days of orders, and the economy's payments to one order."""
SCENARIO = """
volumes = [{volume}]
[services]
btcmix = 4
coinjoin = 4
whir = 3
bestmixer = 2
[amounts]
btc = ["0.02", "0.3"]
[economy]
people = {people}
payments_a_day = {payments}
exchanges = 4
exchange_funds = "500"
withdrawal_batches_a_day = 100
[settings.btcmix]
expiry = 21600
[settings.coinjoin]
expiry = 21600
[settings.whir]
expiry = 21600
[settings.bestmixer]
expiry = 21600
"""
_TABLES = ("tx", "input", "output", "address")


def run() -> dict[str, Any]:
    rows = [_row(orders) for orders in SIZES]
    found = {
        name: exponent([row["orders"] for row in rows], [row[name] for row in rows]) for name in ("cpu", "services_cpu")
    }
    print(f"  growth with the orders, processor time: exponent {found['cpu']:.2f}; the services alone "
          f"{found['services_cpu']:.2f}")  # fmt: skip
    return {"sizes": rows, "exponents": found}


def _row(orders: int) -> dict[str, Any]:
    ours = measure(_prepare, _simulate, 1, orders)
    counts, stages = ours.result["rows"], ours.result["cpu"]
    bare = measure(_counts, _bare, 1, [counts[f"observer/{name}.parquet"] for name in _TABLES])
    txs = counts["observer/tx.parquet"]
    row = {
        "orders": orders,
        "txs": txs,
        "seconds": ours.seconds,
        "cpu": ours.cpu,
        "peak_mb": ours.peak_mb,
        "services_cpu": stages["services"],
        "chain_cpu": stages["chain"],
        "writing_cpu": stages["writing"],
        "loop_ns": ours.result["loop_ns"],
        "bare_cpu": bare.cpu,
        "bare_peak_mb": bare.peak_mb,
    }
    print(
        f"  {orders:>9,} orders, {txs:>9,} transactions: {ours.seconds:7.1f} s, CPU {ours.cpu:7.1f} s"
        f" (services {stages['services']:.1f}, chain {stages['chain']:.1f}, writing {stages['writing']:.1f}),"
        f" {orders / ours.cpu:,.0f} orders and {txs / ours.cpu:,.0f} transactions a CPU second, peak"
        f" {ours.peak_mb:,.0f} MB; bare graph {bare.cpu:.2f} s, {bare.peak_mb:,.0f} MB;"
        f" a step of a bare loop {row['loop_ns']:.0f} ns",
        flush=True,
    )
    return row


def _prepare(orders: int) -> tuple[Any, int]:
    """Compiled functions loaded, libraries imported."""
    _made(_scenario(100), 100)
    return _scenario(orders), orders


def _scenario(orders: int) -> Any:
    import tomllib

    from glasstumbler.lab.scenario import read

    text = SCENARIO.format(
        volume=orders // DAYS, people=max(orders // 10, 50), payments=orders * BACKGROUND * 2 // (2 * DAYS + 1)
    )
    return read(tomllib.loads(text), "bench")


def _simulate(made: tuple[Any, int]) -> dict[str, Any]:
    began, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    loop_ns = (time.process_time() - began) * 1000
    return {**_made(*made), "loop_ns": loop_ns}


def _made(scenario: Any, orders: int) -> dict[str, Any]:
    from glasstumbler.lab.fast.run import simulate

    marks = {"services": time.process_time()}

    def show(what: str, done: int, total: int) -> None:
        stage = {"services": "services", "the chain": "chain", "writing t": "writing"}.get(what[:9].rstrip(",;"), "")
        if stage:
            marks.setdefault(stage, time.process_time())

    folder = Path(tempfile.mkdtemp(dir=Path(__file__).parent / "out"))
    try:
        simulate("bench", scenario, orders, 1, folder, 1, show)
        marks["end"] = time.process_time()
        files = json.loads((folder / "manifest.json").read_text())["files"]
    finally:
        shutil.rmtree(folder)
    times = list(marks.values())
    cpu = {stage: after - before for stage, before, after in zip(marks, times, times[1:], strict=False)}
    return {"rows": {name: file["rows"] for name, file in files.items()}, "cpu": cpu}


def _counts(counts: list[int]) -> list[int]:
    return counts


def _bare(counts: list[int]) -> None:
    """Numbers and names of the same size, with nothing behind them."""
    txs, inputs, outputs, addresses = counts
    draw = np.random.default_rng(1)
    tables = {
        "tx": {"tx": np.arange(txs), "txid": _letters(draw, txs, 64), "fee": draw.integers(0, 10_000, txs)},
        "input": {"tx": np.arange(inputs), "output": draw.integers(0, outputs, inputs)},
        "output": {"address": draw.integers(0, addresses, outputs), "amount": draw.integers(0, 1 << 40, outputs)},
        "address": {"name": _letters(draw, addresses, 44)},
    }
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent / "out") as folder:
        for name, columns in tables.items():
            pq.write_table(pa.table(columns), Path(folder) / f"{name}.parquet", compression="zstd")


def _letters(draw: np.random.Generator, rows: int, length: int) -> pa.Array:
    text = draw.integers(97, 113, rows * length, np.uint8)
    ends = np.arange(rows + 1, dtype=np.int32) * length
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(text))
