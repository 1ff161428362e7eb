"""scoring/clustering.py as Spark's jobs: what each owner, and each address of a service, adds to the scores of T4."""

from __future__ import annotations

from typing import Final, NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as fn

from glasstumbler.lab.scoring import clustering
from glasstumbler.lab.spark.chains import WIDTH, Chains

PARTS: Final = [f"part{place}" for place in range(7)]
"""Names of the parts of clustering.py."""


def owners(chains: Chains, own: DataFrame, others: DataFrame | None) -> DataFrame:
    """address, owner (from 0, in the order of tasks.py), service (null: not one's). `own`: service, address. `others`:
    answers/owner, if there is one. An address of a service is nobody else's."""
    known = own.groupBy("address").agg(fn.min("service").alias("service"))
    known = known.select("address", fn.lit(0).alias("kind"), fn.col("service").alias("name"), "service")
    if others is not None:
        address = chains.packed(fn.col("coin"), fn.col("address")).alias("address")
        rest = others.select(address, fn.lit(1).alias("kind"), fn.col("owner").cast("string").alias("name"))
        known = known.unionByName(rest.join(known, "address", "left_anti"), allowMissingColumns=True)
    known = known.withColumn("chain", fn.shiftright("address", WIDTH))
    keys = ["kind", "chain", "name"]
    numbered = known.select(*keys).distinct().withColumn("owner", fn.row_number().over(Window.orderBy(*keys)) - 1)
    return known.join(numbered, keys).select("address", "owner", "service")


def by_service(parts: DataFrame) -> DataFrame:
    """of (the service), index (among its addresses, in their order), PARTS."""
    order = Window.partitionBy("service").orderBy("address")
    mine = parts.where("service is not null").withColumn("index", (fn.row_number().over(order) - 1).cast("long"))
    return mine.select(fn.col("service").alias("of"), "index", *PARTS)


class Agreement(NamedTuple):
    parts: DataFrame
    """address, owner, service, PARTS."""
    clusters: DataFrame
    """cluster, owners: how many have addresses in it."""


def agreement(known: DataFrame, clusters: DataFrame, addresses: int) -> Agreement:
    """`known`: of `owners`; there are so many `addresses`. `clusters`: address, cluster, packed; an address without one
    is alone."""
    alone = -fn.col("address") - 1
    rows = known.join(clusters, "address", "left").withColumn("cluster", fn.coalesce("cluster", alone))
    cells = rows.groupBy("cluster", "owner").agg(fn.count("*").alias("same"))
    sizes = cells.groupBy("cluster").agg(fn.sum("same").alias("in_cluster"), fn.count("*").alias("owners"))
    wholes = cells.groupBy("owner").agg(fn.sum("same").alias("of_owner"))
    known_cells = cells.join(sizes, "cluster").join(wholes, "owner")
    same, in_cluster, of_owner = (fn.col(name).cast("double") for name in ("same", "in_cluster", "of_owner"))
    parts: dict[int, Column] = {
        clustering.ADDRESSES: fn.lit(1.0),
        clustering.PURE: same / in_cluster,
        clustering.WHOLE: same / of_owner,
        clustering.SAME: same - 1,
        clustering.CLUSTER_PAIRS: in_cluster - 1,
        clustering.OWNER_PAIRS: of_owner - 1,
        clustering.ALL_PAIRS: fn.lit(float(addresses - 1)),
    }
    each = rows.join(known_cells, ["cluster", "owner"])
    named = [parts[place].alias(name) for place, name in enumerate(PARTS)]
    return Agreement(each.select("address", "owner", "service", *named), sizes.select("cluster", "owners"))
