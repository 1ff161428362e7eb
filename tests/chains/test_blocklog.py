"""The block log: nothing is lost, another process can read along, a foreign or damaged file is refused."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.errors import StoreError


def block(height: int, branch: str = "a") -> LoggedBlock:
    previous = f"{branch}{height - 1}" if height else "none"
    return LoggedBlock(height, f"{branch}{height}", previous, f"raw {branch}{height}".encode())


def chain_of(log: BlockLog) -> list[str]:
    return [b.hash for b in log.chain()]


def test_blocks_come_back_in_order(tmp_path: Path) -> None:
    log = BlockLog(tmp_path / "btc.blocks", "btc")
    assert log.height() == -1 and log.hash_at(0) is None
    log.append([block(0), block(1)])
    log.append([block(2)])
    log.close()
    log = BlockLog(tmp_path / "btc.blocks", "btc")
    assert chain_of(log) == ["a0", "a1", "a2"]
    assert [b.height for b in log.chain(first=1)] == [1, 2]
    assert log.find("a1") == block(1)
    assert log.find("a9") is None
    assert log.height() == 2 and log.count() == 3


def test_a_reorganisation_keeps_the_stale_blocks() -> None:
    log = BlockLog(None, "btc")
    log.append([block(h) for h in range(4)])
    log.append([block(h, "b") for h in (2, 3, 4)])
    assert chain_of(log) == ["a0", "a1", "b2", "b3", "b4"]
    assert log.find("a3") == block(3)
    assert log.count() == 7


def test_going_back_to_a_stale_branch_adds_nothing() -> None:
    log = BlockLog(None, "btc")
    log.append([block(h) for h in range(3)])
    log.append([block(h, "b") for h in (1, 2, 3)])
    log.append([block(h) for h in (1, 2, 3, 4)])
    assert chain_of(log) == ["a0", "a1", "a2", "a3", "a4"]
    assert log.count() == 8


def test_waiting_transactions_keep_their_order_and_leave_with_their_block() -> None:
    log = BlockLog(None, "btc")
    log.wait([("t3", b"3"), ("t1", b"1"), ("t2", b"2")])
    log.wait([("t4", b"4")], gone=["t1"])
    assert log.waiting() == [b"3", b"2", b"4"]
    log.append([block(0)], gone=["t2", "t3"])
    assert log.waiting() == [b"4"]


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    log = BlockLog(tmp_path / "log", "ltc")
    assert [log.next_number("address") for _ in range(3)] == [0, 1, 2]
    log.close()
    assert BlockLog(tmp_path / "log", "ltc").next_number("address") == 3


def test_a_reader_sees_what_the_writer_committed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = BlockLog(path, "btc")
    writer.append([block(0)])
    reader = BlockLog.read_only(path, "btc")
    assert chain_of(reader) == ["a0"]
    writer.append([block(1)])
    assert chain_of(reader) == ["a0", "a1"]
    with pytest.raises(Exception, match="readonly"):
        reader.append([block(2)])


def _write_and_hang(path: Path, ready: "multiprocessing.synchronize.Event") -> None:
    log = BlockLog(path, "btc")
    log.append([block(0), block(1)])
    log.wait([("t1", b"one")])
    ready.set()
    signal.pause()


def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_write_and_hang, args=(tmp_path / "log", ready))
    process.start()
    assert ready.wait(30) and process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    log = BlockLog(tmp_path / "log", "btc")
    assert chain_of(log) == ["a0", "a1"]
    assert log.waiting() == [b"one"]


def test_a_log_of_another_coin_is_refused(tmp_path: Path) -> None:
    BlockLog(tmp_path / "log", "btc").close()
    with pytest.raises(StoreError, match="not of ltc"):
        BlockLog(tmp_path / "log", "ltc")
    with pytest.raises(StoreError, match="not of ltc"):
        BlockLog.read_only(tmp_path / "log", "ltc")


def test_a_damaged_or_missing_log_is_reported(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"no database at all, but long enough to be read as one" * 40)
    with pytest.raises(StoreError, match="cannot be used"):
        BlockLog(tmp_path / "log", "btc")
    with pytest.raises(StoreError, match="cannot be"):
        BlockLog.read_only(tmp_path / "nothing", "btc")


def test_a_failed_write_leaves_no_trace() -> None:
    log = BlockLog(None, "btc")
    log.append([block(0), block(1)])
    with pytest.raises(Exception, match="UNIQUE"):
        log.append([block(1, "b"), block(1, "c")])
    assert chain_of(log) == ["a0", "a1"]
    assert log.count() == 2


def test_a_full_disk_is_one_clear_error_and_changes_nothing(tmp_path: Path) -> None:
    log = BlockLog(tmp_path / "btc.blocks", "btc")
    log.wait([("aa", b"a")])
    (pages,) = log._connection.execute("PRAGMA page_count").fetchone()
    log._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the block log did not take a change: database or disk is full"):
        log.wait([("bb", bytes(100_000))], ["aa"])
    assert log.waiting() == [b"a"]
    log._connection.execute("PRAGMA max_page_count = 1000000")
    log.wait([("bb", b"b")])
    assert log.waiting() == [b"a", b"b"]
    log.close()
