"""The two ways to send a call: at once, and to be awaited. Both are httpx with the same settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import httpx

from glasstumbler.client.calls import Call, Reply, Request, Sends, SendsLater, bad_reply
from glasstumbler.client.errors import Unreachable

SECONDS = 60.0
"""To connect, and between two pieces of a reply: the lab's calls work before they answer."""
REPLY_MOST = 16 * 2**20
"""Bytes of a reply's body; the largest documented ones are pages of a thousand orders."""
_HIGHEST_PORT = 65535
T = TypeVar("T")


class Sync(Sends):
    """Usable from several threads. `url` is the service's own root, or its root on the hub."""

    def __init__(self, url: str, timeout: float = SECONDS) -> None:
        self.url = _root(url)
        self._http = httpx.Client(**_settings(self.url, timeout))

    def send(self, call: Call[T]) -> T:
        arriving = _Arriving(call.request)
        with _told(call.request), self._http.stream(**_sent(self.url, call.request)) as response:
            arriving.begin(response)
            for part in response.iter_raw():
                arriving.add(part)
        return call.read(arriving.reply)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Async(SendsLater):
    """The same, to be awaited."""

    def __init__(self, url: str, timeout: float = SECONDS) -> None:
        self.url = _root(url)
        self._http = httpx.AsyncClient(**_settings(self.url, timeout))

    async def send(self, call: Call[T]) -> T:
        arriving = _Arriving(call.request)
        with _told(call.request):
            async with self._http.stream(**_sent(self.url, call.request)) as response:
                arriving.begin(response)
                async for part in response.aiter_raw():
                    arriving.add(part)
        return call.read(arriving.reply)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _root(url: str) -> str:
    """Without a slash at its end; ValueError if it is no URL of HTTP."""
    try:
        parts = httpx.URL(url)
        right = parts.scheme in ("http", "https") and parts.host and (parts.port or 0) <= _HIGHEST_PORT
    except (httpx.InvalidURL, UnicodeError):
        right = False
    if not right:
        raise ValueError(f"not the URL of a service: {url!r}")
    return url.rstrip("/")


def _settings(url: str, timeout: float) -> dict[str, Any]:
    # Certificates take long to load, and a laboratory on loopback has none. No proxy stands before one either.
    return {"timeout": timeout, "trust_env": False, "verify": url.startswith("https:")}


def _sent(url: str, request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": url + request.path,
        "params": request.query or None,
        # Not compressed: what a reply takes in memory is then what it takes on the wire.
        "headers": [*request.headers, ("accept-encoding", "identity")],
        "content": request.body,
    }


@contextmanager
def _told(request: Request) -> Iterator[None]:
    """Unreachable in place of httpx's errors."""
    try:
        yield
    except (httpx.HTTPError, UnicodeError) as error:
        raise Unreachable(f"{request.method} {request.path}: {error or type(error).__name__}") from error


class _Arriving:
    """A reply as its pieces come in."""

    def __init__(self, request: Request) -> None:
        self._request, self._body = request, bytearray()
        self._status, self._headers = 0, dict[str, str]()

    def begin(self, response: httpx.Response) -> None:
        self._status, self._headers = response.status_code, dict(response.headers)

    def add(self, part: bytes) -> None:
        self._body += part
        if len(self._body) > REPLY_MOST:
            raise bad_reply(self._request, self.reply, f"larger than {REPLY_MOST} bytes")

    @property
    def reply(self) -> Reply:
        return Reply(self._status, self._headers, bytes(self._body))
