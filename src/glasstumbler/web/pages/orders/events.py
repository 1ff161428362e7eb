"""Server-sent events: an order's page is told what changed, for as long as somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from glasstumbler.errors import GlassTumblerError, Overloaded
from glasstumbler.web.asgi import Gate
from glasstumbler.web.pages.site import HEADERS, Site

STREAMS_MOST: Final = 64
LOOK_SECONDS: Final = 0.5
HEARTBEAT_SECONDS: Final = 15
_RETRY_MS: Final = 1000


class State(Protocol):
    """What is shown, and a digest of it."""

    @property
    def html(self) -> str: ...
    @property
    def mark(self) -> str: ...


class Streams:
    """All open streams of a site. They look at the record's head and render only when it has moved."""

    def __init__(self, site: Site) -> None:
        self._site, self._store = site, site.house.store
        self._gate = Gate(STREAMS_MOST)

    def open(self, now: Callable[[], Awaitable[State]]) -> Response:
        """Overloaded when there are too many: the page then refreshes itself."""
        if self._gate.inside >= STREAMS_MOST:
            raise Overloaded("too many pages are being watched at once")
        return _Counted(self._gate, self._lines(now))

    async def _lines(self, now: Callable[[], Awaitable[State]]) -> AsyncIterator[bytes]:
        head, mark, quiet = -1, "", 0.0
        yield f"retry: {_RETRY_MS}\n\n".encode()
        while not self._site.stopping.is_set():
            try:
                seen = await self._store.read_soon(lambda records: records.head()[0])
                state = await now() if seen != head else None
            except GlassTumblerError:
                return  # the store is away: the browser asks again
            head = seen
            if state is not None and state.mark != mark:
                mark, quiet = state.mark, 0.0
                yield message(state)
            elif quiet >= HEARTBEAT_SECONDS:
                quiet = 0.0
                yield b": still here\n\n"
            quiet += LOOK_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._site.stopping.wait(), LOOK_SECONDS)


def message(state: State) -> bytes:
    lines = "\n".join(f"data: {line}" for line in state.html.splitlines())
    return f"event: order\nid: {state.mark}\n{lines}\n\n".encode()


class _Counted(StreamingResponse):
    def __init__(self, gate: Gate, lines: AsyncIterator[bytes]) -> None:
        super().__init__(lines, 200, HEADERS, "text/event-stream")
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._gate.enter():
            await super().__call__(scope, receive, send)
