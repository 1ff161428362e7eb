"""What was attainable: the posterior of an observer who knows the services' policies and their customers' habits.

Not a method, since it reads the answer key. p(payment | deposit) ~ f_delay(delay) * f_fee(fee): the fee is reckoned by
the service's own rule, and both densities are those of all orders, the scored ones too. Jointly (T3): the matching of
greatest likelihood. It knows nothing of single orders, so it is wrong where two deposits fit one payment equally.

Where orders are paid by several transactions the posterior over all sets of payments cannot be had; then it is that of
methods/demixing.py (sets of up to 3 in small windows, else each payment by itself) under the true densities, and a
lower bound of what is attainable. T6: where the deposit's chain hides amounts, time is all that can be known; a swap
between two chains that both show amounts is not among the services, and gets the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glasstumbler.errors import DatasetError
from glasstumbler.lab import tasks
from glasstumbler.lab.methods.base import Method, Told
from glasstumbler.lab.methods.candidates import candidates
from glasstumbler.lab.methods.demixing import Demixing, JointDemixing
from glasstumbler.lab.methods.densities import Habits, density
from glasstumbler.lab.methods.flows import Flow, links, singly, swapping, together
from glasstumbler.lab.methods.lessons import BLOCK, Lessons, Sized, lessons, sized
from glasstumbler.lab.public import NONE, Graph
from glasstumbler.lab.tasks import Dataset, Split

PPM: Final = 1_000_000


def ceiling(dataset: Dataset, task: str, kept: Path | None = None) -> pa.Table:
    """methods.base.ANSWERS[task], for T2, T3, T6 and T8. `kept`: a folder for what these tasks have in common, which is
    worked out once. DatasetError for other tasks: they have no such bound here."""
    told = tasks.told(dataset, "T2", Split("all", np.ones(len(dataset.orders), np.bool_)))
    if task == "T6":
        return together(task, list(_swaps(dataset, told)))
    if task not in _POSTERIORS:
        raise DatasetError(f"no ceiling is known for {task}; it is for {', '.join([*_POSTERIORS, 'T6'])}")
    posterior = _POSTERIORS[task](_rules(dataset), kept)
    posterior.fit(dataset.public, told)
    return posterior.predict(dataset.public)


Rules = Mapping[tuple[str, str], tuple[float, float]]
"""By service and coin: the part of what is paid, and for each output; where the customer does not choose the fee."""


def _rules(dataset: Dataset) -> Rules:
    return {
        (row["service"], row["coin"]): (row["fee_ppm"] / PPM, float(row["per_output"]))
        for row in dataset.answers("service_policy").iter_rows(named=True)
        if row["fee_rule"] == "on_payouts"
    }


def likeliest(found: pa.Table) -> pa.Table:
    """Of links whose scores are probabilities: for each payout its likeliest deposit, and of these, the likeliest
    first, so many that the expected F1 is greatest."""
    score, payout = found["score"].to_numpy(), found["payout_output"].to_numpy()
    order = np.argsort(-score, kind="stable")
    _, best = np.unique(payout[order], return_index=True)
    order = order[np.sort(best)]
    right = np.cumsum(score[order])
    wanted = int(np.argmax(right / (np.arange(len(order)) + 1 + score.sum()))) + 1 if len(order) else 0
    return found.take(order[:wanted])


class _Posterior(Demixing):
    def __init__(self, rules: Rules, kept: Path | None) -> None:
        super().__init__()
        self._rules, self._kept = rules, kept

    def one(self, flow: Flow, size: Sized, known: Lessons) -> pa.Table:
        """Of T2 and T8 alike: both have one shape."""
        if self._kept is None:
            return super().one(flow, size, known)
        path = self._kept / f"{flow.service}-{flow.coin}.parquet"
        if not path.exists():
            pq.write_table(super().one(flow, size, known), path, compression="zstd")
        return pq.read_table(path)

    def sized(self, found: Lessons, flow: Flow, payer: Graph) -> Sized:
        return sized(found, flow, payer, self._rules.get((flow.service, flow.coin), (0.0, 0.0)))


class _Own(_Posterior):
    task = "T8"


class _Joint(JointDemixing):
    """By assignment where one transaction pays an order. Else the likeliest links, as many as are to be wanted."""

    def __init__(self, rules: Rules, kept: Path | None) -> None:
        super().__init__()
        self._rules, self._each = rules, _Posterior(rules, kept)

    def one(self, flow: Flow, size: Sized, known: Lessons) -> pa.Table:
        if size.outputs_each == 1:
            return super().one(flow, size, known)
        return likeliest(self._each.one(flow, size, known))

    def sized(self, found: Lessons, flow: Flow, payer: Graph) -> Sized:
        return sized(found, flow, payer, self._rules.get((flow.service, flow.coin), (0.0, 0.0)))


_POSTERIORS: Final[Mapping[str, Callable[[Rules, Path | None], Method]]] = {"T2": _Posterior, "T3": _Joint, "T8": _Own}


def _swaps(dataset: Dataset, told: Told) -> Iterator[pa.Table]:
    """By the delay alone."""
    for flow in swapping(dataset.public, told):
        graph, payer = dataset.public.graph(flow.coin), dataset.public.graph(flow.payout_coin)
        known, payments = lessons(told.own_orders, flow, graph, payer), singly(payer, flow.payments)
        if known is None:
            continue
        even = Habits(density(known.delays, BLOCK), density([0.0], 0.5))
        alike = np.ones(len(flow.deposits)), payments.time, np.ones(len(payments))
        found = candidates(flow.deposits.time, *alike, even)
        deposit, rank = np.nonzero(found.row != NONE)
        score = found.weight[deposit, rank] / found.total[deposit]
        yield links("T6", flow, deposit, found.row[deposit, rank], score, payments)
