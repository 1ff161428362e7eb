"""How many ways a transaction's inputs can have paid its outputs: Boltzmann's count, exact.

A mapping cuts the inputs into groups and gives each group some of the outputs, so that a group pays no more than it
has, and what it has left over is at most the whole fee. A group whose coins are worth no more than the fee may have no
output at all; the reference program counts those too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Ints

MOST_INPUTS: Final = 8
MOST_OUTPUTS: Final = 12
MOST_PAIRS: Final = 100_000
"""Pairs of a set of inputs and a set of outputs that fit: the count takes about the square of their number in steps.
With these bounds no count exceeds Bell(8) * 8**12 < 2**49, so 64 bits hold every number."""


class Mappings(NamedTuple):
    total: int
    links: Ints
    """[input, output]: in how many mappings one group has both."""


def mappings(inputs: Ints, outputs: Ints) -> Mappings | None:
    """Of amounts in base units, the inputs worth at least the outputs. None past the bounds above."""
    if not len(inputs) or len(inputs) > MOST_INPUTS or len(outputs) > MOST_OUTPUTS:
        return None
    has, pays = _sums(inputs), _sums(outputs)
    order = np.argsort(pays, kind="stable")
    fee = has[-1] - pays[-1]
    first = np.searchsorted(pays[order], has - fee, "left")
    last = np.searchsorted(pays[order], has, "right")
    if (last - first).sum() > MOST_PAIRS:
        return None
    ways = _ways(order, first, last, len(pays))
    return Mappings(int(ways[-1, -1]), _links(order, first, last, ways, len(inputs), len(outputs)))


def _sums(amounts: Ints) -> Ints:
    """Of every set of them; bit i of the index says whether amounts[i] is in it."""
    found = np.zeros(1, np.int64)
    for amount in amounts:
        found = np.concatenate([found, found + amount])
    return found


@compiled
def _ways(order: Ints, first: Ints, last: Ints, sets_of_outputs: int) -> Ints:
    """[set of inputs, set of outputs]: in how many ways the first can have paid the second. `order` has the sets of
    outputs by worth; those from first[i] up to last[i] fit the set of inputs i."""
    sets = len(first)
    ways = np.zeros((sets, sets_of_outputs), np.int64)
    ways[0, 0] = 1
    for whole in range(1, sets):
        lowest = whole & -whole
        for place in range(first[whole], last[whole]):
            target, found = order[place], 0
            group = whole
            while group:
                if group & lowest:
                    rest = whole ^ group
                    for other in range(first[group], last[group]):
                        paid = order[other]
                        if paid & target == paid:
                            found += ways[rest, target ^ paid]
                group = (group - 1) & whole
            ways[whole, target] = found
    return ways


@compiled
def _links(order: Ints, first: Ints, last: Ints, ways: Ints, inputs: int, outputs: int) -> Ints:
    links = np.zeros((inputs, outputs), np.int64)
    everything, every_output = len(first) - 1, ways.shape[1] - 1
    for group in range(1, everything + 1):
        for place in range(first[group], last[group]):
            paid = order[place]
            count = ways[everything ^ group, every_output ^ paid]
            if count:
                _add(links, group, paid, count)
    return links


@compiled
def _add(links: Ints, group: int, paid: int, count: int) -> None:
    for one in range(links.shape[0]):
        for other in range(links.shape[1]):
            if group >> one & 1 and paid >> other & 1:
                links[one, other] += count
