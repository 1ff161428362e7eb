"""The writer's groups: what units do to one another, and what they see of themselves."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.engine.ledger import Entry
from glasstumbler.errors import RecordError, StoreError
from glasstumbler.store.records import Code, Records, Watched
from glasstumbler.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "record.db")
    yield made
    made.close()


def add_code(name: str):
    def unit(records: Records) -> int:
        number = records.next("code")
        records.put_code(Code(number, "bestmixer", name))
        records.append(Entry("code", 1, "bestmixer"))
        return number

    return unit


def fail(records: Records) -> None:
    add_code("never")(records)
    raise ValueError("no")


def watch_twice(records: Records) -> None:
    for _ in range(2):
        records.watch(Watched("btc", b"key", "btcmix", "deposit", 1, "p2wpkh", 1))
    records.append(Entry("order", 1, "btcmix"))


def forget_the_entry(records: Records) -> None:
    records.put_code(Code(records.next("code"), "bestmixer", "silent"))


def together(store: SqliteStore, *units):
    async def ask():
        return await asyncio.gather(*(store.write_soon(unit) for unit in units), return_exceptions=True)

    return asyncio.run(ask())


@pytest.mark.parametrize(("unit", "error"), [(fail, ValueError), (forget_the_entry, RecordError)])
def test_a_unit_that_fails_takes_nothing_along(store: SqliteStore, unit, error) -> None:
    first, failed, second = together(store, add_code("a"), unit, add_code("b"))
    assert (first, second) == (1, 2)
    assert isinstance(failed, error)
    assert store.read(lambda records: [code.code for code in records.all_codes()]) == ["a", "b"]
    assert store.read(lambda records: records.head()[0]) == 2


def test_a_row_that_clashes_fails_its_own_unit_only(store: SqliteStore) -> None:
    first, failed, second = together(store, add_code("a"), watch_twice, add_code("b"))
    assert (first, second) == (1, 2)
    assert isinstance(failed, Exception)
    assert list(store.read(lambda records: list(records.all_watched()))) == []
    assert store.read(lambda records: records.head()[0]) == 2


def test_a_single_unit_runs_once_even_if_it_fails(store: SqliteStore) -> None:
    runs = []

    def unit(records: Records) -> None:
        runs.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.write(unit)
    assert runs == [1]


def test_a_unit_reads_what_it_has_written(store: SqliteStore) -> None:
    def unit(records: Records) -> tuple[int, int, bool]:
        add_code("a")(records)
        code = records.code("bestmixer", "a")
        assert code is not None
        code.volume["btc"] = 5
        records.put_code(code)
        records.append(Entry("code", 1, "bestmixer"))
        again = records.code("bestmixer", "a")
        return (again.volume["btc"] if again else 0, records.next("code"), records.has_order("bestmixer", "x"))

    assert store.write(unit) == (5, 2, False)


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    for wanted in ([1, 2], [3, 4]):
        store = SqliteStore(tmp_path / "record.db")
        assert [store.write(lambda records: records.next("order")) for _ in range(2)] == wanted
        store.close()


def test_what_comes_after_closing_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "record.db")

    async def ask() -> object:
        soon = store.write_soon(add_code("late"))
        store.close()
        with pytest.raises(StoreError):
            store.write_soon(add_code("later"))
        return (await asyncio.gather(soon, return_exceptions=True))[0]

    assert isinstance(asyncio.run(ask()), StoreError)
