"""How well scores part what is sought from all else: areas under curves, precision at a fixed rate of false alarms.

Ties: items of one score stand in random order, and a measure is its expectation over that order (areas: as scikit-learn
reckons them, which takes a whole tie at once). What a method says nothing about comes last, as one tie.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Flags, Ints
from glasstumbler.lab.scoring.bootstrap import MOST, RESAMPLES, Floats, Groups, Score, group_of, middle, weights

RATES: Final = (0.001, 0.01)
"""Of false alarms among all that is not sought."""
POINTS: Final = 100
"""Of a curve, at most."""
UNNAMED: Final = -np.inf
_STEPS: Final = 100_000_000
"""Items that are counted for an interval, about: a ranking of more than 100,000 is drawn less often."""
_FEWEST: Final = 200
"""Draws, however long it is."""
_ABREAST: Final = 8
"""Resamples for each time that a ranking is gone through."""


class Falling(NamedTuple):
    """Items that a method names, by falling score."""

    item: Ints
    tie: Ints
    """Number of the score, from 0."""


class Ranking(NamedTuple):
    """Items by falling score; items of one score and one unit are counted together."""

    tie: Ints
    """Number of the score."""
    unit: Ints
    """What is resampled."""
    sought: Floats
    """How many items that are sought."""
    other: Floats


class Curve(NamedTuple):
    recall: Floats
    precision: Floats
    named: Ints


def falling(score: Floats) -> Falling:
    named = np.flatnonzero(score > UNNAMED)
    order = named[np.argsort(-score[named], kind="stable")]
    level = score[order]
    return Falling(order, np.cumsum(np.diff(level, prepend=level[:1]) != 0))


def ranking(score: Floats, sought: Flags, unit: Ints, units: int) -> Ranking:
    """`unit`: by item, from 0 up to `units`."""
    return _ranking(falling(score), np.ones(len(score), np.bool_), sought, group_of(units)[unit])


def ranking_of(order: Falling, chosen: Flags, sought: Flags) -> Ranking:
    """Of the `chosen` items only, each a unit."""
    group = np.zeros(len(chosen), np.int16)
    group[chosen] = group_of(int(chosen.sum()))
    return _ranking(order, chosen, sought, group)


def _ranking(order: Falling, chosen: Flags, sought: Flags, group: Groups) -> Ranking:
    groups, left = int(group.max(initial=0)) + 1, chosen.copy()
    tie, unit, right, count = _cells(*order, left, sought, group, groups)
    hits, rest = (np.bincount(group[left & one], minlength=groups) for one in (sought, np.True_))
    some = np.flatnonzero(rest)  # what is not named: one tie, the last
    tie = np.append(tie, np.full(len(some), order.tie[-1] + 1 if len(order.tie) else 0))
    right, count = np.append(right, hits[some]), np.append(count, rest[some])
    return Ranking(tie, np.append(unit, some), right.astype(np.float64), (count - right).astype(np.float64))


@compiled
def _cells(
    item: Ints, tie: Ints, left: Flags, sought: Flags, group: Groups, groups: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """Tie, unit, how many items that are sought, how many items. Takes them from what is `left`."""
    ties, units = np.empty(len(item), np.int64), np.empty(len(item), np.int64)
    right, count = np.zeros(len(item), np.int64), np.zeros(len(item), np.int64)
    cell = np.full(groups, -1)
    """By group: its latest cell."""
    cells, begun = 0, 0
    for place in range(len(item)):
        one = item[place]
        if place == 0 or tie[place] != tie[place - 1]:
            begun = cells
        if not left[one]:
            continue
        left[one] = False
        if cell[group[one]] < begun:
            cell[group[one]] = cells
            ties[cells], units[cells] = tie[place], group[one]
            cells += 1
        right[cell[group[one]]] += sought[one]
        count[cell[group[one]]] += 1
    return ties[:cells], units[:cells], right[:cells], count[:cells]


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


def _areas(tie: Ints, unit: Ints, sought: Floats, other: Floats, weight: Floats, rates: Floats) -> Floats:
    """[resample, measure]: average precision, area under ROC, precision at each rate. NaN without both kinds. A few
    resamples at a time: the items are gone through once for all of them."""
    found = np.full((len(weight), 2 + len(rates)), np.nan)
    every = np.stack([np.bincount(unit, one, weight.shape[1]) for one in (sought, other)], 1)
    for begin in range(0, len(weight), _ABREAST):
        some = weight[begin : begin + _ABREAST]
        _drawn(tie, unit, sought, other, np.ascontiguousarray(some.T), some @ every, rates, found[begin:])
    return found


@compiled
def _drawn(
    tie: Ints, unit: Ints, sought: Floats, other: Floats, weight: Floats, every: Floats, rates: Floats, found: Floats
) -> None:
    """`weight` [unit, resample]. `every` [resample, 2]: all that is sought, and all else."""
    draws = weight.shape[1]
    hits, alarms, average, area = np.zeros(draws), np.zeros(draws), np.zeros(draws), np.zeros(draws)
    more_hits, more_alarms = np.zeros(draws), np.zeros(draws)
    item = 0
    while item < len(tie):
        more_hits[:], more_alarms[:], this = 0.0, 0.0, tie[item]
        while item < len(tie) and tie[item] == this:
            for draw in range(draws):
                more_hits[draw] += weight[unit[item], draw] * sought[item]
                more_alarms[draw] += weight[unit[item], draw] * other[item]
            item += 1
        for draw in range(draws):
            before, after = alarms[draw], alarms[draw] + more_alarms[draw]
            for rate in range(len(rates)):
                allowed = rates[rate] * every[draw, 1]
                if before <= allowed and after > allowed:
                    right = hits[draw] + (allowed - before) / more_alarms[draw] * more_hits[draw]
                    found[draw, 2 + rate] = right / (right + allowed) if right + allowed > 0 else np.nan
            hits[draw] += more_hits[draw]
            alarms[draw] = after
            if more_hits[draw] > 0:
                average[draw] += more_hits[draw] * hits[draw] / (hits[draw] + after)
                area[draw] += more_hits[draw] * (every[draw, 1] - before - more_alarms[draw] / 2)
    for draw in range(draws):
        if every[draw, 0] > 0 and every[draw, 1] > 0:
            found[draw, 0] = average[draw] / every[draw, 0]
            found[draw, 1] = area[draw] / (every[draw, 0] * every[draw, 1])
        else:
            found[draw] = np.nan


def curve(score: Floats, sought: Flags, all_sought: int) -> Curve:
    """Precision and recall of all items down to a score, at POINTS scores at most; the items are those that are named,
    `all_sought` counts the others too."""
    levels = np.sort(-score)
    last = np.flatnonzero(np.append(levels[1:] != levels[:-1], True)) if len(score) else np.zeros(0, np.int64)
    if len(last) > POINTS:
        last = last[np.linspace(0, len(last) - 1, POINTS).round().astype(np.int64)]
    hits = np.searchsorted(np.sort(-score[sought]), levels[last], "right")
    return Curve(hits / max(all_sought, 1), hits / (last + 1), last + 1)
