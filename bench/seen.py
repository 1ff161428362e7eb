"""What being seen costs a request: the same requests with and without the counting, in turn, and with the log told.

Processor time of all threads, least of the rounds: orders opened 500 at a time and `GET status` one after another,
without sockets.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bench.crowd import TOGETHER, house
from glasstumbler import log
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.dialects.base import Request
from glasstumbler.house import House
from glasstumbler.metrics import Metrics
from glasstumbler.story import Story

ROUNDS, STATUSES = 9, 5_000


class _Blind(Metrics):
    """Counts no request."""

    def request(self, service: str, endpoint: str, status: int, seconds: float) -> None:
        pass


def run() -> dict[str, Any]:
    found: dict[str, list[float]] = {}
    with house() as made:
        service, seeing, blind = made.services["btcmix"], made.metrics, _Blind()
        story = Story(made.store)
        log.configure({"GLASSTUMBLER_LOG": "info", "GLASSTUMBLER_LOG_FORMAT": "json"})
        log._lines = log.Lines(os.open(os.devnull, os.O_WRONLY))
        for _ in range(ROUNDS):
            for name, metrics in (("counted", seeing), ("not counted", blind)):
                service._around = service._around._replace(metrics=metrics)
                found.setdefault(f"status, {name}", []).append(_spent(lambda: _statuses(made), STATUSES))
                found.setdefault(f"order, {name}", []).append(_spent(lambda: _orders(made), TOGETHER))
            found.setdefault("an order told in the log", []).append(_told(story, 2 * TOGETHER))
        log.reset()
    least = {name: min(values) for name, values in found.items()}
    print("\nProcessor time, microseconds, least of the rounds")
    for name, value in least.items():
        print(f"  {name:26} {value:8.1f}")
    ratios = {name: least[f"{name}, counted"] / least[f"{name}, not counted"] for name in ("status", "order")}
    print("  counted over not counted: " + ", ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items()))
    return {"us": least, "ratios": ratios}


def _spent(act: Callable[[], Coroutine[Any, Any, None]], number: int) -> float:
    before = time.process_time()
    asyncio.run(act())
    return (time.process_time() - before) / number * 1e6


def _told(story: Story, number: int) -> float:
    before = time.process_time()
    story.tell()
    assert log._lines is not None
    log._lines.finish()
    return (time.process_time() - before) / number * 1e6


async def _statuses(made: House) -> None:
    request = Request("GET", "/api/status", [], {}, b"", "127.0.0.1")
    for _ in range(STATUSES):
        await made.services["btcmix"].handle(request)


async def _orders(made: House) -> None:
    form, ring = FORMATS["btc"], KeyRing(bytes(32))
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {made.vault.first_key('btcmix')}",
    }
    address = form.address(form.own_key("p2wpkh", ring.secret("btc", "customers", "lab", 1)))
    body = json.dumps({"delay": "0", "payouts": {address: "0.01"}}).encode()
    request = Request("POST", "/api/createTransaction", [], headers, body, "127.0.0.1")
    answers = await asyncio.gather(*(made.services["btcmix"].handle(request) for _ in range(TOGETHER)))
    assert {answer.status for answer in answers} == {200}
