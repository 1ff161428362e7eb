"""methods/cospend.py as Spark's jobs: the same clusters by the same numbers, on all chains at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glasstumbler.lab.methods.coinjoin import DUST
from glasstumbler.lab.spark.chains import Chains, number
from glasstumbler.lab.spark.components import Stars, components
from glasstumbler.lab.spark.session import Spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def coinjoins(chains: Chains) -> DataFrame:
    """The column tx: transactions that methods/coinjoin.py flags."""
    from pyspark.sql import functions as F

    people = ((F.col("outputs") + 1) / 2).cast("int")
    large = chains.txs.where((F.col("inputs") >= 2) & (F.col("outputs") >= 3) & (people <= F.col("inputs")))
    large = large.select("tx", people.alias("people"))
    spent = chains.paid.where("spent_by is not null").select(F.col("spent_by").alias("tx"), "address")
    signers = spent.join(large, "tx").groupBy("tx", "people")
    many = signers.agg(F.count_distinct(F.coalesce("address", F.lit(-1))).alias("signers")).where("signers >= people")
    alike = chains.paid.join(many.select("tx", "people"), "tx").groupBy("tx", "people", "amount").count()
    clean = (F.col("count") == F.col("people")) & ~F.col("amount").isin(*DUST)
    found = alike.groupBy("tx", "people").agg(F.max("count").alias("most"), F.max(clean).alias("clean"))
    return found.where("most = people and clean").select("tx")


def cospent(chains: Chains) -> DataFrame:
    """one, other: each input's address and that of its transaction's first input, CoinJoins left out."""
    from pyspark.sql import functions as F

    spent = chains.paid.where("spent_by is not null and address is not null")
    spent = spent.select(F.col("spent_by").alias("tx"), F.col("spent_place").alias("place"), "address")
    joined = spent.join(coinjoins(chains), "tx", "left_anti")
    first = joined.where("place = 0").select("tx", F.col("address").alias("other"))
    return joined.where("place > 0").join(first, "tx").select(F.col("address").alias("one"), "other")


def cospend(spark: Spark, chains: Chains, addresses: DataFrame) -> tuple[DataFrame, Stars]:
    """ANSWERS["T4"] for `addresses` (the dataset's table), and how the clusters came to rest. The smallest address of a
    cluster is its number, as in methods/cospend.py."""
    from pyspark.sql import functions as F

    stars = components(spark, cospent(chains))
    known = addresses.where(F.col("coin").isin(*sorted(chains.spending)))
    nodes = known.select(chains.packed(F.col("coin"), F.col("address")).alias("child"), "coin", "address")
    joined = nodes.join(stars.edges, "child", "left")
    cluster = number(F.coalesce("parent", "child")).alias("cluster")
    return joined.select("coin", "address", cluster), stars
