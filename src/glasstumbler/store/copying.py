"""A record from one database into another, row by row: for backups of PostgreSQL, and for restoring into it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from glasstumbler.errors import StoreError
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.store.url import open_store, reading

COLUMNS = {
    "meta": "key value",
    "entry": "number kind service order_number body hash",
    "orders": "number service id account coin state wake doc",
    "watch": "coin key service branch idx kind order_number",
    "deposit": "coin txid vout order_number state height mature doc",
    "coin": "number service coin txid vout height spent_by doc",
    "payment": "number service coin txid state mature doc",
    "account": "id service key_hash created blocked",
    "code": "number service code doc",
    "block": "coin height hash",
    "counter": "name value",
}
"""Every table of a record."""
_ROWS = 10_000


def copy(source: Records, target: Records) -> None:
    """All rows, into a record that has none."""
    for table, names in COLUMNS.items():
        columns, marks = ", ".join(names.split()), ", ".join("?" * len(names.split()))
        page = []
        for row in source.rows(f"SELECT {columns} FROM {table}"):
            page.append(tuple(row))
            if len(page) == _ROWS:
                target.load(f"INSERT INTO {table} ({columns}) VALUES ({marks})", page)
                page = []
        target.load(f"INSERT INTO {table} ({columns}) VALUES ({marks})", page)


def copy_to_file(source: Records, path: Path) -> None:
    """Into a new file of SQLite's."""
    with closing(SqliteStore(path)) as store:
        store.write(lambda target: copy(source, target))


def copy_to_store(path: Path, place: str) -> None:
    """A file of SQLite's into an empty record at this address, all of it or nothing. StoreError if there is something
    already."""
    with closing(open_store(place)) as store:

        def unit(target: Records) -> None:
            if any(list(target.rows(f"SELECT 1 FROM {table} LIMIT 1")) for table in COLUMNS):
                raise StoreError("the record at this address is not empty: restore into an empty one")
            with reading(path) as source:  # here, since the writer's thread is another one
                copy(source, target)

        store.write(unit)
