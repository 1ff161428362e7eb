"""The writer's groups: what units do to one another, and what they see of themselves."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.engine.ledger import Entry
from glasstumbler.errors import RecordError, StoreError
from glasstumbler.store.base import Store
from glasstumbler.store.records import Code, Records, Watched
from glasstumbler.store.url import open_store


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/record.db"
    return str(request.getfixturevalue("postgres_server").database())


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    made = open_store(place)
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


def together(store: Store, *units):
    async def ask():
        return await asyncio.gather(*(store.write_soon(unit) for unit in units), return_exceptions=True)

    return asyncio.run(ask())


@pytest.mark.parametrize(("unit", "error"), [(fail, ValueError), (forget_the_entry, RecordError)])
def test_a_unit_that_fails_takes_nothing_along(store: Store, unit, error) -> None:
    first, failed, second = together(store, add_code("a"), unit, add_code("b"))
    assert (first, second) == (1, 2)
    assert isinstance(failed, error)
    assert store.read(lambda records: [code.code for code in records.all_codes()]) == ["a", "b"]
    assert store.read(lambda records: records.head()[0]) == 2


def test_a_row_that_clashes_fails_its_own_unit_only(store: Store) -> None:
    first, failed, second = together(store, add_code("a"), watch_twice, add_code("b"))
    assert (first, second) == (1, 2)
    assert isinstance(failed, Exception)
    assert list(store.read(lambda records: list(records.all_watched()))) == []
    assert store.read(lambda records: records.head()[0]) == 2


def test_a_single_unit_runs_once_even_if_it_fails(store: Store) -> None:
    runs = []

    def unit(records: Records) -> None:
        runs.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.write(unit)
    assert runs == [1]


def test_a_unit_reads_what_it_has_written(store: Store) -> None:
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


def test_numbers_go_on_after_a_restart(place: str) -> None:
    for wanted in ([1, 2], [3, 4]):
        store = open_store(place)
        assert [store.write(lambda records: records.next("order")) for _ in range(2)] == wanted
        store.close()


def test_what_comes_after_closing_is_refused(place: str) -> None:
    store = open_store(place)

    async def ask() -> object:
        soon = store.write_soon(add_code("late"))
        store.close()
        with pytest.raises(StoreError):
            store.write_soon(add_code("later"))
        return (await asyncio.gather(soon, return_exceptions=True))[0]

    assert isinstance(asyncio.run(ask()), StoreError)


def test_rows_of_every_kind_come_back_as_they_were(store: Store) -> None:
    """Bytes, the largest numbers that a column takes, text beyond ASCII, and columns without a value."""
    keys = [Watched("btc", bytes(range(256)), "btcmix", "deposit", 2**62, "p2wpkh", None),
            Watched("eth", b"", "btcmix", "deposit", 0, "Zürich ☃", 2**63 - 1)]  # fmt: skip

    def unit(records: Records) -> None:
        for key in keys:
            records.watch(key)
        records.append(Entry("order", 1, "btcmix"))

    store.write(unit)
    assert store.read(lambda records: list(records.all_watched())) == keys
    assert store.read(lambda records: records.watched("btc", [keys[0].key, b"x"])) == {keys[0].key: keys[0]}


def test_text_is_sorted_byte_by_byte(store: Store) -> None:
    """Whatever the database's own rules: the audit holds one store's order against the other's."""
    names = ["b", "a", "B", "ä", "_", "Z", "10", "9"]

    def unit(records: Records) -> None:
        for name in names:
            records.watch(Watched(name, b"key", "btcmix", "deposit", 1, "p2wpkh", 1))
        records.append(Entry("order", 1, "btcmix"))

    store.write(unit)
    assert store.read(lambda records: [key.coin for key in records.all_watched()]) == sorted(names)


def test_more_rows_than_are_fetched_at_once(store: Store) -> None:
    def unit(records: Records) -> None:
        for number in range(4_500):
            records.watch(Watched("btc", number.to_bytes(2), "btcmix", "deposit", number, "p2wpkh", number))
        records.append(Entry("order", 1, "btcmix"))

    store.write(unit)
    with store.snapshot() as records:
        rows = iter(records.all_watched())
        assert next(rows).place == 0
        assert len(records.watched("btc", [number.to_bytes(2) for number in range(1_200)])) == 1_200
        assert [row.place for row in rows] == list(range(1, 4_500))
        assert next(iter(records.all_watched())).place == 0, "a walk that was broken off disturbs nothing"
