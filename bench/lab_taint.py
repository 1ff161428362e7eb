"""Taint along two million transactions: compiled loops beside the same rules in plain numpy, and beside each other.

Haircut and poison need what a transaction spends before what it pays, so numpy cannot take all transactions at once: it
takes them in waves, each with those whose coins were made in earlier waves.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.apart import Measured, exponent, measure
from glasstumbler.lab.methods import taint

TXS, ROUNDS, SEEDS = 2_000_000, 3, 100
GROWTH = (10_000, 100_000, 1_000_000)


def chain(txs: int) -> Any:
    """As Graph has it: every transaction pays two outputs and spends one or two of the last 100,000 unspent ones;
    one in ten is a coinbase."""
    draw = np.random.default_rng(1)
    inputs = draw.choice([0, 1, 1, 1, 1, 1, 2, 2, 2, 2], txs)
    inputs[0] = 0
    outputs = np.full(txs, 2)
    first_input, first_output = (np.concatenate([[0], np.cumsum(counts)]) for counts in (inputs, outputs))
    spends, amount = _filled(first_input, first_output, draw.random(first_input[-1]), draw.random(txs))
    return SimpleNamespace(
        first_input=first_input,
        first_output=first_output,
        spends=spends,
        amount=amount,
        paid_in=amount[spends],
        outputs=len(amount),
        txs=txs,
    )


def _filled(first_input: Any, first_output: Any, choices: Any, cuts: Any) -> Any:
    from glasstumbler.lab.methods.compiled import compiled

    return compiled(_fill)(first_input, first_output, choices, cuts)


def _fill(first_input: Any, first_output: Any, choices: Any, cuts: Any) -> Any:
    spends = np.empty(first_input[-1], np.int64)
    amount = np.empty(first_output[-1], np.int64)
    unspent = np.empty(first_output[-1] + 1, np.int64)
    waiting = 0
    for tx in range(len(first_input) - 1):
        worth = 0
        for place in range(first_input[tx], first_input[tx + 1]):
            chosen = waiting - 1 - int(choices[place] * min(waiting, 100_000))
            spends[place] = unspent[chosen]
            waiting -= 1
            unspent[chosen] = unspent[waiting]
            worth += amount[spends[place]]
        if worth == 0:
            worth = 5_000_000_000
        first = first_output[tx]
        amount[first] = int(worth * cuts[tx])
        amount[first + 1] = worth - amount[first]
        for output in (first, first + 1):
            unspent[waiting] = output
            waiting += 1
    return spends, amount


def seeds(graph: Any) -> npt.NDArray[np.int64]:
    return np.linspace(0, graph.outputs // 10, SEEDS).astype(np.int64)


def poison(graph: Any) -> int:
    return int((taint.poison(graph, seeds(graph)) > 0).sum())


def haircut(graph: Any) -> int:
    return int((taint.haircut(graph, seeds(graph)) > 0).sum())


def first_out(graph: Any) -> int:
    return int((taint.first_out(graph, seeds(graph)) > 0).sum())


def highest_out(graph: Any) -> int:
    return int((taint.highest_out(graph, seeds(graph)) > 0).sum())


def numpy_haircut(graph: Any) -> int:
    """By waves: a transaction's wave is one more than the latest of those that made its coins."""
    part = np.zeros(graph.outputs)
    part[seeds(graph)] = 1
    for txs, inputs in _waves(graph):
        counts = (graph.first_input[txs + 1] - graph.first_input[txs]).astype(np.int64)
        owner = np.repeat(np.arange(len(txs)), counts)
        worth = np.bincount(owner, graph.paid_in[inputs], len(txs))
        tainted = np.bincount(owner, part[graph.spends[inputs]] * graph.paid_in[inputs], len(txs))
        share = np.divide(tainted, worth, out=np.zeros(len(txs)), where=worth > 0)
        outputs = graph.first_output[txs][:, None] + np.arange(2)
        part[outputs] = np.maximum(part[outputs], share[:, None])
    return int((part > 0).sum())


def numpy_poison(graph: Any) -> int:
    tainted = np.zeros(graph.outputs, np.bool_)
    tainted[seeds(graph)] = True
    for txs, inputs in _waves(graph):
        counts = (graph.first_input[txs + 1] - graph.first_input[txs]).astype(np.int64)
        owner = np.repeat(np.arange(len(txs)), counts)
        dirty = np.bincount(owner, tainted[graph.spends[inputs]], len(txs)) > 0
        outputs = graph.first_output[txs][:, None] + np.arange(2)
        tainted[outputs] |= dirty[:, None]
    return int(tainted.sum())


def _waves(graph: Any) -> Any:
    """(transactions, their inputs), wave by wave, coinbases left out. The waves themselves are found by numpy too."""
    maker = graph.spends // 2  # every transaction here has two outputs
    counts = np.diff(graph.first_input)
    owner = np.repeat(np.arange(graph.txs), counts)
    wave = np.zeros(graph.txs, np.int64)
    while True:
        later = np.zeros(graph.txs, np.int64)
        np.maximum.at(later, owner, wave[maker] + 1)
        if (later == wave).all():
            break
        wave = later
    order = np.argsort(wave, kind="stable")
    bounds = np.searchsorted(wave[order], np.arange(1, wave.max() + 2))
    for low, high in pairwise(bounds):
        txs = order[low:high]
        repeats = counts[txs]
        start = np.repeat(graph.first_input[txs] - np.cumsum(repeats) + repeats, repeats)
        yield txs, start + np.arange(repeats.sum())


CONTENDERS = {
    "poison": (poison, ROUNDS),
    "poison, numpy in waves": (numpy_poison, 1),
    "haircut": (haircut, ROUNDS),
    "haircut, numpy in waves": (numpy_haircut, 1),
    "FIFO": (first_out, ROUNDS),
    "TIHO": (highest_out, ROUNDS),
}


def run() -> dict[str, Any]:
    rows = {name: measure(chain, work, rounds, TXS) for name, (work, rounds) in CONTENDERS.items()}
    for rule in ("poison", "haircut"):
        assert rows[rule].result == rows[f"{rule}, numpy in waves"].result, "they do not agree"
    _print(rows)
    seconds = [measure(chain, haircut, ROUNDS, txs).cpu for txs in GROWTH]
    slope = exponent(list(GROWTH), seconds)
    print(f"  growth of haircut, {GROWTH[0]:,} to {GROWTH[-1]:,} transactions: exponent {slope:.2f}")
    return {"rows": {name: row._asdict() for name, row in rows.items()}, "exponent": slope}


def _print(rows: dict[str, Measured]) -> None:
    print(f"  {TXS:,} transactions {'seconds':>14} {'CPU s':>9} {'M tx a CPU s':>13} {'peak MB':>9} {'outputs':>10}")
    for name, row in rows.items():
        rate = TXS / row.cpu / 1e6
        print(f"    {name:26} {row.seconds:9.2f} {row.cpu:9.2f} {rate:13.1f} {row.peak_mb:9.0f} {row.result:10,}")
