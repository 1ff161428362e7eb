"""A block with many payments on a real node: what the adapter asks and how long it takes, beside a naive poller.

Two adapters stand at one litecoind. One pays; the other, over a line that counts, is measured: first when the block's
transactions waited before, as in life, then when it sees them in the block only. The naive poller asks as most
examples do: `getblock` for the txids, then `getrawtransaction` for each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glasstumbler.chains.base import Output
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import RealClock
from glasstumbler.nodes.core import CoreChain
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.rpc import Ask, Rpc
from glasstumbler.nodes.running import Nodes

SIZES, ROUNDS = (10, 100, 1_000), 3
_AMOUNT = 100_000


def run() -> dict[str, Any]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="glasstumbler-bench-") as folder:
        nodes = Nodes(Path(folder))
        try:
            endpoint = nodes.start("litecoind")
            rows = _measure(endpoint)
        finally:
            nodes.close()
    return _report(rows)


def _measure(endpoint: Endpoint) -> list[dict[str, float]]:
    payer = CoreChain.open("ltc", endpoint, KeyRing(b"the one that pays"), RealClock())
    ours = CoreChain.open("ltc", endpoint, KeyRing(b"the one that is measured"), RealClock())
    poller = Rpc(endpoint, _unseen)
    rows = []
    try:
        for size in SIZES:
            rows += [_round(payer, ours, poller, size, waited) for waited in (True, False) for _ in range(ROUNDS)]
    finally:
        poller.close()
        ours.close()
        payer.close()
    return rows


def _round(payer: CoreChain, ours: CoreChain, poller: Rpc, size: int, waited: bool) -> dict[str, float]:
    ours.mempool()
    for _ in range(size):
        payer.pay_many([Output(payer.format.key(payer.fresh_address()), _AMOUNT)])
    if waited:
        ours.mempool()
    payer.mine()
    row = {"payments": size, "waited": waited}
    with _counted() as calls:
        row["seconds"] = _timed(lambda: ours.block(ours.tip()[1]))
        row["calls"] = len(calls)
    with _counted() as calls:
        row["naive seconds"] = _timed(lambda: _naive(poller))
        row["naive calls"] = len(calls)
    held = len(ours.block(ours.tip()[1]).txs)
    if not size < held < 2 * size + 100:
        raise RuntimeError(f"a block of {held} transactions for {size} payments")
    return row


def _naive(rpc: Rpc) -> None:
    block = rpc.call("getblock", rpc.call("getbestblockhash"), 1)
    for txid in block["tx"]:
        rpc.call("getrawtransaction", txid, True, block["hash"])


def _unseen(_: Ask) -> None:
    """This node was started here."""


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Calls over any line, in the meantime."""
    calls: list[str] = []
    exchange = Rpc._exchange

    def counted(self: Rpc, connection: Any, text: str, path: str) -> tuple[int, bytes]:
        calls.append(text)
        return exchange(self, connection, text, path)

    Rpc._exchange = counted  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        Rpc._exchange = exchange  # type: ignore[method-assign]


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _report(rows: list[dict[str, float]]) -> dict[str, Any]:
    print("  payments, seen before | calls | ms (middle) | naive calls | naive ms | ratio")
    found = []
    for size in SIZES:
        for waited in (True, False):
            group = [row for row in rows if row["payments"] == size and row["waited"] == waited]
            middle = {name: sorted(row[name] for row in group)[len(group) // 2] for name in group[0]}
            ratio = middle["naive seconds"] / middle["seconds"]
            print(
                f"  {size:5} {'yes' if waited else 'no ':3} | {middle['calls']:3} | {middle['seconds'] * 1000:8.1f} | "
                f"{middle['naive calls']:5} | {middle['naive seconds'] * 1000:8.1f} | {ratio:.1f}",
                flush=True,
            )
            found.append({**middle, "ratio": ratio})
    return {"rows": rows, "middle": found}
