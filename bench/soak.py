"""All five services under load for a long time: `python -m bench soak --minutes 30`.

First the peak: customers on 64 connections order at all five services as fast as they are answered. Then 70 % of that
rate, each order at its appointed time (a late answer is late by all the time that it kept waiting). All the while some
deposits are paid, blocks are mined and payouts made. The server's memory is sampled. The chains of btc, bch and ltc
keep coins and places of transactions in memory, which grows by what is mined; that part is told apart, from the bytes
of the blocks and what such a byte takes in a chain by itself, measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench import machine
from bench.five import Deposit, Kind, kinds
from bench.line import Line, dial, request
from glasstumbler.chains.base import Output
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.services import SERVICES

CONNECTIONS, SHARE, PAID_PER_SECOND, BLOCK_SECONDS, SAMPLE_SECONDS = 64, 0.7, 2.0, 15, 10
WARM_UP = 0.2
"""Of the time: memory may still grow then (caches fill)."""
_FLAT_MB_PER_HOUR = 20


class Sample(NamedTuple):
    seconds: float
    resident: float
    blocks: float
    """MB of all blocks on the chains."""
    orders: int


class Load:
    """Customers of one running laboratory."""

    def __init__(self, urls: dict[str, str], keys: dict[str, str]) -> None:
        self._urls, self._kinds = urls, list(kinds(keys).values())
        self._turn = itertools.count()
        self.latencies: list[float] = []
        self.made: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self._to_pay: asyncio.Queue[Deposit] = asyncio.Queue(20)

    async def closed(self, seconds: float) -> float:
        """Orders a second, each customer ordering again as soon as they are answered."""
        before, started = sum(self.made.values()), time.perf_counter()
        end = started + seconds

        async def customer(lines: dict[str, Line]) -> None:
            while time.perf_counter() < end:
                await self._order(lines, time.perf_counter())

        await self._all(customer)
        return (sum(self.made.values()) - before) / (time.perf_counter() - started)

    async def paced(self, rate: float, seconds: float) -> None:
        self.latencies.clear()
        number, started = itertools.count(), time.perf_counter()

        async def customer(lines: dict[str, Line]) -> None:
            while (at := started + next(number) / rate) < started + seconds:
                if (pause := at - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
                await self._order(lines, at)

        await self._all(customer)

    async def _all(self, customer: Any) -> None:
        async def one() -> None:
            lines = {kind.service: await dial(self._urls[kind.service]) for kind in self._kinds}
            try:
                await customer(lines)
            finally:
                for line in lines.values():
                    line.close()

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))

    async def _order(self, lines: dict[str, Line], since: float) -> None:
        kind = self._kinds[next(self._turn) % len(self._kinds)]
        raw, coin = kind.ask()
        status, body = await lines[kind.service].ask(raw)
        self.latencies.append(time.perf_counter() - since)
        made = json.loads(body)
        if status >= 400 or made.get("error"):
            self.errors[f"{kind.service} {status}: {made.get('error') or made.get('description')}"] += 1
            return
        self.made[kind.service] += 1
        if not self._to_pay.full():
            await self._will_pay(kind, lines[kind.service], made, coin)

    async def _will_pay(self, kind: Kind, line: Line, made: dict[str, Any], coin: str) -> None:
        if kind.status is not None:
            made = json.loads((await line.ask(kind.status(made)))[1])
        deposit = kind.deposit(made, coin)
        if deposit is not None and not self._to_pay.full():
            self._to_pay.put_nowait(deposit)

    async def pay(self) -> None:
        """Again and again, a few a second."""
        line = await dial(self._urls["hub"])
        while True:
            deposit = await self._to_pay.get()
            body = json.dumps({"address": deposit.address, "amount": deposit.amount}).encode()
            status, said = await line.ask(request(f"/lab/v1/chains/{deposit.coin}/pay", body))
            if status == 200:
                self.paid[deposit.coin] += 1
            else:
                self.errors[f"pay {deposit.coin} {status}: {said[:80].decode()}"] += 1
            await asyncio.sleep(1 / PAID_PER_SECOND)


def run(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench soak")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--peak-seconds", type=float, default=20)
    wanted = parser.parse_args(arguments)
    per_byte = chain_memory()
    print(f"  a chain by itself keeps {per_byte:.1f} bytes in memory for each byte of its blocks", flush=True)
    with (
        TemporaryDirectory(prefix="bench-", dir=machine.disk()) as folder,
        _laboratory(Path(folder)) as (process, urls, keys),
    ):
        return asyncio.run(_soak(wanted, process, urls, keys, Path(folder), per_byte))


async def _soak(
    wanted: Any, process: int, urls: dict[str, str], keys: dict[str, str], folder: Path, per_byte: float
) -> dict[str, Any]:
    load, samples = Load(urls, keys), list[Sample]()
    async with _beside(load.pay()):
        await load.closed(2)
        peak = await load.closed(wanted.peak_seconds)
        rate, seconds = SHARE * peak, wanted.minutes * 60
        print(f"  peak {peak:.0f} orders/s; {rate:.0f}/s for {wanted.minutes:g} minutes", flush=True)
        load.made.clear()
        load.paid.clear()
        spent, others = machine.cpu_seconds(process), _busy()
        async with _beside(_sample(samples, process, folder, load)):
            await load.paced(rate, seconds)
        spent = machine.cpu_seconds(process) - spent
    metrics = _metrics(urls["hub"])
    return _report(load, samples, peak, rate, seconds, spent, _busy() - others, per_byte, metrics)


@asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _sample(samples: list[Sample], process: int, folder: Path, load: Load) -> None:
    started = time.perf_counter()
    while True:
        resident = await asyncio.to_thread(_resident, process)
        blocks = await asyncio.to_thread(_blocks, folder)
        samples.append(Sample(time.perf_counter() - started, resident, blocks, sum(load.made.values())))
        if len(samples) % 12 == 0:
            last = samples[-1]
            print(f"  {last.seconds:6.0f} s {last.orders:9} orders {last.resident:7.1f} MB", flush=True)
        await asyncio.sleep(SAMPLE_SECONDS)


def _resident(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 2**20


def _blocks(folder: Path) -> float:
    """MB of the blocks in all logs."""
    total = 0
    for log in (folder / "chains").glob("*.blocks"):
        connection = sqlite3.connect(f"{log.as_uri()}?mode=ro", uri=True, timeout=10)
        total += connection.execute("SELECT coalesce(sum(length(raw)), 0) FROM blocks").fetchone()[0]
        connection.close()
    return total / 2**20


def _busy() -> float:
    """Processor seconds that all processes of the machine have had."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields[:8])) - idle) / 100


