"""Processes that die or stand still while they hold something that the others need."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from glasstumbler.errors import StoreError
from glasstumbler.store.postgres import PostgresStore
from tests.postgres import run
from tests.store.contract import add_code, check_record

SOON = 20
"""Seconds in which a process that stands still must have lost what it held. It is about ten; a busy machine is slow."""
HOLDER = """
import sys, time
from glasstumbler.store.url import open_store
store = open_store(sys.argv[1])
with store.hold("pay", wait=True) as held:
    print(held, flush=True)
    sys.stdin.readline()
print("given up", flush=True)
"""
WRITER = """
import sys
from glasstumbler.store.url import open_store
from tests.store.contract import add_code
store = open_store(sys.argv[1])
def unit(records):
    number = add_code("stopped")(records)
    add_code("at once")(records)  # several rows go to the server in another way than one
    records.flush()
    print("in the middle", flush=True)
    sys.stdin.readline()
    return number
print(store.write(unit), flush=True)
store.close()
"""


@contextmanager
def process(script: str, place: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, place]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    ) as made:  # fmt: skip
        try:
            yield made
        finally:
            made.kill()


def says(process_: subprocess.Popen[str]) -> str:
    assert process_.stdout is not None
    return process_.stdout.readline().strip()


def go_on(process_: subprocess.Popen[str]) -> None:
    process_.send_signal(signal.SIGCONT)
    assert process_.stdin is not None
    process_.stdin.write("\n")
    process_.stdin.flush()


def test_a_process_that_stands_still_in_its_transaction_blocks_nobody_for_long(
    store: PostgresStore, place: str
) -> None:
    """The server ends its transaction; when it goes on, its unit is run again on what the others have written."""
    store.write(add_code("first"))
    with process(WRITER, place) as stopped:
        assert says(stopped) == "in the middle"
        stopped.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert store.write(add_code("not blocked")) == 2
        assert time.monotonic() - began < SOON
        go_on(stopped)
        assert says(stopped) == "in the middle"
        go_on(stopped)
        assert says(stopped) == "3"
    assert store.read(check_record) == ["first", "not blocked", "stopped", "at once"]


def test_a_process_that_is_killed_in_its_transaction_blocks_nobody(store: PostgresStore, place: str) -> None:
    with process(WRITER, place) as killed:
        assert says(killed) == "in the middle"
        killed.kill()
        assert store.write(add_code("not blocked")) == 1
    assert store.read(check_record) == ["not blocked"]


def held(store: PostgresStore, seconds: float) -> bool:
    """Whether the task can be had within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with store.hold("pay") as mine:
            if mine:
                return True
        time.sleep(0.1)
    return False


def test_the_task_of_a_killed_process_is_free_at_once(store: PostgresStore, place: str) -> None:
    with process(HOLDER, place) as holder:
        assert says(holder) == "True"
        assert not held(store, 0.3)
        holder.kill()
        with store.hold("pay", wait=True) as mine:
            assert mine


def test_the_task_of_a_stopped_process_is_lost_and_it_learns_so(store: PostgresStore, place: str) -> None:
    with process(HOLDER, place) as holder:
        assert says(holder) == "True"
        holder.send_signal(signal.SIGSTOP)
        assert held(store, SOON)
        go_on(holder)
        assert holder.wait(30) != 0
        assert holder.stderr is not None
        assert "StoreError: the task 'pay' was lost on the way" in holder.stderr.read()


def test_a_long_task_is_kept_while_its_process_lives(store: PostgresStore, place: str) -> None:
    """Its transaction must not look idle to the server, however long the work takes."""
    with process(HOLDER, place) as holder:
        assert says(holder) == "True"
        run(place, "SELECT pg_sleep(9.5)")
        assert not held(store, 0.2)
        go_on(holder)
        assert says(holder) == "given up"


def test_a_task_that_was_lost_is_told_at_the_end(store: PostgresStore, place: str) -> None:
    """And the work of a block that failed by itself is not hidden by it."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    with pytest.raises(StoreError, match="the task 'pay' was lost on the way"), store.hold("pay"):
        run(place, end)
    with pytest.raises(ValueError, match="no"), store.hold("pay"):
        run(place, end)
        raise ValueError("no")
    with store.hold("pay") as mine:
        assert mine


def test_closing_ends_the_wait_for_a_task(place: str) -> None:
    first, second = PostgresStore(place), PostgresStore(place)

    def wait() -> None:
        with second.hold("pay", wait=True):
            pass

    with first.hold("pay"), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        time.sleep(0.3)
        second.close()
        with pytest.raises(StoreError, match="the store is closed"):
            waiting.result(10)
    first.close()
