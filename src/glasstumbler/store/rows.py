"""Rows of the record: many at a time, and those that are no documents of the engine (watched keys, codes, API keys)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

_BATCH = 64
"""Rows whose documents are still in the processor's cache when all of them have been read."""


def batches(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Some rows at a time: a step taken for all of them costs less than for one after another."""
    source = iter(rows)
    while batch := list(islice(source, _BATCH)):
        yield batch


class Watched(NamedTuple):
    """A key that a service can be paid to. `order` only on the branch `deposit`."""

    coin: str
    key: bytes
    service: str
    branch: str
    place: int
    """Index of the key on its branch."""
    kind: str
    order: int | None


class Code(msgspec.Struct, omit_defaults=True):
    """A customer's code. `volume`: base units mixed under it, by coin."""

    number: int
    service: str
    code: str
    volume: dict[str, int] = {}


class KeyRow(NamedTuple):
    """An API key: its owner's id; the key itself is kept as a hash only."""

    id: str
    service: str
    key_hash: bytes
    created: int
    blocked: bool
