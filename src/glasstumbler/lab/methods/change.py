"""Clusters of addresses: co-spending, and the change that comes back to the spender."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, spending
from glasstumbler.lab.methods.change_signs import Signs, signs
from glasstumbler.lab.methods.coinjoin import coinjoins
from glasstumbler.lab.methods.components import components
from glasstumbler.lab.methods.cospend import cospent, rows
from glasstumbler.lab.public import NONE, Flags, Graph, Ints, Public, Shorts


def lone(graph: Graph, candidates: Flags) -> Ints:
    """The outputs that are the only candidate of their transaction. A transaction with one output has no change, and
    one that looks like a CoinJoin has several people's."""
    known = candidates & (graph.address != NONE)
    count = np.bincount(graph.tx_of_output[known], minlength=graph.txs)
    usable = (count == 1) & (np.diff(graph.first_output) > 1) & (np.diff(graph.first_input) > 0) & ~coinjoins(graph)
    return np.flatnonzero(known & usable[graph.tx_of_output])


def with_change(graph: Graph, change: Ints) -> Shorts:
    """By address: the smallest number in its cluster, by co-spending and by `change` (outputs)."""
    one, other = cospent(graph)
    spender = graph.input_address[graph.first_input[graph.tx_of_output[change]]]
    known = spender != NONE
    pairs = np.concatenate([one, spender[known]]), np.concatenate([other, graph.address[change][known]])
    return components(graph.addresses, *pairs)


class Change:
    """Another rule is a subclass: `rule = staticmethod(lambda signs: signs.fresh & ~signs.power_of_ten)`."""

    name: ClassVar[str] = "change"
    task: ClassVar[str] = "T4"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="BlockSci (Kalodner and others, USENIX Security 2020), its first rule; Meiklejohn and others (2013).",
        rule="Co-spend clusters; and where exactly one output of a transaction is smaller than every input and is the"
        " first payment to its address, it is change and belongs to the spender.",
        knows="The chain only.",
        cost="A few passes over inputs and outputs, and union-find.",
        fails="A payment that is smaller than every input, to a new address, beside change that is larger or goes to an"
        " old address, is taken for the change: two owners become one, and such merges add up to one giant cluster."
        " Finds no change in transactions with several candidates. " + ACCOUNTS,
        rebuilt="The rule is the reference program's own. Its eight heuristics (change_signs.py) can be combined to"
        " other rules in a subclass; locktime is not among them, since the observer's tables have none.",
    )

    @staticmethod
    def rule(found: Signs) -> Flags:
        return found.optimal_change & found.fresh

    def fit(self, public: Public, told: Told) -> None:
        """Nothing to learn."""

    def predict(self, public: Public) -> pa.Table:
        return answer("T4", [self._clusters(graph) for graph in spending(public)])

    def _clusters(self, graph: Graph) -> dict[str, object]:
        return rows(graph, with_change(graph, lone(graph, self.rule(signs(graph)))))
