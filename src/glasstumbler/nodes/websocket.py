"""As much of the WebSocket protocol (RFC 6455) as JSON-RPC needs: one text goes out, one comes back.

btcd closes an HTTP connection after each answer; over this it keeps it, so that what the guard has looked at is what is
spoken to.
"""

from __future__ import annotations

import base64
import http.client
import secrets
import socket
import struct
from collections.abc import Mapping
from typing import Final

_CONTINUED, _TEXT, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x8, 0x9, 0xA
_LAST, _MASKED = 0x80, 0x80
_LONG: Final = {126: struct.Struct("!H"), 127: struct.Struct("!Q")}
_MOST = 1 << 28
"""Bytes of one message."""
_MOST_HEAD = 1 << 16


def upgrade(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> int:
    """Turn a connection that was just made into a WebSocket; the HTTP status, 101 if it is one now."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    wanted = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **wanted}.items())
    line = _socket(connection)
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: {connection.host}:{connection.port}\r\n{lines}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows is a message's
        answer += _read(line, 1)
        if len(answer) > _MOST_HEAD:
            raise http.client.LineTooLong("head")
    status = answer.split(maxsplit=2)[1:2]
    if not status or not status[0].isdigit():
        raise http.client.BadStatusLine(repr(answer[:80]))
    return int(status[0])


def exchange(connection: http.client.HTTPConnection, text: str) -> bytes:
    """The next message that comes back. ConnectionResetError if it ends before."""
    line = _socket(connection)
    _send(line, _TEXT, text.encode())
    whole = b""
    while True:
        kind, last, data = _frame(line)
        if kind == _PING:
            _send(line, _PONG, data)
        elif kind == _CLOSE:
            raise ConnectionResetError("the node closed the connection")
        elif kind in (_TEXT, _CONTINUED):
            whole += data
            if last:
                return whole


def _send(line: socket.socket, kind: int, data: bytes) -> None:
    size = len(data)
    if size < 126:
        head = bytes((_LAST | kind, _MASKED | size))
    else:
        long = 126 if size < 1 << 16 else 127
        head = bytes((_LAST | kind, _MASKED | long)) + _LONG[long].pack(size)
    mask = secrets.token_bytes(4)
    line.sendall(head + mask + _masked(data, mask))


def _masked(data: bytes, mask: bytes) -> bytes:
    stretched = mask * (len(data) // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(stretched[: len(data)], "big")).to_bytes(len(data), "big")


def _frame(line: socket.socket) -> tuple[int, bool, bytes]:
    """(kind, whether it is the message's last, data)"""
    first, size = _read(line, 2)
    if size in _LONG:
        unpack = _LONG[size]
        (size,) = unpack.unpack(_read(line, unpack.size))
    if size > _MOST:
        raise ConnectionResetError(f"a message of {size} bytes")
    return first & 0xF, bool(first & _LAST), _read(line, size)


def _read(line: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = line.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise ConnectionResetError("the node closed the connection")
        parts += part
    return bytes(parts)


def _socket(connection: http.client.HTTPConnection) -> socket.socket:
    if connection.sock is None:
        raise http.client.NotConnected
    found: socket.socket = connection.sock
    return found
