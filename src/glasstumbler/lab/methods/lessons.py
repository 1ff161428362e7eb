"""What known orders teach of a service's habits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.methods.base import OwnOrder
from glasstumbler.lab.methods.densities import Floats, Habits, density
from glasstumbler.lab.methods.flows import Flow, Groups, singly
from glasstumbler.lab.public import NONE, Graph, Ints

BLOCK: Final = 600.0
"""Seconds: times are those of blocks, so delays are known no finer."""
FINEST: Final = 1e-6
"""Part of a deposit: fees are rounded, so they are known no finer."""
FEWEST: Final = 4
"""Orders from which a fee rule with two unknowns is estimated."""


class Lessons(NamedTuple):
    """Of one service on one chain, or of several together; an entry for each order."""

    amount: Ints
    """Deposited."""
    paid: Ints
    outputs: Ints
    delays: Ints
    """An entry for each payment: seconds from deposit to payment."""
    shares: Floats
    """... and its part of the deposit."""
    whole: float
    """Part of the orders that one transaction paid, and nobody else's with it."""

    @property
    def payments(self) -> float:
        """Of an order, on average."""
        return len(self.delays) / len(self.amount)


def lessons(orders: Iterable[OwnOrder], flow: Flow, graph: Graph, payer: Graph) -> Lessons | None:
    """`graph`, `payer`: the flow's chains of deposits and of payments. None if no order teaches anything."""
    known = [
        (order.deposit_output, [output for coin, output in order.payouts if coin == flow.payout_coin])
        for order in orders
        if (order.service, order.deposit_coin) == (flow.service, flow.coin)
    ]
    known = [(deposit, payouts) for deposit, payouts in known if payouts]
    deposits = flow.deposits.holding(np.array([deposit for deposit, _ in known], np.int64))
    every = np.array([output for _, payouts in known for output in payouts], np.int64)
    payments, ends = flow.payments.holding(every), np.cumsum([len(payouts) for _, payouts in known])
    rows, delays, shares, whole, sizes = [], [], [], [], flow.payments.sizes
    for deposit, (_, payouts), end in zip(deposits, known, ends, strict=True):
        mine, outputs = np.unique(payments[end - len(payouts) : end]), every[end - len(payouts) : end]
        if deposit == NONE or NONE in mine:
            continue
        alone = bool(sizes[mine].sum() == len(outputs))
        whole.append(alone and len(mine) == 1)
        amount, parts = flow.deposits.amount[deposit], payer.amount[outputs]
        rows.append((amount, parts.sum(), len(outputs)))
        delays += (payer.time[payer.tx_of_output[outputs]] - flow.deposits.time[deposit]).tolist()
        shares += (parts / amount).tolist()
    if not rows:
        return None
    amount, paid, count = np.array(rows, np.int64).T
    return Lessons(amount, paid, count, np.array(delays), np.array(shares), float(np.mean(whole)))


def pooled(known: Iterable[Lessons]) -> Lessons | None:
    """Of all services together, for one of which nothing is known."""
    each = list(known)
    if not each:
        return None
    return Lessons(
        np.concatenate([one.amount for one in each]),
        np.concatenate([one.paid for one in each]),
        np.concatenate([one.outputs for one in each]),
        np.concatenate([one.delays for one in each]),
        np.concatenate([one.shares for one in each]),
        float(np.average([one.whole for one in each], weights=[len(one.amount) for one in each])),
    )


class Sized(NamedTuple):
    """The payments that a deposit's order is looked for among, and what they needed."""

    payments: Groups
    habits: Habits
    outputs_each: float
    """Groups of outputs that an order has, on average."""


def sized(found: Lessons, flow: Flow, payer: Graph, rule: tuple[float, float] = (0.0, 0.0)) -> Sized:
    """Whole transactions if orders are paid so; else every output by itself, by its part of the deposit. `rule`: of the
    fee, as in Habits; without one there is a mere range of fees."""
    payments = flow.payments if wholly(found) else singly(payer, flow.payments)
    return Sized(payments, habits(found, rule), 1.0 if wholly(found) else found.payments)


def wholly(found: Lessons) -> bool:
    """Whether one transaction pays an order."""
    return found.whole >= 0.5


def habits(found: Lessons, rule: tuple[float, float] = (0.0, 0.0)) -> Habits:
    delay = density(found.delays, BLOCK)
    if not wholly(found):
        return Habits(delay, density(1 - found.shares, FINEST))
    rate, each = rule
    needed = found.paid * (1 + rate) + each * found.outputs
    return Habits(delay, density(1 - needed / found.amount, FINEST), rate, each)


def fee_rule(found: Lessons) -> tuple[float, float]:
    """fee = rate * paid + each * outputs, by least squares; then twice anew on the half that fits best, since an order
    that was paid too much lies far from the line. With fewer than FEWEST orders: no fee, which leaves a range."""
    if len(found.amount) < FEWEST:
        return 0.0, 0.0
    sides = np.stack([found.paid, found.outputs], 1).astype(np.float64)
    fee = (found.amount - found.paid).astype(np.float64)
    kept = np.arange(len(fee))
    for _ in range(3):
        scale = 1 / found.paid[kept]
        rule, *_ = np.linalg.lstsq(sides[kept] * scale[:, None], fee[kept] * scale, rcond=None)
        off = np.abs(sides @ rule - fee) / found.paid
        kept = np.argsort(off, kind="stable")[: max(len(fee) // 2, FEWEST)]
    return float(rule[0]), float(rule[1])


Known = Mapping[tuple[str, str], Lessons]
"""By service and coin."""


def best_known(known: Known, service: str, coin: str) -> Lessons | None:
    """Of the service on this chain; else of the service on others; else of all."""
    if (service, coin) in known:
        return known[service, coin]
    return pooled([one for (name, _), one in known.items() if name == service]) or pooled(known.values())
