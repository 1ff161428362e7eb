"""Runs the commands of a page of the documentation as a reader would: in order, in one empty folder, in bash.

Blocks of sh are run. What stands in a block of text must be among the lines that the block before it printed. Blocks of
python or toml whose first line is `# NAME` are that file; other python is run. `glasstumbler serve` starts, says that
it is ready and is stopped. Where a laboratory is given, the page's ports are its ports.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tests.web.server import Lab

ROOT = Path(__file__).parents[2]
PORTS = ("hub", "bestmixer", "btcmix", "coinjoin", "whir", "xmrto")
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_FRAME = re.compile(r"[\s│┃]+")
_REFUSAL = re.compile(r'"error": ?"')
_SECONDS = 300
_SHIMS = {
    "glasstumbler": '#!/bin/sh\nexec "{python}" -m tests.docs.shim "$@"\n',
    "curl": '#!/bin/sh\nexec "{curl}" --fail-with-body "$@"\n',
    "python": '#!/bin/sh\nexec "{python}" "$@"\n',
}


class Block(NamedTuple):
    kind: str
    text: str


def script(name: str) -> ModuleType:
    """scripts/NAME.py, as a module."""
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> Path:
    return (ROOT if name == "README" else ROOT / "docs") / f"{name}.md"


def blocks(name: str) -> list[Block]:
    text = page(name).read_text(encoding="utf-8")
    return [
        Block(kind, re.sub(f"^{indent}", "", inside, flags=re.MULTILINE))
        for indent, kind, inside in _BLOCK.findall(text)
    ]


class Reader:
    """One folder, one shell's variables."""

    def __init__(self, folder: Path, lab: Lab | None = None, given: Mapping[str, str] | None = None) -> None:
        self.folder, self.lab = folder, lab
        self.said = ""
        self._shims = folder / ".shims"
        self._shims.mkdir()
        for name, script in _SHIMS.items():
            file = self._shims / name
            file.write_text(script.format(python=sys.executable, curl=shutil.which("curl")))
            file.chmod(0o755)
        self._kept = self._shims / "variables"
        self._kept.write_text("".join(f"export {name}='{value}'\n" for name, value in (given or {}).items()))

    def read(self, block: Block) -> None:
        if block.kind == "python" and block.text.startswith("# "):
            (self.folder / block.text.split()[1]).write_text(self.here(block.text), encoding="utf-8")
        elif block.kind == "toml" and block.text.startswith("# "):
            (self.folder / block.text.split()[1]).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            self.said = self._run([sys.executable, "-c", self.here(block.text)])
        elif block.kind == "sh":
            self.said = self._run(["bash", "-euc", self._script(self.here(block.text))])
        elif block.kind == "text":
            there = {plain(line) for line in self.said.splitlines()}
            assert [line for line in map(plain, block.text.splitlines()) if line not in there] == [], self.said

    def here(self, text: str) -> str:
        """With the addresses of the laboratory that runs, and without the folder of a checkout's programs."""
        for at, name in enumerate(PORTS if self.lab else ()):
            assert self.lab is not None
            text = text.replace(f"http://127.0.0.1:{8700 + at}", self.lab.urls[name].rstrip("/"))
        return text.replace(".venv/bin/", "")

    def _script(self, text: str) -> str:
        """A reader's shell keeps its variables and functions from one block to the next."""
        keep = f"{{ export -p | grep -E '^declare -x [A-Z_]+='; declare -f; }} > '{self._kept}'"
        return f"set -a\n. '{self._kept}'\n{text}\n{keep}"

    def _run(self, command: list[str]) -> str:
        path = os.pathsep.join([str(self._shims), os.environ["PATH"]])
        modules = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        mine = {name: value for name, value in os.environ.items() if not name.startswith("GLASSTUMBLER")}
        home = {"HOME": str(self.folder), "PATH": path, "PYTHONPATH": modules, "COLUMNS": "100"}
        done = subprocess.run(
            command, cwd=self.folder, env=mine | home, capture_output=True, text=True, timeout=_SECONDS
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        assert not _REFUSAL.search(done.stdout), done.stdout
        return done.stdout


def plain(line: str) -> str:
    """Without a table's frame: its width follows the terminal."""
    return _FRAME.sub(" ", line).strip()
