"""A backup is a folder that goes on: made while orders flow, audited, restored, and every order finishes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from glasstumbler.audit import audit
from glasstumbler.backup import back_up, restore
from glasstumbler.clock import VirtualClock
from glasstumbler.engine.order import State
from glasstumbler.errors import StoreError
from glasstumbler.house import House
from glasstumbler.vault import Vault
from tests.laboratory import Laboratory
from tests.postgres import Server

SECRET = b"x" * 32
"""As the laboratory of the tests has it."""


def write_secret(folder: Path) -> None:
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)


def opened(folder: Path) -> Laboratory:
    folder.mkdir(exist_ok=True)
    write_secret(folder)
    return Laboratory("btc", "xmr", "lightning", folder=folder)


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with orders that are open, funded and done, and a mempool that is not empty."""
    folder = tmp_path_factory.mktemp("lived in")
    lab = opened(folder)
    for order in (lab.bearer("whir", [500_000]), lab.swap(5_000_000), lab.swap_lightning(20_000)):
        lab.fund(order)
    lab.fund(lab.bearer("whir", [500_000], hours=3))
    lab.pay(lab.bearer("coinjoin", [500_000]))
    (folder / "glasstumbler.toml").write_text("[whir]\nfee_ppm = 30000\n")
    lab.close()
    return folder


@pytest.fixture(scope="module")
def whole(lived_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("backups") / "whole"
    back_up(lived_in, out)
    return out


@pytest.fixture
def backup(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "backup"))


def finishes(folder: Path) -> None:
    """The folder is served again, and every order that was funded is paid."""
    lab = opened(folder)
    try:
        lab.settle()
        lab.house.advance(4 * 3600)
        lab.settle()
        lab.settle()
        lab.check()
        funded = [order for order in lab.orders() if order.credited or order.funded]
        assert funded and {order.state for order in funded} == {State.COMPLETED}, [order.state for order in funded]
    finally:
        lab.close()


def test_a_backup_holds_what_a_folder_needs_and_no_more(whole: Path) -> None:
    names = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    chains = {"chains/btc.blocks", "chains/xmr.blocks", "chains/lightning.sqlite"}
    assert names == {"record.db", "secret", "glasstumbler.toml", "manifest.json", *chains}
    assert (whole / "secret").stat().st_mode & 0o777 == 0o600
    assert whole.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in whole.parent.iterdir()] == ["whole"], "something is left beside it"


def test_the_manifest_names_the_last_entry(lived_in: Path, whole: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text())
    report = audit(lived_in)
    assert manifest["head"] == [report.entries, report.head]


def test_a_chain_without_a_block_of_its_own_is_backed_up(tmp_path: Path) -> None:
    """A laboratory that has just begun: nobody has mined Monero yet."""
    folder = tmp_path / "new"
    folder.mkdir()
    write_secret(folder)
    house = House(folder, Vault(SECRET), VirtualClock(), tables={"lab": {"chains": ["btc", "xmr"]}})
    house.start()
    assert house.chains["xmr"].tip()[0] == 0
    back_up(folder, tmp_path / "copy")
    house.close()
    restore(tmp_path / "copy", tmp_path / "again")
    assert audit(tmp_path / "again").clean


def test_a_restored_folder_goes_on(backup: Path, tmp_path: Path) -> None:
    restore(backup, tmp_path / "again")
    assert (tmp_path / "again" / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "again" / "glasstumbler.toml").exists()
    finishes(tmp_path / "again")


def test_a_backup_can_be_one_file(lived_in: Path, tmp_path: Path) -> None:
    done = back_up(lived_in, tmp_path / "one.tar")
    assert (tmp_path / "one.tar").stat().st_mode & 0o777 == 0o600
    assert restore(tmp_path / "one.tar", tmp_path / "again").manifest == done.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "one.tar"]
    assert audit(tmp_path / "again").clean


def test_a_backup_is_made_while_orders_flow(tmp_path: Path) -> None:
    """Each copy adds up, and its chains end where its record does; each goes on by itself to the end."""
    lab = opened(tmp_path / "busy")
    begun, stop, trouble = threading.Event(), threading.Event(), list[BaseException]()

    def live() -> None:
        reorganisations = 3
        try:
            while not stop.is_set():
                for order in (lab.bearer("whir", [500_000]), lab.swap(5_000_000), lab.swap_lightning(20_000)):
                    lab.fund(order)
                begun.set()
                if reorganisations:
                    lab.reorg("btc", 2)
                    reorganisations -= 1
                lab.settle()
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        assert begun.wait(60)
        for number in range(4):
            done = back_up(tmp_path / "busy", tmp_path / f"copy {number}")
            assert done.report.clean
            assert_in_step(tmp_path / f"copy {number}")
    finally:
        stop.set()
        thread.join()
        lab.close()
    assert not trouble
    for number in (0, 3):
        restore(tmp_path / f"copy {number}", tmp_path / f"again {number}")
        finishes(tmp_path / f"again {number}")


