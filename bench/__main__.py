"""`python -m bench [PART ...]`: run all parts or some, print tables, write out/PART.json."""

from __future__ import annotations

import gc
import importlib
import json
import sys

from bench import machine
from glasstumbler.cli import GARBAGE

_LAB = ("lab_cluster", "lab_taint", "lab_link", "lab_score", "lab_signed", "lab_generate", "lab_spark")
_LONG = ("soak", "lab_growth", "pages")
"""Run only when named; what follows the name is theirs."""
PARTS = (
    "create",
    "order",
    "block",
    "seen",
    "store",
    "workers",
    "audit",
    "start",
    "nodes",
    "real",
    "pages_paint",
    *_LAB,
)


def main() -> None:
    gc.set_threshold(*GARBAGE)
    if sys.argv[1:2] and sys.argv[1] in _LONG:
        _run(sys.argv[1], sys.argv[2:])
        return
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        raise SystemExit(f"no benchmark is called {unknown[0]!r}; these are: {', '.join(PARTS)}")
    for name in wanted:
        _run(name)


def _run(name: str, *arguments: list[str]) -> None:
    print(f"== {name}", flush=True)
    about = machine.describe()
    found = importlib.import_module(f"bench.{name}").run(*arguments)
    path = machine.disk() / f"{name}.json"
    path.write_text(json.dumps({"machine": about, **found}, indent=1) + "\n")
    print(f"  -> {path}\n", flush=True)


if __name__ == "__main__":
    main()
