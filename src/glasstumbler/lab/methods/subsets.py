"""Which few of a deposit's possible payments add up to it."""

from __future__ import annotations

from typing import Final

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.densities import Floats
from glasstumbler.lab.public import NONE, Ints

MOST_WINDOW: Final = 64
"""Payments in a deposit's window, above which sums say nothing: too many fit by chance."""


def subsets(
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    worth: Floats,
    delay: tuple[Floats, Floats],
    taken: tuple[Floats, Floats],
    least: int,
) -> tuple[Ints, Floats]:
    """(row, weight) by [deposit, place]: the payments of a deposit's window, and for each the densities of all sets of
    `least` to 3 payments that hold it and whose sum leaves a usual fee, as a part of all such sets. `delay`, `taken`:
    edges and heights of densities; `paid` is ascending. Rows are NONE where no set fits, or the window holds more than
    MOST_WINDOW."""
    row = np.full((len(deposited), MOST_WINDOW), NONE, np.int64)
    weight = np.zeros((len(deposited), MOST_WINDOW))
    _sums(deposited, amount, paid, worth, *delay, *taken, least, row, weight)
    return row, weight


@compiled
def _sums(
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    worth: Floats,
    delay_edges: Floats,
    delay_heights: Floats,
    taken_edges: Floats,
    taken_heights: Floats,
    least: int,
    row: Ints,
    weight: Floats,
) -> None:
    most = row.shape[1]
    for deposit in range(len(deposited)):
        start = np.searchsorted(paid, deposited[deposit] + delay_edges[0])
        end = np.searchsorted(paid, deposited[deposit] + delay_edges[-1])
        top = amount[deposit] * (1 - taken_edges[0])
        if end - start > most or end <= start or amount[deposit] <= 0:
            continue
        late = np.empty(end - start)  # a payment's delay beside an even one, times its chance of 1 / n
        chance = (delay_edges[-1] - delay_edges[0]) / (end - start)
        for place in range(start, end):
            found = np.searchsorted(delay_edges, paid[place] - deposited[deposit], "right") - 1
            late[place - start] = delay_heights[found] * chance
        total = 0.0
        for one in range(start, end):
            if least <= 1:
                fits = _fit(worth[one], amount[deposit], taken_edges, taken_heights) * late[one - start]
                weight[deposit, one - start] += fits
                total += fits
            for two in range(one + 1, end):
                pair = worth[one] + worth[two]
                if pair > top:
                    continue
                both = late[one - start] * late[two - start]
                if least <= 2:
                    fits = _fit(pair, amount[deposit], taken_edges, taken_heights) * both
                    weight[deposit, one - start] += fits
                    weight[deposit, two - start] += fits
                    total += fits
                for three in range(two + 1, end):
                    if pair + worth[three] > top:
                        continue
                    fits = _fit(pair + worth[three], amount[deposit], taken_edges, taken_heights)
                    if fits > 0:
                        fits *= both * late[three - start]
                        weight[deposit, one - start] += fits
                        weight[deposit, two - start] += fits
                        weight[deposit, three - start] += fits
                        total += fits
        if total > 0:
            for place in range(start, end):
                row[deposit, place - start] = place
                weight[deposit, place - start] /= total


@compiled
def _fit(worth: float, amount: float, taken_edges: Floats, taken_heights: Floats) -> float:
    taken = 1 - worth / amount
    if taken < taken_edges[0] or taken >= taken_edges[-1]:
        return 0.0
    height: float = taken_heights[np.searchsorted(taken_edges, taken, "right") - 1]
    return height