def assert_in_step(copy: Path) -> None:
    with closing(sqlite3.connect(copy / "record.db")) as record:
        cursors = record.execute("SELECT coin, max(height), hash FROM block GROUP BY coin").fetchall()
    assert cursors
    for coin, height, block_hash in cursors:
        with closing(sqlite3.connect(copy / "chains" / f"{coin}.blocks")) as chain:
            tip = chain.execute("SELECT max(height), hash FROM active").fetchone()
            assert tip == (height, block_hash)


# -- what is wrong ------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of the record": (lambda folder: flip(folder / "record.db"), "record.db is not as it was written"),
    "a byte of a chain": (lambda folder: flip(folder / "chains" / "btc.blocks"), "btc.blocks is not as it was written"),
    "a file gone": (lambda folder: (folder / "chains" / "xmr.blocks").unlink(), "xmr.blocks is missing"),
    "a file too many": (lambda folder: (folder / "more").touch(), "more is not of it"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "is no backup of Glass Tumbler"),
    "a manifest cut off": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is damaged"),
    "no files named": (lambda folder: rewrite(folder / "manifest.json", files=7), "manifest.json is damaged"),
    "a newer format": (lambda folder: rewrite(folder / "manifest.json", format=2), "use a newer program"),
    "another head": (lambda folder: rewrite(folder / "manifest.json", head=[5, "ab" * 32]), "hash that was kept"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_backup_is_refused(backup: Path, tmp_path: Path, what: str) -> None:
    damage, expected = DAMAGE[what]
    damage(backup)
    with pytest.raises(StoreError, match=expected) as refused:
        restore(backup, tmp_path / "again")
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["backup"], "half a restore is left"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.tar").write_bytes(b"nothing of the kind" * 99)
    with pytest.raises(StoreError, match="no backup, or a damaged one"):
        restore(tmp_path / "one.tar", tmp_path / "again")


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/elsewhere", "chains/link"])
def test_an_archive_with_anything_but_files_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        if "link" in name:
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(member)
    with pytest.raises(StoreError, match="none of a backup's files"):
        restore(tmp_path / "one.tar", tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["one.tar"]


def test_a_folder_that_is_not_empty_is_not_restored_into(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine").touch()
    with pytest.raises(StoreError, match="is not empty"):
        restore(backup, tmp_path / "again")
    (tmp_path / "again" / "mine").unlink()
    restore(backup, tmp_path / "again")


def test_nothing_is_overwritten(lived_in: Path, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(StoreError, match="exists already"):
        back_up(lived_in, tmp_path / "there")


def test_a_folder_that_is_none_has_no_backup(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no folder of Glass Tumbler"):
        back_up(tmp_path, tmp_path / "out")
    write_secret(tmp_path)
    with pytest.raises(StoreError, match="cannot write into"):
        back_up(tmp_path, tmp_path / "no" / "where")


def test_a_record_that_does_not_add_up_is_not_backed_up(lived_in: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lived_in, tmp_path / "changed"))
    with closing(sqlite3.connect(folder / "record.db", isolation_level=None)) as connection:
        connection.execute("UPDATE orders SET state = 'failed' WHERE number = 1")
    with pytest.raises(StoreError, match="no backup was made"):
        back_up(folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["changed"]


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from glasstumbler.cli import main
sys.argv = ["glasstumbler", "backup", "--data", sys.argv[1], "--out", sys.argv[2]]
main()
"""


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(lived_in: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(lived_in), str(tmp_path / "out")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert done.stderr.startswith("glasstumbler: cannot ")
    assert not list(tmp_path.iterdir())


# -- PostgreSQL ---------------------------------------------------------------------------------------------------


@pytest.fixture
def database(postgres_server: Server) -> str:
    return postgres_server.database()


def test_a_record_moves_to_postgresql_and_back(whole: Path, tmp_path: Path, database: str) -> None:
    """The same portable backup: restored into a database, backed up from there, restored into a file."""
    first = restore(whole, tmp_path / "there", database)
    assert not (tmp_path / "there" / "record.db").exists()
    assert audit(tmp_path / "there", store=database).head == first.report.head
    with pytest.raises(StoreError, match="is not empty"):
        restore(whole, tmp_path / "twice", database)
    assert not (tmp_path / "twice").exists()
    again = back_up(tmp_path / "there", tmp_path / "out", database)
    assert again.manifest.head == first.manifest.head
    restore(tmp_path / "out", tmp_path / "back")
    finishes(tmp_path / "back")
