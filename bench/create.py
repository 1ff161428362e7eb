"""Orders created over HTTP in a second: the laboratory, a conventional stack, and the laboratory without its store.

Each server is a process of its own on loopback; `wrk` keeps 64 connections busy from another. The servers are
measured in turn, three rounds, and the medians compared. Every acknowledged order is on disk (synchronous FULL),
storeless apart.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import machine
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing

CONNECTIONS, SECONDS, WARM_UP, ROUNDS = 64, 8, 2, 3
BODIES = 20_000
GOAL, LEAST = {"fastapi": 10.0, "storeless": 0.5}, {"fastapi": 6.0, "storeless": 0.3}
"""The laboratory's requests per second over the other's."""
HERE = Path(__file__).parent


def run() -> dict[str, Any]:
    machine.need("wrk")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=machine.disk()) as folder:
        bodies = _bodies(Path(folder) / "bodies.txt")
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ("glasstumbler", "fastapi", "storeless")}
        for number in range(ROUNDS):
            for name, runs in found.items():
                home = Path(folder) / f"{name}-{number}"
                home.mkdir()
                with _server(name, home) as (process, url, key):
                    _wrk(url, key, bodies, WARM_UP)
                    before = machine.cpu_seconds(process)
                    runs.append(_wrk(url, key, bodies, SECONDS))
                    spent = machine.cpu_seconds(process) - before
                    runs[-1]["cpu_us"] = spent / runs[-1]["requests"] * 1e6
                print(
                    f"  {name:13} {runs[-1]['rate']:8.0f} requests/s {runs[-1]['cpu_us']:8.0f} us CPU each", flush=True
                )
    return _report(found)


def _report(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    medians = {name: statistics.median(run["rate"] for run in runs) for name, runs in found.items()}
    ratios = {name: medians["glasstumbler"] / medians[name] for name in GOAL}
    print("\nPOST createTransaction, 3 payouts, 64 connections (medians of three rounds)")
    print(f"  {'server':13} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>7} {'glasstumbler/it':>16}")
    for name, runs in found.items():
        middle = sorted(runs, key=lambda run: run["rate"])[len(runs) // 2]
        ratio = f"{ratios[name]:16.2f}" if name in ratios else ""
        times = f"{middle['p50']:8.1f} {middle['p99']:8.1f} {middle['cpu_us']:7.0f}"
        print(f"  {name:13} {medians[name]:10.0f} {times} {ratio}")
    for name, over in ratios.items():
        print(f"  over {name}: {over:.2f}, goal {GOAL[name]}, failure below {LEAST[name]}")
    return {"medians": medians, "ratios": ratios, "goal": GOAL, "least": LEAST, "runs": found}


def _bodies(path: Path) -> Path:
    """Requests with three payouts each, all to different addresses."""
    ring, form, chance = KeyRing(bytes(32)), FORMATS["btc"], random.Random(1)
    with path.open("w") as file:
        for number in range(BODIES):
            addresses = [form.address(_key(ring, 3 * number + place)) for place in range(3)]
            payouts = {address: f"0.{chance.randrange(10_000, 99_999):05d}" for address in addresses}
            file.write(json.dumps({"payouts": payouts, "delay": chance.randrange(1, 24)}) + "\n")
    return path


def _key(ring: KeyRing, index: int) -> bytes:
    return FORMATS["btc"].own_key("p2wpkh", ring.secret("btc", "customers", "lab", index))


@contextmanager
def _server(name: str, home: Path) -> Iterator[tuple[int, str, str]]:
    """A running server's process id, URL and API key."""
    process = subprocess.Popen(_command(name, home), stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    try:
        yield process.pid, *_announced(process)
    finally:
        process.terminate()
        process.wait(30)


def _command(name: str, home: Path) -> list[str]:
    if name != "glasstumbler":
        return [sys.executable, "-m", "bench.server", name, str(home)]
    (home / "glasstumbler.toml").write_text('[lab]\nrate_limits = "off"\n')
    main = "from glasstumbler.cli import main; main()"
    return [sys.executable, "-c", main, "serve", "--data", str(home), "--port", "0", "--block-interval", "0"]


def _announced(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    for line in process.stdout:
        words = line.split()
        if words and words[0] == "btcmix":
            return words[1], words[3] if words[2] == "api_key" else words[2]
    raise RuntimeError(f"{process.args!r} ended before it served")


def _wrk(url: str, key: str, bodies: Path, seconds: int) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(HERE / "load.lua"), url, "--", str(bodies), key]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    line = next(line for line in said.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    if result["bad"]:
        raise RuntimeError(f"{url} refused {result['bad']} requests: {said}")
    return {
        "requests": result["requests"],
        "rate": result["requests"] / result["microseconds"] * 1e6,
        "p50": result["p50"] / 1000,
        "p99": result["p99"] / 1000,
    }
