"""methods/chance.py (null, for T2) as Spark's jobs: the same payments by the same draws.

How many payments stand in a deposit's window of time is not counted by joining them, which would make every pair. Each
payment gets its number in the order of time, in two steps: in its own day, and what came in the days before. A window
is then two numbers, and what is drawn of it is joined by number. Days are what one task sorts; it spills.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as fn

from glasstumbler.lab.methods.candidates import KEEP
from glasstumbler.lab.methods.chance import LONGEST, LOW, MIXER
from glasstumbler.lab.spark.chains import Chains, number
from glasstumbler.lab.spark.flows import FLOW, Flows, Known, each
from glasstumbler.lab.spark.session import Spark

DAY: Final = 86_400
_FROM, _PAYMENT, _UNTIL = range(3)
"""What stands at a moment, in this order: windows begin before the payments of their second and end after them."""


def chance(spark: Spark, chains: Chains, found: Flows, known: Known) -> DataFrame:
    """ANSWERS["T2"]."""
    ordered = spark.lay(_ordered(_moments(chains, found, known)), spark.room("ordered"))
    payments = ordered.where(fn.col("kind") == _PAYMENT).select(*FLOW, fn.col("place").alias("pick"), "name")
    paid = payments.withColumnRenamed("name", "payout")
    begin, end = (fn.max(fn.when(fn.col("kind") == kind, fn.col("place"))) for kind in (_FROM, _UNTIL))
    ends = ordered.where(fn.col("kind") != _PAYMENT).groupBy(*FLOW, "name")
    windows = ends.agg(begin.alias("begin"), (end - begin).alias("count")).where("count > 0")
    picks = _picks(windows.join(fn.broadcast(_shares(found)), [*FLOW]))
    links = picks.join(paid, [*FLOW, "pick"]).withColumnRenamed("name", "deposit")
    return linked(chains, found.deposits.select("deposit", "output").join(links, "deposit"))


def linked(chains: Chains, rows: DataFrame) -> DataFrame:
    """ANSWERS["T2"] of the columns output, payout, score."""
    columns = []
    for side, packed in (("deposit", fn.col("output")), ("payout", fn.col("payout"))):
        columns += [chains.coin(packed).alias(f"{side}_coin"), number(packed).alias(f"{side}_output")]
    return rows.select(*columns, "score")


def _moments(chains: Chains, found: Flows, known: Known) -> DataFrame:
    """FLOW, time, kind, name: of every payment, and of every window's two ends."""
    deposits = each(found.deposits).select(*FLOW, "time", fn.col("deposit").alias("name"))
    longest = {flow: max(int(lessons.delays.max()), 0) for flow, lessons in known.items()}
    later = fn.col("time") + by_flow(chains, longest, LONGEST)
    return (
        found.payments.select(*FLOW, "time", fn.lit(_PAYMENT).alias("kind"), fn.col("output").alias("name"))
        .unionByName(deposits.withColumn("kind", fn.lit(_FROM)))
        .unionByName(deposits.withColumns({"time": later, "kind": fn.lit(_UNTIL)}))
    )


def by_flow(chains: Chains, values: Mapping[tuple[str, str], int], other: int) -> Column:
    found = fn.lit(other)
    for (service, coin), value in values.items():
        chosen = (fn.col("service") == service) & (fn.col("chain") == chains.coins.index(coin))
        found = fn.when(chosen, fn.lit(value)).otherwise(found)
    return found


def _ordered(moments: DataFrame) -> DataFrame:
    """... and `place`: payments of the flow that stand before it, in the order of time and then of outputs."""
    days = moments.withColumns({"day": fn.expr(f"time div {DAY}"), "one": (fn.col("kind") == _PAYMENT).cast("long")})
    of_day = Window.partitionBy(*FLOW, "day").orderBy("time", "kind", "name")
    whole = days.groupBy(*FLOW, "day").agg(fn.sum("one").alias("many"))
    earlier = Window.partitionBy(*FLOW).orderBy("day").rowsBetween(Window.unboundedPreceding, -1)
    before = whole.select(*FLOW, "day", fn.coalesce(fn.sum("many").over(earlier), fn.lit(0)).alias("before"))
    within = days.withColumn("within", fn.sum("one").over(of_day.rowsBetween(Window.unboundedPreceding, 0)))
    place = fn.col("before") + fn.col("within") - fn.col("one")
    return within.join(before, [*FLOW, "day"]).select(*FLOW, "kind", "name", place.alias("place"))


def _shares(found: Flows) -> DataFrame:
    """FLOW, each: payments for each deposit."""
    paid = found.payments.groupBy(*FLOW).agg(fn.count("*").alias("paid"))
    came = each(found.deposits).groupBy(*FLOW).agg(fn.count("*").alias("came"))
    return came.join(paid, [*FLOW]).select(*FLOW, (fn.col("paid") / fn.col("came")).alias("each"))


def _picks(windows: DataFrame) -> DataFrame:
    """As `drawn` in methods/chance.py."""
    taken = windows.withColumn("taken", fn.least(fn.col("count"), fn.lit(KEEP)))
    ranked = taken.withColumn("rank", fn.explode(fn.sequence(fn.lit(0), fn.col("taken") - 1)))
    place = (fn.expr("rank * count div taken") + _mixed(number(fn.col("name")))) % fn.col("count")
    score = fn.least(fn.col("each") / fn.col("count"), fn.lit(1.0))
    return ranked.select(*FLOW, "name", (fn.col("begin") + place).alias("pick"), score.alias("score"))


def _mixed(names: Column) -> Column:
    """As `mixed` there."""
    found = names.bitwiseXOR(fn.shiftright(names, 32)).bitwiseAND(LOW)
    for _ in range(2):
        found = (found.bitwiseXOR(fn.shiftright(found, 16)) * MIXER).bitwiseAND(LOW)
    return found.bitwiseXOR(fn.shiftright(found, 16))
