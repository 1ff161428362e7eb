"""For every deposit the likeliest payments: a scan over payments sorted by amount, then time.

Where a deposit may have given nearly any amount, wide_windows.py finds the same without looking at each payment. Else
payments lie in buckets by the logarithm of what they need, so wide that a deposit's window of amounts touches two or
three of them; in a bucket they lie by time, so that its window of times is found by halving.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.densities import Floats, Habits
from glasstumbler.lab.methods.wide_windows import weigh
from glasstumbler.lab.public import NONE, Ints

KEEP: Final = 20
"""Candidates that are named for each deposit: the longest list that T2 scores."""


class Buckets(NamedTuple):
    """Rows by bucket, then by time."""

    rows: Ints
    """Number of each."""
    time: Ints
    need: Floats
    names: Ints
    """Of the buckets that hold something, ascending: floor(log(need) / width)."""
    first: Ints
    """Where each begins, and the end of the last."""
    width: float


class Candidates(NamedTuple):
    """[deposit, rank], the likeliest first."""

    row: Ints
    """Of the payment; NONE where there are no more."""
    weight: Floats
    """Density of its delay times density of its fee."""
    total: Floats
    """By deposit: weights of all payments in the window, also of those that are not named."""
    many: Ints
    """By deposit: how many they are."""


def buckets(time: Ints, need: Floats, least: float, most: float) -> Buckets:
    """For windows of amounts from `least` to `most` times a deposit."""
    width = _width(least, most)
    rows = np.flatnonzero(need > 0)
    name = np.floor(np.log(need[rows]) / width).astype(np.int64)
    order = np.lexsort((time[rows], name))
    rows, name = rows[order], name[order]
    names, first = np.unique(name, return_index=True)
    return Buckets(rows, time[rows], need[rows], names, np.append(first, len(rows)), width)


def _width(least: float, most: float) -> float:
    return float(max(np.log(most / least), 1e-7))


LEAST_PART: Final = 1e-4
"""A payment below this part of the deposit is not looked at."""
WIDE: Final = 1.5
"""Most by least of what a payment may need: from here on stretches are faster than one payment after another."""


def candidates(
    deposited: Ints, amount: Floats, paid: Ints, need: Floats, habits: Habits, keep: int = KEEP
) -> Candidates:
    """`deposited`, `paid`: times, each ascending. `need`: what had to be deposited for each payment."""
    least, most = max(1 - habits.taken.high, LEAST_PART), max(1 - habits.taken.low, 2 * LEAST_PART)
    found = Candidates(
        np.full((len(deposited), keep), NONE, np.int64),
        np.zeros((len(deposited), keep)),
        np.zeros(len(deposited)),
        np.zeros(len(deposited), np.int64),
    )
    (_stretches if most / least > WIDE else _each)(deposited, amount, paid, need, habits, (least, most), found)
    return found


def _each(
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    need: Floats,
    habits: Habits,
    limits: tuple[float, float],
    found: Candidates,
) -> None:
    """Looks at each payment of a window."""
    least, most = limits
    sorted_ = buckets(paid, need, least, most)
    heights = (*habits.delay, *habits.taken)
    into = (found.row, found.weight, found.total, found.many)
    _scan(deposited, amount, least, most, *sorted_, *heights, *into)


def _stretches(
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    need: Floats,
    habits: Habits,
    limits: tuple[float, float],
    found: Candidates,
) -> None:
    """The same payments, in the same order."""
    width = _width(*limits)
    bucket = np.floor(np.log(np.where(need > 0, need, 1)) / width).astype(np.int64)
    sound = np.where(amount > 0, amount, 1)
    lowest, highest = (np.floor(np.log(sound * part) / width).astype(np.int64) for part in limits)
    weigh(deposited, amount, paid, need, bucket, (lowest, highest), habits, found)


@compiled
def _scan(
    deposited: Ints,
    amount: Floats,
    least: float,
    most: float,
    rows: Ints,
    time: Ints,
    need: Floats,
    names: Ints,
    first: Ints,
    width: float,
    delay_edges: Floats,
    delay_heights: Floats,
    taken_edges: Floats,
    taken_heights: Floats,
    row: Ints,
    weight: Floats,
    total: Floats,
    many: Ints,
) -> None:
    keep = row.shape[1]
    for deposit in range(len(deposited)):
        if amount[deposit] <= 0:
            continue
        last = np.floor(np.log(amount[deposit] * most) / width)
        bucket = np.searchsorted(names, np.floor(np.log(amount[deposit] * least) / width))
        while bucket < len(names) and names[bucket] <= last:
            start, end = first[bucket], first[bucket + 1]
            place = start + np.searchsorted(time[start:end], deposited[deposit] + delay_edges[0])
            while place < end and time[place] - deposited[deposit] < delay_edges[-1]:
                taken = 1 - need[place] / amount[deposit]
                if taken_edges[0] <= taken < taken_edges[-1]:
                    one = delay_heights[np.searchsorted(delay_edges, time[place] - deposited[deposit], "right") - 1]
                    one *= taken_heights[np.searchsorted(taken_edges, taken, "right") - 1]
                    total[deposit] += one
                    many[deposit] += 1
                    rank = keep
                    while rank > 0 and one > weight[deposit, rank - 1]:
                        if rank < keep:
                            weight[deposit, rank] = weight[deposit, rank - 1]
                            row[deposit, rank] = row[deposit, rank - 1]
                        rank -= 1
                    if rank < keep:
                        weight[deposit, rank] = one
                        row[deposit, rank] = rows[place]
                place += 1
            bucket += 1
