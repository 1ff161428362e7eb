"""Figures of groups whose values lie together: those of group g are `values[offsets[g]:offsets[g + 1]]`.

Compiled loops that add in the order of the values, so that every machine comes to the same bits. An empty group has
zeros.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Ints

Floats = npt.NDArray[np.float64]
FOUR: Final = ("mean", "max", "min", "std")
FIVE: Final = ("total", "min", "max", "mean", "median")


@compiled
def four(values: Floats, offsets: Ints) -> Floats:
    """A row of FOUR a group; the deviation is of the group as a whole."""
    out = np.zeros((len(offsets) - 1, 4))
    for group in range(len(offsets) - 1):
        first, last = offsets[group], offsets[group + 1]
        if first == last:
            continue
        total, most, least = 0.0, values[first], values[first]
        for at in range(first, last):
            total += values[at]
            most = max(most, values[at])
            least = min(least, values[at])
        mean = total / (last - first)
        spread = 0.0
        for at in range(first, last):
            spread += (values[at] - mean) ** 2
        out[group, 0], out[group, 1], out[group, 2] = mean, most, least
        out[group, 3] = np.sqrt(spread / (last - first))
    return out


@compiled
def five(values: Floats, offsets: Ints) -> Floats:
    """A row of FIVE a group."""
    out = np.zeros((len(offsets) - 1, 5))
    for group in range(len(offsets) - 1):
        first, last = offsets[group], offsets[group + 1]
        if first == last:
            continue
        ordered = np.sort(values[first:last])
        total = 0.0
        for value in ordered:
            total += value
        count = last - first
        out[group, 0], out[group, 1], out[group, 2] = total, ordered[0], ordered[count - 1]
        out[group, 3] = total / count
        out[group, 4] = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return out


@compiled
def distinct(values: Ints, offsets: Ints) -> Ints:
    """How many different values a group has."""
    out = np.zeros(len(offsets) - 1, np.int64)
    for group in range(len(offsets) - 1):
        ordered = np.sort(values[offsets[group] : offsets[group + 1]])
        for at in range(len(ordered)):
            if at == 0 or ordered[at] != ordered[at - 1]:
                out[group] += 1
    return out


@compiled
def commonest(values: Ints, offsets: Ints) -> Ints:
    """How often a group has its commonest value."""
    out = np.zeros(len(offsets) - 1, np.int64)
    for group in range(len(offsets) - 1):
        ordered = np.sort(values[offsets[group] : offsets[group + 1]])
        same = 0
        for at in range(len(ordered)):
            same = same + 1 if at and ordered[at] == ordered[at - 1] else 1
            out[group] = max(out[group], same)
    return out


@compiled
def shared(values: Ints, offsets: Ints, others: Ints, other_offsets: Ints) -> Ints:
    """How many of a group's values are among the other values of that group."""
    out = np.zeros(len(offsets) - 1, np.int64)
    for group in range(len(offsets) - 1):
        for at in range(offsets[group], offsets[group + 1]):
            for other in range(other_offsets[group], other_offsets[group + 1]):
                if values[at] == others[other]:
                    out[group] += 1
                    break
    return out


@compiled
def add_up(rows: Floats, count: int, mean: Floats, spread: Floats) -> int:
    """Take rows into the mean and the sum of squared deviations of each column (Welford); how many there are then."""
    for row in range(len(rows)):
        count += 1
        for column in range(rows.shape[1]):
            away = rows[row, column] - mean[column]
            mean[column] += away / count
            spread[column] += away * (rows[row, column] - mean[column])
    return count
