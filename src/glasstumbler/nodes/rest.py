"""LND's REST interface, over connections that the guard has looked at (line.py).

64-bit numbers are strings in its JSON, bytes are base64. Source: LND's `lnrpc/*.swagger.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from glasstumbler.errors import NodeAnswer, NodeAway, SettingsError
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.line import Connection, Line

Body = Mapping[str, Any] | None
_NOT_YET = {
    "in the process of starting up": "it is still starting",
    "waiting to start": "it is still starting",
    "wallet locked": "its wallet is locked",
    "macaroon": "it does not take this macaroon",
    "verification failed": "it does not take this macaroon",
}
"""What it says when it cannot answer anything, and what that means."""


class Rest:
    """Safe from any thread. NodeAway if nobody answers, or not with LND's REST; NodeAnswer for the node's own error."""

    def __init__(self, endpoint: Endpoint, check: Callable[[Any], None], timeout: float = 30.0) -> None:
        """`endpoint.extra` names the files `certificate` and `macaroon`. `check(info)` raises unless the node that says
        this of itself (`/v1/getinfo`) may be used."""
        self._kind, self._check = endpoint.kind, check
        self._macaroon = Path(endpoint.extra.get("macaroon", ""))
        self._line = Line(endpoint, self._look, timeout)

    def get(self, path: str, **query: Any) -> Any:
        asked = f"{path}?{urlencode(query)}" if query else path
        return self._line.ask(lambda connection: self._ask(connection, "GET", asked))

    def post(self, path: str, **body: Any) -> Any:
        return self._line.ask(lambda connection: self._ask(connection, "POST", path, body))

    def first(self, method: str, path: str, body: Body = None) -> Any:
        """The first message of a stream. What would follow is not waited for: the connection is given up. It is a
        fresh one, so that what is asked here is never asked twice."""
        self._line.hang_up()
        try:
            return self._line.ask(lambda connection: self._ask(connection, method, path, body, stream=True))
        finally:
            self._line.hang_up()

    def close(self) -> None:
        self._line.close()

    # Inside.

    def _look(self, connection: Connection) -> None:
        self._check(self._ask(connection, "GET", "/v1/getinfo"))

    def _ask(
        self,
        connection: Connection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        stream: bool = False,
    ) -> Any:
        connection.request(method, path, None if body is None else json.dumps(body), self._headers())
        answer = connection.getresponse()
        raw = answer.readline() if stream else answer.read()
        try:
            said = json.loads(raw)
        except ValueError:
            raise NodeAway(self._kind, f"HTTP {answer.status}, and no JSON") from None
        if not isinstance(said, dict):
            raise NodeAway(self._kind, "the answer is not LND's")
        if answer.status >= 300 or "error" in said:
            raise self._error(path, said.get("error", said))
        return said.get("result", said) if stream else said

    def _headers(self) -> dict[str, str]:
        """The macaroon is read anew each time: a node that began anew has another one."""
        try:
            return {"Grpc-Metadata-macaroon": self._macaroon.read_bytes().hex()}
        except OSError as error:
            raise SettingsError(f"LND's macaroon {str(self._macaroon)!r} cannot be read: {error.strerror}") from None

    def _error(self, path: str, error: Any) -> NodeAway | NodeAnswer:
        found = error if isinstance(error, dict) else {"message": str(error)}
        text = str(found.get("message") or "no reason given")
        for part, meaning in _NOT_YET.items():
            if part in text:
                return NodeAway(self._kind, meaning)
        return NodeAnswer(self._kind, path, int(found.get("code") or 0), text)
