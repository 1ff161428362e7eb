"""Which store an address names: sqlite:///PATH or postgresql://HOST/DATABASE; a path is a file of SQLite's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glasstumbler.engine.ledger import LAB, Entry
from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.store.sqlite import reading as reading_sqlite

_POSTGRES = ("postgresql://", "postgres://")
_OWNER = "laboratory"
"""Under which name the record keeps the fingerprint of its laboratory."""


def open_store(place: str | Path | None, owner: str = "") -> Store:
    """`place` None: a record that goes with the run. `owner`: fingerprint of the laboratory; the first to open a record
    owns it. SettingsError for an address of no kind that is known here; StoreError if the store cannot be opened, or
    is another laboratory's."""
    check_place(place)
    if isinstance(place, str) and is_shared(place):
        from glasstumbler.store.postgres import PostgresStore

        store: Store = PostgresStore(place)
    else:
        store = SqliteStore(None if place is None else _path(place))
    try:
        _claim(store, owner)
    except StoreError:
        store.close()
        raise
    return store


@contextmanager
def reading(place: str | Path, owner: str = "", mapped: bool = False) -> Iterator[Records]:
    """One consistent view of a record that this process must not change; it may be in use elsewhere. `mapped`: see
    SQLite's; PostgreSQL knows no such thing.

    StoreError if there is none, it is damaged, of another version or another laboratory's.
    """
    check_place(place)
    if isinstance(place, str) and is_shared(place):
        from glasstumbler.store.postgres import reading as reading_postgres

        opened = reading_postgres(place)
    else:
        opened = reading_sqlite(_path(place), mapped)
    with opened as records:
        if owner:
            _check_owner(records.meta(_OWNER), owner)
        yield records


def check_place(place: str | Path | None) -> None:
    """SettingsError for an address of no kind that is known here."""
    if isinstance(place, str) and not place.startswith(("sqlite:///", *_POSTGRES)):
        scheme = place.partition(":")[0][:20]  # what follows may hold a password
        raise SettingsError(f"a store is sqlite:///PATH or postgresql://HOST/DATABASE, not {scheme!r}")


def is_shared(place: str | Path | None) -> bool:
    """Whether several processes may work on such a store side by side."""
    return isinstance(place, str) and place.startswith(_POSTGRES)


def name_of(place: str) -> str:
    """The address without user and password."""
    if is_shared(place):
        from glasstumbler.store.postgres_link import Address

        return Address(place).name
    return f"sqlite:///{_path(place).absolute()}"


def _path(place: str | Path) -> Path:
    return place if isinstance(place, Path) else Path(place.removeprefix("sqlite:///"))


def _claim(store: Store, owner: str) -> None:
    if not owner:
        return
    known = store.read(lambda records: records.meta(_OWNER))
    if known is None:

        def unit(records: Records) -> str | None:
            if records.meta(_OWNER) is None:
                records.set_meta(_OWNER, owner)
                records.append(Entry("record begins", 0, LAB))
            return records.meta(_OWNER)

        known = store.write(unit)
    _check_owner(known, owner)


def _check_owner(known: str | None, owner: str) -> None:
    if known is not None and known != owner:
        raise StoreError("the record belongs to another laboratory: its folder has another secret than this one")
