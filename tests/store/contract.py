"""What every store promises, whatever database stands behind it: a class for each inherits these tests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from glasstumbler import log
from glasstumbler.engine import ledger
from glasstumbler.engine.ledger import Entry
from glasstumbler.errors import GlassTumblerError, RecordError, StoreError
from glasstumbler.store import migrations
from glasstumbler.store.base import Store
from glasstumbler.store.records import Code, Records
from glasstumbler.store.url import open_store, reading

WRITER = """
import sys
from glasstumbler.store.url import open_store
from tests.store.contract import add_code
store = open_store(sys.argv[1])
for turn in range(int(sys.argv[2])):
    print(store.write(add_code(f"{sys.argv[3]}-{turn}")), flush=True)
store.close()
"""


def add_code(name: str) -> Callable[[Records], int]:
    """A unit of work like those of the house: a number, a document and the entry that names it."""

    def unit(records: Records) -> int:
        number = records.next("code")
        records.put_code(Code(number, "bestmixer", name))
        records.append(Entry("code", number, "bestmixer", detail={"code": name}))
        return number

    return unit


def check_record(records: Records) -> list[str]:
    """Walk the chain of entries and hold the documents against it; the codes' names by number."""
    previous, last, named = ledger.GENESIS_HASH, 0, {}
    for number, raw, link in records.entries():
        assert number == last + 1, "numbers without a gap"
        assert link == ledger.link(previous, number, raw)
        previous, last = link, number
        named.update({(table, key): digest for table, key, digest in ledger.read(raw).docs})
    assert records.head() == (last, previous)
    codes = list(records.all_codes())
    stored = {("code", str(code.number)): ledger.digest(msgspec.json.encode(code)) for code in codes}
    facts = records.rows("SELECT key, value FROM meta")
    stored |= {("meta", key): ledger.digest(value.encode()) for key, value in facts}
    assert named == stored, "a document without its entry, or the other way round"
    return [code.code for code in codes]


def add_version(patch: pytest.MonkeyPatch, statements: str) -> None:
    """A program that knows one more version of the schema than this one."""
    known = migrations.scripts
    patch.setattr(migrations, "scripts", lambda database: (*known(database), (known(database)[-1][0] + 1, statements)))


