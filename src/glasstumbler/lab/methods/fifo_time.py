"""First come, first served: payments in their order take the deposits in theirs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import About
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.demixing import Linker
from glasstumbler.lab.methods.densities import Floats
from glasstumbler.lab.methods.flows import Flow, links
from glasstumbler.lab.methods.lessons import Lessons, Sized
from glasstumbler.lab.public import NONE, Ints


def first_come(
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    need: Floats,
    delay: tuple[float, float],
    taken: tuple[float, float],
) -> Ints:
    """By payment: the earliest deposit that no earlier payment took and that was made `delay` seconds before and leaves
    a `taken` part (both: least and most); NONE if there is none. Times are ascending."""
    return _first_come(deposited, amount, paid, need, *delay, *taken)


@compiled
def _first_come(
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    need: Floats,
    soonest: float,
    latest: float,
    least: float,
    most: float,
) -> Ints:
    found = np.full(len(paid), NONE)
    later = np.arange(len(deposited) + 1)  # the next deposit that may be free: itself, while it is
    for payment in range(len(paid)):
        start = np.searchsorted(deposited, paid[payment] - latest)
        deposit = _free(later, start)
        while deposit < len(deposited) and deposited[deposit] <= paid[payment] - soonest:
            left = 1 - need[payment] / max(amount[deposit], 1.0)
            if least <= left <= most:
                found[payment] = deposit
                later[deposit] = deposit + 1
                break
            deposit = _free(later, deposit + 1)
    return found


@compiled
def _free(later: Ints, place: int) -> int:
    while later[place] != place:
        later[place] = later[later[place]]
        place = later[place]
    return place


class FifoTime(Linker):
    name: ClassVar[str] = "fifo-time"
    task: ClassVar[str] = "T3"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="Cristodaro, Kraner and Tessone, Clustering Deposit and Withdrawal Activity in Tornado Cash (2025), arXiv"
        " 2510.09433, its third heuristic.",
        rule="Payments in the order of time: each is matched to the earliest deposit that is not matched yet, lies in"
        " the window of delays and leaves a usual fee. Both windows are those of known orders.",
        knows="The chain, the service's addresses, and some orders, for the windows. Where none of these is the"
        " service's, it takes the other services' windows.",
        cost="For each payment the free deposits of its window, until one fits; 16 bytes a deposit.",
        fails="Where customers choose their delays, payments overtake each other; one wrong match takes a deposit from"
        " the payment that it belongs to. An order of several transactions gets the earliest payments that are each"
        " small enough. Hidden amounts (xmr): it abstains.",
        rebuilt="The paper's pools take one amount only, so that order in time is all there is; here amounts must fit"
        " too. Its rule was had in outline only.",
        elsewhere="Matching by time added 15 to 22 percentage points to the 5.1 to 12.6 % of Tornado Cash's"
        " withdrawals that reused addresses and links gave away (the paper; its authors withdrew a later version).",
    )

    def one(self, flow: Flow, size: Sized, known: Lessons) -> pa.Table:
        habits = size.habits
        found = first_come(
            flow.deposits.time,
            flow.deposits.amount.astype(np.float64),
            size.payments.time,
            habits.needs(size.payments.amount, size.payments.sizes),
            (habits.delay.low, habits.delay.high),
            (habits.taken.low, habits.taken.high),
        )
        payment = np.flatnonzero(found != NONE)
        return links(self.task, flow, found[payment], payment, np.ones(len(payment)), size.payments)
