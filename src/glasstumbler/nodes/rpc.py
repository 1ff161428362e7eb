"""JSON-RPC to a node, over connections that the guard has looked at (line.py): by HTTP or, where none stays open, by a
WebSocket (websocket.py).

Numbers with a fraction arrive as `Decimal`; nothing becomes a float.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from glasstumbler.errors import NodeAnswer, NodeAway
from glasstumbler.nodes import websocket
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.line import Connection, Line

_NOT_LET_IN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
Ask = Callable[..., Any]
"""ask(method, *params, **named) -> result."""


class Rpc:
    """Safe from any thread. NodeAway if nobody answers, or not with JSON-RPC; NodeAnswer for the node's own error."""

    def __init__(
        self, endpoint: Endpoint, check: Callable[[Ask], None], timeout: float = 30.0, socket_path: str = ""
    ) -> None:
        """`check(ask)` raises unless the node at the other end may be used. `timeout`: seconds for one answer.
        `socket_path`: where a node takes a WebSocket that closes every HTTP connection after one answer."""
        self._kind, self._check = endpoint.kind, check
        self._path, self._socket_path = urlsplit(endpoint.url).path or "/", socket_path
        self._headers = {"Content-Type": "application/json"}
        if endpoint.user or endpoint.password:
            pair = f"{endpoint.user}:{endpoint.password}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._line = Line(endpoint, self._look, timeout)

    def call(self, method: str, *params: Any, **named: Any) -> Any:
        """Parameters by place, or by name where the node wants names."""
        reply = self._line.ask(lambda connection: self._post(connection, _question(0, method, params, named)))
        if not isinstance(reply, dict):
            raise NodeAway(self._kind, "the answer is not JSON-RPC")
        return self._result(method, reply)

    def post(self, path: str, **fields: Any) -> Any:
        """What the node answers to an object that is sent to a path of its own, outside JSON-RPC (monerod)."""
        return self._line.ask(lambda connection: self._post(connection, fields, path))

    def batch(self, questions: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Results of [(method, *params), ...] in their order, asked at once; a `NodeAnswer` may stand for a result."""
        if not questions:
            return []
        asked = [_question(number, one[0], one[1:], {}) for number, one in enumerate(questions)]
        replies = self._line.ask(lambda connection: self._post(connection, asked))
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
        self._line.close()

    # Inside.

    def _look(self, connection: Connection) -> None:
        def ask(method: str, *params: Any, **named: Any) -> Any:
            return self._result(method, self._post(connection, _question(0, method, params, named)))

        if self._socket_path:
            status = websocket.upgrade(connection, self._socket_path, self._headers)
            if status != HTTPStatus.SWITCHING_PROTOCOLS:
                raise self._refused(status)
        self._check(ask)

    def _post(self, connection: Connection, body: Any, path: str | None = None) -> Any:
        status, raw = self._exchange(connection, json.dumps(body), path)
        if status in _NOT_LET_IN:
            raise self._refused(status)
        try:
            return json.loads(raw, parse_float=Decimal)
        except ValueError:
            raise self._refused(status) from None

    def _exchange(self, connection: Connection, text: str, path: str | None) -> tuple[int, bytes]:
        if self._socket_path:
            return HTTPStatus.OK, websocket.exchange(connection, text)
        connection.request("POST", path or self._path, text, self._headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _refused(self, status: int) -> NodeAway:
        if status in _NOT_LET_IN:
            return NodeAway(self._kind, "it does not take this user and password")
        return NodeAway(self._kind, f"HTTP {status}, and no JSON")

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


def _question(number: int, method: str, params: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(named) or list(params)}
