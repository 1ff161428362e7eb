"""Which transactions look like CoinJoins: BlockSci's rule."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, spending
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Flags, Graph, Ints, Public

DUST: Final = (546, 2730)
"""Satoshi: amounts that wallets pay as markers; equal outputs of these are no CoinJoin."""


def coinjoins(graph: Graph) -> Flags:
    """By transaction: at least 2 inputs and 3 outputs; with p = (outputs + 1) // 2 participants, p inputs from
    p addresses; some amount that is not dust is paid exactly p times, and none more often."""
    return _flagged(graph.first_input, graph.first_output, graph.input_address, graph.amount)


@compiled
def _flagged(first_input: Ints, first_output: Ints, input_address: Ints, amount: Ints) -> Flags:
    txs = len(first_input) - 1
    found = np.zeros(txs, np.bool_)
    for tx in range(txs):
        inputs = first_input[tx + 1] - first_input[tx]
        outputs = first_output[tx + 1] - first_output[tx]
        people = (outputs + 1) // 2
        if inputs < 2 or outputs < 3 or people > inputs:
            continue
        addresses = np.sort(input_address[first_input[tx] : first_input[tx + 1]])
        if 1 + (addresses[1:] != addresses[:-1]).sum() < people:
            continue
        found[tx] = _paid_alike(np.sort(amount[first_output[tx] : first_output[tx + 1]]), people)
    return found


@compiled
def _paid_alike(amounts: Ints, people: int) -> bool:
    """`amounts` sorted."""
    most, run, clean = 0, 0, False
    for place in range(len(amounts)):
        run = run + 1 if place and amounts[place] == amounts[place - 1] else 1
        most = max(most, run)
        if run == people and amounts[place] not in DUST:
            clean = True
    return bool(most == people and clean)


class CoinJoinRule:
    """Every pair of an input and an output of a flagged transaction, at one in the number of participants."""

    name: ClassVar[str] = "coinjoin-rule"
    task: ClassVar[str] = "T7"
    calibrated: ClassVar[bool] = True
    about: ClassVar[About] = About(
        paper="BlockSci (Kalodner and others, USENIX Security 2020), isCoinjoin; after Goldfeder and others (2018).",
        rule="Flags a transaction with at least 2 inputs and 3 outputs in which, with p = (outputs + 1) / 2 rounded"
        " down, there are at least p inputs from p addresses and the commonest amount is paid exactly p times and is"
        " not dust (546 or 2,730). Says of each input and output of it that one owner has both with probability 1 / p.",
        knows="The chain only.",
        cost="One pass; sorts the inputs and outputs of each candidate.",
        fails="Flags batches of equal payments from several addresses. Misses CoinJoins in which someone pays two"
        " equal outputs or brings no change where others do. Of amounts it uses equality only. " + ACCOUNTS,
        rebuilt="The rule is BlockSci's own. That a flag means 1 / p for each pair is ours.",
        elsewhere="Of its kind: rules for the CoinJoins of Wasabi and of Samourai, over 99 % accurate (Stuetz and"
        " others, AFT 2022, arXiv 2109.10229).",
    )

    def fit(self, public: Public, told: Told) -> None:
        """Nothing to learn."""

    def predict(self, public: Public) -> pa.Table:
        return answer("T7", [_pairs(graph) for graph in spending(public)])


def _pairs(graph: Graph) -> dict[str, object]:
    flagged = np.flatnonzero(coinjoins(graph))
    inputs = graph.first_input[flagged + 1] - graph.first_input[flagged]
    outputs = graph.first_output[flagged + 1] - graph.first_output[flagged]
    pairs = inputs * outputs
    which = np.repeat(np.arange(len(flagged)), pairs)
    place = np.arange(len(which)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    return {
        "coin": graph.coin,
        "tx": flagged[which],
        "place": place // outputs[which],
        "vout": place % outputs[which],
        "score": 1 / ((outputs[which] + 1) // 2),
    }
