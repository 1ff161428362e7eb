"""One service as an ASGI application: reads the request whole, within bounds, and hands it to the service.

Written on bare ASGI: a framework's routing would stand between the socket and the dialect's own table.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect

from glasstumbler.dialects.base import Request, Response
from glasstumbler.errors import TooLarge
from glasstumbler.service import Service
from glasstumbler.web.safety import check_head, safe

BODY_MOST = 64 * 1024
"""Bytes of a request's body; the largest documented request has a few hundred."""
Scope = Any
Receive = Any
Send = Any


class ServiceApp:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await read_body(receive, BODY_MOST)
        except ClientDisconnect:
            return  # half a request asks for nothing
        request = to_request(scope, body or b"")
        if (error := _too_large(scope, body)) is not None:
            await reply(send, self._service.dialect.refuse(error, request))
        else:
            await reply(send, await self._service.handle(request))


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
