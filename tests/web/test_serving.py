"""Sockets of the servers."""

from __future__ import annotations

import socket

from glasstumbler.web.serving import bind


def test_sockets_are_made_with_the_protocols_number() -> None:
    """asyncio sets TCP_NODELAY only on such sockets; without it every reply on a kept-open connection but the first
    few took 40 ms: Nagle's algorithm against delayed acknowledgements."""
    with bind("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
