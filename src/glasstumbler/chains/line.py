"""A line between two processes of one laboratory: framed messages over a loopback socket, both ends proven first.

Each end shows that it knows the laboratory's key by HMAC-SHA256 over the other's nonce, so that neither a stranger on
the port nor a port that a stranger has taken over learns or moves anything.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct

from glasstumbler.errors import ChainError

_SIZE = struct.Struct(">I")
_MOST = 1 << 28
"""Bytes of a message: a block of many thousand transactions fits."""
_NONCE = 32


class Line:
    """One end. Every call may raise OSError, EOFError among them where the other end has gone."""

    def __init__(self, end: socket.socket, key: bytes, asking: bool) -> None:
        """ChainError if the other end has another key."""
        self._end = end
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        mine = os.urandom(_NONCE)
        self.send(mine)
        theirs = self.receive(_NONCE)
        here, there = (b"ask", b"answer") if asking else (b"answer", b"ask")
        self.send(hmac.digest(key, here + theirs, "sha256"))
        if not hmac.compare_digest(self.receive(_NONCE), hmac.digest(key, there + mine, "sha256")):
            raise ChainError("the process at the other end belongs to another laboratory")

    def send(self, message: bytes) -> None:
        self._end.sendall(_SIZE.pack(len(message)) + message)

    def receive(self, most: int = _MOST) -> bytes:
        (size,) = _SIZE.unpack(self._exactly(_SIZE.size))
        if size > most:
            raise ChainError(f"a message of {size} bytes; {most} at most")
        return self._exactly(size)

    def close(self) -> None:
        self._end.close()

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._end.recv(size - len(parts))
            if not part:
                raise ConnectionResetError("the other end has gone")
            parts += part
        return bytes(parts)
