"""Methods get the observer's part only: their code can reach nothing that knows the answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_rooms import MODULES, imported

METHODS = {name: path for name, path in MODULES.items() if name.startswith("lab.methods")}
MAY = ("glasstumbler.errors", "glasstumbler.lab.public", "glasstumbler.lab.methods")
"""Modules of the house that a method may import. Public itself opens the observer's folder only."""
READERS = {"duckdb", "glob", "io", "os", "pathlib", "polars", "pyarrow.dataset", "pyarrow.parquet", "shutil", "sqlite3"}
"""What opens files: a method is handed arrays."""
OUTSIDE = {"http", "httpx", "importlib", "multiprocessing", "socket", "subprocess", "sys", "urllib"}


def forbidden(path: Path) -> list[str]:
    return [name for name in imported(path) if not allowed(name)]


def allowed(name: str) -> bool:
    if name.partition(".")[0] == "glasstumbler":
        return any(f"{name}.".startswith(f"{known}.") for known in MAY)
    return not any(f"{name}.".startswith(f"{known}.") for known in READERS | OUTSIDE)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_imports_nothing_that_knows_the_answers(name: str) -> None:
    assert not forbidden(METHODS[name])


@pytest.mark.parametrize(
    "line",
    [
        "from glasstumbler.lab import truth",
        "from glasstumbler.lab.custody import Custody",
        "import glasstumbler.store",
        "from glasstumbler.lab.schemas import ANSWERS",
        "def f():\n    import pyarrow.parquet as pq",
        "from pathlib import Path",
    ],
)
def test_a_look_at_the_answers_would_be_found(line: str, tmp_path: Path) -> None:
    path = tmp_path / "method.py"
    path.write_text(line)
    assert forbidden(path)


def test_methods_open_nothing_by_hand() -> None:
    for name, path in METHODS.items():
        assert "open(" not in path.read_text(), f"{name} opens something"
