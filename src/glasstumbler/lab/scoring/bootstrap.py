"""Intervals by resampling: how far a score would move, had other orders been drawn.

Every score here is a function of sums over units (orders, owners, transactions, cases): a resample is a weighted sum.
Percentile bootstrap: as many units as there are, drawn with replacement, RESAMPLES times; the interval holds the middle
95 % of the scores. More than MOST units are first put into MOST groups at random, which are resampled in their place:
sums of many draw the same interval, at a cost that does not grow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.methods.compiled import compiled

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int16]
RESAMPLES: Final = 1000
LEVEL: Final = 0.95
SEED: Final = 1
MOST: Final = 4096


class Score(NamedTuple):
    """None: not defined (nothing to divide by); for the interval also: fewer than two units."""

    value: float | None
    low: float | None
    high: float | None


Measure = Callable[[Floats], Floats]
"""[..., parts] to [...]; not finite where it is not defined."""


def scored(parts: Floats, measure: Measure) -> Score:
    """`parts` [units, parts]: what each unit adds to the sums that `measure` is a function of."""
    return score_of(summed(parts), measure)


class Sums(NamedTuple):
    """Of the parts of all units, for several measures."""

    whole: Floats
    drawn: Floats | None
    """[resample, part]; None: fewer than two units."""


def summed(parts: Floats) -> Sums:
    return Sums(parts.sum(0), weights(min(len(parts), MOST)) @ grouped(parts) if len(parts) > 1 else None)


def score_of(sums: Sums, measure: Measure) -> Score:
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(measure(sums.whole))
        if not np.isfinite(value) or sums.drawn is None:
            return Score(value if np.isfinite(value) else None, None, None)
        return Score(value, *middle(measure(sums.drawn)))


def middle(drawn: Floats) -> tuple[float | None, float | None]:
    """Ends of the middle LEVEL of what was drawn; what is not defined is left out."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@lru_cache(maxsize=4)
def weights(units: int) -> Floats:
    """[RESAMPLES, units]: how often each was drawn."""
    drawn = np.random.default_rng(SEED).integers(0, units, (RESAMPLES, units))
    drawn += np.arange(RESAMPLES)[:, None] * units
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * units).reshape(RESAMPLES, units).astype(np.float64)


@lru_cache(maxsize=8)
def group_of(units: int) -> Groups:
    """By unit: its group, of which there are MOST at most; groups of the same size, at random."""
    if units <= MOST:
        return np.arange(units, dtype=np.int16)
    return np.random.default_rng(SEED).permutation((np.arange(units) % MOST).astype(np.int16))


def grouped(parts: Floats) -> Floats:
    """Sums of the parts, by group."""
    if len(parts) <= MOST:
        return parts
    found = np.zeros((MOST, parts.shape[1]))
    _add(parts, group_of(len(parts)), found)
    return found


@compiled
def _add(parts: Floats, group: Groups, found: Floats) -> None:
    for unit in range(len(parts)):
        for part in range(parts.shape[1]):
            found[group[unit], part] += parts[unit, part]
