"""Linking deposits to payments by how long a service waits and what it takes, both estimated from known orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.assignment import assign
from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.candidates import KEEP, Candidates, candidates
from glasstumbler.lab.methods.densities import density
from glasstumbler.lab.methods.flows import Flow, links, mixing, together
from glasstumbler.lab.methods.lessons import FINEST, Lessons, Sized, best_known, fee_rule, lessons, sized
from glasstumbler.lab.methods.subsets import MOST_WINDOW, subsets
from glasstumbler.lab.public import NONE, Flags, Graph, Ints, Public

_KNOWS: Final = (
    "The chain, the service's addresses, and some orders with their deposits and payouts. Where none of these is the"
    " service's, it takes the other services' habits for its."
)
_COST: Final = (
    "Sorts payments once; then for each deposit the payments in its window of time and of amount. Where an order has"
    " several transactions the window of amounts is nearly all: then a pass over the window for each block with"
    f" deposits, and for each deposit some hundred halvings in it; in windows of up to {MOST_WINDOW} payments every set"
    f" of up to 3 is tried. {KEEP} candidates are kept for each deposit."
)
_FAILS: Final = (
    "With the volume: the more payments of like amounts stand in a deposit's window, the less it says. Orders whose"
    " delays or fees lie outside what the known orders show are not found. Hidden amounts (xmr): it abstains."
)
_HONG: Final = (
    "Hong, Kwon, Lee and Hur, A Practical De-mixing Algorithm for Bitcoin Mixing Services (BCC 2018), who undid Helix"
    " by its windows of delay and fee."
)


class Linker:
    """What the methods of this file share. `fit` may be called again: what was learned of a service stays until it is
    taught anew, so that one dataset can teach and another be answered."""

    task: ClassVar[str]

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Lessons] = {}

    def fit(self, public: Public, told: Told) -> None:
        self._told, self._seen, self._flows = told, public, list(mixing(public, told))
        for flow in self._flows:
            graph = public.graph(flow.coin)
            found = lessons(told.own_orders, flow, graph, graph)
            if found is not None:
                self._known[flow.service, flow.coin] = found

    def predict(self, public: Public) -> pa.Table:
        return together(self.task, list(self._tables(public)))

    def _tables(self, public: Public) -> Iterator[pa.Table]:
        for flow in self._flows if public is self._seen else mixing(public, self._told):
            if flow.service not in (self._told.asked or (flow.service,)):
                continue
            known = best_known(self._known, flow.service, flow.coin)
            if known is not None and len(flow.deposits) and len(flow.payments):
                yield self.one(flow, self.sized(known, flow, public.graph(flow.coin)), known)

    def sized(self, found: Lessons, flow: Flow, payer: Graph) -> Sized:
        return sized(found, flow, payer)

    def one(self, flow: Flow, size: Sized, known: Lessons) -> pa.Table:
        raise NotImplementedError


def weighed(flow: Flow, size: Sized) -> Candidates:
    needs = size.habits.needs(size.payments.amount, size.payments.sizes)
    amount = flow.deposits.amount.astype(np.float64)
    return candidates(flow.deposits.time, amount, size.payments.time, needs, size.habits)


class Demixing(Linker):
    name: ClassVar[str] = "demixing"
    task: ClassVar[str] = "T2"
    calibrated: ClassVar[bool] = True
    about: ClassVar[About] = About(
        paper=_HONG,
        rule="From known orders it estimates densities of the delay and of the fee as a part of the deposit. For a"
        " deposit it weighs each payment, and if orders have several transactions each set of up to three, whose sum"
        " leaves a usual fee, by the product of the densities.",
        knows=_KNOWS,
        cost=_COST,
        fails=_FAILS,
        rebuilt="A reconstruction: the paper's rule could not be had word for word. Histograms, sets of at most"
        " three and the score (a candidate's part of all weights) are ours. In windows with more payments than sets"
        " are tried for, a payment is weighed by its own part of the deposit.",
        elsewhere="99.14 % of Helix's inputs and outputs matched (the paper).",
    )

    def one(self, flow: Flow, size: Sized, known: Lessons) -> pa.Table:
        found = weighed(flow, size)
        if size.outputs_each == 1:
            return _ranked(self.task, flow, size, found, np.ones(len(flow.deposits), np.bool_))
        return _summed(self.task, flow, size, found, known)


def _ranked(task: str, flow: Flow, size: Sized, found: Candidates, wanted: Flags) -> pa.Table:
    """The likeliest payments of the `wanted` deposits; scores are parts of the window's whole weight."""
    deposit, rank = np.nonzero((found.row != NONE) & wanted[:, None])
    part = found.weight[deposit, rank] / found.total[deposit]
    score = np.minimum(part * size.outputs_each, 1.0)
    return links(task, flow, deposit, found.row[deposit, rank], score, size.payments)


