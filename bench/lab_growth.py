"""How simulating and scoring grow with the orders: `python -m bench lab_growth [ORDERS ...]`.

Datasets of a busy day's scenario (2,000 orders a day, so that more orders are more days), made without signatures; then
every method of every task, as `glasstumbler score` asks them. For each stage the seconds by the clock, what memory its
process held, and the exponent of the power law through the sizes: 1 is linear.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench import machine
from bench.apart import exponent
from glasstumbler.lab.results import Results

ORDERS = (1_000, 10_000, 100_000)
SCENARIO = "busy-day"
_MB = 1024


def run(arguments: list[str] | None = None) -> dict[str, Any]:
    sizes = [int(text) for text in arguments or []] or list(ORDERS)
    found: dict[str, list[tuple[float, float]]] = {}
    whole: list[dict[str, Any]] = []
    for orders in sizes:
        with TemporaryDirectory(dir=machine.disk()) as folder:
            for stage, seconds, peak in measured(Path(folder), orders):
                found.setdefault(stage, []).append((seconds, peak))
        whole.append({"orders": orders, "stages": {stage: rows[-1] for stage, rows in found.items()}})
    _show(sizes, found)
    return {"sizes": whole}


def measured(folder: Path, orders: int) -> list[tuple[str, float, float]]:
    """(stage, seconds, MB)."""
    data, scores = folder / "data", folder / "scores"
    said = ["--orders", str(orders), "--seed", "1", "--mode", "fast", "--processes", "2", "--out", str(data)]
    made = _timed("simulate", SCENARIO, *said)
    scored = _timed("score", str(data), "--out", str(scores))
    results = msgspec.json.decode((scores / "results.json").read_bytes(), type=Results)
    if results.failures:
        raise SystemExit(f"a method failed: {results.failures[0].method}: {results.failures[0].what}")
    methods = [(f"{one.task} {one.method}", one.seconds, one.peak_mb) for one in results.timings]
    return [("simulate", *made), *methods, ("score, all of it", *scored)]


def _timed(*command: str) -> tuple[float, float]:
    """Seconds by the clock, and MB of the largest of all processes so far: stages come in growing order."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "glasstumbler", *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MB


def _show(sizes: list[int], found: dict[str, list[tuple[float, float]]]) -> None:
    print(f"{'':24}" + "".join(f"{f'{orders:,} orders':>22}" for orders in sizes) + f"{'exponent':>10}")
    for stage, rows in found.items():
        cells = "".join(f"{f'{seconds:.2f} s {peak:,.0f} MB':>22}" for seconds, peak in rows)
        slope = f"{exponent(sizes[-2:], [seconds for seconds, _ in rows][-2:]):10.2f}" if len(rows) > 1 else ""
        print(f"{stage:24}{cells}{slope}")
