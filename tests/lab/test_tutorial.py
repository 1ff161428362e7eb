"""docs/tutorial.md does what it says: its files are written, its commands run in order, and what it shows of their
output is there, figures and all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FRAME = re.compile(r"[\s│┃]+")


class Step(NamedTuple):
    kind: str
    """sh: run; text: the last output has these lines; python: a file, named in its first line."""
    text: str


def steps(page: Path) -> list[Step]:
    return [Step(*found) for found in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = {"HOME": str(folder), "PATH": path, "COLUMNS": "100"}
    done = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=os.environ | home, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plain(line: str) -> str:
    """Without a table's frame: its width follows the terminal."""
    return _FRAME.sub(" ", line).strip()


def follow(page: Path, folder: Path) -> None:
    """Do all that the page says."""
    said = ""
    for step in steps(page):
        if step.kind == "python":
            name = step.text.split()[1]
            (folder / name).write_text(step.text, encoding="utf-8")
        elif step.kind == "sh":
            said = run(step.text, folder)
        else:
            there = [plain(line) for line in said.splitlines()]
            assert [line for line in map(plain, step.text.splitlines()) if line not in there] == [], said


@pytest.mark.timeout(900)
def test_every_step_of_the_tutorial(tmp_path: Path) -> None:
    follow(TUTORIAL, tmp_path)


def test_it_has_steps_of_every_kind() -> None:
    assert {step.kind for step in steps(TUTORIAL)} == {"sh", "python", "text"}
