"""The log: what is below the level is not written, and a start that has nothing to say does not load its library."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler import log


@pytest.fixture(autouse=True)
def the_default() -> Iterator[None]:
    yield
    log.set_level("warning")


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("below")
    log.warning("something", coin="btc")
    log.set_level("ERROR")
    log.set_level("no such level")
    log.warning("below now")
    log.error("worse")
    log.set_level("info")
    log.info("told")
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 3
    assert "warning" in lines[0] and "something" in lines[0] and "coin=btc" in lines[0]
    assert "worse" in lines[1] and "told" in lines[2]


def test_a_trace_shows_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = "a key"
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("unexpected", path="/x")
    _, err = capsys.readouterr()
    assert "unexpected" in err and "path=/x" in err and "ValueError: broken" in err and hidden not in err


LATE = ("structlog", "rich", "segno", "cffi", "pycparser", "pyarrow", "jinja2", "matplotlib", "eth_account", "httpx")


def test_a_server_starts_without_what_it_may_never_need() -> None:
    code = f"""
import sys
import glasstumbler.cli, glasstumbler.house, glasstumbler.web.serving
print([name for name in {LATE} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    code = "from glasstumbler import log; log.warning('x' * 9999); log.error('y'); print('went on')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, timeout=60)
    assert done.stdout == "went on\n"
