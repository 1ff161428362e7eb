"""What guessing finds: every payment in the window is as likely as any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.candidates import KEEP
from glasstumbler.lab.methods.flows import Flow, links, mixing, singly, swapping, together
from glasstumbler.lab.methods.lessons import lessons
from glasstumbler.lab.public import Ints, Public

LONGEST: Final = 72 * 3600
"""Seconds: the longest delay that the services offer."""
SOONER: Final = 3600
"""Seconds by which a payment's block may say an earlier time than the deposit's, on another chain."""
Flows = Callable[[Public, Told, tuple[str, ...]], Iterator[Flow]]


class Chance:
    task: ClassVar[str] = "T2"
    name: ClassVar[str] = "null"
    calibrated: ClassVar[bool] = True
    keep: ClassVar[int] = KEEP
    flows: ClassVar[Flows] = staticmethod(mixing)
    soonest: ClassVar[int] = 0
    about: ClassVar[About] = About(
        paper="No paper: the baseline.",
        rule="Every payment within 72 hours after a deposit is as likely as any other; where orders are known, within"
        " their longest delay. Names 20 of them, drawn evenly.",
        knows="The chain and the service's addresses.",
        cost="Halvings in the list of payments, and 20 rows a deposit.",
        fails="It is chance, and a method that is not better than this has found nothing. Where addresses and amounts"
        " are hidden (xmr) every transaction is taken for a deposit.",
    )

    def fit(self, public: Public, told: Told) -> None:
        self._told = told

    def predict(self, public: Public) -> pa.Table:
        flows = type(self).flows(public, self._told, self._told.asked)
        return together(self.task, [self._one(public, flow) for flow in flows])

    def _one(self, public: Public, flow: Flow) -> pa.Table:
        graph, payer = public.graph(flow.coin), public.graph(flow.payout_coin)
        known = lessons(self._told.own_orders, flow, graph, payer)
        longest = LONGEST if known is None else max(int(known.delays.max()), 0)
        payments = singly(payer, flow.payments)
        start = np.searchsorted(payments.time, flow.deposits.time - self.soonest)
        count = np.searchsorted(payments.time, flow.deposits.time + longest, "right") - start
        deposit, place = drawn(np.maximum(count, 0), self.keep, flow.deposits.outputs[flow.deposits.first[:-1]])
        each = len(payments) / max(len(flow.deposits), 1)
        score = np.minimum(each / count[deposit], 1.0)
        return links(self.task, flow, deposit, start[deposit] + place, score, payments)


def drawn(count: Ints, keep: int, names: Ints) -> tuple[Ints, Ints]:
    """(row, place): of each row's `count` places `keep` or all, evenly spaced from a place that the row's name draws:
    the same in any order of the rows."""
    taken = np.minimum(count, keep)
    row = np.repeat(np.arange(len(count)), taken)
    rank = np.arange(len(row)) - np.repeat(np.cumsum(taken) - taken, taken)
    return row, (rank * count[row] // taken[row] + mixed(names)[row]) % count[row]


LOW: Final = (1 << 32) - 1
MIXER: Final = 0x45D9F3B


def mixed(names: Ints) -> Ints:
    """A number of 32 bits from each, by a hash of multiplications and shifts: neighbours come out far apart."""
    found = (names ^ names >> 32) & LOW
    for _ in range(2):
        found = (found ^ found >> 16) * MIXER & LOW
    return found ^ found >> 16


class ChanceJoint(Chance):
    name: ClassVar[str] = "null-joint"
    task: ClassVar[str] = "T3"
    keep: ClassVar[int] = 1
    about: ClassVar[About] = Chance.about._replace(rule="As null, but names one payment for each deposit.")


class ChanceSwaps(Chance):
    name: ClassVar[str] = "null-swaps"
    task: ClassVar[str] = "T6"
    keep: ClassVar[int] = 1
    flows: ClassVar[Flows] = staticmethod(swapping)
    soonest: ClassVar[int] = SOONER
    about: ClassVar[About] = Chance.about._replace(
        rule="As null-joint, for payments on another chain, which may state a time up to an hour earlier."
    )


class ChanceOwn(Chance):
    name: ClassVar[str] = "null-own"
    task: ClassVar[str] = "T8"
    about: ClassVar[About] = Chance.about._replace(rule="As null, within the longest delay of the own orders.")
