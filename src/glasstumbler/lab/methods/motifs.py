"""What an address does, in numbers: how much, how often, in which transactions, between which two kinds of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import NONE, Graph, Ints, Shorts

Rows = npt.NDArray[np.float32]
SHAPES: Final = 5
"""Kinds of transactions: coinbases; one input to one or two outputs, or to more; several to one or two, or to more."""
SOON: Final = 24 * 3600
"""Seconds: a coin that is spent within them is spent soon."""
MOTIFS: Final = SHAPES * SHAPES * 2
"""Made by a transaction of one kind, spent by one of another, soon or later: for each how often, as log(1 + n)."""
MEANS: Final = 8
"""Over the outputs that pay the address: log(1 + amount), inputs and outputs of the paying transaction, spent or not,
and, 0 where unspent: inputs, outputs and fee rate of the spending transaction, log(1 + seconds unspent)."""
WIDTH: Final = MOTIFS + MEANS + 3
"""And at the end: outputs, log(1 + all that they pay), log(1 + seconds from the first to the last)."""
CHUNK: Final = 500_000


def features(graph: Graph, addresses: Ints) -> Iterator[tuple[Ints, Rows]]:
    """Some of `addresses` (in order, without repeats) and their rows, until all have come."""
    order = np.argsort(graph.address, kind="stable")
    begin = np.searchsorted(graph.address[order], np.arange(graph.addresses + 1))
    kind = shapes(graph)
    for start in range(0, len(addresses), CHUNK):
        chunk = addresses[start : start + CHUNK]
        rows = np.zeros((len(chunk), WIDTH), np.float32)
        tables = (graph.first_input, graph.first_output, graph.fee, graph.size, graph.time, kind)
        _fill(rows, chunk, begin, order, graph.tx_of_output, graph.spender, graph.amount, *tables)
        yield chunk, rows


def shapes(graph: Graph) -> Ints:
    """By transaction: its kind, 0 to SHAPES - 1."""
    inputs, outputs = np.diff(graph.first_input), np.diff(graph.first_output)
    kind: Ints = np.where(inputs == 0, 0, 1 + 2 * (inputs > 1) + (outputs > 2))
    return kind


@compiled
def _fill(
    rows: Rows,
    chunk: Ints,
    begin: Ints,
    order: Ints,
    makers: Ints,
    spenders: Ints,
    amounts: Ints,
    first_input: Ints,
    first_output: Ints,
    fee: Ints,
    size: Shorts,
    time: Ints,
    kind: Ints,
) -> None:
    """The outputs of an address are order[begin[address]] up to order[begin[address + 1]], first to last."""
    for number in range(len(chunk)):
        low, high = begin[chunk[number]], begin[chunk[number] + 1]
        row, received = rows[number], 0.0
        for output in order[low:high]:
            maker, spender = makers[output], spenders[output]
            received += amounts[output]
            row[MOTIFS] += np.log1p(amounts[output])
            row[MOTIFS + 1] += first_input[maker + 1] - first_input[maker]
            row[MOTIFS + 2] += first_output[maker + 1] - first_output[maker]
            if spender != NONE:
                waited = time[spender] - time[maker]
                row[(kind[maker] * SHAPES + kind[spender]) * 2 + (waited <= SOON)] += 1
                row[MOTIFS + 3] += 1
                row[MOTIFS + 4] += first_input[spender + 1] - first_input[spender]
                row[MOTIFS + 5] += first_output[spender + 1] - first_output[spender]
                row[MOTIFS + 6] += fee[spender] / max(size[spender], 1)
                row[MOTIFS + 7] += np.log1p(max(waited, 0))
        for motif in range(MOTIFS):
            if row[motif]:
                row[motif] = np.log1p(row[motif])
        if high > low:
            row[MOTIFS : MOTIFS + MEANS] /= high - low
            row[WIDTH - 3] = high - low
            row[WIDTH - 2] = np.log1p(received)
            row[WIDTH - 1] = np.log1p(time[makers[order[high - 1]]] - time[makers[order[low]]])
