"""docs/integrators.md does what it says: its file is written, its commands run in order, the receiver hears."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.web.server import NO_LIMITS, laboratory

GUIDE = Path(__file__).parents[2] / "docs" / "integrators.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.timeout(300)
def test_every_command_of_the_guide(tmp_path: Path) -> None:
    blocks = _BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    assert {kind for kind, _ in blocks} == {"sh", "python"}
    (tmp_path / "receive.py").write_text(next(text for kind, text in blocks if kind == "python"))
    with laboratory(tmp_path / "lab-data", extra=NO_LIMITS) as lab:
        script = "\n".join(text for kind, text in blocks if kind == "sh")
        script = script.replace("http://127.0.0.1:8700", lab.urls["hub"]).replace("9000", str(free_port()))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", script], cwd=tmp_path, env=os.environ | {"PATH": path},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "heard.txt").read_text().split() == ["test", "block.mined"]
    assert '"code":503' in done.stdout
    assert '"error"' not in done.stdout