class StoreContract:
    """A class for a store gives the fixture `place`: the address of a new record for each test."""

    @pytest.fixture
    def store(self, place: str) -> Iterator[Store]:
        made = open_store(place)
        yield made
        made.close()

    def writer(self, place: str, count: int, name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, place, str(count), name]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])

    # -- one writer -------------------------------------------------------------------------------------------------

    def test_a_new_record_is_empty(self, store: Store) -> None:
        assert store.read(lambda records: records.head()) == (0, ledger.GENESIS_HASH)
        assert store.read(check_record) == []

    def test_what_was_acknowledged_is_read_at_once(self, store: Store) -> None:
        for number in range(1, 6):
            assert store.write(add_code(f"c{number}")) == number
            assert len(store.read(check_record)) == number

    def test_a_result_comes_only_after_the_commit(self, store: Store, place: str) -> None:
        """While a unit runs, nobody else sees what it wrote; when its result is out, everybody does."""
        wrote, go_on = threading.Event(), threading.Event()

        def slow(records: Records) -> None:
            add_code("slow")(records)
            records.flush()
            wrote.set()
            assert go_on.wait(10)

        with ThreadPoolExecutor(1) as threads:
            result = threads.submit(store.write, slow)
            assert wrote.wait(10)
            assert store.read(check_record) == []
            assert not result.done()
            go_on.set()
            result.result(10)
        other = open_store(place)
        assert other.read(check_record) == ["slow"]
        other.close()

    @pytest.mark.parametrize("postings", [[("coins", "btc", 1)], [("coins", "btc", 1), ("order:1", "ltc", -1)]])
    def test_an_entry_out_of_balance_changes_nothing(self, store: Store, postings: list) -> None:
        def unit(records: Records) -> None:
            records.put_code(Code(records.next("code"), "bestmixer", "x"))
            records.append(Entry("x", 0, "bestmixer", postings=[ledger.Posting(*posting) for posting in postings]))

        with pytest.raises(RecordError, match="out of balance"):
            store.write(unit)
        assert store.write(add_code("next")) == 1, "the number is free again"
        assert store.read(check_record) == ["next"]

    def test_documents_without_an_entry_fail(self, store: Store) -> None:
        with pytest.raises(RecordError, match="outside the record"):
            store.write(lambda records: records.put_code(Code(records.next("code"), "bestmixer", "silent")))
        assert store.read(check_record) == []

    def test_reading_cannot_write(self, store: Store) -> None:
        def unit(records: Records) -> None:
            add_code("x")(records)
            records.flush()

        with pytest.raises(StoreError, match=r"(?i)read-?only"):
            store.read(unit)
        assert store.read(check_record) == []

    def test_the_event_loop_reads_what_was_acknowledged(self, store: Store) -> None:
        async def ask() -> list[list[str]]:
            await asyncio.gather(*(store.write_soon(add_code(f"c{turn}")) for turn in range(3)))
            return await asyncio.gather(*(store.read_soon(check_record) for _ in range(20)))

        assert asyncio.run(ask()) == [["c0", "c1", "c2"]] * 20

    def test_a_snapshot_stands_still(self, store: Store) -> None:
        store.write(add_code("before"))
        with store.snapshot() as records:
            assert check_record(records) == ["before"]
            store.write(add_code("after"))
            assert check_record(records) == ["before"]
        assert store.read(check_record) == ["before", "after"]

    # -- many writers -----------------------------------------------------------------------------------------------

    def test_threads_and_the_event_loop_together(self, store: Store) -> None:
        def fail(records: Records) -> int:
            add_code("never")(records)
            raise GlassTumblerError("no")

        async def ask() -> list[object]:
            units = [fail if turn % 5 == 0 else add_code(f"loop-{turn}") for turn in range(60)]
            return list(await asyncio.gather(*map(store.write_soon, units), return_exceptions=True))

        def run(thread: int) -> list[int]:
            return [store.write(add_code(f"{thread}-{turn}")) for turn in range(20)]

        with ThreadPoolExecutor(4) as threads:
            begun = [threads.submit(run, thread) for thread in range(4)]
            looped = asyncio.run(ask())
            numbers = [number for part in begun for number in part.result(30)]
        failed = [result for result in looped if isinstance(result, GlassTumblerError)]
        numbers += [result for result in looped if isinstance(result, int)]
        assert len(failed) == 12
        assert sorted(numbers) == list(range(1, 129))
        kept = set(store.read(check_record))
        assert len(kept) == 128 and "never" not in kept

    def test_two_processes_share_one_record(self, store: Store, place: str) -> None:
        begun = [self.writer(place, 40, name) for name in "ab"]
        mine = [store.write(add_code(f"c-{turn}")) for turn in range(40)]
        theirs = [process.communicate(timeout=60)[0].split() for process in begun]
        assert [process.returncode for process in begun] == [0, 0]
        assert sorted([*mine, *(int(number) for part in theirs for number in part)]) == list(range(1, 121))
        assert len(set(store.read(check_record))) == 120

    # -- tasks ------------------------------------------------------------------------------------------------------

    def test_a_task_is_held_by_one(self, store: Store) -> None:
        with ThreadPoolExecutor(1) as threads:

            def other(name: str) -> bool:
                with store.hold(name) as held:
                    return held

            with store.hold("pay") as mine:
                assert mine
                assert not threads.submit(other, "pay").result(10)
                assert threads.submit(other, "watch btc").result(10), "another task is free"
            assert threads.submit(other, "pay").result(10)

    def test_a_task_is_waited_for(self, store: Store) -> None:
        """Whoever waits gets it only after the other's block has ended; twenty turns by four lose none."""
        turns = []

        def take(_: int) -> bool:
            with store.hold("pay", wait=True) as held:
                before = len(turns)
                turns.append(before)
                return held and turns[-1] == before == len(turns) - 1

        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(take, range(20)))
        assert turns == list(range(20))

    def test_a_task_is_given_up_after_an_error(self, store: Store) -> None:
        for _ in range(2):
            with pytest.raises(ValueError, match="no"), store.hold("pay") as held:
                assert held
                raise ValueError("no")

    # -- ends and beginnings ----------------------------------------------------------------------------------------

    def test_the_chain_goes_on_after_reopening(self, place: str) -> None:
        for turn in range(3):
            store = open_store(place)
            assert store.write(add_code(f"c{turn}")) == turn + 1
            store.close()
        store = open_store(place)
        assert store.read(check_record) == ["c0", "c1", "c2"]
        store.close()

    def test_closing_finishes_what_was_put_in(self, place: str) -> None:
        store = open_store(place)

        async def ask() -> list[asyncio.Future[int]]:
            begun = [store.write_soon(add_code(f"c{turn}")) for turn in range(50)]
            await asyncio.sleep(0)  # the round is handed over
            return begun

        asyncio.run(ask())
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.write(add_code("late"))
        again = open_store(place)
        assert len(again.read(check_record)) == 50
        again.close()

    @pytest.mark.parametrize("acknowledged", [1, 7, 40])
    def test_a_writer_that_is_killed_keeps_what_it_acknowledged(self, place: str, acknowledged: int) -> None:
        process = self.writer(place, 100_000, "k")
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(acknowledged)]
        process.kill()
        said += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line[-1] == "\n"]
        process.wait(30)
        process.stdout.close()
        store = open_store(place)
        kept = store.read(check_record)
        assert said == list(range(1, len(said) + 1))
        assert len(said) <= len(kept) <= len(said) + 1, "at most one unit was on its way"
        assert store.write(add_code("after")) == len(kept) + 1
        store.close()

    # -- versions ---------------------------------------------------------------------------------------------------

    def test_processes_that_begin_a_record_together_make_one(self, place: str) -> None:
        begun = [self.writer(place, 3, name) for name in "abc"]
        theirs = [process.communicate(timeout=60)[0].split() for process in begun]
        assert [process.returncode for process in begun] == [0, 0, 0]
        assert sorted(int(number) for part in theirs for number in part) == list(range(1, 10))

    def test_a_record_of_the_first_version_is_brought_up(self, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            known = migrations.scripts
            patch.setattr(migrations, "scripts", lambda database: known(database)[:1])
            store = open_store(place)
            store.write(add_code("old"))
            store.close()
        with pytest.raises(StoreError, match=r"has version 1, this program reads \d+: open it once"), reading(place):
            pass
        store = open_store(place)
        assert store.write(add_code("new")) == 2
        assert store.read(check_record) == ["old", "new"]
        store.close()

    def test_a_record_with_data_is_brought_up(
        self, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Everything in it stays, the operator is told, and the program that was there before refuses it."""
        log.reset()
        store = open_store(place)
        store.write(add_code("before"))
        store.close()
        with monkeypatch.context() as patch:
            add_version(patch, "ALTER TABLE account ADD COLUMN note TEXT; CREATE TABLE more (number BIGINT)")
            for _ in range(2):  # the second time there is nothing to do
                store = open_store(place)
                assert store.read(check_record)[:1] == ["before"]
                assert list(store.read(lambda records: list(records.rows("SELECT note FROM account")))) == []
                store.write(add_code(f"after {len(store.read(check_record))}"))
                store.close()
        told = capsys.readouterr()
        assert (told.out + told.err).count("no way back but a backup") == 1
        with pytest.raises(StoreError, match=r"has version \d+, this program knows \d+: use a newer program"):
            open_store(place)
        with (
            pytest.raises(StoreError, match=r"has version \d+, this program reads \d+: use a newer program"),
            reading(place),
        ):
            pass

    def test_a_change_of_the_schema_that_fails_leaves_all_as_it_was(
        self, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(place)
        store.write(add_code("before"))
        store.close()
        with monkeypatch.context() as patch:
            add_version(patch, "CREATE TABLE more (number BIGINT); DROP TABLE account; SELECT x FROM nowhere")
            with pytest.raises(StoreError, match=r"cannot prepare the store .*nowhere"):
                open_store(place)
            with (
                pytest.raises(StoreError, match=r"has version \d+, this program reads \d+: open it once"),
                reading(place),
            ):
                pass
        store = open_store(place)
        assert store.read(check_record) == ["before"]
        assert store.read(lambda records: records.keys()) == []
        store.close()

    # -- whose record it is -----------------------------------------------------------------------------------------

    def test_a_record_belongs_to_one_laboratory(self, place: str) -> None:
        """The first that opens it; one that asks for none, such as a record's file that is looked at, is let in."""
        for owner in ("ours", "ours", ""):
            open_store(place, owner).close()
        with pytest.raises(StoreError, match="belongs to another laboratory"):
            open_store(place, "theirs")
        with pytest.raises(StoreError, match="belongs to another laboratory"), reading(place, "theirs"):
            pass
        with reading(place, "ours") as records:
            assert records.head()[0] == 1, "it is written down once"
