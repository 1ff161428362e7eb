"""How long a killed server is away: from the start of the command to the first answer, with 100,000 orders on record.

The record is made by the house itself, every order a unit of work on the disk. A server on the folder is put under
load, killed with SIGKILL, and started again; its clock runs from the start of the process to the first good answer to
`GET /api/transactions`, Python's own start and SQLite's recovery of its log included. Then the same after the chains
have grown: PAID of the orders were paid and completed, and each chain has BLOCKS blocks.
"""

from __future__ import annotations

import http.client
import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from bench import machine
from bench.crowd import HOUR, SERVICE, Crowd, chain, deposits
from glasstumbler.clock import RealClock
from glasstumbler.engine.order import Order
from glasstumbler.house import House
from glasstumbler.vault import Vault

ORDERS, PAID, BLOCKS, PART = 100_000, 20_000, 3_000, 1_000
ROUNDS, LOAD_SECONDS, CLIENTS = 5, 2, 4
GOAL = 2.0
_SETTINGS = '[lab]\nrate_limits = "off"\n'


def run() -> dict[str, Any]:
    with TemporaryDirectory(prefix="bench-", dir=machine.disk()) as name:
        folder = Path(name)
        (folder / "glasstumbler.toml").write_text(_SETTINGS)
        with _house(folder) as house:
            crowd = Crowd(house)
            orders = _ask(crowd, ORDERS)
        found = {"open": _measure(folder, f"{ORDERS} open orders")}
        with _house(folder) as house:
            _pay(house, orders[:PAID])
            _grow(house)
        found["past"] = _measure(folder, f"{PAID} of them paid, {BLOCKS} blocks a chain")
    print(f"\nSeconds from a server's start to its first answer, after kill -9 under load ({ROUNDS} rounds)")
    for figures in found.values():
        print(f"  {figures['what']:40} middle {figures['middle']:.2f}  fastest {figures['fastest']:.2f}")
        print(f"  {'':40} of it processor time {figures['cpu']:.2f}, goal {GOAL}")
    return found


@contextmanager
def _house(folder: Path) -> Iterator[House]:
    house = House(folder, Vault.of_folder(folder), RealClock(), None, {"lab": {"rate_limits": "off"}})
    try:
        house.start()
        yield house
    finally:
        house.close()


def _ask(crowd: Crowd, number: int) -> list[Order]:
    orders: list[Order] = []
    while len(orders) < number:
        orders += crowd.open(crowd.wishes(PART))
        if len(orders) % 20_000 == 0:
            print(f"  {len(orders)} orders", flush=True)
    return orders


def _pay(house: House, orders: list[Order]) -> None:
    for first in range(0, len(orders), PART):
        paid = deposits(orders[first : first + PART])
        for place in range(0, PART, 100):
            chain(house).pay_many(paid[place : place + 100])
        chain(house).mine(1)
        house.advance(HOUR)
        chain(house).mine(1)
        house.turn()
    print(f"  {len(orders)} orders paid", flush=True)


def _grow(house: House) -> None:
    for coin, each in house.chains.items():
        while each.tip()[0] < BLOCKS:
            each.mine(min(100, BLOCKS - each.tip()[0]))
            house.turn()
        print(f"  {coin}: {each.tip()[0]} blocks", flush=True)


def _measure(folder: Path, what: str) -> dict[str, Any]:
    times, cpus = [], []
    for _ in range(ROUNDS):
        server, url, key = _start(folder)
        _load(url, key)
        server.kill()
        server.wait()
        began = time.perf_counter()
        server, url, key = _start(folder)
        _first_answer(url, key)
        times.append(time.perf_counter() - began)
        cpus.append(machine.cpu_seconds(server.pid))
        print(f"  {what}: {times[-1]:.2f} s, processor {cpus[-1]:.2f} s", flush=True)
        server.send_signal(signal.SIGKILL)
        server.wait()
    return {
        "what": what,
        "middle": statistics.median(times),
        "fastest": min(times),
        "cpu": statistics.median(cpus),
        "goal": GOAL,
    }


def _start(folder: Path) -> tuple[subprocess.Popen[str], str, str]:
    main = "from glasstumbler.cli import main; main()"
    command = [sys.executable, "-c", main, "serve", "--data", str(folder), "--port", "0", "--block-interval", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        words = line.split()
        if words[:1] == [SERVICE]:
            return server, words[1], words[3]
    raise RuntimeError("the server ended before it served")


def _first_answer(url: str, key: str) -> None:
    status, said = _request(url, key, "GET", "/api/transactions?limit=1", None)
    if status != 200 or json.loads(said)["totalTransactions"] < 0:
        raise RuntimeError(f"answered {status}: {said!r}")


def _load(url: str, key: str) -> None:
    end = time.monotonic() + LOAD_SECONDS
    body = json.dumps({"delay": 1, "payouts": {"bcrt1qk06mfqpdeju8u77sw77xx8ueslfhw37qqcc2gl": "0.01"}})

    def ask() -> None:
        while time.monotonic() < end:
            _request(url, key, "POST", "/api/createTransaction", body)

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def _request(url: str, key: str, method: str, path: str, body: str | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
