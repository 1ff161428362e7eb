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

from glasstumbler.errors import MethodError
from glasstumbler.lab import schemas
from glasstumbler.lab.methods.base import Cluster, OwnOrder, Told
from glasstumbler.lab.methods.chance import Chance
from glasstumbler.lab.methods.coinjoin import coinjoins as local_coinjoins
from glasstumbler.lab.methods.cospend import CoSpend
from glasstumbler.lab.methods.demixing import Demixing
from glasstumbler.lab.methods.flows import Flow, mixing
from glasstumbler.lab.methods.taint import Haircut, Poison
from glasstumbler.lab.public import Public
from glasstumbler.lab.results import Row
from glasstumbler.lab.scenario import load
from glasstumbler.lab.scoring import bootstrap, clustering, linking
from glasstumbler.lab.scoring.run import score as local_score
from glasstumbler.lab.simulate import simulate
from glasstumbler.lab.spark.chains import Chains, chains, table
from glasstumbler.lab.spark.chance import DAY, chance
from glasstumbler.lab.spark.components import components
from glasstumbler.lab.spark.cospend import coinjoins, cospend
from glasstumbler.lab.spark.demixing import demixing, lessons_of
from glasstumbler.lab.spark.engine import chosen, score
from glasstumbler.lab.spark.flows import flows, known, owned
from glasstumbler.lab.spark.owners import PARTS, agreement
from glasstumbler.lab.spark.ranks import order_parts
from glasstumbler.lab.spark.session import Spark, spark
from glasstumbler.lab.spark.taint import taint, waves
from glasstumbler.lab.spark.units import grouped
from glasstumbler.lab.tasks import Dataset, by_time, taught, told, untaught
from tests.lab import random_chains, small_chains
from tests.lab.small_chains import NO_TAGS
from tests.lab.test_scoring import key_of, named_of

pytestmark = pytest.mark.timeout(900)
SMALL = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
"""For small data: less to compile and fewer jobs."""
WAVE = 250
TOLERANCE = 1e-12
"""Relative: sums of the same floating-point numbers in another order."""
ORDERS = 300
COINS = ("btc", "ltc")


@pytest.fixture(scope="module")
def session() -> Iterator[Spark]:
    with spark("local[2]", SMALL) as opened:
        yield opened


