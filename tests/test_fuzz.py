"""Fuzzing: the corpus of every target again, and a short search with atheris where it is installed (x86-64 Linux)."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from fuzz.target import NOW, Target, hold
from fuzz.targets import TARGETS

from glasstumbler.errors import BadInvoice, Malformed

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "fuzz" / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs, "a target without a corpus"
    for path in inputs:
        hold(TARGETS[name], path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_something_in_each_corpus_is_read(name: str) -> None:
    """A target that refuses everything would look at nothing."""
    target = TARGETS[name]
    assert any(_is_read(target, path.read_bytes()) for path in (CORPUS / name).iterdir())


def _is_read(target: Target, data: bytes) -> bool:
    try:
        target.run(data)
    except target.errors:
        return False
    return True


def test_every_corpus_belongs_to_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


def test_what_a_target_must_not_do_is_found() -> None:
    def fail(error: Exception) -> Target:
        def run(data: bytes) -> None:
            raise error

        return Target(run, (Malformed,))

    hold(fail(Malformed("said")), b"")
    for error in (ValueError(NOW), BadInvoice("another's"), Malformed("two\nlines"), RecursionError()):
        with pytest.raises(Exception):  # noqa: B017
            hold(fail(error), b"")


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this machine or Python")
def test_short_search(tmp_path: Path) -> None:
    """Fifteen seconds over all targets; `make fuzz` looks longer."""
    seeds, found = tmp_path / "seeds", tmp_path / "found"
    seeds.mkdir()
    found.mkdir()
    for number, name in enumerate(TARGETS):
        for path in (CORPUS / name).iterdir():
            (seeds / f"{name}-{path.name}").write_bytes(bytes([number]) + path.read_bytes())
    options = ["-max_total_time=15", "-timeout=10", "-rss_limit_mb=1024", f"-artifact_prefix={found}/"]
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.harness", "all", *options, str(seeds)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        timeout=240,
    )
    said = (done.stderr + done.stdout).decode(errors="replace")
    assert done.returncode == 0, said[-4000:]
    assert not list(found.iterdir())
    assert "cov: " in said, "nothing was measured"
