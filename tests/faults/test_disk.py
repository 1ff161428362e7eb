"""A disk that fills up under load: services say so in their own words, nothing acknowledged is lost, and the server
goes on when there is room again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.faults.disk import limit_files, on_small_disk
from tests.faults.driver import Driver
from tests.faults.hardship import endure, refusals, traces
from tests.faults.server import Server

pytestmark = pytest.mark.timeout(900)
MEGABYTES = 120
"""The consensus engine alone sets 17 aside."""
LIMIT = 512 * 1024
"""Bytes of a file: less than the record's log soon has, more than the consensus engine writes to one meanwhile, which
ends the process when a write fails."""
PATIENCE = 60
"""Seconds in which an order must be asked for, on a machine that does much else."""
LAYOUTS = {
    "everything": ("small/data", "small/data/record.db"),
    "the record only": ("data", "small/record.db"),
    "the chains only": ("small/data", "record.db"),
}
"""Folder and record's file; what is under `small` is on the disk that fills up."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_full_disk(tmp_path: Path, layout: str) -> None:
    small = tmp_path / "small"
    folder, record = (str(tmp_path / place) for place in LAYOUTS[layout])
    told = on_small_disk(small, MEGABYTES, "-m", "tests.faults.hardship", folder, record, str(small))
    if told is None:
        pytest.skip("no filesystem can be mounted here, not even in a user namespace")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == []


def test_files_that_must_not_grow(tmp_path: Path) -> None:
    """As everybody can try it: the system lets no file of the process grow any more (EFBIG)."""
    server = Server(tmp_path / "data").ready()

    def fault(server: Server, driver: Driver) -> None:
        limit_files(server.process.pid, LIMIT)
        end = time.monotonic() + PATIENCE
        while not driver.history.of("create", "unknown") and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2.5)
        limit_files(server.process.pid, None)

    driver, found = endure(server, fault, "no larger files")
    assert found + refusals(driver.history) + traces(server.errors) == []
    assert driver.history.of("create", "unknown"), "the limit was never felt"
