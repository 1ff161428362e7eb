"""Which store an address names: a file's path or sqlite:///PATH."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from glasstumbler.errors import SettingsError
from glasstumbler.store import sqlite
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records


def open_store(place: str | Path | None) -> Store:
    """`place` None: a record that goes with the run. SettingsError for an address of no kind that is known here;
    StoreError if the store cannot be opened."""
    return sqlite.SqliteStore(None if place is None else _path(place))


def reading(place: str | Path) -> AbstractContextManager[Records]:
    """One consistent view of a record that this process must not change; it may be in use elsewhere.

    StoreError if there is none, it is damaged, or of another version.
    """
    return sqlite.reading(_path(place))


def _path(place: str | Path) -> Path:
    if isinstance(place, Path):
        return place
    if not place.startswith("sqlite:///"):
        scheme = place.partition("://")[0]  # what follows may hold a password
        raise SettingsError(f"a store is sqlite:///PATH, not {scheme!r}")
    return Path(place.removeprefix("sqlite:///"))
