"""Matching the two sides of a swap by time and by what the amount is worth on the other chain."""

from __future__ import annotations

from itertools import product
from typing import ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.densities import Floats
from glasstumbler.lab.methods.flows import Flow, links, singly, swapping, together
from glasstumbler.lab.public import NONE, Ints, Public

WINDOWS: Final = (600, 1200, 1800, 3600, 7200, 4 * 3600)
"""Seconds after the deposit's block, tried on known swaps."""
NEAR: Final = (1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.03)
"""How far a payout may lie from what is expected, as a part of it, tried on known swaps."""
SOONER: Final = 1800
"""Seconds by which the other chain's block may state an earlier time."""
UNITS: Final = {"btc": 10**8, "bch": 10**8, "ltc": 10**8, "eth": 10**9, "xmr": 10**12}
"""Units of a graph's amounts in one whole coin."""


class Limits(NamedTuple):
    window: int = 1800
    near: float = 0.01


def expected(flow: Flow, prices: pa.Table | None) -> Floats:
    """By deposit: what it was worth on the other chain at its time, in that chain's units. NaN where amounts are hidden
    or no price is known."""
    unknown = np.full(len(flow.deposits), np.nan)
    for base, quote, upwards in ((flow.coin, flow.payout_coin, True), (flow.payout_coin, flow.coin, False)):
        if prices is None:
            break
        feed = prices.filter(pc.and_(pc.equal(prices["base"], base), pc.equal(prices["quote"], quote))).sort_by("time")
        if feed.num_rows:
            price = np.interp(flow.deposits.time, feed["time"].to_numpy(), feed["price"].to_numpy())
            rate = (price if upwards else 1 / price) * (UNITS[flow.payout_coin] / UNITS[flow.coin])
            return np.where(flow.deposits.amount > 0, flow.deposits.amount * rate, unknown)
    return unknown


def hits(deposited: Ints, worth: Floats, paid: Ints, amount: Ints, limits: Limits, sooner: int = SOONER) -> Ints:
    """By deposit: the one payment in its window that is worth nearly as much (any amount, where `worth` is NaN); NONE
    if there is none or more than one, or if another deposit has the same. `paid` is ascending."""
    found = _hits(deposited, worth, paid, amount, limits.window, limits.near, sooner)
    times = np.bincount(found[found != NONE], minlength=len(paid))
    if len(times):
        found[(found != NONE) & (times[found] > 1)] = NONE
    return found


@compiled
def _hits(deposited: Ints, worth: Floats, paid: Ints, amount: Ints, window: int, near: float, sooner: int) -> Ints:
    found = np.full(len(deposited), NONE)
    for deposit in range(len(deposited)):
        place = np.searchsorted(paid, deposited[deposit] - sooner)
        count = 0
        while place < len(paid) and paid[place] <= deposited[deposit] + window and count < 2:
            if np.isnan(worth[deposit]) or abs(amount[place] - worth[deposit]) <= near * worth[deposit]:
                found[deposit] = place
                count += 1
            place += 1
        if count != 1:
            found[deposit] = NONE
    return found


class SwapMatch:
    name: ClassVar[str] = "swap-match"
    task: ClassVar[str] = "T6"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="Yousaf, Kappos and Meiklejohn, Tracing Transactions Across Cryptocurrency Ledgers (USENIX Security"
        " 2019), arXiv 1810.12786.",
        rule="A deposit is matched to the payment on the other chain that follows in a window of time and is worth"
        " what the price feed says, less the service's usual cut, within a margin; only if exactly one fits, and it"
        " fits no other deposit. Window, margin and cut are those that do best (F1) on known swaps.",
        knows="Both chains, the service's addresses where they show, a price feed, and some swaps for the limits.",
        cost="For each deposit the payments of its window, 36 times over the known swaps.",
        fails="With the volume: more than one payment fits. Where the deposit's chain hides amounts (xmr) time alone is"
        " left, every transaction there may be a deposit, and it finds something in quiet hours only.",
        rebuilt="The paper reads the deposits from the service's public list of recent swaps and sets the limits by"
        " hand; here the addresses are known and known swaps set them. Without known swaps: half an hour and 1 %.",
        elsewhere="Of its kind: about three quarters of ShapeShift's swaps found (Borggren and others).",
    )

    def __init__(self) -> None:
        self._limits: dict[tuple[str, str, str], tuple[Limits, float]] = {}

    def fit(self, public: Public, told: Told) -> None:
        """What was learned of a service stays until it is taught anew."""
        self._told = told
        for flow in swapping(public, told):
            known = _pairs(flow, told)
            if known:
                self._limits[flow[:3]] = _learned(public, flow, told, known)

    def predict(self, public: Public) -> pa.Table:
        return together(self.task, [self._one(public, flow) for flow in swapping(public, self._told, self._told.asked)])

    def _one(self, public: Public, flow: Flow) -> pa.Table:
        limits, cut = self._limits.get(flow[:3], (Limits(), 0.0))
        graph, payments = public.graph(flow.payout_coin), singly(public.graph(flow.payout_coin), flow.payments)
        worth = expected(flow, self._told.prices) * (1 - cut)
        found = hits(flow.deposits.time, worth, payments.time, graph.amount[payments.outputs], limits)
        deposit = np.flatnonzero(found != NONE)
        return links(self.task, flow, deposit, found[deposit], np.ones(len(deposit)), payments)


def _pairs(flow: Flow, told: Told) -> dict[int, int]:
    """Deposit to payout, of known swaps of this flow."""
    return {
        order.deposit_output: output
        for order in told.own_orders
        for coin, output in order.payouts
        if (order.service, order.deposit_coin, coin) == flow[:3]
    }


def _learned(public: Public, flow: Flow, told: Told, known: dict[int, int]) -> tuple[Limits, float]:
    """Limits and cut that find most of the known swaps and least else."""
    graph, payer = public.graph(flow.coin), public.graph(flow.payout_coin)
    payments, worth = singly(payer, flow.payments), expected(flow, told.prices)
    group_of, place_of = flow.deposits.of_output(graph.outputs), payments.of_output(payer.outputs)
    deposit = np.array([group_of[output] for output in known], np.int64)
    payment = np.array([place_of[output] for output in known.values()], np.int64)
    there = (deposit != NONE) & (payment != NONE)
    deposit, payment = deposit[there], payment[there]
    amount = payer.amount[payments.outputs]
    cuts = 1 - amount[payment] / worth[deposit]
    cut = float(np.median(cuts)) if len(cuts) and not np.isnan(cuts).any() else 0.0
    seen = (flow.deposits.time[deposit], worth[deposit] * (1 - cut), payments.time, amount)
    tried = [Limits(window, near) for window, near in product(WINDOWS, NEAR)]
    return max(tried, key=lambda limits: _f1(hits(*seen, limits), payment)), cut


def _f1(found: Ints, payment: Ints) -> float:
    named, right = int((found != NONE).sum()), int((found == payment).sum())
    return 2 * right / max(named + len(payment), 1)
