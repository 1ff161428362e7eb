"""What an address does, in numbers: how much, how often, in which transactions, between which two kinds of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.public import NONE, Graph, Ints

Rows = npt.NDArray[np.float32]
SHAPES: Final = 5
"""Kinds of transactions: coinbases; one input to one or two outputs, or to more; several to one or two, or to more."""
SOON: Final = 24 * 3600
"""Seconds: a coin that is spent within them is spent soon."""
MOTIFS: Final = SHAPES * SHAPES * 2
_SUMS: Final = 8
WIDTH: Final = MOTIFS + _SUMS + 3
CHUNK: Final = 500_000


def shapes(graph: Graph) -> Ints:
    """By transaction: its kind, 0 to SHAPES - 1."""
    inputs, outputs = np.diff(graph.first_input), np.diff(graph.first_output)
    kind: Ints = np.where(inputs == 0, 0, 1 + 2 * (inputs > 1) + (outputs > 2))
    return kind


def features(graph: Graph, addresses: Ints) -> Iterator[tuple[Ints, Rows]]:
    """Some of `addresses` (in order, without repeats) and their rows, until all have come."""
    order = np.argsort(graph.address, kind="stable")
    of_order, motif = graph.address[order], _motifs(graph)
    sums = _sums(graph)
    for start in range(0, len(addresses), CHUNK):
        chunk = addresses[start : start + CHUNK]
        low, high = np.searchsorted(of_order, [chunk[0], chunk[-1] + 1])
        outputs = order[low:high]
        place = np.searchsorted(chunk, graph.address[outputs])
        place = np.minimum(place, len(chunk) - 1)
        mine = chunk[place] == graph.address[outputs]
        yield chunk, _rows(place[mine], outputs[mine], len(chunk), motif, sums, graph)


def _motifs(graph: Graph) -> Ints:
    """By output: made by a transaction of one kind, spent by one of another, soon or later. NONE if unspent."""
    kind, maker, spender = shapes(graph), graph.tx_of_output, graph.spender
    soon = graph.time[spender] - graph.time[maker] <= SOON
    motif: Ints = np.where(spender == NONE, NONE, (kind[maker] * SHAPES + kind[spender]) * 2 + soon)
    return motif


def _sums(graph: Graph) -> list[npt.NDArray[np.float64]]:
    """By output: what is summed up, or taken the mean of, over an address's outputs."""
    inputs, outputs = np.diff(graph.first_input), np.diff(graph.first_output)
    maker, spender = graph.tx_of_output, graph.spender
    spent = spender != NONE
    rate = graph.fee / np.maximum(graph.size, 1)
    by_output = [np.log1p(graph.amount), inputs[maker], outputs[maker], spent]
    by_output += [spent * column[spender] for column in (inputs, outputs, rate)]
    by_output.append(spent * np.log1p(np.maximum(graph.time[spender] - graph.time[maker], 0)))
    return [column.astype(np.float64) for column in by_output]


def _rows(
    place: Ints, outputs: Ints, count: int, motif: Ints, sums: list[npt.NDArray[np.float64]], graph: Graph
) -> Rows:
    rows = np.zeros((count, WIDTH), np.float32)
    known = motif[outputs] != NONE
    cells = place[known] * MOTIFS + motif[outputs[known]]
    rows[:, :MOTIFS] = np.log1p(np.bincount(cells, minlength=count * MOTIFS).reshape(count, MOTIFS))
    received = np.maximum(np.bincount(place, minlength=count), 1)
    for number, column in enumerate(sums):
        rows[:, MOTIFS + number] = np.bincount(place, column[outputs], count) / received
    first, last = np.full(count, 2**62), np.zeros(count, np.int64)
    times = graph.time[graph.tx_of_output[outputs]]
    np.minimum.at(first, place, times)
    np.maximum.at(last, place, times)
    rows[:, -3] = received
    rows[:, -2] = np.log1p(np.bincount(place, graph.amount[outputs].astype(np.float64), count))
    rows[:, -1] = np.log1p(np.maximum(last - first, 0))
    return rows
