"""A contender in a process of its own, so that its peak of memory is its own and what it imports troubles nobody."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import machine


class Measured(NamedTuple):
    seconds: float
    """Of the best round, by the clock."""
    cpu: float
    """Of the best round, processor time."""
    peak_mb: float
    """Memory beyond what the process had with its data, libraries that the work imports among it."""
    result: Any


def measure(prepare: Callable[..., Any], work: Callable[[Any], Any], rounds: int, *arguments: Any) -> Measured:
    """`work(prepare(*arguments))` in a new process, the work timed. If there are several rounds, one that is not timed
    comes first, for warming up. Both are functions of a module, and the result is small."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, prepare, work, rounds, arguments))
    process.start()
    theirs.close()
    try:
        found: Measured = ours.recv()
    finally:
        process.join()
    return found


def _run(pipe: Any, prepare: Any, work: Any, rounds: int, arguments: Any) -> None:
    data = prepare(*arguments)
    before, clocks, cpus = machine.resident_mb(), [], []
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark of memory begins anew
    if rounds > 1:
        work(data)
    for _ in range(rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        result = work(data)
        clocks.append(time.perf_counter() - began)
        cpus.append(time.process_time() - began_cpu)
    pipe.send(Measured(min(clocks), min(cpus), _highest_mb() - before, result))


def _highest_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Of the power law through the measurements: 1 is linear."""
    slope: float = np.polyfit([math.log(size) for size in sizes], [math.log(second) for second in seconds], 1)[0]
    return slope
