"""A server that stands still for some seconds (SIGSTOP) under load: clients give up or are answered late."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.faults.driver import Driver
from tests.faults.hardship import endure
from tests.faults.server import Server

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize(("patience", "impatient"), [(1.0, True), (30.0, False)], ids=["they give up", "they wait"])
def test_a_server_that_stands_still(tmp_path: Path, patience: float, impatient: bool) -> None:
    server = Server(tmp_path / "data").ready()

    def fault(server: Server, driver: Driver) -> None:
        server.send(signal.SIGSTOP)
        time.sleep(3)
        server.send(signal.SIGCONT)
        time.sleep(1)

    driver, found = endure(server, fault, f"pause {patience}", patience)
    assert found == []
    assert server.errors.read_text() == ""
    if impatient:
        assert driver.history.counts()["unknown"] > 0
    else:
        assert driver.history.counts()["unknown"] == 0
