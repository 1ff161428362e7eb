"""Clients that speak HTTP badly, or stop speaking: the server goes on for the others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.web.server import Lab

HEAD = b"POST /api/createTransaction HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SERVICES = ("hub", "bestmixer", "btcmix", "coinjoin", "whir", "xmrto")
BROKEN = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "half a request line": b"POST /api/crea",
    "half the headers": HEAD,
    "half the body": HEAD + b"Content-Length: 1000\r\n\r\n{",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n{}",
    "a length without end": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "a bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{}",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "one header of a megabyte": HEAD + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "ten thousand headers": HEAD + b"".join(b"X-%d: y\r\n" % i for i in range(10_000)) + b"\r\n",
    "a path of a megabyte": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in a path": b"GET /api/\xff\xfe%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"BREW /api/status HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade": b"GET /api/status HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "HTTP/0.9": b"GET /api/status\r\n\r\n",
}


def connect(lab: Lab, name: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(lab.urls[name].rpartition(":")[2])), timeout=5)


@pytest.fixture(autouse=True)
def others_are_served(lab: Lab) -> Iterator[None]:
    yield
    with lab.client("btcmix") as client:
        assert client.get("/api/status").json()["status"] == "ok"
    assert lab.hub.get("/lab/v1/chains").status_code == 200
    assert lab.process.poll() is None


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", SERVICES)
def test_broken_request(name: str, raw: bytes, lab: Lab) -> None:
    with closing(connect(lab, name)) as broken:
        broken.settimeout(1)
        try:
            broken.sendall(raw)
            broken.shutdown(socket.SHUT_WR)
            answer = broken.recv(65536)
        except (ConnectionError, TimeoutError):
            return  # hung up on
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 5"), answer


def test_slow_clients_hold_nobody_up(lab: Lab) -> None:
    waiting = [connect(lab, "btcmix") for _ in range(200)]
    try:
        for each in waiting:
            each.sendall(HEAD + b"Content-Length: 10\r\n\r\n{")
        with lab.client("btcmix") as client:
            assert client.get("/api/status").elapsed.total_seconds() < 2
    finally:
        for each in waiting:
            each.close()


def test_endless_body_is_cut_off(lab: Lab) -> None:
    """A body that never ends gets its answer and is not kept in memory."""
    with closing(connect(lab, "btcmix")) as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        stop = threading.Event()

        def pour() -> None:
            try:
                while not stop.is_set():
                    client.sendall(chunk)
            except OSError:
                pass

        pouring = threading.Thread(target=pour)
        pouring.start()
        try:
            answer = b""
            while b"}" not in answer and (part := client.recv(65536)):
                answer += part
        finally:
            stop.set()
            client.close()
            pouring.join(5)
    assert answer.startswith(b"HTTP/1.1 400") and b"larger than" in answer


@pytest.mark.parametrize("body", [b"", b"{}", b'{"blocks": 1}'])
def test_half_a_request_does_nothing(body: bytes, lab: Lab) -> None:
    """Even if the half is good JSON of its own."""
    before = lab.hub.get("/lab/v1/chains").json()
    head = b"POST /lab/v1/chains/btc/mine HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with closing(connect(lab, "hub")) as half:
        half.sendall(head + (b"%x\r\n%s\r\n" % (len(body), body) if body else b""))
        time.sleep(0.2)
    time.sleep(0.2)
    assert lab.hub.get("/lab/v1/chains").json() == before
    assert "Traceback" not in lab.errors.read_text()


def test_half_an_order_is_none(lab: Lab) -> None:
    body = b'{"delay": 0, "payouts": {"%s": "0.01"}}' % lab.address().encode()
    head = HEAD + f"Authorization: Bearer {lab.keys['whir']}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with lab.client("whir") as client:
        before = client.get("/api/transactions").json()["totalTransactions"]
        for raw in (head + b"%x\r\n%s\r\n" % (len(body), body), head + b"zz\r\n" + body):
            with closing(connect(lab, "whir")) as half:
                half.sendall(raw)
                time.sleep(0.2)
        time.sleep(0.2)
        assert client.get("/api/transactions").json()["totalTransactions"] == before


def test_client_that_hangs_up_at_once_has_its_order(lab: Lab) -> None:
    """What was accepted is done, whether or not anyone reads the reply."""
    with lab.client("coinjoin") as client:
        before = client.get("/api/transactions").json()["totalTransactions"]
        body = b'{"delay": 0, "payouts": {"%s": "0.01"}}' % lab.address().encode()
        head = f"POST /api/createTransaction HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {lab.keys['coinjoin']}\r\n"
        for _ in range(20):
            with closing(connect(lab, "coinjoin")) as rude:
                rude.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        made = client.get("/api/transactions", params={"limit": 30}).json()
    assert before <= made["totalTransactions"] <= before + 20
    assert lab.hub.post("/lab/v1/chains/btc/mine", json={}).status_code == 200
