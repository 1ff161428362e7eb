"""Clients that send slowly, do not read, or are many: they are dropped in time, and the others are served."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.laboratory import Laboratory
from tests.web.edge import GET, HEAD, Edge, edge, rest
from tests.web.server import wait_for

SLOW = {
    "nothing at all": b"",
    "half a request line": b"POST /api/crea",
    "half the headers": HEAD,
    "a body that does not come": HEAD + b"Content-Length: 10\r\n\r\n{",
    "a chunk that does not come": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{",
    "half of a second request": GET + b"GET /api/st",
}


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Laboratory]:
    made = Laboratory("btc", "xmr")
    yield made
    made.close()


@pytest.fixture(scope="module")
def lab(laboratory: Laboratory) -> Iterator[Edge]:
    """Whoever is slow has a second."""
    with edge(laboratory, head_seconds=1, body_seconds=1, keep_alive_seconds=1, unread_seconds=1) as running:
        yield running


@pytest.mark.parametrize("raw", SLOW.values(), ids=SLOW)
def test_slow_clients_are_dropped_and_hold_nobody_up(raw: bytes, lab: Edge) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(lab.connect()) for _ in range(100)]
        for client in slow:
            client.sendall(raw)
        lab.serves_others()
        said = {rest(client).split(b"\r\n")[0] for client in slow}
    assert said == (
        {b""} if not raw else {b"HTTP/1.1 200 OK"} if raw.startswith(GET) else {b"HTTP/1.1 408 Request Timeout"}
    )
    wait_for("room", lambda: lab.count("connections") == 0)


@pytest.mark.parametrize(
    ("begun", "drop"),
    [(HEAD, b"X: y\r\n"), (b"", b"\r\n"), (GET, b"\r\n"), (HEAD + b"Content-Length: 60000\r\n\r\n", b"x")],
    ids=["headers", "empty lines", "empty lines after an answer", "body"],
)
def test_a_trickle_does_not_win_time(begun: bytes, drop: bytes, lab: Edge) -> None:
    """What counts is when a request began, not when its last byte came."""
    with lab.connect(seconds=0.1) as client:
        client.sendall(begun)
        end = time.monotonic() + 20
        while True:
            assert time.monotonic() < end, "still open"
            try:
                client.sendall(drop)
                if client.recv(65536) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    lab.serves_others()


def test_a_kept_connection_that_is_not_used_is_closed(lab: Edge) -> None:
    with lab.connect() as client:
        client.sendall(GET)
        assert rest(client).startswith(b"HTTP/1.1 200")


def answered_or_full(lab: Edge, requests: int) -> bool:
    done = lab.serving._servers["hub"].server_state.total_requests
    return done == requests or any(each.unsent() for each in lab.serving._connections._all)


def test_answers_that_nobody_reads_are_thrown_away(lab: Edge) -> None:
    """The client goes on asking and never reads: its window, then the server's buffer, fill."""
    before = lab.count("connections_dropped_total", why="unread")
    held = lab.serving._connections
    ask = b"GET /openapi/xmrto.yaml HTTP/1.1\r\nHost: x\r\n\r\n" * 20
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(lab.address("hub"))
        hub, sent = lab.serving._servers["hub"].server_state, 0
        done = hub.total_requests
        while not any(each.unsent() for each in held._all):
            client.sendall(ask)
            sent += 20
            wait_for("answers", partial(answered_or_full, lab, done + sent))
        lab.serves_others()
        wait_for("the end", lambda: lab.count("connections_dropped_total", why="unread") > before)
    wait_for("room", lambda: lab.count("connections") == 0)


def test_requests_ahead_of_their_answers_are_answered_in_turn(lab: Edge) -> None:
    with lab.connect() as client:
        client.sendall(GET * 60)
        assert rest(client).count(b"HTTP/1.1 200 OK") == 60


def test_a_flood_of_requests_ahead_of_their_answers_is_cut_off(lab: Edge) -> None:
    with lab.connect() as client:
        client.sendall(GET * 1_000)  # fits into one read
        assert rest(client).count(b"HTTP/1.1 200 OK") < 1_000
    lab.serves_others()


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        HEAD + b"X: " + b"x" * 200_000,
        HEAD + b"".join(b"X-%d: y\r\n" % i for i in range(20_000)) + b"\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["one header", "one that does not end", "many headers", "a path"],
)
def test_a_head_that_is_too_large_is_told_so(raw: bytes, lab: Edge) -> None:
    with lab.connect() as client:
        client.sendall(raw)
        assert rest(client).startswith(b"HTTP/1.1 431 ")
    lab.serves_others()


def test_in_a_crowd_who_was_waited_for_longest_makes_room(laboratory: Laboratory) -> None:
    with edge(laboratory, connections=20) as lab, ExitStack() as stack:
        crowd = [stack.enter_context(lab.connect(name)) for name in ("btcmix", "hub", "xmrto") for _ in range(30)]
        lab.serves_others()
        assert rest(crowd[0]) == b""
        assert lab.count("connections") <= 20
        newest = crowd[-1]
        newest.sendall(GET.replace(b"/api/status", b"/api/v2/xmr2btc/order_parameter_query/"))
        assert newest.recv(65536).startswith(b"HTTP/1.1 200")


def test_one_peer_cannot_take_all_the_room(laboratory: Laboratory) -> None:
    with edge(laboratory, connections=50, connections_per_peer=5) as lab, ExitStack() as stack:
        mine = [stack.enter_context(lab.connect(source="127.0.0.2")) for _ in range(5)]
        over = [stack.enter_context(lab.connect(source="127.0.0.2")) for _ in range(20)]
        assert [rest(each) for each in over] == [b""] * 20
        for each in mine:
            each.sendall(GET)
            assert each.recv(65536).startswith(b"HTTP/1.1 200")
        other = stack.enter_context(lab.connect(source="127.0.0.3"))
        other.sendall(GET)
        assert other.recv(65536).startswith(b"HTTP/1.1 200")
        mine.pop().close()
        wait_for("room", lambda: lab.count("connections") <= 5)
        again = stack.enter_context(lab.connect(source="127.0.0.2"))
        again.sendall(GET)
        assert again.recv(65536).startswith(b"HTTP/1.1 200")
