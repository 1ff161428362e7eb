"""The cache's file is a cache: torn, foreign, of another laboratory or gone, it is begun anew."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from glasstumbler.errors import StoreError
from glasstumbler.explorer.file import FORM, NAME, CacheFile


def note(file: CacheFile) -> None:
    with file.writing() as db:
        assert db is not None
        db.execute("INSERT INTO chain (coin, height, hash) VALUES ('btc', 7, 'hash')")


def noted(file: CacheFile) -> list[tuple[object, ...]]:
    with file.reading() as db:
        return db.execute("SELECT coin, height FROM chain").fetchall()


def test_what_was_taken_in_is_there_after_a_restart(tmp_path: Path) -> None:
    first = CacheFile(tmp_path, "lab")
    note(first)
    first.close()
    again = CacheFile(tmp_path, "lab")
    assert noted(again) == [("btc", 7)]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    again.close()


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 500)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE "other; table" (a)')
        connection.execute(f"PRAGMA user_version = {FORM + 1}")
        connection.commit()


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [torn, garbage, foreign, gone])
def test_a_file_that_is_not_ours_is_begun_anew(damage: object, tmp_path: Path) -> None:
    first = CacheFile(tmp_path, "lab")
    note(first)
    first.close()
    damage(tmp_path / NAME)  # type: ignore[operator]
    again = CacheFile(tmp_path, "lab")
    assert noted(again) == []
    note(again)
    assert noted(again) == [("btc", 7)]
    again.close()


def test_another_laboratorys_cache_is_not_believed(tmp_path: Path) -> None:
    first = CacheFile(tmp_path, "lab")
    note(first)
    first.close()
    other = CacheFile(tmp_path, "another lab")
    assert noted(other) == []
    other.close()


def test_damage_that_is_met_on_the_way_is_mended_for_the_next_look(tmp_path: Path) -> None:
    file = CacheFile(tmp_path, "lab")
    note(file)
    with pytest.raises(StoreError, match="made anew"), file.reading():
        raise sqlite3.DatabaseError("database disk image is malformed")
    assert noted(file) == []
    file.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    file = CacheFile(tmp_path, "lab")
    with pytest.raises(RuntimeError), file.writing() as db:
        assert db is not None
        db.execute("INSERT INTO chain (coin, height, hash) VALUES ('btc', 7, 'hash')")
        raise RuntimeError
    assert noted(file) == []
    file.close()


def test_one_writes_at_a_time_and_others_read_what_is_finished(tmp_path: Path) -> None:
    ours, theirs = CacheFile(tmp_path, "lab"), CacheFile(tmp_path, "lab")
    with ours.writing() as db:
        assert db is not None
        db.execute("INSERT INTO chain (coin, height, hash) VALUES ('btc', 7, 'hash')")
        assert noted(theirs) == []
        with theirs.writing() as other:
            assert other is None
    assert noted(theirs) == [("btc", 7)]
    ours.close()
    theirs.close()


def test_threads_have_connections_of_their_own(tmp_path: Path) -> None:
    file = CacheFile(tmp_path, "lab")
    note(file)
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(noted(file))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[("btc", 7)]] * 4
    file.close()


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot make the explorer's cache"):
        CacheFile(tmp_path / "missing", "lab")
