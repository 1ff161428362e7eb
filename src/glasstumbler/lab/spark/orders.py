"""What of the answer key comes to Spark: orders, their true payouts, and how they are divided, as locally.

The driver holds a few numbers for each order (rows of answers/order and answers/link), and nothing of the chains.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from glasstumbler.lab import tasks
from glasstumbler.lab.public import Flags, Ints
from glasstumbler.lab.scoring.bootstrap import Floats
from glasstumbler.lab.spark.chains import WIDTH, Chains
from glasstumbler.lab.spark.ranks import PARTS
from glasstumbler.lab.spark.session import Spark
from glasstumbler.lab.spark.units import grouped
from glasstumbler.lab.tasks import Dataset, Split


class Division(NamedTuple):
    """Some of the orders that are scored, and all."""

    service: str
    volume: int
    orders: Ints
    """Places in the rows that were divided."""

    @property
    def name(self) -> str:
        return f"{self.service}/{self.volume}"


def divisions(dataset: Dataset, rows: Ints) -> list[Division]:
    """Of these rows of the order table: all; each service and each volume, where there are several."""
    more = dataset.more("answers/split")
    table = dataset.orders.join(more, on=["service", "order_id"], how="left", maintain_order="left")[rows]
    found = [Division("", 0, np.arange(len(rows)))]
    for name, column in (("service", table["service"]), ("volume", table["volume"].fill_null(0))):
        values = column.unique().sort().to_list()
        for value in values if len(values) > 1 else []:
            mine = np.flatnonzero((column == value).to_numpy())
            found.append(Division(value, 0, mine) if name == "service" else Division("", value, mine))
    return found


class Asked:
    """The orders of T2 that are scored."""

    def __init__(self, spark: Spark, chains: Chains, dataset: Dataset, split: Split) -> None:
        self._spark, self._dataset, self._split = spark, dataset, split
        whole = _frame(chains, pl.DataFrame(tasks.truth(dataset, "T2")))
        paid = whole.filter(pl.Series(~split.training[whole["order"].to_numpy()]))
        self.rows: Ints = paid["order"].unique().sort().to_numpy()
        """Of the order table."""
        paid = paid.with_columns(order=pl.Series(np.searchsorted(self.rows, paid["order"].to_numpy())))
        each = paid.group_by("order", "payout").agg(pl.col("amount").cast(pl.Float64).sum())
        share = pl.col("amount") / pl.col("amount").sum().over("order")
        self.truth = self._made(each.select("order", "payout", share.alias("share")))
        self.orders = self._made(each.group_by("order").agg(pl.len().cast(pl.Int64).alias("wanted")))
        self.deposits = self._made(paid.select("deposit", "order").unique())
        self._known = self._made(whole.select("deposit").unique())

    def _made(self, frame: pl.DataFrame) -> DataFrame:
        return self._spark.session.createDataFrame(frame.to_arrow())

    @cached_property
    def divisions(self) -> list[Division]:
        return divisions(self._dataset, self.rows)

    def units(self, parts: DataFrame, divisions: list[Division], strays: int = 0) -> list[Floats]:
        """`parts`: of ranks.py. Of each division the parts of its orders; `strays` stand behind all orders and add
        nothing that T2 measures, but they are drawn as well."""
        rows = [
            pl.DataFrame({"order": one.orders, "index": np.arange(len(one.orders))}).with_columns(of=pl.lit(one.name))
            for one in divisions
        ]
        counts = {one.name: len(one.orders) + strays * (one.name == "/0") for one in divisions}
        sums = grouped(self._spark, parts.join(self._made(pl.concat(rows)), "order"), counts, PARTS)
        return [sums[one.name] for one in divisions]

    def strays(self, chains: Chains, links: DataFrame) -> int:
        """Deposits that are no order's, of which something is named. Each is treated as the order that was placed last
        before it: it does not count if that one taught."""
        named = links.select("deposit").distinct().join(self._known, "deposit", "left_anti")
        made = named.join(chains.paid.select(fn.col("output").alias("deposit"), "tx"), "deposit")
        times = made.join(chains.txs, "tx").groupBy("time").count().collect()  # a row a block at most
        created = self._dataset.orders["created"].to_numpy()
        by_time = np.argsort(created, kind="stable")
        told: Flags = self._split.training[by_time]
        place = np.searchsorted(created[by_time], np.array([row["time"] for row in times], np.int64), "right") - 1
        many = np.array([row["count"] for row in times], np.int64)
        return int(many[~told[np.maximum(place, 0)]].sum())


def _frame(chains: Chains, links: pl.DataFrame) -> pl.DataFrame:
    """With packed outputs."""

    def packed(side: str) -> pl.Expr:
        codes = {coin: code for code, coin in enumerate(chains.coins)}
        code = pl.col(f"{side}_coin").replace_strict(codes, return_dtype=pl.Int64)
        return (code * (1 << WIDTH) + pl.col(f"{side}_output")).alias(side)

    return links.with_columns(packed("deposit"), packed("payout"))
