"""SQLite's own ways to fail: each is one clear StoreError."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from glasstumbler.errors import StoreError
from glasstumbler.store import migrations, sqlite
from glasstumbler.store.sqlite import SqliteStore, reading
from tests.store.contract import StoreContract, add_code, check_record

VERSION = migrations.version("sqlite")


class TestSqlite(StoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/record.db"


def some_record(path: Path) -> Path:
    store = SqliteStore(path)
    for number in range(50):
        store.write(add_code(f"code {number}"))
    store.close()
    return path


def set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = some_record(tmp_path / "record.db")
    set_version(path, VERSION + 1)
    with pytest.raises(StoreError, match=f"version {VERSION + 1}, this program knows {VERSION}: use a newer program"):
        SqliteStore(path)
    set_version(path, VERSION)
    with reading(path) as records:
        assert len(check_record(records)) == 50


@pytest.mark.parametrize("version", [0, VERSION + 1])
def test_reading_wants_this_version(tmp_path: Path, version: int) -> None:
    path = some_record(tmp_path / "record.db")
    set_version(path, version)
    with pytest.raises(StoreError, match=f"version {version}, this program reads {VERSION}"), reading(path):
        pass


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE invoice (number INT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="holds another program's tables: name a file of its own for the record"):
        SqliteStore(path)
    with pytest.raises(StoreError, match="has version 0"), reading(path):
        pass
    assert path.read_bytes() == before


@pytest.mark.skipif(not os.path.ismount("/sys"), reason="needs a file that cannot be written, whoever one is")
def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Root may write everywhere but on a read-only file system; /sys takes no new files."""
    with pytest.raises(StoreError, match=r"unable to open database file .check that the folder is there and can be"):
        SqliteStore(Path("/sys/record.db"))


def text(path: Path) -> None:
    path.write_text("not a database " * 100)


def torn(path: Path) -> None:
    some_record(path)
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xa5" * (len(raw) - 4096)
    path.write_bytes(raw)


def empty_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("damage", [text, empty_folder])
def test_what_is_no_database_is_not_opened(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / "record.db")
    with pytest.raises(StoreError, match=r"cannot (open|prepare) the store"):
        SqliteStore(tmp_path / "record.db")


@pytest.mark.parametrize("damage", [text, empty_folder, torn])
def test_what_is_damaged_cannot_be_read(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / "record.db")
    with pytest.raises(StoreError, match=r"cannot (open|read) the store"), reading(tmp_path / "record.db") as records:
        check_record(records)


def test_a_damaged_page_fails_the_change_and_not_the_program(tmp_path: Path) -> None:
    torn(tmp_path / "record.db")
    store = SqliteStore(tmp_path / "record.db")
    for _ in range(2):
        with pytest.raises(StoreError, match="did not take a change"):
            store.write(add_code("x"))
    with pytest.raises(StoreError, match="cannot read the store"):
        store.read(check_record)
    with pytest.raises(StoreError, match="cannot read the store"), store.snapshot() as records:
        check_record(records)
    store.close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open the store"):
        SqliteStore(tmp_path / "none" / "record.db")
    with pytest.raises(StoreError, match="there is no record"), reading(tmp_path / "none.db"):
        pass
    assert not (tmp_path / "none.db").exists(), "reading makes no file"


def test_a_locked_record_says_so_and_takes_the_next_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.2)
    path = some_record(tmp_path / "record.db")
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"did not take a change: database is locked .another program holds it"):
        store.write(add_code("locked out"))
    with pytest.raises(StoreError, match=r"cannot prepare the store .*record.db: database is locked"):
        SqliteStore(path)
    other.execute("ROLLBACK")
    other.close()
    assert store.write(add_code("let in")) == 51
    assert store.read(check_record)[-1] == "let in"
    store.close()


def test_a_full_disk_fails_the_whole_group_and_the_store_lives_on(tmp_path: Path) -> None:
    """The database is held at its size: SQLite's own answer to a full disk."""
    store = SqliteStore(some_record(tmp_path / "record.db"))
    store.write(lambda records: records.rows("PRAGMA max_page_count = 1").__next__())
    with pytest.raises(StoreError, match=r"did not take a change: database or disk is full .make room"):
        store.write(add_code("x" * 1_000_000))
    store.write(lambda records: records.rows("PRAGMA max_page_count = 100000").__next__())
    assert store.write(add_code("small")) == 51
    assert len(store.read(check_record)) == 51
    store.close()


def test_an_acknowledged_unit_survives_power_loss(tmp_path: Path) -> None:
    """WAL with synchronous FULL: each commit is flushed to the disk before it is acknowledged."""
    store = SqliteStore(tmp_path / "record.db")
    ask = "SELECT (SELECT * FROM pragma_journal_mode), (SELECT * FROM pragma_synchronous)"
    assert next(store.read(lambda records: records.rows(ask))) == ("wal", 2)
    assert store.write(lambda records: next(records.rows(ask))) == ("wal", 2)
    store.close()


def test_a_temporary_record_goes_with_its_store() -> None:
    store = SqliteStore(None)
    folder = Path(store._target).parent
    assert store.write(add_code("x")) == 1 and folder.exists()
    store.close()
    assert not folder.exists()
