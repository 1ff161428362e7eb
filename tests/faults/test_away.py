"""A PostgreSQL that goes away under a running server, and comes back."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from tests.faults.many import Worker
from tests.faults.server import Server
from tests.faults.wire import Wire
from tests.postgres import server as postgres
from tests.web.server import run


def test_requests_are_told_at_once_and_all_goes_on_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with postgres() as running:
        store = running.database()
        server = Server(folder, "--store", store).ready()
        worker = Worker(folder, store).ready()
        wire = Wire([server.urls["hub"]])
        key = {"authorization": f"Bearer {server.keys['btcmix']}"}
        address = wire.post("/lab/v1/chains/btc/address", {})["address"]
        order = {"delay": "0", "payouts": {address: "0.01"}}
        try:
            made = wire.raw("POST", "/btcmix/api/createTransaction", order, key)
            assert made[0] == 200, made
            running.crash()
            began = time.monotonic()
            status, said = wire.raw("POST", "/btcmix/api/createTransaction", order, key)
            assert status == 503
            assert json.loads(said) == {"code": 503, "description": "Service temporarily unavailable."}
            assert time.monotonic() - began < 10
            assert (server.process.poll(), worker.process.poll()) == (None, None)
            running.start()
            until = time.monotonic() + 30
            while wire.raw("POST", "/btcmix/api/createTransaction", order, key)[0] != 200:
                assert time.monotonic() < until
                time.sleep(0.2)
            found = wire.send("GET", "/btcmix/api/transactions", None, key)
            assert found["totalTransactions"] >= 2
            assert json.loads(made[1])["id"] in [each["id"] for each in found["transactions"]]
        finally:
            codes = [worker.end(signal.SIGTERM), server.end(signal.SIGTERM)]
        assert codes == [0, 0], server.errors.read_text()
        code, out, err = run("audit", "--data", folder, "--store", store)
        assert code == 0, out + err
