"""PostgreSQL behind the same promises, and its own ways to fail: each is one clear line, and the store lives on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import psycopg
import pytest

from glasstumbler.errors import StoreError
from glasstumbler.store.postgres import PostgresStore
from glasstumbler.store.records import Records
from tests.postgres import Server, run
from tests.store.contract import StoreContract, add_code, check_record
from tests.store.proxy import Moment, Proxy, line

T = TypeVar("T")


class TestPostgres(StoreContract):
    @pytest.fixture
    def place(self, postgres_server: Server) -> str:
        return postgres_server.database()


@pytest.fixture
def restless_server(postgres_server: Server) -> Iterator[Server]:
    """For tests that stop it or change its settings: afterwards it runs as before."""
    yield postgres_server
    postgres_server.restore()


def end_connections(place: str) -> None:
    """As an operator, or a proxy in between, ends them."""
    run(place, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
               "AND pid != pg_backend_pid()")  # fmt: skip


# -- durability ---------------------------------------------------------------------------------------------------


def test_a_commit_reaches_the_disk_before_it_is_acknowledged(store: PostgresStore, place: str) -> None:
    """Also where the database itself is set to be hasty."""
    ask = "SELECT current_setting('synchronous_commit'), current_setting('fsync')"
    assert store.write(lambda records: next(iter(records.rows(ask)))) == ("on", "on")
    run(place, "ALTER DATABASE " + place.rpartition("/")[2] + " SET synchronous_commit = off")
    other = PostgresStore(place)
    assert other.write(lambda records: next(iter(records.rows(ask)))) == ("on", "on")
    other.close()


# -- connections that break -----------------------------------------------------------------------------------------


def test_a_connection_that_was_ended_is_made_anew(store: PostgresStore, place: str) -> None:
    """Between two groups, with several readers waiting in the pool: nobody is told of it."""

    async def read_often() -> None:
        await asyncio.gather(*(store.read_soon(check_record) for _ in range(8)))

    assert store.write(add_code("a")) == 1
    asyncio.run(read_often())
    end_connections(place)
    assert store.write(add_code("b")) == 2
    end_connections(place)
    asyncio.run(read_often())
    assert store.read(check_record) == ["a", "b"]


def test_a_group_that_was_cut_off_is_run_once_more(store: PostgresStore, place: str) -> None:
    """Its transaction surely does not stand, so it may be."""
    runs = []

    def unit(records: Records) -> int:
        runs.append(1)
        number = add_code("again")(records)
        records.flush()
        if len(runs) == 1:
            end_connections(place)
        return number

    assert store.write(unit) == 1
    assert len(runs) == 2
    assert store.read(check_record) == ["again"]


def test_a_group_that_is_cut_off_each_time_fails_as_a_whole(store: PostgresStore, place: str) -> None:
    def unit(records: Records) -> None:
        add_code("never")(records)
        records.flush()
        end_connections(place)

    with pytest.raises(StoreError, match="did not take a change: terminating connection"):
        store.write(unit)
    assert store.write(add_code("next")) == 1
    assert store.read(check_record) == ["next"]


@pytest.fixture
def cut_line(postgres_server: Server, place: str) -> Iterator[tuple[Proxy, PostgresStore]]:
    """A store behind a line that can be cut."""
    with line(postgres_server.port) as proxy:
        store = PostgresStore(place.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        yield proxy, store
        store.close()


@pytest.mark.parametrize(("cuts", "runs"), [(["before"], 2), (["after"], 1), (["before", "after"], 2)])
def test_a_line_that_is_cut_at_the_commit(cut_line: tuple[Proxy, PostgresStore], cuts: list[Moment], runs: int) -> None:
    """Whether the group stood is looked up before anything is run again: nothing is there twice."""
    proxy, store = cut_line
    count = []

    def unit(records: Records) -> int:
        count.append(1)
        return add_code(f"run {len(count)}")(records)

    assert store.write(add_code("first")) == 1
    proxy.cuts += cuts
    assert store.write(unit) == 2
    assert (len(count), proxy.cuts) == (runs, [])
    assert store.read(check_record) == ["first", f"run {runs}"]
    assert store.write(add_code("next")) == 3


def test_a_line_that_is_cut_before_each_commit(cut_line: tuple[Proxy, PostgresStore]) -> None:
    proxy, store = cut_line
    proxy.cuts = ["before", "before"]
    with pytest.raises(StoreError, match="did not take a change: the connection broke at each try"):
        store.write(add_code("never"))
    assert store.write(add_code("next")) == 1


def test_a_commit_whose_fate_stays_unknown_is_called_so(
    cut_line: tuple[Proxy, PostgresStore], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glasstumbler.store.postgres._DOUBT_SECONDS", 0.3)
    proxy, store = cut_line
    store.write(add_code("first"))
    proxy.cuts, proxy.shut = ["after"], True
    with pytest.raises(StoreError, match="whether the change stands is not known yet"):
        store.write(add_code("it stood"))
    proxy.shut = False
    assert eventually(lambda: store.write(add_code("next"))) == 3
    assert store.read(check_record) == ["first", "it stood", "next"]


def test_a_server_that_stands_still_is_given_up(
    postgres_server: Server, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open and say nothing; nobody waits for it for good."""
    monkeypatch.setattr("glasstumbler.store.postgres._PATIENCE", 1)
    monkeypatch.setattr("glasstumbler.store.postgres_tasks._PATIENCE", 1)
    with line(postgres_server.port) as proxy:
        store = PostgresStore(place.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        store.write(add_code("before"))
        assert store.read(check_record) == ["before"]
        proxy.frozen = True
        acts: list[Callable[[], object]] = [
            lambda: store.write(add_code("never")),
            lambda: store.read(check_record),
            lambda: store.hold("pay").__enter__(),
        ]
        began = time.monotonic()
        for act in acts:
            with pytest.raises(StoreError):
                act()
        assert time.monotonic() - began < 20
        proxy.frozen = False
        assert eventually(lambda: store.write(add_code("after"))) == 2
        assert eventually(lambda: store.read(check_record)) == ["before", "after"]
        store.close()


# -- a server that goes away ------------------------------------------------------------------------------------------


def test_the_server_goes_away_and_comes_back(restless_server: Server) -> None:
    """While it is away, whoever asks is told within seconds; what was acknowledged is there afterwards."""
    store = PostgresStore(restless_server.database())
    assert store.write(add_code("before")) == 1
    for leave in ("stop", "crash"):
        getattr(restless_server, leave)()
        began = time.monotonic()
        for _ in range(50):
            with pytest.raises(StoreError, match=r"cannot reach the store .*is PostgreSQL running there\?"):
                store.write(add_code("never"))
            with pytest.raises(StoreError, match="cannot reach the store"):
                store.read(check_record)
            with pytest.raises(StoreError, match="cannot reach the store"), store.hold("pay"):
                pass
            with pytest.raises(StoreError, match="cannot reach the store"), store.snapshot():
                pass
        assert time.monotonic() - began < 10
        restless_server.start()
        acknowledged = eventually(partial(store.write, add_code(f"after {leave}")))
        assert len(eventually(lambda: store.read(check_record))) == acknowledged
    store.close()


def eventually(act: Callable[[], T]) -> T:
    """The store comes back by itself, shortly after the server."""
    for _ in range(100):
        try:
            return act()
        except StoreError:
            time.sleep(0.1)
    return act()


@pytest.mark.parametrize("leave", ["stop", "crash"])
def test_what_was_acknowledged_under_load_stands(restless_server: Server, leave: str) -> None:
    """Four threads write, each on and on, while the server goes away and comes back twice."""
    store = PostgresStore(restless_server.database())
    done: list[bool] = []

    def write(thread: int) -> list[str]:
        acknowledged, turn = [], 0
        while not done:
            name = f"{thread}-{turn}"
            try:
                store.write(add_code(name))
                acknowledged.append(name)
            except StoreError:
                time.sleep(0.05)
            turn += 1
        return acknowledged

    with ThreadPoolExecutor(4) as threads:
        begun = [threads.submit(write, thread) for thread in range(4)]
        for _ in range(2):
            time.sleep(0.5)
            getattr(restless_server, leave)()
            time.sleep(0.3)
            restless_server.start()
        time.sleep(0.5)
        done.append(True)
        acknowledged = [name for part in begun for name in part.result(30)]
    kept = eventually(lambda: store.read(check_record))
    assert len(kept) == len(set(kept)), "a unit that was run again stands once"
    assert set(acknowledged) <= set(kept) and len(acknowledged) > 10
    store.close()


def test_a_server_at_its_limit_of_connections(restless_server: Server) -> None:
    """The store says so, and goes on when there is room again."""
    place = restless_server.database()
    restless_server.stop()
    restless_server.start(max_connections="8", superuser_reserved_connections="0")
    store = PostgresStore(place)
    assert store.write(add_code("a")) == 1
    others = []
    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        for _ in range(9):
            others.append(psycopg.connect(place))
    assert store.write(add_code("b")) == 2, "its own connection is there"
    with pytest.raises(StoreError, match=r"too many clients already .raise its max_connections"):
        store.read(check_record)
    with pytest.raises(StoreError, match="too many clients already"):
        PostgresStore(place)
    for other in others:
        other.close()
    assert eventually(lambda: store.read(check_record)) == ["a", "b"]
    store.close()


def test_a_text_with_a_zero_in_it_is_not_found(store: PostgresStore) -> None:
    """PostgreSQL has no such text; whoever asks for one gets the answer that they would get from SQLite."""
    assert not store.read(lambda records: records.has_order("whir", "a\0b"))
    assert store.read(lambda records: records.code("bestmixer", "\0")) is None


def test_a_disk_that_fails_fails_the_change_and_not_the_store(store: PostgresStore, place: str) -> None:
    """PostgreSQL's own error for a full disk, raised where the entry would be written."""
    run(
        place,
        """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$""",
    )
    run(place, "CREATE TRIGGER full_disk BEFORE INSERT ON entry EXECUTE FUNCTION full_disk()")
    with pytest.raises(StoreError, match="did not take a change: could not extend file: No space left on device"):
        store.write(add_code("never"))
    run(place, "DROP TRIGGER full_disk ON entry")
    assert store.write(add_code("next")) == 1
    assert store.read(check_record) == ["next"]
