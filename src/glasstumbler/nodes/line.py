"""Connections to a node, one a thread, each looked at by the guard before it is used.

Whenever a connection is made, also after one broke, `check` runs on it first, so that a node that was exchanged for
another one while we were away is not spoken to.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from glasstumbler.errors import NodeAway, SettingsError
from glasstumbler.nodes.endpoint import Endpoint

_CLOSED = (
    *(http.client.NotConnected, http.client.RemoteDisconnected),
    *(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError),
)
"""What an idle connection says that was closed at the other end."""
T = TypeVar("T")
Connection = http.client.HTTPConnection


class Line:
    """Safe from any thread. NodeAway if nobody answers, or not with HTTP."""

    def __init__(self, endpoint: Endpoint, check: Callable[[Connection], None], timeout: float = 30.0) -> None:
        """`check(connection)` raises unless the node at the other end may be used. `timeout`: seconds for one answer.
        SettingsError if the node's certificate cannot be read."""
        where = urlsplit(endpoint.url)
        self._kind, self._check, self._timeout = endpoint.kind, check, timeout
        self._host, self._port = where.hostname or "", where.port
        self._tls = _pinned(endpoint) if where.scheme == "https" else None
        self._local = threading.local()
        self._all: set[Connection] = set()
        self._lock = threading.Lock()

    def ask(self, send: Callable[[Connection], T]) -> T:
        """What `send` brings back over a connection that was looked at.

        An idle connection may have been closed at the other end: then, and only then, it is asked once more on a
        fresh one. What is asked twice by that is harmless with every node: queries, and transactions, blocks and
        payments that it knows already."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return send(connection)
            except _CLOSED:
                self.hang_up()
            except (OSError, http.client.HTTPException) as error:
                self.hang_up()
                raise NodeAway(self._kind, _why(error)) from None
        try:
            return send(self._dial())
        except (OSError, http.client.HTTPException) as error:
            self.hang_up()
            raise NodeAway(self._kind, _why(error)) from None
        except BaseException:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """This thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            with self._lock:
                self._all.discard(connection)
            self._local.connection = None

    def close(self) -> None:
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    # Inside.

    def _dial(self) -> Connection:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        )
        connection.connect()
        connection.auto_open = 0  # one that was closed is not opened again behind the guard's back
        self._local.connection = connection
        with self._lock:
            self._all.add(connection)
        self._check(connection)
        return connection


def _pinned(endpoint: Endpoint) -> ssl.SSLContext:
    """Trusts the node's own certificate (`extra["certificate"]`, a PEM file) and no other."""
    file = endpoint.extra.get("certificate", "")
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise SettingsError(f"the {endpoint.kind} node's certificate {file!r} cannot be read: {error}") from None


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, http.client.NotConnected):
        return "it closes the connection after each answer"
    return str(error) or type(error).__name__
