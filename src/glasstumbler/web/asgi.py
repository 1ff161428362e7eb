"""One service as an ASGI application: reads the request whole, within bounds, and hands it to the service.

Written on bare ASGI: a framework's routing would stand between the socket and the dialect's own table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from glasstumbler.dialects.base import Dialect, Request, Response
from glasstumbler.errors import GlassTumblerError, Overloaded, TooLarge
from glasstumbler.limits import Limits
from glasstumbler.service import Service
from glasstumbler.web.safety import check_head, safe

BODY_MOST = 64 * 1024
"""Bytes of a request's body; the largest documented request has a few hundred."""
Scope = Any
Receive = Any
Send = Any


class Gate:
    """How many requests are worked on at once, over all services."""

    def __init__(self, most: int) -> None:
        self.inside, self._most = 0, most

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Overloaded if there is no room."""
        if self.inside >= self._most:
            raise Overloaded("too many requests at once")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


class ServiceApp:
    def __init__(self, service: Service, gate: Gate, seconds: int = Limits().request_seconds) -> None:
        self._service, self._gate, self._seconds = service, gate, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await read_body(receive, BODY_MOST)
        except ClientDisconnect:
            return  # half a request asks for nothing
        request = to_request(scope, body or b"")
        if (error := _too_large(scope, body)) is not None:
            await reply(send, self._service.refuse(error, request))
        else:
            await reply(send, await self._answer(request))

    async def _answer(self, request: Request) -> Response:
        try:
            with self._gate.enter():
                async with asyncio.timeout(self._seconds):
                    return await self._service.handle(request)
        except TimeoutError:
            return self._service.refuse(Overloaded(f"no answer within {self._seconds} s"), request)
        except Overloaded as error:
            return self._service.refuse(error, request)


class Closed:
    """A service that does not answer yet."""

    def __init__(self, dialect: Dialect, why: GlassTumblerError) -> None:
        self._dialect, self._why = dialect, why

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await reply(send, self._dialect.refuse(self._why, to_request(scope, b"")))


class Door:
    """What a socket leads to; it can be put in place of another while the socket is open."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def _too_large(scope: Scope, body: bytes | None) -> TooLarge | None:
    if body is None:
        return TooLarge(f"the body is larger than {BODY_MOST} bytes")
    try:
        check_head(scope.get("raw_path", b""), scope["query_string"], scope["headers"])
    except TooLarge as error:
        return error
    return None


def to_request(scope: Scope, body: bytes) -> Request:
    path, root = scope["path"], scope.get("root_path", "")
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=path.removeprefix(root) if root else path,
        query=parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        peer=client[0] if client else "",
    )


async def read_body(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None if it is larger than `most`: the rest is read and thrown away, up to a bound, so that
    the client hears the answer. ClientDisconnect if the client goes away in the middle."""
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= 64 * most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size <= most:
            parts.append(part)
    return b"".join(parts) if size <= most else None


async def reply(send: Send, response: Response) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": safe(headers)})
    await send({"type": "http.response.body", "body": response.body})
