"""docs/client.md does what it says, and what a client of its reader's loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from glasstumbler import client
from tests.lab.test_tutorial import ROOT, follow

GUIDE = ROOT / "docs" / "client.md"
SHARED = ("clock", "dialects", "dialects.php", "engine", "engine.letter", "engine.order", "errors", "money")
LOADED = """
import sys, glasstumbler.client
print(*sorted(name for name in sys.modules if name.startswith("glasstumbler.") and ".client" not in name))
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"starlette", "uvicorn", "pytest", "numpy", "jinja2"}))
"""


@pytest.mark.timeout(600)
def test_every_step_of_the_guide(tmp_path: Path) -> None:
    follow(GUIDE, tmp_path)


def test_the_guide_names_every_client_and_error() -> None:
    guide = GUIDE.read_text()
    unnamed = {"Call", "Request", "ClientError", "Exact", "Share"}
    asynchronous = {name for name in client.__all__ if name.startswith("Async")}
    assert [name for name in client.__all__ if name not in unnamed | asynchronous and f"`{name}" not in guide] == []


def test_the_client_brings_nothing_of_the_server() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)
    ours, others = (line.split() for line in done.stdout.splitlines())
    assert set(ours) == {f"glasstumbler.{name}" for name in SHARED}
    assert others == []
