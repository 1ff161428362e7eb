"""What a power cut leaves is what SQLite expects of a disk: never less than was synced, and a whole database."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from glasstumbler.torture.disk import Files, _torn


def database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def read(path: Path) -> Files:
    return Files(path.read_bytes(), path.with_name(path.name + "-wal").read_bytes())


def rows(files: Files, folder: Path) -> int:
    """Of a database that stands as these files."""
    path = folder / "left.db"
    path.write_bytes(files.base)
    path.with_name("left.db-wal").write_bytes(files.log)
    connection = database(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM kept").fetchone()[0])
    finally:
        connection.close()
        path.unlink()


@pytest.mark.parametrize("pages", [2, 40], ids=["a checkpoint in most commits", "few checkpoints"])
def test_a_power_cut_loses_nothing_that_was_synced(pages: int, tmp_path: Path) -> None:
    chance = random.Random(pages)
    connection = database(tmp_path / "record.db")
    connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
    connection.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, bytes BLOB)")
    seen = set()
    for number in range(150):
        before = read(tmp_path / "record.db")
        connection.execute("INSERT INTO kept (bytes) VALUES (?)", (chance.randbytes(chance.randint(1, 9_000)),))
        after = read(tmp_path / "record.db")
        left = rows(_torn(before, after, chance), tmp_path)
        assert left in (number, number + 1)
        seen.add(left - number)
    connection.close()
    assert seen == {0, 1}
