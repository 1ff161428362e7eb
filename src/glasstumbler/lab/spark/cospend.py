"""methods/cospend.py as Spark's jobs: the same clusters by the same numbers, on all chains at once."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from glasstumbler.lab.methods.coinjoin import DUST
from glasstumbler.lab.spark.chains import Chains, number
from glasstumbler.lab.spark.components import Stars, components
from glasstumbler.lab.spark.session import Spark


def coinjoins(chains: Chains) -> DataFrame:
    """The column tx: transactions that methods/coinjoin.py flags."""
    people = ((fn.col("outputs") + 1) / 2).cast("int")
    large = chains.txs.where((fn.col("inputs") >= 2) & (fn.col("outputs") >= 3) & (people <= fn.col("inputs")))
    large = large.select("tx", people.alias("people"))
    spent = chains.paid.where("spent_by is not null").select(fn.col("spent_by").alias("tx"), "address")
    signers = spent.join(large, "tx").groupBy("tx", "people")
    many = signers.agg(fn.count_distinct(fn.coalesce("address", fn.lit(-1))).alias("signers")).where(
        "signers >= people"
    )
    alike = chains.paid.join(many.select("tx", "people"), "tx").groupBy("tx", "people", "amount").count()
    clean = (fn.col("count") == fn.col("people")) & ~fn.col("amount").isin(*DUST)
    found = alike.groupBy("tx", "people").agg(fn.max("count").alias("most"), fn.max(clean).alias("clean"))
    return found.where("most = people and clean").select("tx")


def cospent(chains: Chains) -> DataFrame:
    """one, other: each input's address and that of its transaction's first input, CoinJoins left out."""
    spent = chains.paid.where("spent_by is not null and address is not null")
    spent = spent.select(fn.col("spent_by").alias("tx"), fn.col("spent_place").alias("place"), "address")
    joined = spent.join(coinjoins(chains), "tx", "left_anti")
    first = joined.where("place = 0").select("tx", fn.col("address").alias("other"))
    return joined.where("place > 0").join(first, "tx").select(fn.col("address").alias("one"), "other")


def cospend(spark: Spark, chains: Chains, addresses: DataFrame) -> tuple[DataFrame, Stars]:
    """ANSWERS["T4"] for `addresses` (the dataset's table), and how the clusters came to rest. The smallest address of a
    cluster is its number, as in methods/cospend.py."""
    stars = components(spark, cospent(chains))
    known = addresses.where(fn.col("coin").isin(*sorted(chains.spending)))
    nodes = known.select(chains.packed(fn.col("coin"), fn.col("address")).alias("child"), "coin", "address")
    joined = nodes.join(stars.edges, "child", "left")
    cluster = number(fn.coalesce("parent", "child")).alias("cluster")
    return joined.select("coin", "address", cluster), stars
