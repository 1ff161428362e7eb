"""Who gets what, so that the sum is greatest: an auction over sparse pairs, each row and each column used once."""

from __future__ import annotations

from typing import Final

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.densities import Floats
from glasstumbler.lab.public import NONE, Flags, Ints

STEP: Final = 0.01
"""Least raise of a bid. The sum is at most rows * STEP below the greatest."""


def assign(first: Ints, column: Ints, worth: Floats, columns: int, step: float = STEP) -> Flags:
    """By pair: whether it is chosen. Row i has pairs first[i] up to first[i + 1]; `worth` is positive, and a row may go
    without (Bertsekas 1988, one row after another)."""
    return _auction(first, column, worth, columns, step)


@compiled
def _auction(first: Ints, column: Ints, worth: Floats, columns: int, step: float) -> Flags:
    rows = len(first) - 1
    price = np.zeros(columns)
    holder = np.full(columns, NONE)
    held = np.zeros(len(column), np.bool_)
    waiting = np.arange(rows)
    left = rows
    while left:
        left -= 1
        row = waiting[left]
        best, gain, second = NONE, 0.0, 0.0  # to go without is worth nothing
        for pair in range(first[row], first[row + 1]):
            value = worth[pair] - price[column[pair]]
            if value > gain:
                best, second, gain = pair, gain, value
            elif value > second:
                second = value
        if best == NONE:
            continue
        price[column[best]] += gain - second + step
        loser = holder[column[best]]
        holder[column[best]] = best
        held[best] = True
        if loser != NONE:
            held[loser] = False
            waiting[left] = np.searchsorted(first, loser, "right") - 1
            left += 1
    return held
