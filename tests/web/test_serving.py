"""Sockets of the servers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median

import httpx

from glasstumbler.clock import VirtualClock
from glasstumbler.house import House
from glasstumbler.vault import Vault
from glasstumbler.web.serving import Serving


@contextmanager
def served_by_asyncio(house: House) -> Iterator[Serving]:
    """On the standard library's own event loop, as where uvloop is not to be had."""
    serving = Serving(house, "127.0.0.1", 0, turning=False)
    thread = threading.Thread(target=lambda: asyncio.run(serving.run()))
    thread.start()
    try:
        yield serving
    finally:
        serving.stop()
        thread.join()


def test_a_reply_on_a_connection_that_is_kept_open_does_not_wait_for_an_acknowledgement() -> None:
    """asyncio sets TCP_NODELAY only on sockets that were made with the protocol's number; without it every reply but
    the first few took 40 ms: Nagle's algorithm against delayed acknowledgements."""
    house = House(None, Vault(b"x" * 32), VirtualClock(), 1, {"lab": {"chains": [], "rate_limits": "off"}})
    with (
        closing(house),
        served_by_asyncio(house) as serving,
        httpx.Client(base_url=serving.url("hub"), trust_env=False) as client,
    ):
        usual = median(_seconds(client) for _ in range(25))
    assert usual < 0.03


def _seconds(client: httpx.Client) -> float:
    begun = time.perf_counter()
    assert client.post("/lab/v1/clock/advance", json={"seconds": 0}).status_code == 200
    return time.perf_counter() - begun
