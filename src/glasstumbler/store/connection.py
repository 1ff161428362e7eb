"""The part of a database's connection that the record needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What SQLite's and PostgreSQL's connections have in common here; placeholders are `?`."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor: ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> object: ...

    def stream(self, sql: str, values: Sequence[Any] = (), /) -> Iterable[Any]:
        """Rows of which there may be more than memory holds."""
        ...


def as_bytes(value: object) -> bytes:
    """A column that ought to hold bytes, whatever somebody has put there."""
    return bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode("utf-8", "replace")
