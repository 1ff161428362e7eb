"""The last requests and replies of the services, for whoever writes a client. In memory, of this process, and bounded.

It is no record: the record (store/) keeps what happened, this keeps how it was asked for. Noting costs an append of
references; whoever looks pays for the rest.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final, NamedTuple

from glasstumbler.dialects.base import Request, Response
from glasstumbler.errors import GlassTumblerError, Rejection

KEPT: Final = 500
CLIP: Final = 4096
"""Bytes of a body that are kept."""


class Wrong(NamedTuple):
    """An error without what its traceback holds on to."""

    kind: type[GlassTumblerError]
    text: str
    field: str


class Exchange(NamedTuple):
    number: int
    service: str
    endpoint: str
    """Name in the dialect's table, or service.UNREAD."""
    request: Request
    response: Response
    wrong: Wrong | None
    started: float
    """time.perf_counter()."""
    seconds: float

    @property
    def at(self) -> float:
        """Epoch seconds of the machine's clock."""
        return time.time() - (time.perf_counter() - self.started)


class Recent:
    """Of one house; appended to by the event loop, read by anybody."""

    def __init__(self) -> None:
        self._kept: deque[Exchange] = deque(maxlen=KEPT)
        self._count = 0

    def note(
        self,
        service: str,
        endpoint: str,
        request: Request,
        response: Response,
        wrong: Wrong | None,
        started: float,
        seconds: float,
    ) -> None:
        if len(request.body) > CLIP:
            request = request._replace(body=request.body[:CLIP])
        if len(response.body) > CLIP:
            response = response._replace(body=response.body[:CLIP])
        self._count += 1
        self._kept.append(Exchange(self._count, service, endpoint, request, response, wrong, started, seconds))

    @property
    def last(self) -> int:
        """Number of the newest exchange."""
        return self._count

    def newest(self, service: str | None = None, statuses: int | None = None, limit: int = KEPT) -> list[Exchange]:
        """Newest first. `statuses`: 2 for 2xx and so on; 0 for those with something wrong, whatever their status."""
        found = []
        for exchange in reversed(self._kept.copy()):
            if service is not None and exchange.service != service:
                continue
            if statuses == 0 and exchange.wrong is None:
                continue
            if statuses and exchange.response.status // 100 != statuses:
                continue
            found.append(exchange)
            if len(found) == limit:
                break
        return found

    def numbered(self, number: int) -> Exchange | None:
        return next((each for each in self._kept.copy() if each.number == number), None)


def wrong_of(error: GlassTumblerError) -> Wrong:
    return Wrong(type(error), str(error), error.field if isinstance(error, Rejection) else "")
