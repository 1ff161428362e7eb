"""Taint along transactions: how much of each output comes from the seeds, by five rules for what a transaction mixes.

Every rule walks the chain once, transaction by transaction; outputs have numbers in that order, so what a transaction
spends has been seen before. A seed is wholly tainted whatever came before it. What a transaction pays as fee takes its
taint along and is followed no further.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, later, spending
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.intervals import in_order
from glasstumbler.lab.public import Flags, Graph, Ints, Public

Parts = npt.NDArray[np.float64]
"""By output: the part of its amount that is tainted, 0 to 1."""
Rule = Callable[[Graph, Ints], Parts]
"""Of a chain and its seeds (outputs)."""


def poison(graph: Graph, seeds: Ints) -> Parts:
    return poisoned(graph, seeds).astype(np.float64)


def poisoned(graph: Graph, seeds: Ints) -> Flags:
    """By output: whether any of it is tainted."""
    tainted, (first_input, first_output) = _marked(graph.outputs, seeds), later(graph, seeds)
    _poison(first_input, graph.spends, first_output, tainted)
    return tainted


@compiled
def _poison(first_input: Ints, spends: Ints, first_output: Ints, tainted: Flags) -> None:
    for tx in range(len(first_input) - 1):
        for place in range(first_input[tx], first_input[tx + 1]):
            if tainted[spends[place]]:
                for output in range(first_output[tx], first_output[tx + 1]):
                    tainted[output] = True
                break


def haircut(graph: Graph, seeds: Ints) -> Parts:
    """In floating point. Parts are sums and quotients of what is not negative, so nothing cancels: after h hops through
    transactions of at most n inputs a part is wrong by at most the factor (1 + 2**-53) ** (h * (n + 3))."""
    part, (first_input, first_output) = np.zeros(graph.outputs), later(graph, seeds)
    part[seeds] = 1
    _haircut(first_input, graph.spends, graph.paid_in, first_output, part)
    return part


@compiled
def _haircut(first_input: Ints, spends: Ints, paid_in: Ints, first_output: Ints, part: Parts) -> None:
    for tx in range(len(first_input) - 1):
        tainted, worth = 0.0, 0
        for place in range(first_input[tx], first_input[tx + 1]):
            worth += paid_in[place]
            if part[spends[place]] > 0:
                tainted += part[spends[place]] * paid_in[place]
        if tainted > 0:
            share = min(tainted / worth, 1.0)
            for output in range(first_output[tx], first_output[tx + 1]):
                part[output] = max(part[output], share)


def highest_out(graph: Graph, seeds: Ints) -> Parts:
    """Exact, in base units, up to the division at the end."""
    tainted, (first_input, first_output) = np.zeros(graph.outputs, np.int64), later(graph, seeds)
    tainted[seeds] = graph.amount[seeds]
    _highest_out(first_input, graph.spends, first_output, graph.amount, tainted)
    return _parts(tainted, graph.amount)


@compiled
def _highest_out(first_input: Ints, spends: Ints, first_output: Ints, amount: Ints, tainted: Ints) -> None:
    for tx in range(len(first_input) - 1):
        left = 0
        for place in range(first_input[tx], first_input[tx + 1]):
            left += tainted[spends[place]]
        if left == 0:
            continue
        start, end = first_output[tx], first_output[tx + 1]
        for place in np.argsort(-amount[start:end], kind="mergesort"):
            taken = min(left, amount[start + place])
            left -= taken
            tainted[start + place] = max(tainted[start + place], taken)


def first_out(graph: Graph, seeds: Ints) -> Parts:
    """Exact, in base units, up to the division at the end."""
    return _parts(in_order(graph, _marked(graph.outputs, seeds), False), graph.amount)


def last_out(graph: Graph, seeds: Ints) -> Parts:
    """Exact, in base units, up to the division at the end."""
    return _parts(in_order(graph, _marked(graph.outputs, seeds), True), graph.amount)


def _marked(outputs: int, seeds: Ints) -> Flags:
    found = np.zeros(outputs, np.bool_)
    found[seeds] = True
    return found


def _parts(tainted: Ints, amount: Ints) -> Parts:
    found, some = np.zeros(len(tainted)), np.flatnonzero(tainted)
    found[some] = tainted[some] / np.maximum(amount[some], 1)
    return found


_KNOWS: Final = "The chain, and the outputs that are tainted to begin with."
_CUSTODY: Final = (
    " Behind a custodial service it follows the service's coins and not the customer's claim: the payouts of an order"
    " are as a rule made of other customers' coins, so against beneficial truth it is wrong there, and that is right. "
)


class _Taint:
    """One rule, on every chain that has seeds."""

    task: ClassVar[str] = "T5"
    calibrated: ClassVar[bool] = False
    rule: ClassVar[Rule]

    def fit(self, public: Public, told: Told) -> None:
        self._seeds = told.seeds

    def predict(self, public: Public) -> pa.Table:
        return answer("T5", [self._one(graph) for graph in spending(public)])

    def _one(self, graph: Graph) -> dict[str, object]:
        seeds = np.array([output for coin, output in self._seeds if coin == graph.coin], np.int64)
        parts = type(self).rule(graph, seeds) if len(seeds) else np.zeros(graph.outputs)
        outputs = np.flatnonzero(parts > 0)
        return {"coin": graph.coin, "output": outputs, "tainted": parts[outputs]}


class Poison(_Taint):
    name: ClassVar[str] = "taint-poison"
    rule: ClassVar[Rule] = staticmethod(poison)
    about: ClassVar[About] = About(
        paper="Moeser, Boehme and Breuker, Towards Risk Scoring of Bitcoin Transactions (BITCOIN 2014).",
        rule="If any input of a transaction is tainted, all of its outputs are, wholly.",
        knows=_KNOWS,
        cost="One pass over inputs and outputs, 1 byte an output.",
        fails="Taints more with every mixing; through an exchange or a mixer soon most of what moves."
        + _CUSTODY
        + ACCOUNTS,
    )


class Haircut(_Taint):
    name: ClassVar[str] = "taint-haircut"
    rule: ClassVar[Rule] = staticmethod(haircut)
    about: ClassVar[About] = About(
        paper="Moeser, Boehme and Breuker, Towards Risk Scoring of Bitcoin Transactions (BITCOIN 2014).",
        rule="Every output of a transaction, and its fee, is tainted in the part in which the sum of its inputs is.",
        knows=_KNOWS,
        cost="One pass over inputs and outputs, 8 bytes an output.",
        fails="Spreads ever smaller parts over ever more outputs; none is ever clean again." + _CUSTODY + ACCOUNTS,
    )


class Fifo(_Taint):
    name: ClassVar[str] = "taint-fifo"
    rule: ClassVar[Rule] = staticmethod(first_out)
    about: ClassVar[About] = About(
        paper="Anderson, Shumailov and Ahmed, Making Bitcoin Legal (Security Protocols 2018), and their taintchain.",
        rule="First in, first out, by the single base unit: the inputs' units in their order fill the outputs in their"
        " order, and what is left is the fee. An output keeps its units' order when it is spent.",
        knows=_KNOWS,
        cost="One pass. Memory follows the tainted stretches that are alive, of which each tainted output adds at most"
        " one; time the stretches that pass through each transaction.",
        fails="The order of inputs and outputs is the wallet's whim, often random or sorted." + _CUSTODY + ACCOUNTS,
    )


class Lifo(_Taint):
    name: ClassVar[str] = "taint-lifo"
    rule: ClassVar[Rule] = staticmethod(last_out)
    about: ClassVar[About] = About(
        paper="Tironsakkul and others, Probing the Mystery of Cryptocurrency Theft (2019), arXiv 1906.05754.",
        rule="Last in, first out, by the single base unit: as taint-fifo, but the inputs' units are taken from"
        " the end.",
        knows=_KNOWS,
        cost="As taint-fifo.",
        fails="As taint-fifo: the order carries no meaning." + _CUSTODY + ACCOUNTS,
        rebuilt="After the authors' program, which takes a fee off all inputs in proportion; here it is what the"
        " outputs leave, as in taint-fifo.",
    )


class Tiho(_Taint):
    name: ClassVar[str] = "taint-tiho"
    rule: ClassVar[Rule] = staticmethod(highest_out)
    about: ClassVar[About] = About(
        paper="Tironsakkul and others, Probing the Mystery of Cryptocurrency Theft (2019), arXiv 1906.05754.",
        rule="Taint in, highest out: the tainted part of a transaction's inputs fills its largest output first, then"
        " the next largest.",
        knows=_KNOWS,
        cost="One pass, sorting the outputs of each tainted transaction; 8 bytes an output.",
        fails="Follows the change of a large wallet rather than the payment, or the other way round, by size alone."
        + _CUSTODY
        + ACCOUNTS,
        rebuilt="After the authors' program, which takes a fee off all inputs in proportion; here it is what the"
        " outputs leave. Equal outputs are filled in their order.",
    )
