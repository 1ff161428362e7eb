"""Stopping a real server under load: what was acknowledged is there, what hangs is cut off, the second signal is the
last; and a log that nobody reads holds nothing up."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.web.edge import GET, HEAD, rest
from tests.web.server import COMMAND, NO_LIMITS, ONE_CHAIN, Lab, environment, laboratory, wait_for

EXTRA = ONE_CHAIN | NO_LIMITS


def connect(lab: Lab, name: str = "btcmix") -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(lab.urls[name].rpartition(":")[2])), timeout=20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_what_was_acknowledged_under_load_is_there_after_a_stop(number: signal.Signals, tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with laboratory(tmp_path / "data", extra=EXTRA) as lab:
        payout, headers = lab.address(), {"authorization": f"Bearer {lab.keys['btcmix']}"}

        def customer() -> None:
            with httpx.Client(base_url=lab.urls["btcmix"], headers=headers, timeout=60) as client:
                while True:
                    try:
                        body = {"delay": 0, "payouts": {payout: "0.01"}}
                        reply = client.post("/api/createTransaction", json=body)
                    except httpx.TransportError:
                        return  # the server has gone
                    assert reply.status_code == 200, reply.text
                    acknowledged.append(reply.json()["id"])

        customers = [threading.Thread(target=customer) for _ in range(8)]
        for each in customers:
            each.start()
        wait_for("some orders", lambda: len(acknowledged) > 50)
        assert lab.stop(number) == 0
        for each in customers:
            each.join(20)
        with pytest.raises(OSError):
            connect(lab)
    assert lab.errors.read_text() == ""
    with laboratory(tmp_path / "data", extra=EXTRA) as lab, lab.client("btcmix") as client:
        page = client.get("/api/transactions", params={"limit": 1000}).json()
    kept = {each["id"] for each in page["transactions"]}
    assert set(acknowledged) <= kept
    assert page["totalTransactions"] <= len(acknowledged) + len(customers), "an order that nobody was told of"


def test_clients_that_hang_do_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with laboratory(tmp_path / "data", extra=EXTRA) as lab:
        hanging = [connect(lab) for _ in range(60)]
        for client, raw in zip(hanging, (b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{", GET) * 15, strict=True):
            client.sendall(raw)
        time.sleep(0.2)
        assert lab.stop(signal.SIGTERM) == 0
        for client in hanging:
            assert rest(client)[:15] in (b"", b"HTTP/1.1 200 OK")
            client.close()
    assert lab.errors.read_text() == ""


@contextmanager
def waiting_order(lab: Lab) -> Iterator[None]:
    """An order that the record does not take: another process has its lock."""
    other = sqlite3.connect(lab.folder / "record.db", isolation_level=None)
    address = lab.address()
    other.execute("BEGIN IMMEDIATE")
    body = json.dumps({"delay": 0, "payouts": {address: "0.01"}}).encode()
    key = f"Authorization: Bearer {lab.keys['btcmix']}\r\nContent-Length: {len(body)}\r\n\r\n"
    with closing(other), closing(connect(lab)) as client:
        client.sendall(HEAD + key.encode() + body)
        time.sleep(0.5)
        yield


def test_the_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with laboratory(tmp_path / "data", extra=EXTRA) as lab, waiting_order(lab):
        lab.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert lab.process.poll() is None, "what was read is waited for"
        lab.process.send_signal(signal.SIGINT)
        assert lab.process.wait(20) == 130
    assert "ended at once (asked twice)" in lab.errors.read_text()


def test_what_does_not_end_is_left_after_a_time(tmp_path: Path) -> None:
    extra = EXTRA | {"GLASSTUMBLER__LAB__LIMITS__STOP_SECONDS": "1"}
    with laboratory(tmp_path / "data", extra=extra) as lab, waiting_order(lab):
        lab.process.send_signal(signal.SIGTERM)
        assert lab.process.wait(60) == 1
    assert "did not come to rest within 6 s" in lab.errors.read_text()


def test_a_chain_is_not_closed_under_a_call_of_the_lab(tmp_path: Path) -> None:
    """The engine was closed while it judged a block, which crashed the process; now the call ends after the block."""
    extra = EXTRA | {"GLASSTUMBLER__LAB__LIMITS__STOP_SECONDS": "1"}
    with laboratory(tmp_path / "data", extra=extra) as lab, closing(connect(lab, "hub")) as busy:
        body = b'{"blocks": 1000}'
        head = b"POST /lab/v1/chains/btc/mine HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        busy.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.2)
        assert lab.stop(signal.SIGTERM) == 0


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    """Standard error is a pipe that is full: with lines written by the event loop, no request was answered and no
    signal heard until somebody read it."""
    arguments = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--port", "0", "--block-interval", "0"]
    extra = environment(EXTRA | {"GLASSTUMBLER_LOG": "info"})
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=extra, pipesize=4096
    ) as process:
        try:
            assert process.stdout is not None
            words = [process.stdout.readline().decode().split() for _ in range(8)]
            url = next(line[1] for line in words if line[0] == "btcmix")
            hub = next(line[1] for line in words if line[0] == "hub")
            key = next(line[3] for line in words if line[0] == "btcmix")
            payout = httpx.post(f"{hub}/lab/v1/chains/btc/address", timeout=20).json()["address"]
            with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=20) as client:
                for _ in range(80):  # each a line of more than a hundred bytes: twice what the pipe takes
                    body = {"delay": 0, "payouts": {payout: "0.01"}}
                    assert client.post("/api/createTransaction", json=body).status_code == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
