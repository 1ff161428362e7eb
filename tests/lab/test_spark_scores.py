"""Scores that Spark adds up against those of lab/scoring, on answers drawn by chance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from glasstumbler.lab.scoring import bootstrap, clustering, linking
from glasstumbler.lab.spark.owners import PARTS, agreement
from glasstumbler.lab.spark.ranks import order_parts
from glasstumbler.lab.spark.session import Spark, spark
from glasstumbler.lab.spark.units import grouped
from tests.lab.test_scoring import key_of, named_of
from tests.lab.test_spark import SMALL

pytestmark = pytest.mark.timeout(900)
TOLERANCE = 1e-12
"""Relative: sums of the same floating-point numbers in another order."""
ORDERS = 300


@pytest.fixture(scope="module")
def session() -> Iterator[Spark]:
    with spark("local[2]", SMALL) as opened:
        yield opened


def test_orders_add_the_same(session: Spark) -> None:
    """Orders of one to four payouts and one or two deposits; ties, names twice, and some of which nothing is said."""
    draw = np.random.default_rng(3)
    payouts = [sorted(draw.choice(60, draw.integers(1, 5), False).tolist()) for _ in range(ORDERS)]
    deposits = {100 + place: int(draw.integers(ORDERS)) for place in range(ORDERS)} | {
        600 + order: order for order in range(0, ORDERS, 2)
    }
    said = {(deposit, payout) for deposit in (*deposits, 999) for payout in draw.integers(0, 60, draw.integers(0, 9))}
    links = [(deposit, int(payout), float(draw.integers(0, 9)) / 8) for deposit, payout in sorted(said)]
    wanted = linking.judge(named_of(links), key_of(payouts, deposits)).parts
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
