"""One kept-open HTTP connection, as bare as it can be: the customers must not cost more than the servers."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Line(asyncio.Protocol):
    """Ask one thing at a time."""

    def __init__(self) -> None:
        self._got, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if end and (found := _LENGTH.search(head)) is not None and len(body) >= int(found[1]):
            self._got = b""
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError("the server hung up"))

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self._answer = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(raw)
        answer: tuple[int, bytes] = await self._answer
        return answer

    def close(self) -> None:
        if self._transport is not None:
            self._answer.cancel()
            self._transport.close()


async def dial(url: str) -> Line:
    at = urlsplit(url)
    _, line = await asyncio.get_running_loop().create_connection(Line, at.hostname, at.port)
    return line


def request(path: str, body: bytes, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
