"""What hangs together in a graph too large for one memory: large-star and small-star, turn by turn.

Kiveris and others, Connected Components in MapReduce and Beyond (SoCC 2014), its alternating algorithm. An edge here
points from the greater number to the smaller, `child` to `parent`. Large-star gives every greater neighbour of a number
to the smallest of its neighbourhood; small-star gives its smaller neighbours, and itself, to the smallest of these.
Both keep components as they are, and in the end each component is one star around its smallest number. The paper proves
O(log^2 n) rounds and sees few. Every step is a join and an aggregation over edges, which Spark spills to disk; the
edges of a round are laid down as files before the next begins.
"""

from __future__ import annotations

import shutil
from typing import Final, NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from glasstumbler.errors import SparkError
from glasstumbler.lab.spark.session import Spark

MOST_ROUNDS: Final = 100
"""A graph of 10**9 nodes needs about ten; beyond this something is broken."""


class Stars(NamedTuple):
    edges: DataFrame
    """child, parent: every number that is not the smallest of its component, and the smallest."""
    rounds: int
    """Until nothing changed, the last one, which only saw that, included."""
    open: tuple[int, ...]
    """By round: edges that were no ray of a finished star before it."""


def components(spark: Spark, pairs: DataFrame) -> Stars:
    """`pairs`: two columns of longs, an edge each, either way round, any number of times; a node without an edge to
    another is in no star."""
    one, other = pairs.columns
    edges = pairs.where(fn.col(one) != fn.col(other)).select(
        fn.greatest(one, other).alias("child"), fn.least(one, other).alias("parent")
    )
    room = spark.room("stars")
    edges = spark.lay(edges.distinct(), room)
    history: list[int] = []
    for turn in range(1, MOST_ROUNDS + 1):
        least = edges.groupBy("child").agg(fn.min("parent").alias("least"))
        history.append(_open(edges, least))
        if not history[-1]:
            return Stars(edges, turn, tuple(history))
        before, between, room = room, spark.room("large-star"), spark.room("stars")
        large = spark.lay(_large_star(edges, least), between)
        least = large.groupBy("child").agg(fn.min("parent").alias("least"))
        edges = spark.lay(_small_star(large, least), room)
        shutil.rmtree(before)
        shutil.rmtree(between)
    raise SparkError(f"clusters did not come to rest in {MOST_ROUNDS} rounds; open edges by round: {history}")


def _open(edges: DataFrame, least: DataFrame) -> int:
    """Edges whose parent has a parent itself, or whose child has a smaller one."""
    above = least.select(fn.col("child").alias("parent"), fn.col("least").alias("higher"))
    loose = edges.join(above, "parent", "left_semi").select("child", "parent")
    torn = edges.groupBy("child").agg((fn.count("*") - 1).alias("more")).where("more > 0")
    counted = loose.select(fn.lit(1).alias("more")).unionByName(torn.select("more"))
    return int(counted.agg(fn.coalesce(fn.sum("more"), fn.lit(0))).collect()[0][0])


def _large_star(edges: DataFrame, least: DataFrame) -> DataFrame:
    """A number's smallest neighbour is the least of its parents, or itself if it has none. Doubles are left."""
    above = least.select(fn.col("child").alias("parent"), "least")
    joined = edges.join(above, "parent", "left")
    return joined.select("child", fn.coalesce("least", "parent").alias("parent"))


def _small_star(edges: DataFrame, least: DataFrame) -> DataFrame:
    torn = edges.join(least, "child").where("parent > least").select(fn.col("parent").alias("child"), "least")
    return least.unionByName(torn).select("child", fn.col("least").alias("parent")).distinct()
