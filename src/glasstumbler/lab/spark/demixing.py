"""methods/demixing.py (demixing, for T2) as Spark's jobs: the same links by the same weights, to the last bit.

What a deposit is given depends on the payments of its window of time and on nothing else. So each flow is cut into
stretches of time, as long as a window or a day, whichever is more. A deposit lies in one of them, and a payment in each
that has room for a deposit whose window may hold it: two or three. Inside a stretch the local method's own loops run,
in a Python process of Spark's. The rows of a stretch lie in the order in which the whole chain has them, so sums are
added up in the same order and ties are broken alike.

A task holds one stretch of one flow: the payments of two windows, or of a day and a window. The method itself looks at
a whole window for a deposit. Everything else is Spark's, and spills.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn

from glasstumbler.lab.methods.base import ANSWERS
from glasstumbler.lab.methods.demixing import Demixing
from glasstumbler.lab.methods.flows import Flow, Groups, gathered
from glasstumbler.lab.methods.lessons import Lessons, Sized, best_known, habits, wholly
from glasstumbler.lab.public import Ints
from glasstumbler.lab.spark.chains import Chains
from glasstumbler.lab.spark.chance import DAY, by_flow, linked
from glasstumbler.lab.spark.flows import FLOW, Flows, Known

_STRETCH: Final = (*FLOW, "stretch")
_LINK: Final = "output long, payout long, score double"
_COLUMNS: Final = {"output": "deposit_output", "payout": "payout_output", "score": "score"}
"""... and what the local method calls them."""


class _Window(NamedTuple):
    """Whole seconds from a deposit to its payments, and of a stretch."""

    soonest: int
    latest: int
    stretch: int


def demixing(chains: Chains, found: Flows, taught: Known) -> DataFrame:
    """ANSWERS["T2"]. `taught`: of each flow that is answered, as `lessons_of` gives it."""
    windows = {flow: _window(lessons) for flow, lessons in taught.items()}
    soonest, latest, stretch = (
        by_flow(chains, {flow: window[part] for flow, window in windows.items()}, DAY) for part in range(3)
    )
    came = _of(chains, found.deposits, windows).withColumn("stretch", _floor(fn.col("time"), stretch))
    paid = _of(chains, found.payments, windows)
    first, last = (_floor(fn.col("time") - delay, stretch) for delay in (latest, soonest))
    paid = paid.withColumn("stretch", fn.explode(fn.sequence(first, last)))
    both = came.groupBy(*_STRETCH).cogroup(paid.groupBy(*_STRETCH))
    packed = {(service, chains.coins.index(coin)): lessons for (service, coin), lessons in taught.items()}
    return linked(chains, both.applyInArrow(partial(_stretch, packed), _LINK))


def lessons_of(flows: Iterable[tuple[str, str]], known: Known) -> dict[tuple[str, str], Lessons]:
    """What the local method goes by on each of the flows: (service, coin)."""
    found = {flow: best_known(known, *flow) for flow in flows}
    return {flow: lessons for flow, lessons in found.items() if lessons is not None}


def _window(lessons: Lessons) -> _Window:
    delay = habits(lessons).delay
    soonest, latest = floor(delay.low), ceil(delay.high)
    return _Window(soonest, latest, max(latest - soonest, DAY))


def _of(chains: Chains, rows: DataFrame, flows: Mapping[tuple[str, str], object]) -> DataFrame:
    """Those of these flows."""
    asked = fn.lit(False)
    for service, coin in flows:
        asked |= (fn.col("service") == service) & (fn.col("chain") == chains.coins.index(coin))
    return rows.where(asked)


def _floor(seconds: Column, stretch: Column) -> Column:
    return fn.floor(seconds / stretch)


def _stretch(
    taught: Mapping[tuple[str, int], Lessons], key: tuple[pa.Scalar, ...], came: pa.Table, paid: pa.Table
) -> pa.Table:
    """Rows of _LINK. `came`, `paid`: of Flows, one stretch."""
    service, chain = str(key[0].as_py()), int(key[1].as_py())
    known = taught[service, chain]
    whole = wholly(known)
    deposited, amount, deposit = (came[name].to_numpy() for name in ("output", "amount", "deposit"))
    amount = np.where(deposited == deposit, amount, 0)  # which is all that the address received, at each of its rows
    deposits = gathered(deposited, deposit, amount, came["time"].to_numpy())
    payments = _payments(paid, "tx" if whole else "output")
    size = Sized(payments, habits(known), 1.0 if whole else known.payments)
    found = ANSWERS[Demixing.task].empty_table()
    if len(deposits) and len(payments):
        found = Demixing().one(Flow(service, "", "", deposits, payments), size, known)
    return found.select(list(_COLUMNS.values())).rename_columns(list(_COLUMNS))


def _payments(paid: pa.Table, by: str) -> Groups:
    columns: list[Ints] = [paid[name].to_numpy() for name in ("output", by, "amount", "time")]
    return gathered(*columns)
