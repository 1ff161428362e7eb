"""Servers that are none of the laboratory's, over real sockets: one clear exception by either face."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from glasstumbler.client import BadReply, Refused, Unreachable
from glasstumbler.client.faces import REPLY_MOST
from tests.client.faces import Face

PAGE = b"<!doctype html><title>502 Bad Gateway</title>"


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{headers}\r\n".encode() + body


@contextmanager
def server(answer: bytes | Iterator[bytes]) -> Iterator[str]:
    """Gives its one answer to the one who comes, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                try:
                    for part in [answer] if isinstance(answer, bytes) else answer:
                        connection.sendall(part)
                except OSError:
                    pass  # the client has had enough

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def without_end() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    for _ in range(100 * REPLY_MOST // 65536):
        yield b"10000\r\n" + bytes(65536) + b"\r\n"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(PAGE), "answered 200 with no reply of this service: JSON is malformed"),
        (http(PAGE, "502 Bad Gateway", "content-type: text/html\r\n"), "answered 502"),
        (http(b"", "301 Moved", "location: http://127.0.0.1:9/\r\n"), "answered 301"),
        (http(b"", "204 No Content"), "answered 204"),
        (http(gzip.compress(json.dumps([]).encode()), headers="content-encoding: gzip\r\n"), "answered 200"),
        (http(b'[{"coin": 1}]'), r"Expected `str`, got `int` - at `\$\[0\].coin`"),
    ],
)
def test_no_reply_of_the_laboratory(answer: bytes, why: str, face: Face) -> None:
    with server(answer) as url, pytest.raises(BadReply, match=why) as caught:
        face.Lab(url).chains()
    assert str(caught.value).startswith("GET /lab/v1/chains ") and "\n" not in str(caught.value)


def test_a_reply_without_end(face: Face) -> None:
    with server(without_end()) as url, pytest.raises(BadReply, match=f"larger than {REPLY_MOST} bytes"):
        face.Lab(url).chains()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + bytes(200_000),
    ],
    ids=["nothing", "another protocol", "half of it", "a broken chunk", "a broken head"],
)
def test_no_http(answer: bytes, face: Face) -> None:
    with server(answer) as url, pytest.raises(Unreachable, match="GET /lab/v1/chains: "):
        face.Lab(url).chains()


def test_silence(face: Face) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(Unreachable):
            face.Lab(url, timeout=0.2).chains()


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2Jcleared", "\u2028", "long " * 100_000])
def test_a_service_that_says_odd_things_is_told_in_one_clear_line(text: str, face: Face) -> None:
    """As it stands the text is in `message`."""
    body = json.dumps({"error": "Overloaded", "message": text}).encode()
    with server(http(body, "503 No")) as url, pytest.raises(Refused) as caught:
        face.Lab(url).chains()
    assert caught.value.message == text
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


@pytest.mark.parametrize("wait", ["soon", "-1", "1e9", "9" * 100, "٣", ""])
def test_a_time_to_wait_that_is_none(wait: str, face: Face) -> None:
    body = b'{"error": "Overloaded", "message": "later", "field": null}'
    with server(http(body, "503 No", f"retry-after: {wait}\r\n")) as url, pytest.raises(Refused) as caught:
        face.Lab(url).chains()
    assert caught.value.retry_after is None