def _summed(task: str, flow: Flow, size: Sized, found: Candidates, known: Lessons) -> pa.Table:
    """By sums where windows are small, else as above."""
    taken = density(1 - known.paid / known.amount, FINEST)
    row, weight = subsets(
        flow.deposits.time,
        flow.deposits.amount.astype(np.float64),
        size.payments.time,
        size.payments.amount.astype(np.float64),
        size.habits.delay,
        taken,
        1 if known.outputs.min() == 1 else 2,
    )
    deposit, place = np.nonzero(weight > 0)
    sums = links(task, flow, deposit, row[deposit, place], np.minimum(weight[deposit, place], 1.0), size.payments)
    return together(task, [sums, _ranked(task, flow, size, found, row[:, 0] == NONE)])


class OwnOrders(Demixing):
    name: ClassVar[str] = "own-orders"
    task: ClassVar[str] = "T8"
    about: ClassVar[About] = About(
        paper=_HONG,
        rule="As demixing; but from the investigator's own orders it estimates the service's fee rule, a part of what"
        " is paid and so much for each output, and looks for payments whose deposit it explains to the unit.",
        knows="The chain, the service's addresses, and the orders that the investigator placed.",
        cost=_COST,
        fails="Where the customer chooses the fee or its network part floats there is no rule to be found, and it is no"
        " better than demixing. " + _FAILS,
        rebuilt="A reconstruction, as demixing is. The fee rule is fitted by least squares, twice anew on the half of"
        " the orders that lies nearest.",
    )

    def sized(self, found: Lessons, flow: Flow, payer: Graph) -> Sized:
        return sized(found, flow, payer, fee_rule(found))


class JointDemixing(Linker):
    name: ClassVar[str] = "demixing-joint"
    task: ClassVar[str] = "T3"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper=_HONG,
        rule="As demixing, but each payment is given to one deposit at most, so that the sum of the logarithms of the"
        " densities is the greatest, up to a known small error: an auction among the likeliest candidates.",
        knows=_KNOWS,
        cost=_COST + " The auction's time follows how many deposits want the same payment.",
        fails="Where orders have several transactions a deposit gets one of them at most. " + _FAILS,
        rebuilt="A reconstruction, as demixing is; that matching all at once helps is the paper's premise, and the"
        " auction is ours.",
    )

    def one(self, flow: Flow, size: Sized, known: Lessons) -> pa.Table:
        found = weighed(flow, size)
        deposit, rank = matched(found, len(size.payments))
        score = found.weight[deposit, rank] / found.total[deposit]
        return links(self.task, flow, deposit, found.row[deposit, rank], score, size.payments)


def matched(found: Candidates, payments: int) -> tuple[Ints, Ints]:
    """(deposit, rank) of the pairs that an optimal assignment chooses."""
    deposit, rank = np.nonzero(found.row != NONE)
    first = np.searchsorted(deposit, np.arange(len(found.total) + 1))
    weight = found.weight[deposit, rank]
    worth = 1 + np.log(weight / weight.min()) if len(weight) else weight
    chosen = assign(first, found.row[deposit, rank], worth, payments)
    return deposit[chosen], rank[chosen]
