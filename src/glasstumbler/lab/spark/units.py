"""Sums over what is resampled, grouped in Spark as scoring/bootstrap.py groups them in memory.

No more than MOST rows of sums come to the driver, however many units there are, and intervals are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from glasstumbler.lab.scoring.bootstrap import MOST, Floats, group_of
from glasstumbler.lab.spark.session import Spark


def grouped(spark: Spark, rows: DataFrame, counts: Mapping[str, int], parts: Sequence[str]) -> dict[str, Floats]:
    """`rows`: of, index, and the numbers `parts`. `counts`: units of each `of`; their indices go from 0. By `of`: the
    sums of its units, or, of more than MOST units, of its groups, a row each."""
    many = {of: group_of(count) for of, count in counts.items() if count > MOST}
    group = fn.col("index")
    if many:
        names = np.repeat(np.array(list(many), object), [len(groups) for groups in many.values()])
        index = np.concatenate([np.arange(len(groups)) for groups in many.values()])
        table = pa.table({"of": pa.array(names), "index": index, "group": np.concatenate(list(many.values()))})
        rows = rows.join(spark.session.createDataFrame(table), ["of", "index"], "left")
        group = fn.coalesce("group", "index")
    sums = rows.groupBy("of", group.alias("group")).agg(*[fn.sum(name).alias(name) for name in parts]).toArrow()
    found = {of: np.zeros((min(count, MOST), len(parts))) for of, count in counts.items()}
    values = np.stack([sums[name].to_numpy() for name in parts], 1).astype(np.float64)
    for of, place, row in zip(sums["of"].to_pylist(), sums["group"].to_pylist(), values, strict=True):
        found[of][place] = row
    return found
