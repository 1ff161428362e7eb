"""Where a folder's record is: in the folder itself, or in the database that it was begun in.

A folder's chains and secret belong to one record. Another one beside it would give out the same addresses again, so the
first address is written down (without user and password), and a command that names another one is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.store.url import check_place, name_of

_FILE = "store"
_OWN = "record.db"


def record_of(data: Path, store: str | None) -> str | Path:
    """The record's address: `store`, or the folder's own file. SettingsError if the folder's record is elsewhere."""
    check_place(store)
    path = data / _FILE
    try:
        known = path.read_text(encoding="utf-8").strip() if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}") from None
    if known not in (None, _name(store)):
        option = "no --store" if known == _OWN else "--store"
        raise SettingsError(f"the record of {data} is {known} ({option}); if it was moved there, delete {path}")
    return store or data / _OWN


def remember(data: Path, store: str | None) -> None:
    """Once the record is open for the first time; whole or not at all. StoreError if the folder takes no file."""
    path = data / _FILE
    if path.exists():
        return
    part = path.with_name(f"{_FILE}.{os.getpid()}")
    try:
        part.write_text(f"{_name(store)}\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def _name(store: str | None) -> str:
    return _OWN if store is None else name_of(store)
