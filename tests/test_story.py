"""The record told as lines: every step of an order's life once, with its public name; nothing secret."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler import log
from glasstumbler.errors import SettingsError
from glasstumbler.story import Story
from tests.laboratory import Laboratory


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    log.configure({"GLASSTUMBLER_LOG": "info", "GLASSTUMBLER_LOG_FORMAT": "json"})
    yield
    log.reset()


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    assert log._lines is not None
    log._lines.finish()
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    made = Laboratory("btc")
    yield made
    made.close()


def test_an_order_is_told_from_the_first_to_the_last(
    lab: Laboratory, told: None, capfd: pytest.CaptureFixture[str]
) -> None:
    story = Story(lab.house.store)
    order = lab.bearer("btcmix", [1_000_000, 2_000_000])
    lab.pay(order)
    story.tell()
    lab.mine("btc")
    story.tell()
    lab.mine("btc")
    lab.reorg("btc", 1)
    lab.mine("btc", 2)
    story.tell()
    found = lines(capfd)
    mine = [line["event"] for line in found if line.get("order") == order.id]
    assert mine[:5] == ["opened", "deposit seen", "credited", "claimed", "broadcast"]
    assert mine[-2:] == ["settled", "completed"]
    assert "payment reorganised" in mine
    assert {(line["service"], line["coin"]) for line in found if "order" in line} == {("btcmix", "btc")}
    story.tell()
    assert lines(capfd) == [], "nothing is told twice"


def test_what_an_order_dies_of_is_told(lab: Laboratory, told: None, capfd: pytest.CaptureFixture[str]) -> None:
    story = Story(lab.house.store)
    order = lab.bearer("whir", [1_000_000])
    lab.house.advance(10 * 24 * 3600)
    story.tell()
    assert [line["event"] for line in lines(capfd) if line.get("order") == order.id] == ["opened", "expired"]


def test_no_secret_is_told(lab: Laboratory, told: None, capfd: pytest.CaptureFixture[str]) -> None:
    story = Story(lab.house.store)
    order = lab.bearer("btcmix", [1_000_000])
    lab.pay(order)
    lab.mine("btc", 2)
    story.tell()
    assert log._lines is not None
    log._lines.finish()
    said = capfd.readouterr().err
    vault = lab.house.vault
    for secret in (vault.lab_token, vault.first_key("btcmix"), (b"x" * 32).hex(), order.address):
        assert secret not in said


@pytest.mark.parametrize("name", ["GLASSTUMBLER_LOG", "GLASSTUMBLER_LOG_FORMAT"])
def test_a_level_or_a_format_that_is_none(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is .*, not 'loud'"):
        log.configure({name: "loud"})


def test_lines_that_nobody_reads_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log, "_MOST_WAITING", 5)
    out, into = os.pipe()
    try:
        lines = log.Lines(into)
        for number in range(200):
            lines.write(f"{number} {'x' * 10_000}\n")  # a pipe takes 64 KiB
        got = b""
        while b"dropped" not in got:
            got += os.read(out, 65536)
            lines.write("more\n")
        assert got.startswith(b"0 xxx") and b"lines of the log were dropped" in got
    finally:
        os.close(into)
        os.close(out)
