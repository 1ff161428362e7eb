"""The audit finds what it is for: every kind of tampering and damage, with the entry's number where one is known."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from shutil import copytree

import pytest

from glasstumbler.audit import Report, audit
from glasstumbler.audit_entries import MOST
from glasstumbler.audit_house import audit_house
from glasstumbler.engine import ledger
from glasstumbler.errors import StoreError
from glasstumbler.store.records import Records
from glasstumbler.store.sqlite import SqliteStore
from tests.laboratory import Laboratory


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with orders of every kind and stage."""
    folder = tmp_path_factory.mktemp("finished")
    lab = Laboratory("btc", "eth", "xmr", "lightning", folder=folder)
    for order in (
        lab.bearer("btcmix", [400_000, 600_000], ref="FRIEND1"),
        lab.codes("btc", (500, 500)),
        lab.codes("eth"),
        lab.swap(5_000_000),
        lab.swap_lightning(20_000),
    ):
        lab.fund(order)
    lab.settle()
    lab.fund(lab.bearer("whir", [500_000], hours=3))
    lab.pay(lab.bearer("coinjoin", [500_000]))
    lab.fund(lab.bearer("coinjoin", [500_000]), 200_000)
    lab.check()
    lab.close()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(copytree(finished, tmp_path / "copy"))


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def record(folder: Path, *statements: str) -> Report:
    """The audit after these statements on the record."""
    run(folder / "record.db", *statements)
    return audit(folder)


