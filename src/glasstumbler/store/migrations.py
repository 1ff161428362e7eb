"""Numbered changes of the schema, forwards only: `migrations/DATABASE/NNNN_name.sql`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Literal

from glasstumbler import log
from glasstumbler.errors import StoreError

Database = Literal["sqlite", "postgresql"]


@cache
def scripts(database: Database) -> tuple[tuple[int, str], ...]:
    """(number, statements), in order."""
    folder = resources.files("glasstumbler.store") / "migrations" / database
    files = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple((int(name[:4]), entry.read_text()) for name, entry in files)


def version(database: Database) -> int:
    """That this program reads and writes."""
    return scripts(database)[-1][0]


def check(database: Database, have: int, where: str) -> None:
    """StoreError unless the store is of the version that this program reads."""
    if have != (want := version(database)):
        mend = "use a newer program" if have > want else "open it once with `glasstumbler serve`, which brings it up"
        raise StoreError(f"{where} has version {have}, this program reads {want}: {mend}")


def bring_up(database: Database, have: int, where: str, execute: Callable[[str], object]) -> int:
    """Run what is missing, inside the caller's transaction; the version reached. StoreError for a newer store."""
    want = version(database)
    if have > want:
        raise StoreError(f"{where} has version {have}, this program knows {want}: use a newer program")
    if 0 < have < want:
        log.warning(f"{where} is brought from version {have} to {want}; there is no way back but a backup")
    for number, script in scripts(database):
        if number > have:
            for statement in script.split(";"):
                if statement.strip():
                    execute(statement)
    return want
