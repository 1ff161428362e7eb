"""What the audit sees of the files themselves: bytes of the database and of its log, the schema, the chains' logs."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.audit import Kept, audit, audit_record
from glasstumbler.audit_file import check_file
from glasstumbler.engine import ledger
from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.store.copying import COLUMNS
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.store.url import reading
from tests.laboratory import Laboratory

FLIPS = 150


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    lab = Laboratory("btc", "eth", "xmr", folder=folder)
    for order in (lab.bearer("whir", [500_000]), lab.codes("eth"), lab.swap(5_000_000)):
        lab.fund(order)
    lab.settle()
    lab.close()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def look(path: Path, kept: Kept | None = None) -> list[str]:
    """What is found in this record and its file, chains left out."""
    try:
        with reading(path) as records:
            return [*map(str, audit_record(records, kept).differences), *(f.text for f in check_file(records, path))]
    except StoreError as error:
        assert "\n" not in str(error)
        return [str(error)]


def rows(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return {table: connection.execute(f"SELECT {', '.join(names.split())} FROM {table}").fetchall()
                for table, names in COLUMNS.items()}  # fmt: skip


def flipped(raw: bytes, at: int, bit: int) -> bytes:
    return raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :]


def test_a_byte_of_the_database_is_found_if_any_row_is_read_from_it(folder: Path) -> None:
    """The one indifferent change: a byte that no row, index or statement of the schema is read from (unused space in
    a page, SQLite's own counters in the header). Then every table reads as before."""
    path = folder / "record.db"
    raw, before, chance = path.read_bytes(), rows(path), random.Random(1)
    assert look(path) == []
    found = 0
    for _ in range(FLIPS):
        path.write_bytes(flipped(raw, chance.randrange(len(raw)), chance.randrange(8)))
        if look(path):
            found += 1
        else:
            assert rows(path) == before
        for left in ("-wal", "-shm"):
            path.with_name(f"record.db{left}").unlink(missing_ok=True)
    assert found > FLIPS // 3


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """A record as a killed process leaves it: everything is in the write-ahead log."""
    store = SqliteStore(tmp_path / "record.db")
    for number in range(30):

        def unit(records: Records, number: int = number) -> None:
            records.set_meta(f"fact {number}", "x" * 500)
            records.append(ledger.Entry("fact", number, ledger.LAB))

        store.write(unit)
    (tmp_path / "left").mkdir()
    for name in ("record.db", "record.db-wal"):
        shutil.copyfile(tmp_path / name, tmp_path / "left" / name)
    store.close()
    return tmp_path / "left" / "record.db"


def test_a_byte_of_the_write_ahead_log_is_found(logged: Path) -> None:
    """Damage to the last commit looks as a power cut leaves it, and SQLite drops it: that, only a kept head shows."""
    wal, main = logged.with_name("record.db-wal"), logged.read_bytes()
    raw, chance = wal.read_bytes(), random.Random(1)
    with reading(logged) as records:
        head = records.head()
    kept, frame = Kept(head[0], head[1].hex()), 24 + 4096
    assert look(logged, kept) == []
    unseen = []
    for _ in range(FLIPS):
        at = chance.randrange(len(raw))
        for expected in (kept, None):
            logged.with_name("record.db-shm").unlink(missing_ok=True)
            logged.write_bytes(main)
            wal.write_bytes(flipped(raw, at, chance.randrange(8)))
            found = look(logged, expected)
            if expected is not None:
                if not found:
                    with reading(logged) as records:
                        assert records.head() == head, f"byte {at}"
            elif not found:
                with reading(logged) as records:
                    if records.head() != head:
                        unseen.append((at - 32) // frame)
    frames = (len(raw) - 32) // frame
    assert all(number >= frames - 6 for number in unseen), "only the end of the log can be lost without a trace"


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP INDEX orders_wake",
        "CREATE TABLE more (x)",
        "CREATE TRIGGER hush AFTER INSERT ON entry BEGIN DELETE FROM meta; END",
        "CREATE VIEW other AS SELECT * FROM orders",
    ],
)
def test_another_schema_is_found(folder: Path, statement: str) -> None:
    run(folder / "record.db", statement)
    assert any("the schema of the record was changed" in line for line in audit(folder).lines())


