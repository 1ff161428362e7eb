"""Pages with a long record behind them: how long each takes over HTTP, beside a file that the same server hands out.

The record is made once and kept in bench/out (`bench/pages_record.py`). The server is the hub with its pages, on a
chain that is read from its log; the explorer's cache is brought up first, and how long that took is told apart.
"""

from __future__ import annotations

import os
import re
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from bench import machine
from bench.pages_record import PastChain, make
from glasstumbler.clock import VirtualClock
from glasstumbler.ground import Chains
from glasstumbler.house import House
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.vault import Vault
from glasstumbler.web.serving import Serving
from glasstumbler.web.serving import run as serve

ORDERS = int(os.environ.get("PAGES_ORDERS", "1000000"))
FOLDER = os.environ.get("PAGES_FOLDER", "")
"""A record that was made before; by default one is made in bench/out."""
ROUNDS, GOAL_MS = 40, 200
_PATIENCE_SECONDS = 3600


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    folder = Path(FOLDER) if FOLDER else machine.disk() / f"pages-{ORDERS}"
    if not FOLDER and not (folder / "finished").exists():
        make(folder, ORDERS)
        (folder / "finished").touch()
    serving = Serving(lambda: _house(folder), "127.0.0.1", 0, turning=False)
    ready = threading.Event()
    server = threading.Thread(target=serve, args=(serving, lambda house: ready.set()))
    server.start()
    try:
        if not ready.wait(_PATIENCE_SECONDS):
            raise RuntimeError("the server did not start")
        with httpx.Client(base_url=serving.url("hub"), timeout=60) as client:
            return _measure(client)
    finally:
        serving.stop()
        server.join()


def _house(folder: Path) -> House:
    """Stands where the record ends, and does nothing by itself."""
    chain: Any = PastChain(folder / "chains" / "btc.blocks")
    store = SqliteStore(folder / "record.db")
    last = store.read(lambda records: next(records.rows("SELECT max(number), doc FROM orders")))
    created = int(re.search(rb'"created":(\d+)', bytes(last[1]))[1])  # type: ignore[index]
    tables = {"lab": {"rate_limits": "off", "chains": ["btc"]}}
    clock, vault = VirtualClock(created), Vault.of_folder(folder)
    return House(folder, vault, clock, 1, tables, store, Chains({"btc": chain}, None))


def _measure(client: httpx.Client) -> dict[str, Any]:
    began = time.perf_counter()
    while any("behind the" in client.get(where).text for where in ("/chains/btc", "/services/btcmix")):
        time.sleep(1)
    brought_up = time.perf_counter() - began
    found = {name: _page(client, where) for name, where in _pages(client).items()}
    ground = found["a static file"]["p50_ms"]
    print(f"  the cache was brought up in {brought_up:.0f} s")
    print(f"  {'page':30} {'p50 ms':>8} {'p99 ms':>8} {'times the file':>15} {'bytes':>9}")
    for name, each in found.items():
        ratio = each["p50_ms"] / ground
        print(f"  {name:30} {each['p50_ms']:8.1f} {each['p99_ms']:8.1f} {ratio:15.1f} {each['bytes']:9,}")
    slow = [name for name, each in found.items() if each["p99_ms"] > GOAL_MS]
    print(f"  above {GOAL_MS} ms: {', '.join(slow) or 'none'}")
    return {"pages": found, "brought_up_seconds": brought_up}


def _pages(client: httpx.Client) -> dict[str, str]:
    """Pages of something in the middle of the past."""
    blocks = client.get("/chains/btc").text
    tip = int(re.findall(r'href="/chains/btc/block/(\d+)"', blocks)[0])
    block = f"/chains/btc/block/{tip // 2 * 2}"
    txids = re.findall(r"/chains/btc/tx/([0-9a-f]{64})", client.get(block).text)
    transaction = f"/chains/btc/tx/{txids[-1]}"
    addresses = re.findall(r'href="(/chains/btc/address/[^"]+)"', client.get(transaction).text)
    entries = int(re.findall(r'href="/ledger/(\d+)"', client.get("/ledger").text)[0])
    listed = client.get(f"/orders?before={ORDERS // 2}&service=btcmix").text
    order = re.findall(r'href="/orders/btcmix/([^"]+)"', listed)[0]
    static = re.findall(r'href="(/static/[^"]+css)"', blocks)[-1]
    return {
        "a static file": static,
        "home": "/",
        "services": "/services",
        "service": "/services/btcmix",
        "chains": "/chains",
        "blocks": "/chains/btc",
        "blocks, half way": f"/chains/btc?from={tip // 2}",
        "block of 500": block,
        "transaction": transaction,
        "transaction, 500 outputs": f"/chains/btc/tx/{_first_spent(client, transaction)}",
        "address, once paid": addresses[0],
        "address, often paid": addresses[1],
        "search, an order": "/search?q=AB",
        "search, a transaction": f"/search?q={txids[-1]}",
        "ledger": "/ledger",
        "ledger, half way": f"/ledger?before={entries // 2}&service=btcmix",
        "entry": f"/ledger/{entries // 2}",
        "orders, newest": "/orders",
        "orders, half way": f"/orders?before={ORDERS // 2}&service=btcmix",
        "an order's form": "/services/btcmix/order",
        "an order": f"/orders/btcmix/{order}",
        "its glass": f"/glass/btcmix/{order}",
    }


def _first_spent(client: httpx.Client, transaction: str) -> str:
    shown = client.get(transaction).text
    source = re.search(r'/chains/btc/tx/([0-9a-f]{64})" aria-label="The transaction that made it', shown)
    assert source is not None
    return source[1]


def _page(client: httpx.Client, where: str) -> dict[str, float]:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = client.get(where)
        times.append(1000 * (time.perf_counter() - began))
        if answer.status_code not in (200, 303):
            raise RuntimeError(f"{where}: {answer.status_code}")
    times.sort()
    return {"p50_ms": statistics.median(times), "p99_ms": times[int(0.99 * len(times))], "bytes": len(answer.content)}


if __name__ == "__main__":
    run()
