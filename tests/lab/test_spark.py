"""The Spark engine against the local one: the same answers on small datasets, every oddity of a chain among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glasstumbler.lab import schemas
from glasstumbler.lab.methods.base import Told
from glasstumbler.lab.methods.coinjoin import coinjoins as local_coinjoins
from glasstumbler.lab.methods.cospend import CoSpend
from glasstumbler.lab.methods.taint import Haircut, Poison
from glasstumbler.lab.public import Public
from glasstumbler.lab.scenario import load
from glasstumbler.lab.simulate import simulate
from glasstumbler.lab.spark.chains import Chains, chains, table
from glasstumbler.lab.spark.components import components
from glasstumbler.lab.spark.cospend import coinjoins, cospend
from glasstumbler.lab.spark.session import Spark, spark
from glasstumbler.lab.spark.taint import taint, waves
from tests.lab import random_chains, small_chains
from tests.lab.small_chains import NO_TAGS

pytestmark = pytest.mark.timeout(900)
SMALL = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
"""For small data: less to compile and fewer jobs."""
WAVE = 250


@pytest.fixture(scope="module")
def session() -> Iterator[Spark]:
    with spark("local[2]", SMALL) as opened:
        yield opened


@pytest.fixture(scope="module", params=["worked", "volume-sweep", "random"])
def observer(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The observer's part of a dataset. The first has all five chains, the last odd transactions."""
    if request.param == "worked":
        return folder / "observer"
    out: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "random":
        drawn = {coin: random_chains.drawn(seed, 600) for seed, coin in enumerate(("btc", "ltc"))}
        small_chains.public(out, drawn)
        return out
    simulate(request.param, load(request.param), 40, 5, out, None)
    return out / "observer"


@pytest.fixture(scope="module")
def read(session: Spark, observer: Path) -> Chains:
    return chains(session, observer)


def sorted_rows(answer: pa.Table) -> dict[str, list[Any]]:
    names = answer.column_names
    found: dict[str, list[Any]] = answer.sort_by([(name, "ascending") for name in names[:2]]).to_pydict()
    return found


def test_clusters_are_the_local_ones(session: Spark, observer: Path, read: Chains) -> None:
    found, stars = cospend(session, read, table(session, observer, "address", schemas.ADDRESS))
    assert sorted_rows(found.toArrow()) == sorted_rows(CoSpend().predict(Public(observer)))
    assert stars.open[-1] == 0 and stars.rounds == len(stars.open)


def test_coinjoins_are_the_local_ones(read: Chains, observer: Path) -> None:
    public = Public(observer)
    flagged = {
        read.pack(coin, int(tx)) for coin in read.spending for tx in np.flatnonzero(local_coinjoins(public.graph(coin)))
    }
    assert {row["tx"] for row in coinjoins(read).collect()} == flagged


def test_taint_is_the_local_one_to_the_last_bit(session: Spark, read: Chains, observer: Path) -> None:
    """Two cases at once, in waves so short that taint passes through several."""
    public, draw = Public(observer), np.random.default_rng(1)
    cases = []
    for each in (1, 12):
        outputs = [(coin, draw.choice(public.graph(coin).outputs, each, replace=False)) for coin in read.coins]
        cases.append([(coin, int(output)) for coin, found in outputs for output in found])
    cut = waves(session, read, WAVE)
    for method in (Poison(), Haircut()):
        found = taint(session, read, cut, cases, method.name).toArrow()
        for number, seeds in enumerate(cases):
            method.fit(public, Told(NO_TAGS, seeds=tuple(seeds)))
            mine = found.filter(pc.equal(found["case"], number)).drop_columns(["case"])
            assert sorted_rows(mine) == sorted_rows(method.predict(public))


def test_components_are_scipys(session: Spark) -> None:
    """Few edges, many, and a long line, in which labels that are handed on would take 999 rounds."""
    draw = np.random.default_rng(7)
    order = 600 + draw.permutation(1000)
    pairs = [draw.integers(0, 300, (2, 150)), draw.integers(300, 600, (2, 900)), np.stack([order[1:], order[:-1]])]
    left, right = np.concatenate(pairs, axis=1)
    stars = components(session, session.session.createDataFrame(pa.table({"one": left, "other": right})))
    rows = stars.edges.toArrow()
    label = np.arange(1600)
    label[rows["child"].to_numpy()] = rows["parent"].to_numpy()
    _, group = connected_components(coo_array((np.ones(len(left)), (left, right)), (1600, 1600)), directed=False)
    smallest = np.full(1600, 1600)
    np.minimum.at(smallest, group, np.arange(1600))
    assert label.tolist() == smallest[group].tolist()
    assert stars.rounds <= 10


def test_nothing_hangs_together_without_edges(session: Spark) -> None:
    stars = components(session, session.session.createDataFrame([(3, 3)], "one long, other long"))
    assert (stars.edges.count(), stars.open) == (0, (0,))
