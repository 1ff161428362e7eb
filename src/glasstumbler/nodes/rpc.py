"""JSON-RPC over HTTP to a node: one connection a thread, which the guard looks at before it is used.

Whenever a connection is made, also after one broke, `check` runs on it first, so that a node that was exchanged for
another one while we were away is not spoken to. Numbers with a fraction arrive as `Decimal`; nothing becomes a float.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from glasstumbler.errors import NodeAnswer, NodeAway, SettingsError
from glasstumbler.nodes.endpoint import Endpoint

Ask = Callable[..., Any]
"""ask(method, *params) -> result."""


class Rpc:
    """Safe from any thread. NodeAway if nobody answers, or not with JSON-RPC; NodeAnswer for the node's own error."""

    def __init__(self, endpoint: Endpoint, check: Callable[[Ask], None], timeout: float = 30.0) -> None:
        """`check(ask)` raises unless the node at the other end may be used. `timeout`: seconds for one answer."""
        where = urlsplit(endpoint.url)
        self._kind, self._check, self._timeout = endpoint.kind, check, timeout
        self._host, self._port, self._path = where.hostname or "", where.port, where.path or "/"
        self._tls = _pinned(endpoint) if where.scheme == "https" else None
        self._headers = {"Content-Type": "application/json"}
        if endpoint.user or endpoint.password:
            pair = f"{endpoint.user}:{endpoint.password}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._local = threading.local()
        self._all: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def call(self, method: str, *params: Any) -> Any:
        reply = self._guarded(_question(0, method, params))
        if not isinstance(reply, dict):
            raise NodeAway(self._kind, "the answer is not JSON-RPC")
        return self._result(method, reply)

    def batch(self, questions: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Results of [(method, *params), ...] in their order, asked at once; a `NodeAnswer` may stand for a result."""
        if not questions:
            return []
        asked = [_question(number, one[0], one[1:]) for number, one in enumerate(questions)]
        replies = self._guarded(asked)
        if not isinstance(replies, list) or len(replies) != len(asked):
            raise NodeAway(self._kind, "the answer to a batch is not one")
        found: list[Any] = [None] * len(asked)
        for reply in replies:
            number = reply.get("id") if isinstance(reply, dict) else None
            if not isinstance(number, int) or not 0 <= number < len(asked):
                raise NodeAway(self._kind, "the answer to a batch is not one")
            try:
                found[number] = self._result(questions[number][0], reply)
            except NodeAnswer as error:
                found[number] = error
        return found

    def close(self) -> None:
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    # Inside.

    def _guarded(self, body: Any) -> Any:
        """An idle connection may have been closed at the other end: then, and only then, it is asked once more on a
        fresh one. What is asked twice by that is harmless with every node: queries, and transactions and blocks that
        it knows already."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return self._post(connection, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._hang_up()
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                raise NodeAway(self._kind, _why(error)) from None
        try:
            return self._post(self._dial(), body)
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            raise NodeAway(self._kind, _why(error)) from None
        except BaseException:
            self._hang_up()
            raise

    def _dial(self) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        )
        connection.connect()
        self._local.connection = connection
        with self._lock:
            self._all.add(connection)

        def ask(method: str, *params: Any) -> Any:
            return self._result(method, self._post(connection, _question(0, method, params)))

        self._check(ask)
        return connection

    def _hang_up(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            with self._lock:
                self._all.discard(connection)
            self._local.connection = None

    def _post(self, connection: http.client.HTTPConnection, body: Any) -> Any:
        connection.request("POST", self._path, json.dumps(body), self._headers)
        answer = connection.getresponse()
        raw = answer.read()
        if answer.status in (401, 403):
            raise NodeAway(self._kind, "it does not take this user and password")
        try:
            return json.loads(raw, parse_float=Decimal)
        except ValueError:
            raise NodeAway(self._kind, f"HTTP {answer.status}, and no JSON") from None

    def _result(self, method: str, reply: Any) -> Any:
        if not isinstance(reply, dict) or ("result" not in reply and "error" not in reply):
            raise NodeAway(self._kind, "the answer is not JSON-RPC")
        error = reply.get("error")
        if error is None:
            return reply.get("result")
        if not isinstance(error, dict):
            error = {"message": str(error)}
        raise NodeAnswer(
            self._kind, method, int(error.get("code") or 0), str(error.get("message") or "no reason given")
        )


def _pinned(endpoint: Endpoint) -> ssl.SSLContext:
    """Trusts the node's own certificate (`extra["certificate"]`, a PEM file) and no other."""
    file = endpoint.extra.get("certificate", "")
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise SettingsError(f"the {endpoint.kind} node's certificate {file!r} cannot be read: {error}") from None


def _question(number: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    return str(error) or type(error).__name__
