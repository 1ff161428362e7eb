"""HTTP on one connection: uvicorn's protocol, which has no bounds on heads, slow clients or pipelines, with bounds."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from glasstumbler.web.connections import Connections

HEAD_MOST = 64 * 1024
"""Bytes of a request's line and headers."""
PIPELINED_MOST = 64
"""Requests that a client may send ahead of their answers."""
_LINGER_SECONDS = 2
"""Between the last word and the end: a connection closed on unread bytes is reset, and its last word lost."""


class BoundedProtocol(HttpToolsProtocol):
    def __init__(self, held: Connections, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held = held
        self.peer = ""
        self.due: float | None = None
        self.unread_since: float | None = None
        self._in_head = False
        self._head = self._piece = 0
        """Bytes of this head beyond the piece that it began in, and of the piece that is being read."""
        self._refusal = HTTPStatus.BAD_REQUEST
        self._deaf = False
        """The last word is said; what still comes is thrown away, so that the client can read it."""

    # -- the transport's calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = self.client[0] if self.client else ""
        self._expect(self._held.limits.head_seconds)
        self._held.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._held.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self.due is None and not self._working():
            self._expect(self._held.limits.head_seconds)  # empty lines before a request count as well
        self._piece = len(data)
        super().data_received(data)
        if self._in_head and not self._deaf:
            self._head += len(data)
            if self._head > HEAD_MOST:
                self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self.send_400_response("")

    # -- the parser's calls -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head = True, -self._piece
        self._expect(self._held.limits.head_seconds)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head + self._piece > HEAD_MOST or self._piece > HEAD_MOST:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEAD_MOST:
                self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                raise ValueError("the head is too large")
        if len(self.pipeline) >= PIPELINED_MOST:
            raise ValueError("too many requests ahead of their answers")
        super().on_headers_complete()
        self._expect(self._held.limits.body_seconds)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.due = None
        if self._working():
            self._held.works(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._working() and not self.transport.is_closing():
            self._held.waits(self)

    def send_400_response(self, msg: str) -> None:
        """uvicorn's own for what is not HTTP; here also for a head that is too large."""
        self._held.lost("broken")
        self._say(self._refusal)

    # -- what Connections asks ----------------------------------------------------------------------------------------

    def expire(self) -> None:
        if self._deaf:
            self.transport.abort()
        elif self._in_head or self._in_body():
            self._say(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()  # it has asked for nothing
            self.due = None

    def drop(self) -> None:
        self.transport.abort()

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def held_back(self) -> bool:
        return self.flow.read_paused

    def shutdown(self) -> None:
        """What was read whole is answered; half a request asks for nothing."""
        if self._in_body() or self._deaf:
            self.transport.close()
        else:
            super().shutdown()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _expect(self, seconds: int) -> None:
        self.due = self.loop.time() + seconds

    def _working(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _in_body(self) -> bool:
        return self._working() and self.cycle.more_body

    def _say(self, status: HTTPStatus) -> None:
        """A last word without the application, unless an answer is under way; then the connection is closed."""
        if self._working():
            if not self._in_body() or self.cycle.response_started or self.pipeline:
                self.transport.close()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        text = f"{status.phrase}\n".encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(text)}\r\n\r\n".encode() + text)
        self.transport.write_eof()
        self._deaf = True
        self._expect(_LINGER_SECONDS)
