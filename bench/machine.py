"""What the figures were made on, and what a benchmark needs of the machine."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def resident_mb() -> float:
    """Memory of this process that is in RAM, MB of 2**20 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(process: int) -> float:
    """User and system time that a process has had, all its threads together."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disk() -> Path:
    """A folder on a real disk, so that a flush is one."""
    folder = Path(__file__).parent / "out"
    folder.mkdir(exist_ok=True)
    return folder


def need(command: str) -> None:
    if shutil.which(command) is None:
        raise SystemExit(f"{command} is missing: sh scripts/debian.sh {command}")


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())
