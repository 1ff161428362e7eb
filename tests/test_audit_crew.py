"""A large record is read by several processes that see the same state of it, and nothing is found less for that."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from glasstumbler.audit import Report, audit
from glasstumbler.audit_crew import Task, team
from glasstumbler.audit_entries import Finding
from glasstumbler.audit_wallets import check_wallets, look_at, names_of
from glasstumbler.engine import ledger
from glasstumbler.errors import StoreError
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteStore
from glasstumbler.store.url import reading
from tests.laboratory import Laboratory
from tests.postgres import Server


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    lab = Laboratory("btc", folder=folder)
    lab.fund(lab.bearer("whir", [500_000]))
    lab.settle()
    lab.fund(lab.bearer("whir", [500_000], hours=3))
    lab.close()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten entries are many."""
    monkeypatch.setattr("glasstumbler.audit.RANGE", 10)


def run(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "record.db", isolation_level=None)) as connection:
        connection.execute(statement)


def told(report: Report) -> tuple[list[str], bool, int, int, int, str]:
    """A gap across the border of two parts is told of in two lines, and its end may not be named as a wrong hash.
    Twenty lines are told at most, so the first are compared."""
    lines = [str(error) for error in report.differences]
    others = [line for line in lines if "are missing" not in line and "its hash" not in line]
    return others[:10], len(others) < len(lines), report.entries, report.orders, report.coins, report.head


CHANGES = (
    "UPDATE entry SET hash = zeroblob(32) WHERE number IN (1, 10, 11, 20)",
    "DELETE FROM entry WHERE number IN (10, 11, 12)",
    "DELETE FROM entry WHERE number BETWEEN 8 AND 33",
    "DELETE FROM entry WHERE number = 30",
    "UPDATE orders SET state = 'failed' WHERE number = 1",
    "DELETE FROM coin WHERE number = 3",
    "UPDATE counter SET value = value + 1 WHERE name = 'coin'",
)


def test_several_processes_find_what_one_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, raw = folder / "record.db", (folder / "record.db").read_bytes()
    for statement in ("SELECT 1", *CHANGES):
        path.write_bytes(raw)
        run(folder, statement)
        monkeypatch.undo()
        alone = audit(folder)
        monkeypatch.setattr("glasstumbler.audit.RANGE", 10)
        together = audit(folder)
        assert told(alone) == told(together), statement
        assert alone.clean == (statement == "SELECT 1")


CHAIN_CHANGES = (
    "SELECT 1",
    "DELETE FROM payment",
    "UPDATE payment SET txid = 'ab' || txid, doc = CAST(replace(doc, '\"txid\":\"', '\"txid\":\"ab') AS BLOB)",
    "UPDATE coin SET spent_by = NULL, doc = CAST(replace(doc, '\"spent_by\":', '\"spent\":') AS BLOB)",
    "DELETE FROM coin WHERE spent_by IS NULL",
    "DELETE FROM watch WHERE branch = 'change'",
    "UPDATE orders SET doc = CAST(replace(doc, '\"amount\":', '\"amount\":1') AS BLOB)",
    "UPDATE block SET hash = 'ab' WHERE height = (SELECT max(height) - 1 FROM block)",
)


@pytest.mark.parametrize("statement", CHAIN_CHANGES)
def test_a_chain_read_in_stretches_shows_what_one_stretch_shows(folder: Path, statement: str) -> None:
    """Whatever falls into which of them: what one spends may be what another shows."""
    run(folder, statement)
    source = folder / "chains" / "btc.blocks"
    with reading(folder / "record.db") as records:
        names, _ = names_of(records, "btc", source)

        def told_in(size: int) -> tuple[set[str], set[int]]:
            found, mined, shown = list[Finding](), set[int](), []
            for first in range(0, len(names), size):
                stretch = names[max(first - 1, 0) : first + size]
                more, numbers, what = look_at(records, "btc", source, first, stretch, None)
                shown.append(what)
                found += more
                mined |= numbers
            more, numbers = check_wallets(records, "btc", source, (-1, ""), shown)
            return {each.text for each in [*found, *more]}, mined | numbers

        whole = told_in(len(names))
        assert bool(whole[0]) == (statement != "SELECT 1") and bool(whole[1]) == (" payment" not in statement)
        assert all(told_in(size) == whole for size in (1, 2, 7, len(names) - 1))


def test_all_see_the_same_state_while_entries_are_added(folder: Path, in_parts: None) -> None:
    store, stop = SqliteStore(folder / "record.db"), threading.Event()

    def unit(records: Records) -> None:
        records.set_meta("count", str(records.head()[0]))
        records.append(ledger.Entry("count", 1, ledger.LAB))

    def write() -> None:
        while not stop.wait(0.005):
            store.write(unit)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        before = store.read(lambda records: records.head()[0])
        report = audit(folder)
    finally:
        stop.set()
        thread.join()
        store.close()
    assert report.clean, report.lines()
    assert report.entries > before


@pytest.mark.parametrize("size", [1, 3])
def test_there_may_be_more_or_fewer_of_them(
    folder: Path, in_parts: None, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """As many as the machine has cores for: each takes what is left to do."""
    monkeypatch.setattr("glasstumbler.audit.TEAM", size)
    monkeypatch.setattr("glasstumbler.audit_crew.TEAM", size)
    assert audit(folder).clean
    run(folder, "UPDATE coin SET height = height + 1 WHERE number = 1")
    assert any("coin 1 " in line for line in audit(folder).lines())


def die(records: Records) -> None:
    """As the system ends a process when the disk under a mapped file cannot be read."""
    os.kill(os.getpid(), signal.SIGBUS)


def test_a_helper_that_dies_is_one_clear_line(folder: Path) -> None:
    with team(folder / "record.db", lambda: None) as found:
        assert found is not None
        _, crew = found
        with pytest.raises(StoreError, match=r"a process of the audit has died; .* is the disk sound") as refused:
            list(crew.run([Task(die, ())]))
    assert "\n" not in str(refused.value)


def test_what_a_helper_cannot_read_is_one_clear_line(folder: Path, in_parts: None) -> None:
    run(folder, "UPDATE orders SET id = CAST(x'ff' AS TEXT) WHERE number = 1")
    with pytest.raises(StoreError, match="cannot read the store") as refused:
        audit(folder)
    assert "\n" not in str(refused.value)


def test_two_processes_read_a_record_in_postgresql(tmp_path: Path, postgres_server: Server, in_parts: None) -> None:
    store = postgres_server.database()
    lab = Laboratory("btc", folder=tmp_path, store=store)
    lab.fund(lab.bearer("whir", [500_000]))
    lab.settle()
    lab.close()
    report = audit(tmp_path, store=store)
    assert report.clean, report.lines()
    assert report.payments and report.chains == ("btc",)