def test_a_folder_is_whole(folder: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    report = audit(folder, lambda *stage: stages.append(stage))
    assert report.clean, report.lines()
    assert (report.orders, report.chains) == (8, ("btc", "eth", "xmr"))
    assert report.entries > 80 and report.coins >= 50 and report.payments == 7
    assert stages[0] == ("entries", 0, report.entries) and ("entries", report.entries, report.entries) in stages
    assert stages[-1] == ("documents and wallets", 12, 12)
    assert report.lines()[0].startswith("the record is whole: ")


TAMPERING = {
    "an entry's amount": (
        "UPDATE entry SET body = CAST(replace(body, '\"float\"', '\"float \"') AS BLOB) WHERE number = 20",
        "entry 20: its hash does not follow",
    ),
    "an entry that is no entry": (
        "UPDATE entry SET body = x'00' WHERE number = 20",
        "entry 20: its hash does not follow",
    ),
    "an entry's column": (
        "UPDATE entry SET service = 'whir' WHERE number = (SELECT min(number) FROM entry WHERE service = 'btcmix')",
        "its columns say",
    ),
    "an entry taken out": ("DELETE FROM entry WHERE number = 20", "entry 21: entries 20 to 20 are missing"),
    "entries cut off at the end": (
        "DELETE FROM entry WHERE number > (SELECT max(number) - 3 FROM entry)",
        "was changed after this entry",
    ),
    "an order's document": (
        'UPDATE orders SET doc = CAST(replace(doc, \'"coin":"btc"\', \'"coin": "btc"\') AS BLOB) WHERE number = 1',
        "order 1 was changed after this entry",
    ),
    "an order's state, in its column only": (
        "UPDATE orders SET state = 'failed' WHERE number = 1",
        "the columns of order 1 differ",
    ),
    "when an order wakes": ("UPDATE orders SET wake = 5 WHERE state = 'waiting'", "differ from the document"),
    "an order that does not parse": ("UPDATE orders SET doc = '{}' WHERE number = 1", "order 1 does not parse"),
    "an order deleted": ("DELETE FROM orders WHERE number = 8", "order 8 is missing"),
    "an order deleted that was paid": ("DELETE FROM orders WHERE number = 1", "order 1 is missing"),
    "a payment deleted": ("DELETE FROM payment WHERE number = 1", "payment 1 is missing"),
    "a coin that does not parse": ("UPDATE coin SET doc = 7 WHERE number = 1", "coin 1 does not parse"),
    "a deposit that does not parse": ("UPDATE deposit SET doc = '[]'", "does not parse"),
    "a hash that is none": ("UPDATE entry SET hash = x'77' WHERE number = 20", "entry 20: its hash"),
    "a deposit deleted": ("DELETE FROM deposit WHERE order_number = 2", "is missing"),
    "a payment's output": (
        "UPDATE payment SET doc = CAST(replace(doc, '\"vout\":0', '\"vout\":1') AS BLOB) WHERE number = 1",
        "payment 1 was changed after this entry",
    ),
    "a coin that was spent is made to be there": (
        "UPDATE coin SET spent_by = NULL WHERE spent_by IS NOT NULL",
        "differ from the document",
    ),
    "a coin out of nothing": (
        "INSERT INTO coin SELECT 9999, service, coin, 'ab', 7, height, NULL, "
        "CAST(replace(replace(doc, txid, 'ab'), '\"number\":' || number, '\"number\":9999') AS BLOB) "
        "FROM coin WHERE number = 1",
        "coin 9999 stands in no entry",
    ),
    "a key that is watched": ("UPDATE watch SET service = 'whir' WHERE service = 'btcmix'", "was changed after"),
    "an API key unblocked or blocked": ("UPDATE account SET blocked = 1", "was changed after this entry"),
    "a code's volume": (
        "UPDATE code SET doc = CAST(replace(doc, '\"number\"', ' \"number\"') AS BLOB)",
        "was changed after",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_found(folder: Path, what: str) -> None:
    statement, expected = TAMPERING[what]
    report = record(folder, statement)
    assert not report.clean
    assert any(expected in line for line in report.lines()), report.lines()
    assert len(report.differences) <= MOST


def test_a_difference_carries_the_number_of_the_last_entry_that_speaks_of_it(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "record.db")) as connection:
        entries = connection.execute("SELECT number, body FROM entry").fetchall()
    last = max(number for number, body in entries if ["order", "1"] in [d[:2] for d in _docs(body)])
    report = record(folder, "UPDATE orders SET doc = CAST(doc || ' ' AS BLOB) WHERE number = 1")
    assert [error.number for error in report.differences] == [last]


def _docs(body: bytes) -> list[list[str]]:
    return [list(doc) for doc in ledger.read(body).docs]


def rewritten(folder: Path, change: Callable[[Records], None]) -> Report:
    """The audit after a change that keeps chain and digests right: only the sums can tell."""
    store = SqliteStore(folder / "record.db")
    store.write(change)
    store.close()
    return audit(folder)


def test_a_payout_that_is_booked_but_never_made(folder: Path) -> None:
    def unit(records: Records) -> None:
        order = next(order for order in records.all_orders() if order.state == "waiting")
        postings = ledger.move("btc", (ledger.owed(order.number), 500_000), (ledger.COINS, -500_000))
        records.append(ledger.Entry("payout", 1, order.service, order.number, postings))

    lines = rewritten(folder, unit).lines()
    assert any("owes" in line and "should owe" in line for line in lines)
    assert any("coins of" in line and "in the ledger" in line for line in lines)


def test_a_debt_to_an_order_that_does_not_exist(folder: Path) -> None:
    def unit(records: Records) -> None:
        postings = ledger.move("btc", (ledger.owed(77), -5), (ledger.STRAY, 5))
        records.append(ledger.Entry("odd", 1, "whir", None, postings))

    assert any("order:77 owes 5 btc to nobody" in line for line in rewritten(folder, unit).lines())


def test_a_coin_that_is_made_larger_than_its_output(folder: Path) -> None:
    def unit(records: Records) -> None:
        coin = records.ready_coins("btcmix", "btc", 1)[0]
        coin.amount += 1
        records.save_coin(coin)
        postings = ledger.move("btc", (ledger.COINS, 1), (ledger.FLOAT, -1))
        records.append(ledger.Entry("odd", 1, "btcmix", None, postings))

    (line, _) = rewritten(folder, unit).lines()
    assert line.startswith("entry ") and "on the chain it is another" in line


def test_a_coin_that_is_forgotten(folder: Path) -> None:
    """Taken out of the books, and still there on the chain."""

    def unit(records: Records) -> None:
        coin = records.ready_coins("btcmix", "btc", 1)[0]
        coin.booked, coin.height = False, None
        records.save_coin(coin)
        postings = ledger.move("btc", (ledger.COINS, -coin.amount), (ledger.FLOAT, coin.amount))
        records.append(ledger.Entry("odd", 1, "btcmix", None, postings))

    (line, _) = rewritten(folder, unit).lines()
    assert "the record has no coin for it" in line


def test_an_account_that_is_made_richer(folder: Path) -> None:
    def unit(records: Records) -> None:
        coin = records.ready_coins("bestmixer", "eth", 1)[0]
        coin.amount += 1
        records.save_coin(coin)
        postings = ledger.move("eth", (ledger.COINS, 1), (ledger.FLOAT, -1))
        records.append(ledger.Entry("odd", 1, "bestmixer", None, postings))

    (line, _) = rewritten(folder, unit).lines()
    assert "eth account 0x" in line and "on the chain" in line


def test_a_channel_that_holds_another_amount(folder: Path) -> None:
    run(folder / "chains" / "lightning.sqlite", "UPDATE channels SET balance = balance + 1 WHERE a = 'xmrto'")
    run(folder / "chains" / "lightning.sqlite", "UPDATE channels SET balance = balance - 1 WHERE b = 'xmrto'")
    (line, _) = audit(folder).lines()
    assert "msat in channels" in line


def test_a_payment_that_pays_somebody_else(folder: Path) -> None:
    def unit(records: Records) -> None:
        order = records.order_by_number(1)
        order.outputs[0].address, order.outputs[1].address = order.outputs[1].address, order.outputs[0].address
        records.save_order(order)
        records.append(ledger.Entry("odd", 1, order.service, 1))

    lines = rewritten(folder, unit).lines()
    assert any("pays another thing than order 1 wants" in line for line in lines)


def test_a_chain_that_is_gone(folder: Path) -> None:
    (folder / "chains" / "xmr.blocks").unlink()
    (line, _) = audit(folder).lines()
    assert "whose chain is not here" in line


def test_many_differences_are_cut_short(folder: Path) -> None:
    report = record(folder, "UPDATE entry SET hash = zeroblob(32)")
    assert len(report.differences) == MOST
    assert report.differences[0].number == 1


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "there is no record"),
        (lambda path: path.write_bytes(b"nothing of the kind" * 99), "cannot read the store"),
        (lambda path: run(path, "PRAGMA user_version = 99"), "has version 99"),
    ],
)
def test_a_record_that_cannot_be_read_is_a_clear_error(
    folder: Path, damage: Callable[[Path], None], expected: str
) -> None:
    damage(folder / "record.db")
    with pytest.raises(StoreError, match=expected):
        audit(folder)


