"""Which base units of an output are tainted, kept as stretches: what FIFO and LIFO need.

A transaction lays its inputs end to end on one line; its outputs cut the line again. The tainted stretches of outputs
that can still be spent lie in one pool. When the pool is full, the dead ones are swept out of it, and if that does not
free half of it, it grows. A sweep looks at every output, so the pool is never small beside their number.
"""

from __future__ import annotations

import numpy as np

from glasstumbler.lab.methods.chains import later
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Flags, Graph, Ints


def in_order(graph: Graph, seeds: Flags, backward: bool) -> Ints:
    """By output: tainted base units. `backward`: the inputs' line is read from its end (LIFO)."""
    places = np.flatnonzero(seeds)
    tainted, count = np.zeros(graph.outputs, np.int64), np.zeros(graph.outputs, np.int64)
    tainted[places] = graph.amount[places]
    first_input, first_output = later(graph, places)
    held = (np.empty(graph.outputs, np.int64), count)
    _walk(first_input, graph.spends, first_output, graph.amount, graph.paid_in, seeds, backward, *held, tainted)
    return tainted


@compiled
def _walk(
    first_input: Ints,
    spends: Ints,
    first_output: Ints,
    amount: Ints,
    paid_in: Ints,
    seeds: Flags,
    backward: bool,
    begin: Ints,
    count: Ints,
    tainted: Ints,
) -> None:
    """`begin`, `count`: of each output's stretches; of none to begin with. (numba's own zeros are written at once.)"""
    size = 1024 + len(amount) // 4
    start, end = np.empty(size, np.int64), np.empty(size, np.int64)  # of each stretch, from its output's first unit
    used = 0
    for tx in range(len(first_input) - 1):
        ins, outs = (first_input[tx], first_input[tx + 1]), (first_output[tx], first_output[tx + 1])
        stretches, worth = 0, 0
        for place in range(ins[0], ins[1]):
            stretches += count[spends[place]]
            worth += paid_in[place]
        room = 2 * stretches + 2 * (outs[1] - outs[0]) + 1
        if used + room > len(start):
            start, end, used = _swept(begin, count, start, end, outs[0], used, room)
        if stretches:
            line_start, line_end = np.empty(stretches, np.int64), np.empty(stretches, np.int64)
            spent, worths = spends[ins[0] : ins[1]], paid_in[ins[0] : ins[1]]
            on_line = _laid(spent, worths, begin, count, start, end, line_start, line_end)
            line_start, line_end = line_start[:on_line], line_end[:on_line]
            if backward:
                line_start, line_end = worth - line_end[::-1], worth - line_start[::-1]
            used = _cut(outs, amount, seeds, line_start, line_end, begin, count, start, end, used, tainted)
            for place in range(ins[0], ins[1]):
                count[spends[place]] = 0
        for output in range(outs[0], outs[1]):
            if seeds[output] and amount[output] > 0:
                begin[output], count[output], start[used], end[used] = used, 1, 0, amount[output]
                used += 1


@compiled
def _laid(
    spent: Ints, paid_in: Ints, begin: Ints, count: Ints, start: Ints, end: Ints, line_start: Ints, line_end: Ints
) -> int:
    """Write the inputs' stretches on one line, those that touch as one; tell how many there are."""
    written, shift = 0, 0
    for place in range(len(spent)):
        first = begin[spent[place]]
        for stretch in range(first, first + count[spent[place]]):
            if written and line_end[written - 1] == shift + start[stretch]:
                line_end[written - 1] = shift + end[stretch]
            else:
                line_start[written], line_end[written] = shift + start[stretch], shift + end[stretch]
                written += 1
        shift += paid_in[place]
    return written


@compiled
def _cut(
    outs: tuple[int, int],
    amount: Ints,
    seeds: Flags,
    line_start: Ints,
    line_end: Ints,
    begin: Ints,
    count: Ints,
    start: Ints,
    end: Ints,
    used: int,
    tainted: Ints,
) -> int:
    """Give each output its piece of the line; tell how much of the pool is used now. Seeds keep what they have."""
    at, stretch = 0, 0
    for output in range(outs[0], outs[1]):
        until = at + amount[output]
        begin[output] = used
        while stretch < len(line_start) and line_start[stretch] < until:
            low, high = max(line_start[stretch], at), min(line_end[stretch], until)
            if low < high and not seeds[output]:
                start[used], end[used] = low - at, high - at
                tainted[output] += high - low
                used += 1
            if line_end[stretch] > until:
                break
            stretch += 1
        count[output] = used - begin[output]
        at = until
    return used


@compiled
def _swept(
    begin: Ints, count: Ints, start: Ints, end: Ints, outputs: int, used: int, room: int
) -> tuple[Ints, Ints, int]:
    """The pool without what the first `outputs` outputs no longer hold, with space for `room` more."""
    alive = count[:outputs].sum()
    size = max(len(start), 2 * (alive + room))
    new_start, new_end = np.empty(size, np.int64), np.empty(size, np.int64)
    used = 0
    for output in range(outputs):
        for stretch in range(begin[output], begin[output] + count[output]):
            new_start[used], new_end[used] = start[stretch], end[stretch]
            used += 1
        begin[output] = used - count[output]
    return new_start, new_end, used
