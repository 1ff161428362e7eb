"""scoring/linking.py as Spark's jobs: what each order adds to the scores of T2, out of links that a method named.

The same numbers but for the order in which floating-point numbers are added up.
"""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as fn

from glasstumbler.lab.scoring import linking

PARTS: Final = [f"part{place}" for place in range(linking.PARTS)]
"""Names of the parts; those of T8 (SURPRISE, GAIN) are 0."""


def order_parts(links: DataFrame, deposits: DataFrame, truth: DataFrame, orders: DataFrame) -> DataFrame:
    """`links`: deposit, payout, score, all outputs packed. `deposits`: deposit, order. `truth`: order, payout, share
    (of the order's value). `orders`: order, wanted (payouts). Gives order and PARTS, a row for every order."""
    best = links.join(deposits, "deposit").groupBy("order", "payout").agg(fn.max("score").alias("score"))
    rows = best.join(truth, ["order", "payout"], "left")
    levels = rows.groupBy("order", "score").agg(
        fn.count("*").alias("level"),
        fn.count("share").alias("ties"),
        fn.coalesce(fn.sum("share"), fn.lit(0.0)).alias("shares"),
    )
    higher = Window.partitionBy("order").orderBy(fn.desc("score")).rowsBetween(Window.unboundedPreceding, -1)
    above = fn.coalesce(fn.sum("level").over(higher), fn.lit(0))
    found = fn.coalesce(fn.sum("ties").over(higher), fn.lit(0))
    ranked = levels.withColumns({"above": above, "found": found}).join(orders, "order")
    return _parts(orders.join(_summed(ranked), "order", "left"))


def _summed(ranked: DataFrame) -> DataFrame:
    """By order, out of its levels: candidates of one score."""
    first_right = (fn.col("ties") > 0) & (fn.col("found") == 0)
    first = fn.col("above") == 0
    chance = fn.least(fn.greatest(fn.col("wanted") - fn.col("above"), fn.lit(0)) / fn.col("level"), fn.lit(1.0))
    claimed = fn.when(fn.col("score") > 0, fn.col("level") * fn.col("score") * fn.log2("score"))
    squares = fn.col("ties") * (fn.col("score") - 1) ** 2 + (fn.col("level") - fn.col("ties")) * fn.col("score") ** 2
    return ranked.groupBy("order").agg(
        fn.sum("level").alias("named"),
        fn.sum("ties").alias("right"),
        fn.sum(fn.col("ties") * chance).alias("expected"),
        fn.sum(fn.col("shares") * chance).alias("value"),
        *[fn.max(fn.when(first_right, _hit(cut))).alias(f"hit{cut}") for cut in (1, 5, 20)],
        fn.max(fn.when(first_right, _reciprocal())).alias("reciprocal"),
        fn.max(fn.when(first, fn.col("level"))).alias("first"),
        fn.max(fn.when(first, fn.col("ties"))).alias("first_right"),
        fn.sum(fn.col("level") * fn.col("score")).alias("total"),
        fn.min(fn.when(fn.col("score") > 0, fn.col("score"))).alias("least"),
        fn.sum(squares).alias("squares"),
        fn.sum(claimed).alias("claimed"),
    )


def _double(name: str) -> Column:
    return fn.col(name).cast("double")


def _hit(cut: int) -> Column:
    """As `_hit` there."""
    level, ties, free = _double("level"), _double("ties"), fn.lit(cut) - fn.col("above")
    drawn = fn.sequence(fn.lit(0), fn.least(free, fn.col("level")) - 1)
    missed = fn.aggregate(
        drawn, fn.lit(1.0), lambda all_, one: all_ * fn.greatest(level - ties - one, fn.lit(0.0)) / (level - one)
    )
    return fn.when(free > 0, 1 - missed).otherwise(0.0)


def _reciprocal() -> Column:
    """As `_reciprocal` there."""
    level, ties, above = _double("level"), _double("ties"), _double("above")

    def step(state: Column, one: Column) -> Column:
        found = state["found"] + state["missed"] * ties / (level - one) / (above + one + 1)
        return fn.struct(found.alias("found"), (state["missed"] * (level - ties - one) / (level - one)).alias("missed"))

    start = fn.struct(fn.lit(0.0).alias("found"), fn.lit(1.0).alias("missed"))
    return fn.aggregate(fn.sequence(fn.lit(0), fn.col("level") - fn.col("ties")), start, step)["found"]


def _parts(orders: DataFrame) -> DataFrame:
    counts = ("named", "right", "expected", "value", "first", "first_right", "total", "squares", "claimed")
    more = ("hit1", "hit5", "hit20", "reciprocal")
    known = orders.fillna(0, [*counts, *more]).withColumn("whole", fn.greatest("total", _double("wanted")))
    known = known.withColumn("rest", fn.greatest(1 - fn.col("total") / fn.col("whole"), fn.lit(0.0)))
    wanted, named, total, whole, rest = _double("wanted"), _double("named"), *map(fn.col, ("total", "whole", "rest"))
    unnamed = wanted - fn.col("right")
    spread = fn.when(rest > 0, -rest * fn.log2(fn.least(fn.col("least") / whole, rest))).otherwise(0.0)
    log_set = -(fn.col("claimed") - total * fn.log2(whole)) / whole + spread - fn.log2(wanted)
    parts: dict[int, Column] = {
        linking.ORDERS: fn.lit(1.0),
        linking.HIT_1: fn.col("hit1"),
        linking.HIT_5: fn.col("hit5"),
        linking.HIT_20: fn.col("hit20"),
        linking.RECIPROCAL: fn.col("reciprocal"),
        linking.SET_F1: 2 * fn.col("expected") / (fn.least(named, wanted) + wanted),
        linking.VALUE: fn.col("value"),
        linking.NAMED: (named > 0).cast("double"),
        linking.CLAIMED: (total > 0).cast("double"),
        linking.LOG_SET: fn.when(total > 0, log_set).otherwise(0.0),
        linking.SQUARES: fn.col("squares") + unnamed,
        linking.PAIRS: named + unnamed,
        linking.EDGES: named,
        linking.RIGHT: _double("right"),
        linking.TRUE: wanted,
        linking.FIRST_EDGES: _double("first"),
        linking.FIRST_RIGHT: _double("first_right"),
    }
    return known.select("order", *[parts.get(at, fn.lit(0.0)).alias(name) for at, name in enumerate(PARTS)])
