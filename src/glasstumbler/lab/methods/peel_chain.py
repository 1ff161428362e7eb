"""Peel chains: follow the change while the next transaction looks as if the same wallet made it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.address_kinds import address_kinds, kinds_of
from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, spending
from glasstumbler.lab.methods.change import lone, with_change
from glasstumbler.lab.methods.cospend import rows
from glasstumbler.lab.public import NONE, Flags, Graph, Ints, Public


def hops(graph: Graph) -> Flags:
    """By output: its transaction has two outputs, the one that spends it has two as well, and the same fingerprint."""
    two = np.diff(graph.first_output) == 2
    prints = fingerprints(graph)
    spender, tx = graph.spender, graph.tx_of_output
    found: Flags = (spender != NONE) & two[tx] & two[spender] & (prints[tx] == prints[spender]) & (prints[tx] != NONE)
    return found


def fingerprints(graph: Graph) -> Ints:
    """By transaction: the type of all its inputs' addresses together with its fee rate in base units a byte, rounded;
    NONE for coinbases and mixed types."""
    kinds = kinds_of(graph.input_address, address_kinds(graph)).astype(np.int64)
    found = np.full(graph.txs, NONE, np.int64)
    some = np.diff(graph.first_input) > 0
    if not some.any():
        return found
    starts = graph.first_input[:-1][some]
    least, most = np.minimum.reduceat(kinds, starts), np.maximum.reduceat(kinds, starts)
    rate = (graph.fee[some] + graph.size[some] // 2) // np.maximum(graph.size[some], 1)
    found[some] = np.where((least == most) & (least != NONE), rate * 16 + least, NONE)
    return found


class PeelChain:
    name: ClassVar[str] = "peel-chain"
    task: ClassVar[str] = "T4"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="Kappos and others, How to Peel a Million (USENIX Security 2022), arXiv 2205.13882.",
        rule="Co-spend clusters; and where exactly one output of a transaction with two is spent by a transaction with"
        " two outputs and the same fingerprint (address type of the inputs, fee rate), that output is change, and the"
        " chain goes on from there.",
        knows="The chain only.",
        cost="A few passes over inputs and outputs, and union-find.",
        fails="Follows a payment in place of the change if the receiver's wallet leaves the same fingerprint and the"
        " change is not spent. Stops at unspent change. One service that pays at one fee rate has few chains that this"
        " does not join. " + ACCOUNTS,
        rebuilt="The paper's fingerprint has features that the observer's tables lack (version, locktime, sequence"
        " numbers, order of inputs and outputs), and its rule was had only in outline. The fingerprint here is address"
        " type and fee rate. The paper's walk begins at a chosen transaction; here every transaction begins one.",
    )

    def fit(self, public: Public, told: Told) -> None:
        """Nothing to learn."""

    def predict(self, public: Public) -> pa.Table:
        return answer("T4", [self._clusters(graph) for graph in spending(public)])

    def _clusters(self, graph: Graph) -> dict[str, object]:
        return rows(graph, with_change(graph, lone(graph, hops(graph))))