@pytest.fixture(scope="module", params=["worked", "random"])
def observer(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The observer's part of a dataset: of all five chains; and odd transactions in a folder of an odd name."""
    if request.param == "worked":
        return folder / "observer"
    odd: Path = tmp_path_factory.mktemp("random") / "odd [a] {b} *?"
    odd.mkdir()
    small_chains.public(odd, {coin: random_chains.drawn(seed, 600) for seed, coin in enumerate(COINS)})
    return odd


@pytest.fixture(scope="module")
def read(session: Spark, observer: Path) -> Chains:
    return chains(session, observer)


def sorted_rows(answer: pa.Table) -> dict[str, list[Any]]:
    names = answer.column_names
    found: dict[str, list[Any]] = answer.sort_by([(name, "ascending") for name in names]).to_pydict()
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


def test_a_simulation_gives_the_same(session: Spark, tmp_path: Path) -> None:
    """Clusters; what chance names where nothing is known of a service's delays, and where the earlier half of the
    orders is; and what demixing names."""
    simulate("volume-sweep", load("volume-sweep"), 40, 5, tmp_path, None)
    dataset = Dataset(tmp_path)
    read = chains(session, tmp_path / "observer")
    addresses = table(session, tmp_path / "observer", "address", schemas.ADDRESS)
    clusters, _ = cospend(session, read, addresses)
    assert sorted_rows(clusters.toArrow()) == sorted_rows(CoSpend().predict(dataset.public))
    wallets = table(session, tmp_path / "answers", "wallet_truth", schemas.WALLET_TRUTH)
    found = flows(session, read, owned(read, wallets, addresses))
    for split in (untaught(dataset), by_time(dataset)):
        (lessons,) = known(session, read, found, [taught(dataset, split)])
        method = Chance()
        method.fit(dataset.public, told(dataset, "T2", split))
        named = chance(session, read, found, lessons).toArrow()
        assert sorted_rows(named) == sorted_rows(method.predict(dataset.public))
    demixed = demixing(read, found, lessons_of(lessons, lessons)).toArrow()
    other = Demixing()
    other.fit(dataset.public, told(dataset, "T2", split))
    assert sorted_rows(demixed) == sorted_rows(other.predict(dataset.public))


def test_demixing_names_the_local_ones(session: Spark, tmp_path: Path) -> None:
    """In five stretches of a day. One service pays whole transactions, one single outputs, and of two nothing is known
    but what the others do. Amounts are small and many are alike."""
    small_chains.public(tmp_path, {coin: random_chains.drawn(seed, 600, 4, 60, 300) for seed, coin in enumerate(COINS)})
    public, draw = Public(tmp_path), np.random.default_rng(2)
    clusters = tuple(
        Cluster(service, coin, np.sort(draw.choice(public.graph(coin).addresses, 60, replace=False)))
        for service in ("one", "other")
        for coin in COINS
    )
    flows_ = list(mixing(public, Told(NO_TAGS, clusters)))
    orders = tuple(
        order for flow, whole in zip(flows_[:2], (True, False), strict=True) for order in invented(flow, whole, draw)
    )
    assert len(orders) > 50
    method = Demixing()
    method.fit(public, Told(NO_TAGS, clusters, orders))
    read = chains(session, tmp_path)
    own = [(one.service, read.pack(one.coin, int(address))) for one in clusters for address in one.addresses]
    found = flows(session, read, session.session.createDataFrame(own, "service string, address long"))
    (lessons,) = known(session, read, found, [orders])
    named = demixing(read, found, lessons_of([(one.service, one.coin) for one in clusters], lessons)).toArrow()
    assert sorted_rows(named) == sorted_rows(method.predict(public))
    assert len(named) > 1000 and public.graph("btc").time[-1] > 4 * DAY


def invented(flow: Flow, whole: bool, draw: np.random.Generator) -> Iterator[OwnOrder]:
    """Deposits, and what the service pays in the next hours: one payment, or the first outputs of some."""
    for deposit, time in enumerate(flow.deposits.time):
        later = np.flatnonzero((flow.payments.time > time) & (flow.payments.time < time + 6 * 3600))
        if not len(later) or not flow.deposits.amount[deposit]:
            continue
        chosen = draw.choice(later, 1 if whole else min(len(later), 3), replace=False)
        ends = flow.payments.first[chosen + 1] if whole else flow.payments.first[chosen] + 1
        outputs = [
            int(flow.payments.outputs[place])
            for start, end in zip(flow.payments.first[chosen], ends, strict=True)
            for place in range(start, end)
        ]
        first = int(flow.deposits.outputs[flow.deposits.first[deposit]])
        yield OwnOrder(flow.service, flow.coin, first, tuple((flow.coin, output) for output in outputs))


def test_components_are_scipys(session: Spark) -> None:
    """Few edges, many, and a long line, in which labels that are handed on take up to 999 rounds."""
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


# -- scores: the local rows --------------------------------------------------------------------------------------------


def test_rows_are_the_local_ones(session: Spark, folder: Path) -> None:
    """Poison and haircut are scored in one way."""
    methods = ["null", "demixing", "cospend", "taint-haircut"]
    compare(score(session, Dataset(folder), methods).rows, local_score(folder, methods).results.rows)


def compare(found: list[Row], local: list[Row]) -> None:
    """All but ceilings, which stand beside the local engine's only."""
    mine = {key(row): row for row in found}
    theirs = {key(row): row for row in local if row.role != "ceiling"}
    assert mine.keys() == theirs.keys()
    for name, row in mine.items():
        assert (row.role, row.n) == (theirs[name].role, theirs[name].n)
        assert numbers(row) == pytest.approx(numbers(theirs[name]), rel=1e-9, nan_ok=True), name


def key(row: Row) -> tuple[Any, ...]:
    return row.task, row.method, row.measure, row.service, row.volume, row.left_out


def numbers(row: Row) -> list[float]:
    return [float("nan") if number is None else number for number in (row.value, row.low, row.high)]


def test_what_does_not_stand_on_spark_is_refused() -> None:
    with pytest.raises(MethodError, match="Spark has not the method 'fifo-time'; it has null, demixing, cospend"):
        chosen(["fifo-time"], [])
    with pytest.raises(MethodError, match="Spark has nothing for T7; it has null"):
        chosen([], ["T7"])


# -- scores: answers drawn by chance against lab/scoring --------------------------------------------------------------


def test_orders_add_the_same(session: Spark) -> None:
    """Orders of one to four payouts and one or two deposits; ties, names twice, and some of which nothing is said."""
    draw = np.random.default_rng(3)
    payouts = [sorted(draw.choice(60, draw.integers(1, 5), False).tolist()) for _ in range(ORDERS)]
    deposits = {100 + place: int(draw.integers(ORDERS)) for place in range(ORDERS)} | {
        600 + order: order for order in range(0, ORDERS, 2)
    }
    said = {(deposit, payout) for deposit in (*deposits, 999) for payout in draw.integers(0, 60, draw.integers(0, 9))}
    links = [(deposit, int(payout), float(draw.integers(0, 9)) / 8) for deposit, payout in sorted(said)]
    wanted = linking.judge(named_of(links), key_of(payouts, deposits), True).parts
    wanted[:, [linking.SURPRISE, linking.GAIN]] = 0
    truth = [(order, payout, 1 / len(each)) for order, each in enumerate(payouts) for payout in each]
    make = session.session.createDataFrame
    found = order_parts(
        make(links, "deposit long, payout long, score double"),
        make(list(deposits.items()), "deposit long, order long"),
        make(truth, "order long, payout long, share double"),
        make([(order, len(each)) for order, each in enumerate(payouts)], "order long, wanted long"),
    ).toArrow()
    rows = np.stack([column.to_numpy() for column in found.columns[1:]], 1)[np.argsort(found["order"].to_numpy())]
    assert rows == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)


