"""A laboratory in this process, served with narrow limits, for tests of clients that hold servers up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from glasstumbler.house import House
from glasstumbler.limits import Limits
from glasstumbler.web.background import served
from glasstumbler.web.serving import Serving
from tests.laboratory import BEARERS, SERVICES, Laboratory

HEAD = b"POST /api/createTransaction HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n"
READS = {
    "bestmixer": ("POST", "/api/ext/fee/info", {"api_key": ""}),
    "btcmix": ("GET", "/api/status", None),
    "coinjoin": ("GET", "/api/status", None),
    "whir": ("GET", "/api/status", None),
    "xmrto": ("GET", "/api/v2/xmr2btc/order_parameter_query/", None),
}
"""A question to each service that changes nothing."""


@contextmanager
def edge(laboratory: Laboratory, **limits: int) -> Iterator[Edge]:
    with served(laboratory.house, turning=False, limits=Limits(**limits)) as serving:
        yield Edge(laboratory.house, serving)


class Edge:
    def __init__(self, house: House, serving: Serving) -> None:
        self.house, self.serving = house, serving

    def address(self, name: str) -> tuple[str, int]:
        host, port = self.serving.sockets[name].getsockname()[:2]
        return host, port

    def connect(self, name: str = "btcmix", source: str | None = None, seconds: float = 20) -> socket.socket:
        return socket.create_connection(self.address(name), seconds, (source, 0) if source else None)

    def ask(self, slug: str) -> httpx.Response:
        method, path, body = READS[slug]
        if body is not None:
            body = body | {"api_key": self.house.vault.first_key(slug)}
        return httpx.request(method, self.serving.url(slug) + path, json=body, timeout=20)

    def order(self, slug: str = "btcmix") -> httpx.Response:
        headers = {"authorization": f"Bearer {self.house.vault.first_key(slug)}"} if slug in BEARERS else {}
        body: dict[str, Any] = {"delay": 0, "payouts": {self.house.chains["btc"].fresh_address(None): "0.01"}}
        return httpx.post(f"{self.serving.url(slug)}/api/createTransaction", json=body, headers=headers, timeout=20)

    def serves_others(self) -> None:
        for slug in SERVICES:
            assert self.ask(slug).status_code == 200
        assert httpx.get(f"{self.serving.url('hub')}/healthz", timeout=20).json() == {"alive": True}

    def count(self, name: str, **labels: str) -> float:
        return self.house.metrics.registry.get_sample_value(f"glasstumbler_{name}", labels) or 0


def rest(client: socket.socket) -> bytes:
    """All that the server still says, until it closes; a reset is an end too."""
    said = b""
    try:
        while part := client.recv(65536):
            said += part
    except ConnectionError:
        pass
    return said


class Writer:
    """Holds the store's writer in the middle of a unit of work."""

    def __init__(self, house: House) -> None:
        self._house, self._held, self._free = house, threading.Event(), threading.Event()

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self._house.store.write, args=(lambda records: self._hold(),))
        self._thread.start()
        assert self._held.wait(20)
        return self

    def _hold(self) -> None:
        self._held.set()
        assert self._free.wait(60)

    def release(self) -> None:
        self._free.set()

    def __exit__(self, *error: object) -> None:
        self.release()
        self._thread.join()