def test_the_audit_leaves_the_folder_as_it_was(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".db", ".blocks")}
    audit(folder)
    assert before == {path.name: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".db", ".blocks")}


# -- while it runs, and after a kill ------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Laboratory]:
    lab = Laboratory("btc", "xmr", folder=tmp_path)
    yield lab
    lab.close()


def test_a_running_laboratory_can_be_audited_from_outside(running: Laboratory, tmp_path: Path) -> None:
    running.fund(running.bearer("whir", [500_000]))
    assert audit(tmp_path).clean
    assert audit_house(running.house).clean


def test_the_record_may_be_behind_its_chains(running: Laboratory, tmp_path: Path) -> None:
    """Killed after a reorganisation that the record has not seen: it is compared with the blocks that it knows."""
    running.fund(running.bearer("whir", [500_000]))
    running.mine("btc", 2)
    chain = running.house.chains["btc"]
    running.house.chains["btc"].mine(1)
    assert audit(tmp_path).clean
    chain.reorg(4)
    assert audit(tmp_path).clean
    running.house.turn()
    assert audit(tmp_path).clean


BUSY = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.laboratory import Laboratory
lab = Laboratory("btc", "xmr", folder=Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for order in (lab.bearer("whir", [500_000]), lab.swap(5_000_000), lab.codes("btc", (500, 500))):
        lab.fund(order)
    lab.reorg("btc", 2)
    lab.settle()
"""


def test_a_killed_laboratory_is_whole_and_goes_on(tmp_path: Path) -> None:
    """Killed at three moments, audited as it was left, started again."""
    for round_ in range(3):
        command = [sys.executable, "-c", BUSY, str(tmp_path), str(Path(__file__).parents[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"ready"
            time.sleep(0.4 + 0.23 * round_)
            os.kill(process.pid, signal.SIGKILL)
        report = audit(tmp_path)
        assert report.clean, report.lines()
    lab = Laboratory("btc", "xmr", folder=tmp_path)
    try:
        lab.settle()
        lab.settle()
        lab.check()
        open_orders = [order for order in lab.orders() if order.credited and order.state not in ("completed",)]
        assert not open_orders
    finally:
        lab.close()
