"""`glasstumbler audit` on a record of a million entries, with its chain.

The record is made once and kept in bench/out (`bench/past.py`). What is measured is the command in a process of its
own: its time from start to end, and the memory that the largest of its three processes holds at most.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine
from bench.past import make

ENTRIES = int(os.environ.get("AUDIT_ENTRIES", "1000000"))
ROUNDS = 3
GOAL_SECONDS = 10


def run() -> dict[str, Any]:
    folder = machine.disk() / f"audit-{ENTRIES}"
    if not (folder / "finished").exists():
        make(folder, ENTRIES)
        (folder / "finished").touch()
    rounds = [_audit(folder) for _ in range(ROUNDS)]
    size = (folder / "record.db").stat().st_size
    best = min(rounds, key=lambda each: float(each["seconds"]))
    print(f"  {best['said']}")
    print(f"  the command: {best['seconds']:.1f} s, fastest of {ROUNDS} (goal {GOAL_SECONDS})")
    print(f"  processor time {best['cpu']:.1f} s, most memory of one process {best['memory_mb']:.0f} MB")
    print(f"  record {size / 2**20:.0f} MB, chain {(folder / 'chains' / 'btc.blocks').stat().st_size / 2**20:.0f} MB")
    return {"rounds": rounds, "record_mb": size / 2**20}


def _audit(folder: Path) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "glasstumbler", "audit", "--data", str(folder)], capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not re.match("the record is whole", done.stdout):
        raise RuntimeError(f"the audit of {folder} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return {
        "seconds": seconds,
        "said": done.stdout.splitlines()[0],
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory_mb": after.ru_maxrss / 1024,
    }
