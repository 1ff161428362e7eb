"""Requests over HTTP to whichever server answers, and what is known when none does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 30
"""Seconds that a client waits for a reply."""


class Refused(Exception):
    """Certainly not done: nobody listened, or the reply says that the request is at fault. `status` None: no reply."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class Unknown(Exception):
    """It may have been done: the connection broke after the request was sent, or the reply is a failure inside."""


class Wire:
    """`urls`: base URLs of hubs that serve the same laboratory; they may change while requests are made. A request goes
    to the next of them in turn, and on to another one only where nobody listened: no request is sent twice."""

    def __init__(self, urls: list[str], patience: float = PATIENCE) -> None:
        self.urls, self._patience = urls, patience
        self._turn = 0

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        return self.send("GET", path, None, headers)

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Any:
        return self.send("POST", path, body, headers)

    def send(self, method: str, path: str, body: object, headers: Mapping[str, str] | None = None) -> Any:
        """The reply's JSON, its numbers with a point as Decimals. Refused or Unknown."""
        status, said = self.raw(method, path, body, headers)
        if status >= 500:
            raise Unknown(f"{method} {path}: {status} {said[:200]!r}")
        if status >= 400:
            raise Refused(f"{method} {path}: {status} {said[:200]!r}", status)
        return json.loads(said, parse_float=Decimal)

    def raw(self, method: str, path: str, body: object, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of whatever reply there is. Refused if nobody listens, Unknown if the connection breaks."""
        content = None if body is None else json.dumps(body, default=str).encode()
        said = {"content-type": "application/json", **(headers or {})}
        self._turn += 1
        for step in range(len(self.urls)):
            host = urlsplit(self.urls[(self._turn + step) % len(self.urls)]).netloc
            connection = http.client.HTTPConnection(host, timeout=self._patience)
            try:
                connection.connect()
            except OSError:
                continue
            try:
                connection.request(method, path, content, said)
                reply = connection.getresponse()
                return reply.status, reply.read()
            except (OSError, http.client.HTTPException) as error:
                raise Unknown(f"{method} {path}: {type(error).__name__}") from None
            finally:
                connection.close()
        raise Refused(f"{method} {path}: nobody listens")
