"""The observer's part of a dataset as Spark's frames: all chains in one, each number with its chain's code in front.

A packed number is the chain's place in `Chains.coins` times 2**48 and the dataset's own number. So one job works on all
chains, what belongs to one lies together, and the order of numbers is that of each chain, block by block: a range of
packed numbers is a chain and a range of heights.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn

from glasstumbler.errors import DatasetError
from glasstumbler.lab import schemas
from glasstumbler.lab.public import NONE, UNITS
from glasstumbler.lab.spark.session import Spark

PARTITION: Final = 16 << 20
FEWEST: Final = 2
"""Partitions that joins and aggregations work in: one for so many bytes of the dataset's files, so that each is small
beside a memory, and at least so many."""
WIDTH: Final = 48
"""Bits of a chain's own numbers."""


class Chains(NamedTuple):
    coins: tuple[str, ...]
    """By code."""
    spending: frozenset[str]
    """Those whose transactions spend outputs in sight."""
    txs: DataFrame
    """tx, time (epoch seconds), coinbase, inputs, outputs."""
    paid: DataFrame
    """A row an output: output, tx, address (null: none), amount (NONE: hidden), spent_by, spent_place (null: unspent).
    The one join of the chains with themselves; all else is read from it."""
    signed: DataFrame
    """A row an input of a chain of accounts: tx, place, address."""

    def pack(self, coin: str, number: int) -> int:
        return (self.coins.index(coin) << WIDTH) + number

    def coin(self, packed: Column) -> Column:
        """Its chain's name."""
        names = fn.array(*[fn.lit(coin) for coin in self.coins])
        return fn.element_at(names, (fn.shiftright(packed, WIDTH) + 1).cast("int"))

    def packed(self, coin: Column, number: Column) -> Column:
        """Null for a coin that is none of these."""
        names = fn.array(*[fn.lit(name) for name in self.coins])
        code = fn.nullif(fn.array_position(names, coin), fn.lit(0)) - 1
        return fn.shiftleft(code.cast("long"), WIDTH) + number


def number(packed: Column) -> Column:
    """As the dataset has it."""
    return packed.bitwiseAND((1 << WIDTH) - 1)


def chains(spark: Spark, folder: Path) -> Chains:
    """`folder` is the dataset's `observer`. DatasetError if a table is missing, or not as schemas.py has it."""
    tables = {name: table(spark, folder, name, schemas.OBSERVER[name]) for name in ("block", "tx", "input", "output")}
    size = sum((folder / f"{name}.parquet").stat().st_size for name in tables)
    spark.session.conf.set("spark.sql.shuffle.partitions", max(size // PARTITION, FEWEST))
    seen = tables["tx"].select("coin", fn.lit(0).alias("inputs"), fn.lit(0).alias("hidden"))
    spent = tables["input"].select("coin", fn.lit(1).alias("inputs"), fn.isnull("output").cast("int").alias("hidden"))
    kinds = (
        seen.unionByName(spent).groupBy("coin").agg(fn.sum("inputs").alias("inputs"), fn.sum("hidden").alias("hidden"))
    )
    rows = kinds.collect()
    coins = tuple(sorted(row["coin"] for row in rows))
    spending = frozenset(row["coin"] for row in rows if row["inputs"] and not row["hidden"])
    empty = Chains(coins, spending, tables["tx"], tables["tx"], tables["tx"])
    paid = spark.lay(_paid(empty, tables), spark.room("paid"))
    return empty._replace(txs=_txs(empty, tables), paid=paid, signed=_signed(empty, tables))


def _txs(chains: Chains, tables: dict[str, DataFrame]) -> DataFrame:
    times = tables["block"].select("coin", "height", "time")
    rows = tables["tx"].join(times, ["coin", "height"])
    return rows.select(chains.packed(fn.col("coin"), fn.col("tx")).alias("tx"), "time", "coinbase", "inputs", "outputs")


def _paid(chains: Chains, tables: dict[str, DataFrame]) -> DataFrame:
    def packed(name: str) -> Column:
        return chains.packed(fn.col("coin"), fn.col(name))

    units = fn.coalesce(*[fn.when(fn.col("coin") == coin, fn.lit(unit)) for coin, unit in UNITS.items()], fn.lit(1))
    whole = fn.expr("amount div unit")  # of a decimal(38, 0): exact, and a long
    outputs = tables["output"].withColumn("unit", units.cast("decimal(38,0)"))
    outputs = outputs.select(
        packed("output").alias("output"),
        packed("tx").alias("tx"),
        packed("address").alias("address"),
        fn.coalesce(whole, fn.lit(NONE)).alias("amount"),
    )
    spent = tables["input"].where("output is not null")
    spent = spent.select(
        packed("output").alias("output"), packed("tx").alias("spent_by"), fn.col("place").alias("spent_place")
    )
    return outputs.join(spent, "output", "left")


def _signed(chains: Chains, tables: dict[str, DataFrame]) -> DataFrame:
    tx, account = (chains.packed(fn.col("coin"), fn.col(name)) for name in ("tx", "account"))
    return tables["input"].where("account is not null").select(tx.alias("tx"), "place", account.alias("address"))


_GLOB: Final = re.compile(r"([\\*?{}\[\]])")


def table(spark: Spark, folder: Path, name: str, schema: object) -> DataFrame:
    """A file of the dataset. DatasetError if it is missing or has other columns."""
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DatasetError(f"{folder} lacks {path.name}")
    found = spark.session.read.parquet(_GLOB.sub(r"\\\1", str(path.resolve())))
    names = list(schema.names)  # type: ignore[attr-defined]
    if found.columns != names:
        raise DatasetError(f"{path} has other columns than this program's: {', '.join(found.columns)}")
    return found
