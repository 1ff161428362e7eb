"""Poison and haircut on chains too long for one memory: wave by wave, in the order of the chain.

A transaction's taint needs that of what it spends, so it cannot be had of all transactions at once; following it hop by
hop takes as many rounds as the longest line of payments has, and for a hot wallet that is all of its payments. So a
chain is cut into waves of WAVE transactions, in the order of its blocks, and each wave is one job:

1. to what the wave spends and pays come the tainted outputs of earlier waves that it spends. These lie in a folder of
   their own, since an output is laid down under the wave that spends it: each is read once, in however many waves;
2. inside the wave the compiled loop of methods/taint.py runs over its transactions in order, one task a chain. It is
   the local method's own, so parts are the same to the last bit;
3. what comes out tainted is laid down for the waves that spend it.

The loop's task holds one wave of one chain; everything else is Spark's, and spills. A wave that nothing tainted reaches
is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from glasstumbler.lab.methods import taint as local
from glasstumbler.lab.public import Ints
from glasstumbler.lab.spark.chains import WIDTH, Chains, number
from glasstumbler.lab.spark.session import Spark

WAVE: Final = 1_000_000
_NEVER: Final = -1
"""In place of the wave that spends an output, if none does."""
_TAINTED: Final = "case int, output long, part double"
_LAID: Final = f"{_TAINTED}, spent_in int"
_ROWS: Final = pa.schema(
    [("case", pa.int32()), ("output", pa.int64()), ("part", pa.float64()), ("spent_in", pa.int32())]
)


class Piece(NamedTuple):
    """One chain's part of a wave, as methods/taint.py has a whole chain. The outputs that earlier waves made stand
    before its own."""

    first_input: Ints
    spends: Ints
    paid_in: Ints
    first_output: Ints


def _poison(piece: Piece, part: local.Parts) -> local.Parts:
    tainted = part > 0
    local._poison(piece.first_input, piece.spends, piece.first_output, tainted)
    return tainted.astype(np.float64)


def _haircut(piece: Piece, part: local.Parts) -> local.Parts:
    local._haircut(piece.first_input, piece.spends, piece.paid_in, piece.first_output, part)
    return part


Rule = Callable[[Piece, local.Parts], local.Parts]
RULES: Final[Mapping[str, Rule]] = {"taint-poison": _poison, "taint-haircut": _haircut}


class Waves(NamedTuple):
    made: DataFrame
    """tx, output, spent_in, made_in: what each wave pays."""
    spent: DataFrame
    """tx, place, output, amount, spent_in: what each wave spends."""


def waves(spark: Spark, chains: Chains, size: int = WAVE) -> Waves:
    """For any number of `taint`s. `size`: transactions of a chain in a wave."""
    codes = [code for code, coin in enumerate(chains.coins) if coin in chains.spending]
    paid = chains.paid.where(fn.shiftright("output", WIDTH).isin(codes))
    made_in, spent_in = ((number(fn.col(name)) / size).cast("int") for name in ("tx", "spent_by"))
    made = paid.select(
        "tx", "output", fn.coalesce(spent_in, fn.lit(_NEVER)).alias("spent_in"), made_in.alias("made_in")
    )
    spends = paid.where("spent_by is not null")
    spent = spends.select(
        fn.col("spent_by").alias("tx"),
        fn.col("spent_place").alias("place"),
        "output",
        "amount",
        spent_in.alias("spent_in"),
    )
    return Waves(
        spark.lay(made.repartition("made_in"), spark.room("made"), "made_in"),
        spark.lay(spent.repartition("spent_in"), spark.room("spent"), "spent_in"),
    )


Cases = Sequence[Sequence[tuple[str, int]]]
"""Sets of seeds, (coin, output), each followed by itself."""


def taint(spark: Spark, chains: Chains, cut: Waves, cases: Cases, method: str) -> DataFrame:
    """ANSWERS["T5"] of all cases, and the column `case`, a place in `cases`. `method`: a key of RULES."""
    seeds = [_packed(chains, case) for case in cases]
    folder = spark.room(method)
    begins, last = _begins(spark, cut, seeds), _NEVER
    while ahead := [wave for wave in begins | _laid(folder) if wave > last]:
        last = min(ahead)
        mail = spark.session.read.schema(_TAINTED).parquet(*map(str, folder.glob(f"spent_in={last}")))
        spent = cut.spent.where(fn.col("spent_in") == last).drop("spent_in")
        rest = spent.unionByName(mail, allowMissingColumns=True)
        made, chain = cut.made.where(fn.col("made_in") == last), fn.shiftright("output", WIDTH)
        both = made.groupBy(chain).cogroup(rest.groupBy(chain))
        spark.lay(both.applyInArrow(partial(_wave, method, seeds), _LAID), folder, "spent_in")
    found = spark.session.read.schema(_LAID).parquet(str(folder))
    output, part = fn.col("output"), fn.col("part")
    return found.select(
        "case", chains.coin(output).alias("coin"), number(output).alias("output"), part.alias("tainted")
    )


def _packed(chains: Chains, case: Sequence[tuple[str, int]]) -> Ints:
    return np.array([chains.pack(coin, output) for coin, output in case if coin in chains.spending], np.int64)


def _begins(spark: Spark, cut: Waves, seeds: Sequence[Ints]) -> set[int]:
    """Waves in which a seed is made."""
    rows = [(int(output),) for case in seeds for output in case]
    marks = fn.broadcast(spark.session.createDataFrame(rows, "output long"))
    return {row["made_in"] for row in cut.made.join(marks, "output").select("made_in").distinct().collect()}


def _laid(folder: Path) -> set[int]:
    """Waves that spend something that is known to be tainted."""
    return {int(path.name.partition("=")[2]) for path in folder.glob("spent_in=*")}


def _wave(method: str, seeds: Sequence[Ints], made: pa.Table, rest: pa.Table) -> pa.Table:
    """One chain's part of a wave, in a Python process of Spark's. `made` as in Waves. `rest`: rows of Waves.spent, and
    of what is spent here and was tainted before: case, output, part."""
    made = made.sort_by("output")
    spent = rest.filter(pc.is_null(rest["case"])).sort_by([("tx", "ascending"), ("place", "ascending")])
    mail = rest.filter(pc.is_valid(rest["case"])).sort_by("case")
    tx, output, spent_in = (made[name].to_numpy() for name in ("tx", "output", "spent_in"))
    every = np.union1d(output, spent["output"].to_numpy())  # a wave's own outputs come last: they have the new numbers
    own = len(every) - len(output)
    piece = Piece(
        _offsets(spent["tx"].to_numpy() - tx[0], tx[-1] - tx[0] + 1),
        np.searchsorted(every, spent["output"].to_numpy()),
        spent["amount"].to_numpy(),
        own + _offsets(tx - tx[0], tx[-1] - tx[0] + 1),
    )
    cases, tainted, parts = (mail[name].to_numpy() for name in ("case", "output", "part"))
    found = [pa.table([pa.array([], field.type) for field in _ROWS], _ROWS)]
    for case, marks in enumerate(seeds):
        part, mine = np.zeros(len(every)), slice(*np.searchsorted(cases, [case, case + 1]))
        part[np.searchsorted(every, tainted[mine])] = parts[mine]
        part[np.searchsorted(every, marks[np.isin(marks, output)])] = 1.0
        if part.any():
            part = RULES[method](piece, part)[own:]
            kept = np.flatnonzero(part)
            columns = [np.full(len(kept), case, np.int32), output[kept], part[kept], spent_in[kept]]
            found.append(pa.table(columns, _ROWS))
    return pa.concat_tables(found)


def _offsets(owners: Ints, count: int) -> Ints:
    """As in a Graph: where each transaction's rows begin, and the end of the last."""
    found = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=count), out=found[1:])
    return found
