"""What commands show on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from glasstumbler import log


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """One line on the terminal that is written over and over; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(stage: str, done: int, total: int) -> None:
        print(f"\r\x1b[K{stage}: {done:,} of {total:,}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def say(line: str) -> None:
    print(log.printable(line), flush=True)