def chain_memory() -> float:
    """Bytes in memory for each byte of blocks: signed payments of two outputs each on a chain by itself."""
    form, ring, chance = FORMATS["btc"], KeyRing(bytes(32)), random.Random(1)
    with TemporaryDirectory(prefix="bench-", dir=machine.disk()) as name:
        folder = Path(name) / "chains"
        folder.mkdir()
        bare = UtxoChain.open("btc", ring, VirtualClock(), folder)
        for round_ in range(6):
            if round_ == 1:
                resident, blocks = machine.resident_mb(), _blocks(folder.parent)
            for number in range(600):
                secret = ring.secret("btc", "customers", "lab", round_ * 600 + number)
                bare.pay_many([Output(form.own_key("p2wpkh", secret), chance.randrange(10_000, 90_000))])
            bare.mine(1)
        grown = machine.resident_mb() - resident
        found = grown / (_blocks(folder.parent) - blocks)
        bare.close()
    return found


@contextmanager
def _laboratory(home: Path) -> Iterator[tuple[int, dict[str, str], dict[str, str]]]:
    (home / "glasstumbler.toml").write_text('[lab]\nrate_limits = "off"\n')
    main = "from glasstumbler.cli import main; main()"
    options = ["--data", str(home), "--port", "0", "--block-interval", str(BLOCK_SECONDS)]
    process = subprocess.Popen([sys.executable, "-c", main, "serve", *options], stdout=subprocess.PIPE, text=True)
    try:
        urls, keys = dict[str, str](), dict[str, str]()
        assert process.stdout is not None
        for line in process.stdout:
            words = line.split()
            if words[0] in (*SERVICES, "hub"):
                urls[words[0]] = words[1]
                keys[words[0]] = words[3] if len(words) > 3 else ""
            if words[:2] == ["lab", "token"]:
                break
        yield process.pid, urls, keys
    finally:
        process.terminate()
        process.wait(60)


