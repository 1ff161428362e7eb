"""Taint along addresses, which gets through a mixer where taint along transactions does not, and a filter on top."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, later, spending
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.taint import poisoned
from glasstumbler.lab.public import NONE, Flags, Graph, Ints, Public

WINDOW: Final = 7 * 24 * 3600
"""Seconds after the last seed in which a withdrawal is looked for."""


def address_taint(graph: Graph, seeds: Ints) -> Flags:
    """By output: paid, directly or through others, by an address that had been tainted before. The seeds and their
    addresses are tainted to begin with, from the seeds' own transactions on."""
    tainted = np.zeros(graph.outputs, np.bool_)
    tainted[seeds] = True
    owned = np.zeros(graph.addresses, np.bool_)
    first_input, first_output = later(graph, seeds)
    _spread(first_input, graph.input_address, first_output, graph.address, tainted, owned)
    return tainted


@compiled
def _spread(
    first_input: Ints, input_address: Ints, first_output: Ints, address: Ints, tainted: Flags, owned: Flags
) -> None:
    for tx in range(len(first_input) - 1):
        dirty = False
        for place in range(first_input[tx], first_input[tx + 1]):
            if input_address[place] != NONE and owned[input_address[place]]:
                dirty = True
        for output in range(first_output[tx], first_output[tx + 1]):
            tainted[output] |= dirty
            if tainted[output] and address[output] != NONE:
                owned[address[output]] = True


def withdrawals(graph: Graph, seeds: Ints) -> Flags:
    """By output: tainted by address; clean by transaction; the first payment to its address; worth at most all seeds
    together; in the WINDOW after the last of them. The seeds themselves are in."""
    last = graph.time[graph.tx_of_output[seeds]].max()
    outputs = np.flatnonzero(address_taint(graph, seeds) & ~poisoned(graph, seeds))
    tx, address, amount = graph.tx_of_output[outputs], graph.address[outputs], graph.amount[outputs]
    kept = (address != NONE) & (graph.first_payer[address] == tx) & (amount <= graph.amount[seeds].sum())
    kept &= (graph.time[tx] >= last) & (graph.time[tx] <= last + WINDOW)
    found = np.zeros(graph.outputs, np.bool_)
    found[outputs[kept]] = True
    found[seeds] = True
    return found


class _ByAddress:
    task: ClassVar[str] = "T5"
    calibrated: ClassVar[bool] = False

    def fit(self, public: Public, told: Told) -> None:
        self._seeds = told.seeds

    def predict(self, public: Public) -> pa.Table:
        return answer("T5", [self._one(graph) for graph in spending(public)])

    def _one(self, graph: Graph) -> dict[str, object]:
        seeds = np.array([output for coin, output in self._seeds if coin == graph.coin], np.int64)
        outputs = np.flatnonzero(self.outputs(graph, seeds)) if len(seeds) else seeds
        return {"coin": graph.coin, "output": outputs, "tainted": np.ones(len(outputs))}

    def outputs(self, graph: Graph, seeds: Ints) -> Flags:
        """At least one seed."""
        raise NotImplementedError


class AddressTaint(_ByAddress):
    name: ClassVar[str] = "taint-address"
    about: ClassVar[About] = About(
        paper="Tironsakkul and others, Tracking Mixed Bitcoins (2020), arXiv 2009.14007.",
        rule="An address that is paid by a tainted address is tainted, and so is whatever it pays from then on,"
        " whichever of its coins it spends.",
        knows="The chain, and the outputs that are tainted to begin with.",
        cost="One pass over inputs and outputs, 1 byte an output and an address.",
        fails="Through one reused address of a service it taints nearly everything that the service pays. Where a"
        " service uses each address once it finds no more than taint-poison. " + ACCOUNTS,
        rebuilt="After the authors' program, which also follows payments that a tainted address made before it was"
        " tainted; here only later ones count.",
    )

    def outputs(self, graph: Graph, seeds: Ints) -> Flags:
        return address_taint(graph, seeds)


class AddressTaintFilter(_ByAddress):
    name: ClassVar[str] = "taint-address-filter"
    about: ClassVar[About] = About(
        paper="Tironsakkul and others, Tracking Mixed Bitcoins (2020), arXiv 2009.14007.",
        rule="Of what taint-address finds, only what can be a withdrawal: clean by taint-poison (the mixer paid it with"
        " other coins), first payment to its address, no larger than all seeds together, within 7 days after the last.",
        knows="The chain, and the outputs that are tainted to begin with: all of them one customer's deposit.",
        cost="As taint-address and taint-poison together.",
        fails="Misses a payout that is made of the deposit's own coins, or goes to an address that was paid before."
        " What it keeps are candidates: the customers of the same days look alike. " + ACCOUNTS,
        rebuilt="The paper says that its criteria follow the characteristics of withdrawals; it could not be had word"
        " for word. These four are ours.",
    )

    def outputs(self, graph: Graph, seeds: Ints) -> Flags:
        return withdrawals(graph, seeds)
