"""Whatever is changed anywhere in a record is found and named: thousands of seeded changes, each undone afterwards.

`AUDIT_CHANGES` says how many (the default is for `make test`).
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from glasstumbler.audit import Kept, Report, audit_record
from glasstumbler.engine import ledger
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteConnection
from tests.laboratory import Laboratory

CHANGES = int(os.environ.get("AUDIT_CHANGES", "2000"))
SEED = int(os.environ.get("AUDIT_SEED", "1"))
TABLES = ("entry", "orders", "deposit", "coin", "payment", "watch", "account", "code", "block", "counter", "meta")
Row = tuple[Any, ...]


class Change(NamedTuple):
    """What was done, and the rows that it was done to, as (table, row before)."""

    text: str
    touched: list[tuple[str, Row]]


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of all five services: orders done and open, codes, keys, batches, a reorganisation, Lightning."""
    folder = tmp_path_factory.mktemp("lived in")
    lab = Laboratory("btc", "eth", "xmr", "lightning", folder=folder)
    for order in (
        lab.bearer("btcmix", [400_000, 600_000], ref="FRIEND1"),
        lab.bearer("whir", [500_000]),
        lab.codes("btc", (500, 500)),
        lab.codes("eth"),
        lab.swap(5_000_000),
        lab.swap_lightning(20_000),
    ):
        lab.fund(order)
    lab.settle()
    lab.house.advance(3600)
    lab.fund(lab.bearer("whir", [500_000], hours=3))
    lab.pay(lab.bearer("coinjoin", [500_000]))
    lab.reorg("btc", 2)
    lab.fund(lab.bearer("coinjoin", [500_000]), 200_000)
    lab.bearer("btcmix", [500_000])
    lab.check()
    lab.close()
    return folder


class Desk:
    """The record in memory, where it can be changed and put back."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection)
        with closing(sqlite3.connect(path)) as source:
            source.backup(self.connection)
        self.columns = {
            table: [(row[1], bool(row[5])) for row in self.connection.execute(f"PRAGMA table_info({table})")]
            for table in TABLES
        }
        self.rows = {table: self.connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
        assert all(self.rows.values()), "a table of the record is empty: nothing of it would be tried"

    def audit(self, kept: Kept | None = None) -> Report:
        return audit_record(Records(self.connection), kept)

    def is_untouched(self) -> bool:
        """The same rows, in whatever order they lie in the file."""
        return all(
            set(self.connection.execute(f"SELECT * FROM {table}")) == set(rows) for table, rows in self.rows.items()
        )

    def replace(self, table: str, old: Row, new: Row | None) -> None:
        """Put one row in another's place; None: only take it out."""
        names = [name for name, _ in self.columns[table]]
        where = " AND ".join(f"{name} IS ?" for name in names)
        self.connection.execute(f"DELETE FROM {table} WHERE {where}", old)
        if new is not None:
            self.insert(table, new)

    def insert(self, table: str, row: Row) -> None:
        marks = ", ".join("?" * len(row))
        self.connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)


@pytest.fixture(scope="module")
def desk(lived_in: Path) -> Iterator[Desk]:
    made = Desk(lived_in / "record.db")
    assert made.audit().clean, made.audit().lines()
    yield made
    made.connection.close()


# -- changes ------------------------------------------------------------------------------------------------------


