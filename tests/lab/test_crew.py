"""Methods in processes of their own: what they are told arrives, what they answer is checked, what they break is named
and breaks nothing else; a user's method finds no way to the answer key."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from glasstumbler.errors import MethodError
from glasstumbler.lab import tasks
from glasstumbler.lab.methods.base import Told
from glasstumbler.lab.scoring import crew, handing, own, wall
from glasstumbler.lab.scoring.checked import _once, checked
from glasstumbler.lab.scoring.crew import GIB, Limits, Part, Worker
from glasstumbler.lab.tasks import Dataset, Split
from tests.lab import hostile

needs_wall = pytest.mark.skipif(bool(wall.lacking()), reason="no wall can be built here: " + wall.lacking())


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return Dataset(folder)


@pytest.fixture(scope="module")
def told(dataset: Dataset) -> Told:
    return tasks.told(dataset, "T6", Split("all", np.ones(len(dataset.orders), np.bool_)))


def same(one: Told, other: Told) -> bool:
    clusters = [
        (a.service, a.coin, a.addresses.tolist()) == (b.service, b.coin, b.addresses.tolist())
        for a, b in zip(one.clusters, other.clusters, strict=True)
    ]
    prices = one.prices is other.prices is None or (
        one.prices is not None and other.prices is not None and one.prices.equals(other.prices)
    )
    rest = one[2] == other[2] and one[4:] == other[4:]
    return all(clusters) and prices and one.tags.equals(other.tags) and rest


# -- handing over -----------------------------------------------------------------------------------------------------


def test_what_is_told_arrives(dataset: Dataset, told: Told, tmp_path: Path) -> None:
    seeds = tasks.told(dataset, "T5", tasks.untaught(dataset), [0, 1])
    assert told.own_orders and told.clusters and told.prices is not None and seeds.seeds
    for number, each in enumerate((told, seeds, Told(told.tags), told._replace(asked=("a", "b")))):
        place = tmp_path / str(number)
        place.mkdir()
        handing.write_told(each, place)
        assert same(handing.read_told(place), each)


def test_an_answer_is_opened_only_if_it_is_a_plain_whole_file(tmp_path: Path) -> None:
    good, other = tmp_path / "good", tmp_path / "other"
    table = pa.table({"coin": ["btc", "btc"], "score": [1.0, 2.0]})
    handing.write_answer(table, good)
    assert handing.read_answer(good)["coin"].to_pylist() == ["btc", "btc"]
    other.symlink_to(good)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "cut").write_bytes(good.read_bytes()[:-40])
    for name in ("other", "cut", "nowhere"):
        with pytest.raises(MethodError, match=r"its answer cannot be read|it gave no answer"):
            handing.read_answer(tmp_path / name)


# -- what cannot be ---------------------------------------------------------------------------------------------------

ROW = {"deposit_coin": "btc", "deposit_output": 0, "payout_coin": "btc", "payout_output": 1, "score": 0.5}


def table_of(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))


@pytest.mark.parametrize(
    ("task", "table", "said"),
    [
        ("T2", table_of({"deposit": 1}), "has the columns deposit; those of T2 are deposit_coin, "),
        ("T2", table_of({**ROW, "score": None}), "1 rows of its answer have no score"),
        ("T2", table_of({**ROW, "score": float("nan")}), "a score that is no number, the first is row 0"),
        ("T2", table_of({**ROW, "score": float("inf")}), "a score that is no number"),
        ("T2", table_of({**ROW, "deposit_output": "x"}), "deposit_output is of string, and not of int64"),
        ("T2", table_of({**ROW, "deposit_output": 0.5}), "deposit_output is of double, and not of int64"),
        ("T2", table_of({**ROW, "payout_output": 10**9}), "such as payout_output 1000000000 on btc, which has "),
        ("T2", table_of({**ROW, "payout_output": -1}), "such as payout_output -1 on btc"),
        ("T2", table_of(ROW, {**ROW, "payout_coin": "doge"}), "speaks of the coin 'doge'; the dataset has btc, "),
        ("T2", table_of({**ROW, "payout_coin": 3}), "payout_coin is of .*, and not of string"),
        ("T2", table_of(ROW, {**ROW, "score": 0.1}), "1 rows of its answer say again what another row says"),
        ("T1", table_of({"coin": "btc", "address": 10**9, "score": 1.0}), "such as address 1000000000 on btc"),
        (
            "T5",
            table_of({"coin": "btc", "output": 0, "tainted": 1.5}),
            "tainted must go from 0 to 1, and row 0 has 1.5",
        ),
        ("T7", table_of({"coin": "btc", "tx": 1, "place": 9, "vout": 0, "score": 1.0}), "name a place that its trans"),
        ("T7", table_of({"coin": "btc", "tx": 10**9, "place": 0, "vout": 0, "score": 1.0}), "such as tx 1000000000"),
    ],
)
def test_what_cannot_be_is_named(dataset: Dataset, task: str, table: pa.Table, said: str) -> None:
    with pytest.raises(MethodError, match=said) as caught:
        checked(table, task, dataset.public, probabilities=False)
    assert "\n" not in str(caught.value)


def test_claims_beyond_one_are_no_probabilities(dataset: Dataset) -> None:
    table = table_of({**ROW, "score": 1.5})
    assert checked(table, "T2", dataset.public, probabilities=False)["score"].tolist() == [1.5]
    with pytest.raises(MethodError, match="score must go from 0 to 1"):
        checked(table, "T2", dataset.public, probabilities=True)


def test_rows_of_several_chains_are_kept_apart(dataset: Dataset) -> None:
    """Also where joined numbers would not fit into 64 bits."""
    rows = [{"coin": coin, "output": output, "tainted": 1.0} for coin in ("btc", "bch") for output in (0, 1)]
    found = checked(table_of(*rows), "T5", dataset.public, probabilities=False)
    assert [dataset.public.coins[int(coin)] for coin in found["coin"]] == ["btc", "btc", "bch", "bch"]
    keys = [np.array([0, 0, 1 << 40]), np.array([1 << 40, 5, 0]), np.array([7, 7, 1 << 30])]
    _once(keys, ["a", "b", "c"])
    with pytest.raises(MethodError, match="1 rows"):
        _once([np.append(key, key[0]) for key in keys], ["a", "b", "c"])


# -- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def part(folder: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Part:
    found = Part(folder / "observer", tmp_path_factory.mktemp("laid") / "graphs")
    dataset.public.lay(found.laid)
    return found


@pytest.fixture
def worker(part: Part, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(part, tmp_path, Limits(60, 4 * GIB))
    yield made
    made.close()


def test_a_registered_method_answers_as_it_does_here(worker: Worker, dataset: Dataset, told: Told) -> None:
    from glasstumbler.lab.methods.registry import METHODS

    ran = worker.run({"name": "null-swaps"}, [told, told])
    method = METHODS["null-swaps"]()
    method.fit(dataset.public, told)
    wanted = checked(method.predict(dataset.public), "T6", dataset.public, True)
    assert len(ran.answers) == 2 and ran.seconds > 0 and ran.peak_mb > 10
    for answer in ran.answers:
        found = checked(handing.read_answer(answer), "T6", dataset.public, True)
        assert {name: column.tolist() for name, column in found.items()} == {
            name: column.tolist() for name, column in wanted.items()
        }
        assert len(found["score"])


@pytest.fixture(scope="module")
def den(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return settled(tmp_path_factory.mktemp("den"), folder)


def settled(place: Path, dataset: Path) -> Path:
    """A copy of hostile.py, in a folder with a link to the answers and notes on where all is."""
    shutil.copy(hostile.__file__, place / "mine.py")
    (place / "where.txt").write_text(str(dataset))
    (place / "pid.txt").write_text(str(os.getpid()))
    (place / "shortcut").symlink_to(dataset / "answers")
    return place


@pytest.fixture(scope="module")
def walled(den: Path, folder: Path, part: Part, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    plan = own.walled(own.locate(f"{den / 'mine.py'}:Good"), folder)
    made = Worker(part, tmp_path_factory.mktemp("scratch"), Limits(60, GIB // 2), plan)
    yield made
    made.close()


def job_of(den: Path, name: str, folder: Path) -> dict[str, object]:
    found = own.locate(f"{den / 'mine.py'}:{name}")
    return own.job(found, own.walled(found, folder)["reading"])


@needs_wall
def test_a_method_of_ones_own_works_behind_the_wall(
    walled: Worker, den: Path, folder: Path, dataset: Dataset, told: Told
) -> None:
    said = walled.describe(job_of(den, "Good", folder))
    assert (said["name"], said["task"], said["calibrated"]) == ("good", "T2", False)
    ran = walled.run(job_of(den, "Good", folder), [told])
    assert len(checked(handing.read_answer(ran.answers[0]), "T2", dataset.public, False)["score"])


@needs_wall
def test_a_hostile_method_gets_hold_of_nothing(walled: Worker, den: Path, folder: Path, told: Told) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        (den / "port.txt").write_text(str(server.getsockname()[1]))
        with pytest.raises(MethodError, match=r"^PermissionError: got nothing \(mine.py, line"):
            walled.run(job_of(den, "Spy", folder), [told])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_without_the_wall_it_would(folder: Path, part: Part, told: Told, tmp_path: Path) -> None:
    """On a copy: it breaks what it can."""
    copy, den, scratch = Path(shutil.copytree(folder, tmp_path / "copy")), tmp_path / "den", tmp_path / "scratch"
    den.mkdir()
    scratch.mkdir()
    settled(den, copy)
    found = own.locate(f"{den / 'mine.py'}:Spy")
    with (
        closing(Worker(part._replace(observer=copy / "observer"), scratch, Limits(60, GIB))) as worker,
        pytest.raises(MethodError, match=r"got the key, the manifest, .*a program, .*a cut"),
    ):
        worker.run(own.job(found, [str(den)]), [told])


@needs_wall
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Crash", r"^ZeroDivisionError: a b \(mine.py, line \d+\)$"),
        ("Dies", r"it crashed: signal 11"),
        ("Leaves", r"ended itself without an answer \(exit code 7\)"),
        ("Eats", "it took more than 0.5 GiB of memory"),
        ("Shares", "it took more than 0.5 GiB of memory"),
        ("Dictionary", "predict gave a dict, and not a pyarrow.Table"),
        ("Nobody", "AttributeError: module 'mine' has no attribute 'Nobody'"),
    ],
)
def test_what_a_method_breaks_is_named_and_breaks_nothing_else(
    walled: Worker, den: Path, folder: Path, told: Told, name: str, said: str
) -> None:
    with pytest.raises(MethodError, match=said):
        walled.run(job_of(den, name, folder), [told])
    assert walled.run(job_of(den, "Good", folder), [told]).answers


@needs_wall
def test_a_method_that_hangs_is_ended(den: Path, folder: Path, part: Part, told: Told, tmp_path: Path) -> None:
    job = job_of(den, "Hangs", folder)
    plan = own.walled(own.locate(f"{den}/mine.py:Hangs"), folder)
    hasty = Worker(part, tmp_path, Limits(1, GIB), plan)
    with pytest.raises(MethodError, match="it took more than 1 s"):
        hasty.run(job, [told])
    assert hasty._process is None


def test_what_a_group_of_processes_holds_is_counted_without_its_leader() -> None:
    assert crew.held(os.getpgrp()) >= 0
    assert crew.held(1 << 30) == 0


# -- where a user's method is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.py:A", "there is no file nowhere.py"),
        ("nowhere_at_all:A", "no module is called 'nowhere_at_all'"),
        ("module:", "names no class"),
        (":A", "names no class"),
        ("a.py:A b", "names no class"),
    ],
)
def test_a_method_that_is_nowhere_is_named(text: str, said: str) -> None:
    with pytest.raises(MethodError, match=said):
        own.locate(text)


def test_a_method_is_found_in_the_working_folder_then_among_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alone.py").touch()
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    assert own.locate("alone:A") == own.Own("alone:A", "alone", "A", tmp_path / "alone.py", tmp_path)
    assert own.locate("many.inner:A") == own.Own("many.inner:A", "many.inner", "A", None, tmp_path)
    assert own.locate("numpy:A")[1:] == ("numpy", "A", None, None)


@needs_wall
def test_beside_the_answer_key_a_method_may_read_itself_only(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "dataset")
    (tmp_path / "mine.py").touch()
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "__init__.py").touch()
    found = own.Own("mine:A", "mine", "A", tmp_path / "mine.py", tmp_path)
    reading = own.walled(found, tmp_path / "dataset")["reading"]
    assert str(tmp_path / "mine.py") in reading and str(tmp_path) not in reading
    assert own.job(found, reading)["folders"] == []
    with pytest.raises(MethodError, match="the answer key lies in it: move the dataset"):
        own.walled(own.Own("many:A", "many", "A", None, tmp_path), tmp_path / "dataset")


def test_where_no_wall_can_be_built_a_users_method_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").touch()
    monkeypatch.setattr(wall.sys, "platform", "plan9")
    with pytest.raises(
        MethodError, match=r"only where it cannot open the answer key; it takes Linux, and this is plan9"
    ):
        own.walled(own.locate(f"{tmp_path / 'mine.py'}:A"), folder)
