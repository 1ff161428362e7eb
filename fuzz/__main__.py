"""`python -m fuzz [--seconds N] [TARGET...]`: each target in turn, each in a process of its own.

Inputs that reach something new are kept in `fuzz-out/corpus/TARGET`, findings in `fuzz-out/found/TARGET-*`, both
outside the tree's own corpus. The exit code is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
OUT = Path("fuzz-out")
MEMORY = Path("/dev/shm")
LIMITS = ("-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0")
"""Ten seconds for one input is a hang, a GiB of memory is a leak."""


def run(name: str, seconds: int) -> bool:
    """False if something was found."""
    new, found = OUT / "corpus" / name, OUT / "found"
    for folder in (new, found):
        folder.mkdir(parents=True, exist_ok=True)
    options = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={found}/{name}-"]
    command = [sys.executable, "-m", "fuzz.harness", name, *options, str(new), str(HERE / "corpus" / name)]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": place})
    said = done.stderr + done.stdout
    executed = next((line.split()[-1] for line in said.splitlines() if "number_of_executed_units" in line), "?")
    print(f"{name:16} {executed:>10} inputs  {'ok' if not done.returncode else 'FOUND SOMETHING'}", flush=True)
    if done.returncode:
        print(said[-4000:], flush=True)
    return not done.returncode


def main() -> int:
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    wanted = parser.parse_args()
    if unknown := sorted(set(wanted.targets) - set(TARGETS)):
        parser.error(f"no target is called {unknown[0]!r}")
    results = [run(name, wanted.seconds) for name in wanted.targets or TARGETS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
