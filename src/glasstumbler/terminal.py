"""What commands show on the terminal: lines, tables, one JSON document, or JSON lines.

Addresses, names and codes in the record come from clients. None of them reaches the terminal but through `printable`,
or as an escape inside JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from glasstumbler import log

if TYPE_CHECKING:  # loaded with the first table
    from rich.console import Console
    from rich.text import Text

_WIDE = 200
"""Columns where nobody looks: a line that goes to a file or to another program is not broken."""


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


def say_aside(line: str) -> None:
    """For a person, where standard output is for a program."""
    print(log.printable(line), file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """On one line, and in ASCII: what is not printable stands there as an escape that JSON knows."""
    text = json.dumps(msgspec.to_builtins(value, enc_hook=str), ensure_ascii=True)
    print(text.replace("\x7f", "\\u007f"), flush=True)


def answer(as_json: bool, value: Any, lines: Iterable[str]) -> None:
    """A command's whole answer, for a program or for a person."""
    if as_json:
        say_json(value)
    else:
        for line in lines:
            say(line)


def console() -> Console:
    """Standard output for tables: as wide as the terminal; elsewhere wide enough for any line. NO_COLOR is heeded."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=max(made.width, _WIDE))


def cell(value: str, style: str = "") -> Text:
    """Text from anywhere: it neither drives the terminal nor is taken for markup."""
    from rich.text import Text

    return Text(log.printable(value), style)