def _metrics(hub: str) -> dict[str, float]:
    """Orders by state, and what stands out."""
    said = urllib.request.urlopen(f"{hub}/metrics", timeout=30).read().decode()
    found: Counter[str] = Counter()
    for state, number in re.findall(r'glasstumbler_orders\{.*?state="(\w+)"\} (\S+)', said):
        found[state] += int(float(number))
    for name in ("due_lag_seconds", "store_queue", "commit_units_sum", "commit_units_count", "record_entries"):
        if match := re.search(rf"^glasstumbler_{name} (\S+)", said, re.MULTILINE):
            found[name] = float(match[1])  # type: ignore[assignment]
    return dict(found)


def slope(samples: list[tuple[float, float]]) -> float:
    """MB an hour: the straight line nearest to (seconds, MB)."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*samples, strict=True)).slope * 3600


def _report(
    load: Load,
    samples: list[Sample],
    peak: float,
    rate: float,
    seconds: float,
    spent: float,
    busy: float,
    per_byte: float,
    metrics: dict[str, float],
) -> dict[str, Any]:
    warm = [each for each in samples if each.seconds >= WARM_UP * seconds]
    whole = slope([(each.seconds, each.resident) for each in warm])
    chains = slope([(each.seconds, each.blocks * per_byte) for each in warm])
    verdict = "flat" if whole - chains < _FLAT_MB_PER_HOUR else "NOT FLAT"
    took = sorted(load.latencies)
    latency = {f"p{100 * share:g}": took[int(len(took) * share)] * 1000 for share in (0.5, 0.95, 0.99, 0.999)}
    latency["most"] = took[-1] * 1000
    orders, most = sum(load.made.values()), max(each.resident for each in samples)
    print(f"\n{orders} orders in {seconds:.0f} s, {orders / seconds:.0f}/s of {rate:.0f}/s wanted (peak {peak:.0f}/s)")
    print(f"  by service: {dict(load.made)}; deposits paid: {dict(load.paid)}")
    print(f"  latency ms: {', '.join(f'{name} {value:.1f}' for name, value in latency.items())}")
    print(f"  errors: {dict(load.errors) or 'none'}")
    print(f"  memory MB: {warm[0].resident:.0f} warm, {warm[-1].resident:.0f} at the end, most {most:.0f}")
    print(f"  slope MB/hour: {whole:+.1f}, of which the chains' blocks {chains:+.1f}: {verdict}")
    print(f"  processor seconds: server {spent:.0f}, all {busy:.0f}, of {(os.cpu_count() or 1) * seconds:.0f}")
    print(f"  at the end: {metrics}")
    return {
        "peak": peak,
        "rate": rate,
        "seconds": seconds,
        "orders": dict(load.made),
        "paid": dict(load.paid),
        "latency_ms": latency,
        "errors": dict(load.errors),
        "slope_mb_per_hour": {"whole": whole, "chains": chains},
        "chain_bytes_per_byte": per_byte,
        "processor_seconds": {"server": spent, "all": busy},
        "metrics": metrics,
        "samples": samples,
    }