def altered(chance: random.Random, value: Any, others: list[Any]) -> Any:
    """Another value in a column's place: a bit or a byte of it, its type, or what stands in another row."""
    ways: list[Callable[[], Any]] = [lambda: chance.choice(others), lambda: None]
    if isinstance(value, int):
        ways += [lambda: value + 1, lambda: value - 1, lambda: -value, lambda: value ^ 1 << chance.randrange(31)]
    elif isinstance(value, str | bytes):
        ways += [lambda: twisted(chance, value)] * 5
        ways += [lambda: value[:-1], lambda: value * 2, lambda: value[: len(value) // 2]]
        ways += [lambda: value.encode() if isinstance(value, str) else value.decode("latin-1")]
    else:
        ways += [lambda: 0, lambda: 7, lambda: ""]
    return chance.choice(ways)()


def twisted(chance: random.Random, value: Any) -> Any:
    """One byte another; text stays text."""
    if not value:
        return value + value[:0] + (b"x" if isinstance(value, bytes) else "x")
    at = chance.randrange(len(value))
    if isinstance(value, bytes):
        return value[:at] + bytes((value[at] ^ 1 << chance.randrange(8),)) + value[at + 1 :]
    return value[:at] + chance.choice([c for c in "0123456789abcdefxyz:-" if c != value[at]]) + value[at + 1 :]


def one_value(desk: Desk, chance: random.Random, table: str) -> Change | None:
    row = chance.choice(desk.rows[table])
    at = chance.randrange(len(row))
    value = altered(chance, row[at], [other[at] for other in desk.rows[table]])
    desk.replace(table, row, (*row[:at], value, *row[at + 1 :]))
    return Change(f"{desk.columns[table][at][0]}: {row[at]!r} -> {value!r}", [(table, row)])


def deleted(desk: Desk, chance: random.Random, table: str) -> Change | None:
    rows = chance.sample(desk.rows[table], min(len(desk.rows[table]), chance.choice((1, 1, 2, 5))))
    for row in rows:
        desk.replace(table, row, None)
    return Change("deleted", [(table, row) for row in rows])


def inserted(desk: Desk, chance: random.Random, table: str) -> Change | None:
    """A row like another one, under a key of its own."""
    row = list(chance.choice(desk.rows[table]))
    for at, (name, key) in enumerate(desk.columns[table]):
        if key or name in ("id", "code", "txid", "key_hash"):
            value = row[at]
            row[at] = value + chance.randrange(1, 5_000) if isinstance(value, int) else twisted(chance, value)
    desk.insert(table, tuple(row))
    return Change(f"inserted {row!r}", [(table, tuple(row))])


def swapped(desk: Desk, chance: random.Random, table: str) -> Change | None:
    """Two rows exchange everything but their keys: documents swapped, entries in another order."""
    if len(desk.rows[table]) < 2:
        return None
    one, two = chance.sample(desk.rows[table], 2)
    keys = [key for _, key in desk.columns[table]]
    parts = range(len(keys)) if chance.random() < 0.5 else [chance.randrange(len(keys))]

    def mixed(mine: Row, other: Row) -> Row:
        return tuple(other[at] if at in parts and not keys[at] else mine[at] for at in range(len(mine)))

    desk.replace(table, one, None)
    desk.replace(table, two, mixed(two, one))
    desk.insert(table, mixed(one, two))
    return Change("swapped", [(table, one), (table, two)])


def shifted(desk: Desk, chance: random.Random, table: str) -> Change | None:
    """A run of rows moves up by one under the same keys; the first of them stands twice."""
    rows, keys = desk.rows[table], [key for _, key in desk.columns[table]]
    if len(rows) < 3:
        return None
    first = chance.randrange(len(rows) - 2)
    run = rows[first : first + chance.randrange(2, 6)]
    for row in run:
        desk.replace(table, row, None)
    for mine, before in zip(run, [run[0], *run], strict=False):
        desk.insert(table, tuple(m if key else b for m, b, key in zip(mine, before, keys, strict=True)))
    return Change("shifted", [(table, row) for row in run])


def emptied(desk: Desk, chance: random.Random, table: str) -> Change | None:
    desk.connection.execute(f"DELETE FROM {table}")
    return Change("emptied", [(table, row) for row in desk.rows[table]])


def cut_off(desk: Desk, chance: random.Random, table: str) -> Change | None:
    """The end of the entries, with nothing else."""
    count = chance.randrange(1, 30)
    rows = desk.rows["entry"][-count:]
    desk.connection.execute("DELETE FROM entry WHERE number >= ?", (rows[0][0],))
    return Change(f"{count} entries cut off", [("entry", row) for row in rows])


def recomputed(desk: Desk, chance: random.Random, table: str) -> Change | None:
    """An entry is changed, or taken out, and every hash after it computed anew: what it says of its documents, and what
    its amounts add up to, no longer holds."""
    entries = [list(row) for row in desk.rows["entry"]]
    start = chance.randrange(len(entries))
    entry = ledger.read(entries[start][4])
    changes: list[Callable[[], object]] = []
    if entry.docs:
        at = chance.randrange(len(entry.docs))
        table_, key, digest = entry.docs[at]
        if last_to_speak(desk, table_, key) == entries[start][0]:
            changes.append(lambda: entry.docs.__setitem__(at, (table_, key, twisted(chance, digest))))
            changes.append(lambda: entry.docs.pop(at))
    if any(name.startswith(("order:", "coins")) for name, _, _ in entry.postings):
        changes.append(lambda: entry.postings.clear())
    if not changes:
        return None
    chance.choice(changes)()
    entries[start][4] = ledger.body(entry)
    previous = bytes(entries[start - 1][5]) if start else ledger.GENESIS_HASH
    for row in entries[start:]:
        previous = row[5] = ledger.link(previous, row[0], row[4])
    desk.connection.execute("DELETE FROM entry")
    for row in entries:
        desk.insert("entry", tuple(row))
    return Change(f"entry {entries[start][0]} rewritten, hashes recomputed", [])


def last_to_speak(desk: Desk, table: str, key: str) -> int:
    return int(max(row[0] for row in desk.rows["entry"] if (table, key) in {d[:2] for d in ledger.read(row[4]).docs}))


WAYS = (one_value, one_value, one_value, one_value, deleted, inserted, swapped, shifted)
RARE = (emptied, cut_off, recomputed, recomputed)


def change(desk: Desk, chance: random.Random, table: str) -> tuple[str, Change] | None:
    """Some change in this table. None if it was none: SQLite refused it, or the rows are as they were."""
    way = chance.choice(RARE if chance.random() < 0.05 else WAYS)
    try:
        made = way(desk, chance, table)
    except sqlite3.IntegrityError:  # a second row under one key, or NULL where there may be none
        return None
    if made is None or desk.is_untouched():
        return None
    return f"{way.__name__} in {table}: {made.text}", made


# -- what must be said --------------------------------------------------------------------------------------------

NAMES: dict[str, Callable[[Row], str]] = {
    "entry": lambda row: "entry ",
    "orders": lambda row: f"order {row[0]} ",
    "deposit": lambda row: f"deposit {row[0]}:{row[1]}:{row[2]} ",
    "coin": lambda row: f"coin {row[0]} ",
    "payment": lambda row: f"payment {row[0]} ",
    "watch": lambda row: f"watch {row[0]}:{row[1].hex()} ",
    "account": lambda row: f"account {row[0]} ",
    "code": lambda row: f"code {row[0]} ",
    "block": lambda row: f"cursor {row[0]} ",
    "counter": lambda row: f"counter {row[0]} ",
    "meta": lambda row: f"meta {row[0]} ",
}


def names_one(report: Report, made: Change) -> bool:
    """Past the first twenty differences the audit says no more: one of the rows is enough."""
    text = "\n".join(f"{line} " for line in report.lines())
    if made.touched and made.touched[0][0] == "entry":
        return any(error.number is not None for error in report.differences) or "in no entry" in text
    return not made.touched or any(NAMES[table](row) in text for table, row in made.touched)


def test_every_change_is_found_and_named(desk: Desk) -> None:
    chance = random.Random(SEED)
    done = 0
    missed: list[str] = []
    tried: set[tuple[str, str]] = set()
    while done < CHANGES:
        desk.connection.execute("SAVEPOINT untouched")
        found = change(desk, chance, TABLES[done % len(TABLES)])
        if found is not None:
            text, made = found
            report = desk.audit()
            done += 1
            tried |= {(text.partition(" ")[0], table) for table, _ in made.touched}
            if report.clean or not names_one(report, made):
                missed.append(f"{text}\n    {report.lines()[:3]}")
        desk.connection.execute("ROLLBACK TO untouched")
        desk.connection.execute("RELEASE untouched")
    assert not missed, f"{len(missed)} of {done}\n" + "\n".join(missed[:20])
    assert CHANGES < 1000 or {table for way, table in tried if way == "one_value"} == set(TABLES)
    assert desk.audit().clean
