"""scoring/tainting.py as Spark's jobs: what each case of T5 adds, against both truths. As the local judge has it.

A case is one order, whose deposits are the seeds. The driver holds the cases and the services' own transactions (rows
of answers/hop); outputs and their amounts are looked up in Spark.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn

from glasstumbler.lab import tasks
from glasstumbler.lab.methods.swap_match import UNITS
from glasstumbler.lab.public import NONE, Ints
from glasstumbler.lab.scoring import tainting
from glasstumbler.lab.scoring.bootstrap import Floats
from glasstumbler.lab.spark.chains import WIDTH, Chains
from glasstumbler.lab.spark.session import Spark
from glasstumbler.lab.tasks import Dataset

_KEYS: Final = ["case", "output"]


class Cases:
    def __init__(self, spark: Spark, chains: Chains, dataset: Dataset, rows: Ints) -> None:
        """`rows`: of orders, one a case."""
        self.rows, self._spark, self._chains = rows, spark, chains
        links = [dataset.links.filter(pl.col("order") == row) for row in rows]
        pairs = [each.select("deposit_coin", "deposit_output").unique(maintain_order=True) for each in links]
        self.seeds = [list(each.iter_rows()) for each in pairs]
        made = self._services(dataset)
        self._made = spark.lay(made, spark.room("of-services"))
        self._marks = spark.lay(self._seeded(), spark.room("seeds"))
        """case, output, tx, worth."""
        self._truth = spark.lay(self._true(dataset), spark.room("truth"))
        """case, output, custody, beneficial."""
        self._scale = spark.lay(self._scaled(), spark.room("scale"))
        """case, chain, scale: what a whole coin counts; only chains on which the case has anything."""

    def _frame(self, rows: list[tuple[int, int]], shape: str) -> DataFrame:
        return self._spark.session.createDataFrame(rows, shape)

    def _services(self, dataset: Dataset) -> DataFrame:
        """output, tx, worth: of the services' own transactions."""
        paying = [(self._chains.pack(coin, tx),) for coin, rows in dataset.hops for tx in set(rows["tx"])]
        txs = self._spark.session.createDataFrame(paying, "tx long")
        return self._chains.paid.join(txs, "tx", "left_semi").select("output", "tx", self._worth().alias("worth"))

    def _worth(self) -> Column:
        """Whole coins; 1 where amounts are hidden."""
        units = fn.array(*[fn.lit(UNITS[coin]) for coin in self._chains.coins])
        unit = fn.element_at(units, (_chain("output") + 1).cast("int"))
        return fn.when(fn.col("amount") == NONE, 1.0).otherwise(fn.col("amount") / unit)

    def _seeded(self) -> DataFrame:
        rows = [(case, self._chains.pack(*seed)) for case, seeds in enumerate(self.seeds) for seed in seeds]
        worth = self._worth().alias("worth")
        return self._frame(rows, "case int, output long").join(self._chains.paid, "output").select(*_KEYS, "tx", worth)

    def _true(self, dataset: Dataset) -> DataFrame:
        paying = {(row["case"], row["output"]): row["tx"] for row in self._marks.collect()}
        reached, given = [], []
        every = dataset.hops
        for case, seeds in enumerate(self.seeds):
            for coin, rows in every:
                outputs = [output for name, output in seeds if name == coin]
                txs = {paying[case, self._chains.pack(coin, output)] & ((1 << WIDTH) - 1) for output in outputs}
                found = tasks.descendants(rows, np.array(outputs, np.int64), np.array(sorted(txs), np.int64))
                reached += [(case, self._chains.pack(coin, int(tx))) for tx in found]
            benefits = tasks.benefits(dataset, self.rows[case : case + 1])
            given += [(case, self._chains.pack(coin, output), part) for coin, output, part in benefits.iter_rows()]
        spent = self._frame(reached, "case int, tx long").join(self._made, "tx")
        custody = spent.select(*_KEYS, fn.lit(1.0).alias("custody"))
        beneficial = self._spark.session.createDataFrame(given, "case int, output long, beneficial double")
        return custody.join(beneficial, _KEYS, "full").fillna(0.0)

    def _scaled(self) -> DataFrame:
        """1 / what the case's payouts are worth there, else its deposits, else 1."""
        worth = self._truth.join(self._chains.paid, "output").select(*_KEYS, "beneficial", self._worth().alias("worth"))
        given = worth.groupBy("case", _chain("output")).agg(
            fn.sum(fn.col("worth") * fn.col("beneficial")).alias("given")
        )
        taken = self._marks.groupBy("case", _chain("output")).agg(fn.sum("worth").alias("taken"))
        whole = fn.coalesce(fn.nullif("given", fn.lit(0.0)), fn.nullif("taken", fn.lit(0.0)), fn.lit(1.0))
        return given.join(taken, ["case", "chain"], "full").select("case", "chain", (1 / whole).alias("scale"))

    def everything(self) -> DataFrame:
        """case, output, tainted: what chance flags, all outputs of services that are later than the seeds."""
        first = self._marks.groupBy("case", _chain("output")).agg(fn.min("tx").alias("first"))
        begin = self._scale.join(first, ["case", "chain"], "left")
        made = self._made.withColumn("chain", _chain("output"))
        later = made.join(fn.broadcast(begin), "chain").where("first is null or tx > first")
        return later.select(*_KEYS, fn.lit(1.0).alias("tainted"))

    def parts(self, answers: DataFrame) -> list[Floats]:
        """`answers`: case, output, tainted. [case, part] by tainting.TRUTHS."""
        asked = answers.join(self._made, "output", "left_semi").join(self._truth, _KEYS, "full").fillna(0.0)
        asked = asked.join(self._marks, _KEYS, "left_anti").join(self._made, "output")
        asked = asked.withColumn("chain", _chain("output")).join(fn.broadcast(self._scale), ["case", "chain"])
        worth, flagged = fn.col("worth") * fn.col("scale"), fn.col("tainted")
        sums: dict[str, Column] = {}
        for truth in tainting.TRUTHS:
            true = fn.col(truth)
            both = fn.least(flagged, true)
            counts = [(part > 0).cast("double") for part in (flagged, both)]
            values = [worth * both, worth * flagged, worth * true, *counts]
            sums |= {f"{truth}{place}": fn.sum(value) for place, value in enumerate(values)}
        rows = asked.groupBy("case").agg(*[value.alias(name) for name, value in sums.items()]).collect()
        found = np.zeros((len(tainting.TRUTHS), len(self.rows), 5))
        for row in rows:
            for place, truth in enumerate(tainting.TRUTHS):
                found[place, row["case"]] = [row[f"{truth}{part}"] for part in range(5)]
        return list(found)


def _chain(packed: str) -> Column:
    return fn.shiftright(packed, WIDTH).alias("chain")