# -- the chains ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coin", ["btc", "eth", "xmr"])
def test_a_byte_of_a_block_is_found(folder: Path, coin: str) -> None:
    path, chance = folder / "chains" / f"{coin}.blocks", random.Random(coin)
    with closing(sqlite3.connect(path)) as connection:
        blocks = connection.execute("SELECT number, raw FROM blocks WHERE height > 0").fetchall()
    for number, raw in chance.sample(blocks, 6):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            changed = flipped(raw, chance.randrange(len(raw)), chance.randrange(8))
            connection.execute("UPDATE blocks SET raw = ? WHERE number = ?", (changed, number))
        assert any(line.startswith(f"{coin}: the wallets cannot be compared") for line in audit(folder).lines())
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE blocks SET raw = ? WHERE number = ?", (raw, number))
    assert audit(folder).clean


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM blocks WHERE height = 5",
        "DELETE FROM active WHERE height = 5",
        "UPDATE active SET hash = (SELECT hash FROM active WHERE height = 7) WHERE height = 5",
        "UPDATE blocks SET previous = hash WHERE height = 5",
        "UPDATE blocks SET height = 6 WHERE height = 5",
        "UPDATE blocks SET raw = (SELECT raw FROM blocks WHERE height = 7) WHERE height = 5",
    ],
)
def test_another_order_of_blocks_is_found(folder: Path, statement: str) -> None:
    run(folder / "chains" / "btc.blocks", statement)
    assert not audit(folder).clean


def test_a_damaged_chain_file_is_a_difference(folder: Path) -> None:
    (folder / "chains" / "btc.blocks").write_bytes(b"nothing of the kind" * 999)
    assert any(line.startswith("btc: the wallets cannot be compared") for line in audit(folder).lines())


# -- a head that was kept -----------------------------------------------------------------------------------------


def test_a_record_put_back_to_an_earlier_state_is_found_where_coins_have_moved(tmp_path: Path) -> None:
    """Even without a kept head: the chain holds a payment that the older record does not know."""
    (tmp_path / "lab").mkdir()
    lab = Laboratory("btc", folder=tmp_path / "lab")
    with lab.house.store.snapshot() as records, closing(sqlite3.connect(tmp_path / "older.db")) as copy:
        assert isinstance(records.connection, sqlite3.Connection)
        records.connection.backup(copy)
    lab.fund(lab.bearer("whir", [500_000]))
    lab.settle()
    newest = audit(tmp_path / "lab")
    lab.close()
    (tmp_path / "lab" / "record.db").unlink()
    shutil.copyfile(tmp_path / "older.db", tmp_path / "lab" / "record.db")
    lines = audit(tmp_path / "lab").lines()
    assert any("it was put back to an earlier state" in line for line in lines), lines
    kept = Kept(newest.entries, newest.head)
    assert any("the record was cut off" in line for line in audit(tmp_path / "lab", kept=kept).lines())


def test_a_whole_chain_of_hashes_computed_anew_is_found_by_a_kept_head_only(folder: Path) -> None:
    """A word is changed that no document and no amount depends on, and every hash after it is computed again."""
    before = audit(folder)
    with closing(sqlite3.connect(folder / "record.db", isolation_level=None)) as connection:
        entries = connection.execute("SELECT number, body FROM entry ORDER BY number").fetchall()
        previous = ledger.GENESIS_HASH
        for number, body in entries:
            raw = body.replace(b'"at":17', b'"at":16') if number == 20 else body
            previous = ledger.link(previous, number, raw)
            connection.execute("UPDATE entry SET body = ?, hash = ? WHERE number = ?", (raw, previous, number))
    assert audit(folder).clean
    found = audit(folder, kept=Kept(before.entries, before.head))
    assert [error.number for error in found.differences] == [before.entries]


@pytest.mark.parametrize("text", ["", "5", "5:", "x:" + "0" * 64, "5:" + "0" * 63, "-1:" + "0" * 64])
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--head is NUMBER:HASH"):
        Kept.read(text)
