"""Whether a node that was just started answers yet."""

from __future__ import annotations

import json

from glasstumbler.errors import ChainError, SettingsError
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.line import Connection, Line
from glasstumbler.nodes.rpc import Rpc

_SECONDS = 5.0
"""For one answer."""
_LND_AWAKE = ("RPC_ACTIVE", "SERVER_ACTIVE")
"""It is fully synced only once its chain has a block that is not old; it answers before that."""


def answers(endpoint: Endpoint, question: str) -> bool:
    """`question` is a JSON-RPC method without parameters, or a path of LND's REST interface. The guard is not asked
    here: it looks at the node when an adapter connects."""
    try:
        return _lnd(endpoint, question) if question.startswith("/") else _rpc(endpoint, question)
    except (ValueError, AttributeError, ChainError, SettingsError):
        return False


def _rpc(endpoint: Endpoint, method: str) -> bool:
    rpc = Rpc(endpoint, _unseen, _SECONDS)
    try:
        rpc.call(method)
    finally:
        rpc.close()
    return True


def _unseen(_: object) -> None:
    pass


def _lnd(endpoint: Endpoint, path: str) -> bool:
    line = Line(endpoint, _unseen, _SECONDS)
    try:
        return line.ask(lambda connection: _state(connection, path)) in _LND_AWAKE
    finally:
        line.close()


def _state(connection: Connection, path: str) -> object:
    connection.request("GET", path)
    return json.loads(connection.getresponse().read()).get("state")
