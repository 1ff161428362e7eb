"""Poison and haircut on chains too long for one memory: wave by wave, in the order of the chain.

A transaction's taint needs that of what it spends, so it cannot be had of all transactions at once; following it hop by
hop takes as many rounds as the longest line of payments has, and for a hot wallet that is all of its payments. So a
chain is cut into waves of WAVE transactions, in the order of its blocks, and each wave is one job:

1. the wave's inputs are joined with the tainted outputs of earlier waves that it spends. These lie in a folder of their
   own, since an output is laid down under the wave that spends it: each is read once, however many waves there are;
2. inside the wave the compiled loop of methods/taint.py runs over its transactions in order, one task a chain. It is
   the local method's own, so parts are the same to the last bit;
3. what comes out tainted is laid down for the waves that spend it.

The loop's task holds one wave of one chain; everything else is Spark's, and spills. A wave that nothing tainted reaches
is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods import taint as local
from glasstumbler.lab.public import Ints
from glasstumbler.lab.spark.chains import WIDTH, Chains, number
from glasstumbler.lab.spark.session import Spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WAVE: Final = 1_000_000
"""Transactions of a chain."""
_NEVER: Final = -1
"""In place of the wave that spends an output, if none does."""
_SEEN: Final = "output long, part double"
_MADE: Final = f"{_SEEN}, spent_in int"


class Piece(NamedTuple):
    """One chain's part of a wave, as methods/taint.py has a whole chain; behind its own outputs stand those of earlier
    waves that it spends."""

    first_input: Ints
    spends: Ints
    paid_in: Ints
    first_output: Ints
    part: local.Parts


def _poison(piece: Piece) -> local.Parts:
    tainted = piece.part > 0
    local._poison(piece.first_input, piece.spends, piece.first_output, tainted)
    return tainted.astype(np.float64)


def _haircut(piece: Piece) -> local.Parts:
    local._haircut(piece.first_input, piece.spends, piece.paid_in, piece.first_output, piece.part)
    return piece.part


RULES: Final[Mapping[str, Callable[[Piece], local.Parts]]] = {"taint-poison": _poison, "taint-haircut": _haircut}


class Waves(NamedTuple):
    made: DataFrame
    """tx, output, spent_in, made_in: what each wave pays."""
    spent: DataFrame
    """tx, place, output, amount, spent_in: what each wave spends."""


def waves(spark: Spark, chains: Chains, size: int = WAVE) -> Waves:
    """For any number of `taint`s."""
    from pyspark.sql import functions as F

    codes = [code for code, coin in enumerate(chains.coins) if coin in chains.spending]
    paid = chains.paid.where(F.shiftright("output", WIDTH).isin(codes))
    made_in, spent_in = ((number(F.col(name)) / size).cast("int") for name in ("tx", "spent_by"))
    made = paid.select("tx", "output", F.coalesce(spent_in, F.lit(_NEVER)).alias("spent_in"), made_in.alias("made_in"))
    spends = paid.where("spent_by is not null")
    spent = spends.select(
        F.col("spent_by").alias("tx"), F.col("spent_place").alias("place"), "output", "amount", spent_in.alias("spent_in")
    )
    return Waves(
        spark.lay(made.repartition("made_in"), "made", "made_in"),
        spark.lay(spent.repartition("spent_in"), "spent", "spent_in"),
    )


def taint(spark: Spark, chains: Chains, cut: Waves, seeds: Sequence[tuple[str, int]], method: str) -> DataFrame:
    """ANSWERS["T5"]. `seeds`: (coin, output). `method`: a key of RULES."""
    from pyspark.sql import functions as F

    packed = [(chains.pack(coin, output), 1.0) for coin, output in seeds if coin in chains.spending]
    marks = F.broadcast(spark.session.createDataFrame(packed, _SEEN))
    started = cut.made.join(marks, "output").select("made_in").distinct().collect()
    begins, last = {row["made_in"] for row in started}, _NEVER
    folder = spark.scratch / method
    folder.mkdir()
    while ahead := [wave for wave in begins | _laid(spark, method) if wave > last]:
        last = min(ahead)
        made = cut.made.where(F.col("made_in") == last).join(marks, "output", "left")
        mail = spark.session.read.schema(_SEEN).parquet(*map(str, folder.glob(f"spent_in={last}")))
        spent = cut.spent.where(F.col("spent_in") == last).join(mail, "output", "left")
        chain = F.shiftright("tx", WIDTH)
        both = made.groupBy(chain).cogroup(spent.groupBy(chain))
        found = both.applyInArrow(partial(_wave, method), _MADE)
        found.write.mode("append").partitionBy("spent_in").parquet(str(folder))
    found = spark.session.read.schema(_MADE).parquet(str(folder))
    output = F.col("output")
    return found.select(chains.coin(output).alias("coin"), number(output).alias("output"), F.col("part").alias("tainted"))


def _laid(spark: Spark, method: str) -> set[int]:
    """Waves that spend something that is known to be tainted."""
    return {int(path.name.partition("=")[2]) for path in (spark.scratch / method).glob("spent_in=*")}


def _wave(method: str, made: pa.Table, spent: pa.Table) -> pa.Table:
    """Runs in a Python process of Spark's. Columns of Waves, with `part`: of seeds, and of what was made earlier."""
    made, spent = made.sort_by("output"), spent.sort_by([("tx", "ascending"), ("place", "ascending")])
    tx, output, spends = (table[name].to_numpy() for table, name in ((made, "tx"), (made, "output"), (spent, "output")))
    first = tx[0]
    place = np.searchsorted(output, spends)
    outside = np.append(output, _NEVER)[place] != spends
    place[outside] = len(output) + np.arange(outside.sum())
    piece = Piece(
        _offsets(spent["tx"].to_numpy() - first, tx[-1] - first + 1),
        place,
        spent["amount"].to_numpy(),
        _offsets(tx - first, tx[-1] - first + 1),
        np.concatenate([_parts(made), _parts(spent)[outside]]),
    )
    part = RULES[method](piece)[: len(output)]
    kept = part > 0
    columns = {"output": output[kept], "part": part[kept], "spent_in": made["spent_in"].to_numpy()[kept]}
    return pa.table(columns)


def _parts(table: pa.Table) -> local.Parts:
    found: local.Parts = table["part"].fill_null(0.0).to_numpy()
    return found


def _offsets(owners: Ints, count: int) -> Ints:
    """As in a Graph: where each transaction's rows begin, and the end of the last."""
    found = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=count), out=found[1:])
    return found
