"""How well scores part what is sought from all else: areas under curves, precision at a fixed rate of false alarms.

Ties: items of one score stand in random order, and a measure is its expectation over that order (areas: as scikit-learn
reckons them, which takes a whole tie at once). What a method says nothing about comes last, as one tie.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Flags, Ints
from glasstumbler.lab.scoring.bootstrap import MOST, RESAMPLES, Floats, Score, group_of, middle, weights

RATES: Final = (0.001, 0.01)
"""Of false alarms among all that is not sought."""
POINTS: Final = 100
"""Of a curve, at most."""
UNNAMED: Final = -np.inf
_STEPS: Final = 100_000_000
"""Items that are counted for an interval, about: a ranking of more than 100,000 is drawn less often."""
_FEWEST: Final = 200
"""Draws, however long it is."""


class Ranking(NamedTuple):
    """Items by falling score; items of one score and one unit are counted together."""

    tie: Ints
    """Number of the score, from 0."""
    unit: Ints
    """What is resampled."""
    sought: Floats
    """How many items that are sought."""
    other: Floats
    scores: Floats
    """By tie."""


class Curve(NamedTuple):
    recall: Floats
    precision: Floats
    named: Ints


def ranking(score: Floats, sought: Flags, unit: Ints, units: int) -> Ranking:
    """`unit`: by item, from 0 up to `units`."""
    group = group_of(units)[unit]
    named = score > UNNAMED
    scores, tie = np.unique(-score[named], return_inverse=True)
    key = np.sort((tie * np.int64(MOST) + group[named]) * 2 + sought[named])
    first = np.flatnonzero(np.diff(key >> 1, prepend=-1))
    found = np.append(0, np.cumsum(key & 1))
    count, ends = np.diff(np.append(first, len(key))), np.append(first, len(key))
    hits, cell = np.diff(found[ends]), key[first] >> 1
    if not named.all():  # one tie, the last
        rest, right = (np.bincount(group[~named & one], minlength=MOST) for one in (np.True_, sought))
        some = np.flatnonzero(rest)
        cell = np.append(cell, len(scores) * MOST + some)
        hits, count = np.append(hits, right[some]), np.append(count, rest[some])
        scores = np.append(scores, -UNNAMED)
    hits = hits.astype(np.float64)
    return Ranking(cell // MOST, cell % MOST, hits, count - hits, -scores)


class Areas(NamedTuple):
    average_precision: Score
    roc: Score
    precision_at: tuple[Score, ...]
    """By RATES."""


def areas(ranked: Ranking, units: int) -> Areas:
    """All None if nothing is sought, or nothing else is there."""
    if not ranked.sought.sum() or not ranked.other.sum():
        nothing = Score(None, None, None)
        return Areas(nothing, nothing, (nothing,) * len(RATES))
    rates = np.array(RATES)
    whole = np.ones((1, min(units, MOST)))
    value = _areas(ranked.tie, ranked.unit, ranked.sought, ranked.other, whole, rates)[0]
    draws = min(max(_STEPS // len(ranked.tie), _FEWEST), RESAMPLES)
    drawn = _areas(ranked.tie, ranked.unit, ranked.sought, ranked.other, weights(whole.shape[1])[:draws], rates)
    first, second, *rest = (Score(float(one), *middle(column)) for one, column in zip(value, drawn.T, strict=True))
    return Areas(first, second, tuple(rest))


@compiled
def _areas(tie: Ints, unit: Ints, sought: Floats, other: Floats, weight: Floats, rates: Floats) -> Floats:
    """[resample, measure]: average precision, area under ROC, precision at each rate. NaN without both kinds."""
    found = np.full((weight.shape[0], 2 + len(rates)), np.nan)
    for draw in range(weight.shape[0]):
        all_sought, all_other = 0.0, 0.0
        for item in range(len(tie)):
            all_sought += weight[draw, unit[item]] * sought[item]
            all_other += weight[draw, unit[item]] * other[item]
        if all_sought == 0 or all_other == 0:
            continue
        hits, alarms, average, area = 0.0, 0.0, 0.0, 0.0
        item = 0
        while item < len(tie):
            more_hits, more_alarms, this = 0.0, 0.0, tie[item]
            while item < len(tie) and tie[item] == this:
                more_hits += weight[draw, unit[item]] * sought[item]
                more_alarms += weight[draw, unit[item]] * other[item]
                item += 1
            for rate in range(len(rates)):
                allowed = rates[rate] * all_other
                if alarms <= allowed and alarms + more_alarms > allowed:
                    part = (allowed - alarms) / more_alarms
                    right = hits + part * more_hits
                    found[draw, 2 + rate] = right / (right + allowed) if right + allowed > 0 else np.nan
            if more_hits > 0:
                average += more_hits * (hits + more_hits) / (hits + more_hits + alarms + more_alarms)
                area += more_hits * (all_other - alarms - more_alarms / 2)
            hits += more_hits
            alarms += more_alarms
        found[draw, 0] = average / all_sought
        found[draw, 1] = area / (all_sought * all_other)
    return found


def curve(score: Floats, sought: Flags, all_sought: int) -> Curve:
    """Precision and recall of all items down to a score, at POINTS scores at most; the items are those that are named,
    `all_sought` counts the others too."""
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(score) else np.zeros(0, np.int64)
    if len(last) > POINTS:
        last = last[np.linspace(0, len(last) - 1, POINTS).round().astype(np.int64)]
    hits = np.cumsum(sought[order])[last]
    return Curve(hits / max(all_sought, 1), hits / (last + 1), last + 1)
