"""The guides do what they say: read from beginning to end, with what they show of the output."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.runner import Reader, blocks
from tests.web.server import NO_LIMITS, Lab, laboratory

SKIPPED = ("make setup", "glasstumbler demo\n", "glasstumbler serve")
"""Setting up has been done; tests/lab/test_demo.py runs the demonstration; the laboratory runs already."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "lab", extra=NO_LIMITS) as running:
        yield running


def read(name: str, folder: Path, lab: Lab | None = None) -> None:
    reader = Reader(folder, lab)
    for block in blocks(name):
        if not block.text.startswith(SKIPPED):
            reader.read(block)


@pytest.mark.timeout(600)
def test_ten_minutes(lab: Lab, tmp_path: Path) -> None:
    read("start", tmp_path, lab)
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["state"] == "completed"


@pytest.mark.timeout(600)
def test_the_exercises(lab: Lab, tmp_path: Path) -> None:
    read("teachers", tmp_path, lab)
    (order,) = [json.loads((tmp_path / "key.json").read_text())]
    (hop,) = order["payouts"][0]["custody"]["hops"]
    assert [coin["amount"] for coin in hop["inputs"]] == ["5"]
    with sqlite3.connect(f"file:{lab.folder / 'record.db'}?mode=ro", uri=True) as record:
        entries = [json.loads(body) for (body,) in record.execute("SELECT body FROM entry WHERE service = 'coinjoin'")]
    paid = [{name: units for name, _, units in entry["postings"]} for entry in entries if entry["kind"] == "payout"]
    assert {posting["expense:miner"] for posting in paid} == {1_136}
    assert 500_000_000 - 30_000_000 - 1_136 == 469_998_864
    (sweep,) = [entry for entry in entries if entry["kind"] == "sweep"]
    assert sum(entry["kind"] == "payout" for entry in entries) == 4
    assert 10_205_000 + 20_405_000 + 30_605_000 + 40_805_000 == 102_020_000
    assert sweep["detail"]["txid"]


@pytest.mark.timeout(600)
def test_the_researchers_run(tmp_path: Path) -> None:
    read("researchers", tmp_path)
    assert (tmp_path / "report.html").exists()