def test_owners_add_the_same(session: Spark) -> None:
    draw = np.random.default_rng(4)
    owner, cluster = draw.integers(0, 40, 500), draw.integers(0, 60, 500)
    cluster[450:] = np.arange(1000, 1050)  # of these the method says nothing
    wanted = clustering.agreement(*(np.unique(one, return_inverse=True)[1] for one in (owner, cluster)))
    make, address = session.session.createDataFrame, np.arange(500)
    known = make(pa.table({"address": address, "owner": owner, "service": pa.nulls(500, pa.string())}))
    named = make(pa.table({"address": address[:450], "cluster": cluster[:450]}))
    found = agreement(known, named, 500)
    rows = found.parts.orderBy("address").toArrow()
    assert np.stack([rows[name].to_numpy() for name in PARTS], 1) == pytest.approx(wanted.parts, rel=TOLERANCE)
    owners = [row["owners"] for row in found.clusters.collect()]
    assert (sum(one > 1 for one in owners), max(owners)) == (wanted.over_merged, wanted.most_owners)


def test_units_are_grouped_the_same(session: Spark) -> None:
    """So that intervals are the same."""
    many, few = bootstrap.MOST + 904, 3
    parts = np.random.default_rng(5).integers(0, 9, (many, 2)).astype(np.float64)
    index = np.arange(many)
    tables = [
        pa.table({"of": pa.repeat(of, count), "index": index[:count], "a": parts[:count, 0], "b": parts[:count, 1]})
        for of, count in (("", many), ("whir", few))
    ]
    rows = session.session.createDataFrame(pa.concat_tables(tables))
    found = grouped(session, rows, {"": many, "whir": few}, ["a", "b"])
    assert found[""].tolist() == bootstrap.grouped(parts).tolist()
    assert found["whir"].tolist() == parts[:few].tolist()
