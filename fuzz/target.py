"""What a fuzzing target is: a reader, the errors that it may raise, and what must hold of what it read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from glasstumbler.errors import GlassTumblerError

NOW = 1_700_000_000
"""The time of every target: nothing here looks at a clock."""


class Target(NamedTuple):
    """`run` reads the bytes and asserts what must hold of the result; it may raise `errors` and nothing else."""

    run: Callable[[bytes], None]
    errors: tuple[type[GlassTumblerError], ...]
    longest: int = 4096
    """Bytes of an input."""


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def folder() -> Path:
    """A folder that goes with the process, or with the TMPDIR that whoever started it gave."""
    _KEPT.append(tempfile.TemporaryDirectory(prefix="glasstumbler-fuzz-"))
    return Path(_KEPT[-1].name)


def hold(target: Target, data: bytes) -> None:
    """Run one input; whatever comes out of here is a finding."""
    try:
        target.run(data)
    except target.errors as error:
        line = str(error)
        assert "\n" not in line and "Traceback" not in line, f"not one clear line: {line!r}"
        str(error).encode("utf-8", "surrogatepass")


def split(data: bytes) -> tuple[int, bytes]:
    """The first byte, which chooses among a target's readers, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")
