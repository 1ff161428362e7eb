"""Sockets of the servers."""

from __future__ import annotations

import time
from contextlib import closing

import httpx

from glasstumbler.clock import VirtualClock
from glasstumbler.house import House
from glasstumbler.vault import Vault
from glasstumbler.web.background import served


def test_a_reply_on_a_connection_that_is_kept_open_does_not_wait_for_an_acknowledgement() -> None:
    """Without TCP_NODELAY, which event loops set on sockets made with the protocol's number only, every reply after
    the first took 40 ms: Nagle's algorithm against delayed acknowledgements."""
    house = House(None, Vault(b"x" * 32), VirtualClock(), 1, {"lab": {"chains": [], "rate_limits": "off"}})
    with (
        closing(house),
        served(house, turning=False) as serving,
        httpx.Client(base_url=serving.url("hub"), trust_env=False) as client,
    ):
        fastest = min(_seconds(client) for _ in range(10))
    assert fastest < 0.03


def _seconds(client: httpx.Client) -> float:
    begun = time.perf_counter()
    assert client.post("/lab/v1/clock/advance", json={"seconds": 0}).status_code == 200
    return time.perf_counter() - begun
