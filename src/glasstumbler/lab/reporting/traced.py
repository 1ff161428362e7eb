"""One order, and what each linking method says of it: which payouts it names, whose they are, and how they came about.

The methods are asked again, with the same orders to learn from, since a file of scores does not hold their answers. A
user's own methods are not: their code is not at hand here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from glasstumbler.errors import DatasetError, MethodError
from glasstumbler.lab import tasks
from glasstumbler.lab.ceiling import ceiling
from glasstumbler.lab.links import span
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.reporting.board import ROLES
from glasstumbler.lab.results import Results, Role
from glasstumbler.lab.tasks import Dataset, Split

_TASKS: Final = ("T2", "T3", "T6")
_MOST_ORDERS: Final = 2_000
"""From which one is chosen, spread over all that did not teach."""
_MOST_PAYOUTS: Final = 4
"""Of the order that is shown, if there is one with so few."""
_DEPOSIT: Final = ["deposit_coin", "deposit_output"]
_PAYOUT: Final = ["payout_coin", "payout_output"]


class Coin(NamedTuple):
    """An output on a chain."""

    coin: str
    output: int
    amount: int | None
    """Base units; None: hidden."""
    time: int
    """Of its block, epoch seconds."""


class Named(NamedTuple):
    """A payout that a method names."""

    payout: Coin
    score: float
    right: bool
    whose: str
    """What it truly is."""


class Saying(NamedTuple):
    method: str
    role: Role
    task: str
    named: tuple[Named, ...]
    """Best first, as many as the order has payouts; empty: the method abstains."""


class Traced(NamedTuple):
    service: str
    order_id: str
    deposits: tuple[Coin, ...]
    payouts: tuple[Coin, ...]
    coins_spent: tuple[tuple[str, int], ...]
    """What the payouts' transactions spent: origin, how many coins."""
    sayings: tuple[Saying, ...]
    missing: tuple[str, ...]
    """Methods that could not be asked again, and why."""

    @property
    def differ(self) -> bool:
        """Whether the methods name different payouts."""
        named = {frozenset(each.payout[:2] for each in saying.named) for saying in self.sayings if saying.named}
        return len(named) > 1


def trace(dataset: Dataset, results: Results, split: Split, tell: Callable[[str], None]) -> Traced | None:
    """The order on which the methods differ most; None if no order was paid out on a chain. `tell` is called before
    each method is asked."""
    links = dataset.links.filter(pl.col("order").is_in(pl.Series(_sample(dataset, split)).implode()))
    if not len(links):
        return None
    answers, missing = _asked(dataset, results, split, links, tell)
    order = _choose(links, answers)
    return _traced(dataset, links.filter(pl.col("order") == order), answers, missing)


def _sample(dataset: Dataset, split: Split) -> np.ndarray[Any, Any]:
    paid = dataset.links["order"].unique().sort().to_numpy()
    scored = paid[~split.training[paid]]
    rows = scored if len(scored) else paid
    return rows if len(rows) <= _MOST_ORDERS else rows[np.arange(_MOST_ORDERS) * len(rows) // _MOST_ORDERS]


# -- asking -----------------------------------------------------------------------------------------------------------

Key = tuple[str, Role, str]
"""Method, role, task."""


def _asked(
    dataset: Dataset, results: Results, split: Split, links: pl.DataFrame, tell: Callable[[str], None]
) -> tuple[dict[Key, pl.DataFrame], tuple[str, ...]]:
    """What each says of the deposits in `links`, best first."""
    found: dict[Key, pl.DataFrame] = {}
    missing = []
    for method, role, task in _worth_asking(results):
        if role == "own":
            missing.append(f"{method}: a method of one's own is not asked again")
            continue
        tell(method)
        try:
            answer = ceiling(dataset, task) if role == "ceiling" else _predicted(dataset, method, task, split)
        except (MethodError, DatasetError) as error:
            missing.append(f"{method}: {error}")
            continue
        rows = pl.DataFrame(answer).join(links.select(_DEPOSIT).unique(), on=_DEPOSIT, how="semi")
        found[method, role, task] = rows.sort(
            [*_DEPOSIT, "score", *_PAYOUT], descending=[False] * 2 + [True] + [False] * 2
        )
    return found, tuple(missing)


def _worth_asking(results: Results) -> list[Key]:
    """Chance is drawn by lot, so it has nothing to say of one order."""
    scored = dict.fromkeys((row.method, row.role, row.task) for row in results.rows if row.task in _TASKS)
    wanted = [key for key in scored if key[1] in ("own", "ceiling") or (key[1] == "method" and key[0] in METHODS)]
    return sorted(wanted, key=lambda key: (ROLES.index(key[1]), key[2]))


def askable(results: Results) -> int:
    """How many methods `trace` asks."""
    return sum(role != "own" for _, role, _ in _worth_asking(results))


def _predicted(dataset: Dataset, name: str, task: str, split: Split) -> pa.Table:
    method = METHODS[name]()
    method.fit(dataset.public, tasks.told(dataset, task, split))
    return method.predict(dataset.public)


# -- choosing ---------------------------------------------------------------------------------------------------------


def _choose(links: pl.DataFrame, answers: dict[Key, pl.DataFrame]) -> int:
    """Row of the order: best one that one method has wholly and another not at all, of few payouts, one deposit; where
    the ceiling has it too, the methods could have been right."""
    counts = links.group_by("order").agg(
        pl.struct(_PAYOUT).n_unique().alias("payouts"), pl.struct(_DEPOSIT).n_unique().alias("deposits")
    )
    shares: dict[int, list[float]] = {}
    attainable: dict[int, float] = {}
    for (_, role, _), rows in answers.items():
        for order, share in _shares(links, rows).iter_rows():
            if role == "ceiling":
                attainable[order] = max(share, attainable.get(order, 0.0))
            else:
                shares.setdefault(order, []).append(share)

    def worth(order: int, payouts: int, deposits: int) -> tuple[float, ...]:
        found = shares.get(order, [0.0])
        apart = max(found) - min(found)
        few = 1 < payouts <= _MOST_PAYOUTS
        return apart > 0, few, deposits == 1, attainable.get(order, 0.0), apart, len(found), -order

    return int(max(counts.iter_rows(), key=lambda row: worth(*row))[0])


def _shares(links: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Columns order, share: how much of the order's payouts is among the first that are named, as many as it has."""
    named = _first(links, rows)
    true = links.select("order", *_PAYOUT).unique()
    hits = named.join(true, on=["order", *_PAYOUT], how="semi").group_by("order").len("hits")
    whole = true.group_by("order").len("whole").join(named.select("order").unique(), on="order", how="semi")
    share = pl.col("hits").fill_null(0) / pl.col("whole")
    return whole.join(hits, on="order", how="left").select("order", share.alias("share")).sort("order")


def _first(links: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Columns order, payout, score: of each order the first that are named, as many as it has payouts."""
    whole = links.select("order", *_PAYOUT).unique().group_by("order").len("whole")
    named = rows.join(links.select("order", *_DEPOSIT).unique(), on=_DEPOSIT).sort(
        ["order", "score", *_PAYOUT], descending=[False, True, False, False]
    )
    once = named.unique(["order", *_PAYOUT], keep="first", maintain_order=True).join(
        whole, on="order", maintain_order="left"
    )
    return once.filter(pl.int_range(pl.len()).over("order") < pl.col("whole")).select("order", *_PAYOUT, "score")


# -- telling ----------------------------------------------------------------------------------------------------------


def _traced(
    dataset: Dataset, links: pl.DataFrame, answers: dict[Key, pl.DataFrame], missing: tuple[str, ...]
) -> Traced:
    about = dataset.orders.row(int(links["order"][0]), named=True)
    deposits = [_coin(dataset, *key) for key in links.select(_DEPOSIT).unique(maintain_order=True).iter_rows()]
    payouts = [_coin(dataset, *key) for key in links.select(_PAYOUT).unique(maintain_order=True).iter_rows()]
    true = {(payout.coin, payout.output) for payout in payouts}

    def named(coin: str, output: int, score: float) -> Named:
        right = (coin, output) in true
        whose = "this order's" if right else _whose(dataset, coin, output, deposits[0].time)
        return Named(_coin(dataset, coin, output), score, right, whose)

    sayings = [
        Saying(
            method, role, task, tuple(named(*row) for row in _first(links, rows).select(*_PAYOUT, "score").iter_rows())
        )
        for (method, role, task), rows in answers.items()
        if (task == "T6") == (deposits[0].coin != payouts[0].coin)
    ]
    return Traced(
        about["service"],
        about["order_id"],
        tuple(deposits),
        tuple(payouts),
        _spent(dataset, about["order_id"], payouts),
        tuple(sayings),
        missing,
    )


def _coin(dataset: Dataset, coin: str, output: int) -> Coin:
    graph = dataset.public.graph(coin)
    amount = int(graph.amount[output])
    time = int(graph.time[graph.tx_of_output[output]])
    return Coin(coin, output, None if amount < 0 else amount * graph.unit, time)


def _whose(dataset: Dataset, coin: str, output: int, deposited: int) -> str:
    """A payout that is not this order's: whose it is, or that it is none."""
    others = dataset.links.filter(pl.col("payout_coin") == coin, pl.col("payout_output") == output)
    if len(others):
        order = dataset.orders.row(int(others["order"][0]), named=True)
        deposit = _coin(dataset, *others.select(_DEPOSIT).row(0))
        apart = deposit.time - deposited
        when = (
            "in the same block" if apart == 0 else f"{span(abs(apart))} h {'after' if apart > 0 else 'before'} this one"
        )
        return f"order {order['order_id']}'s, deposited {when}"
    address = int(dataset.public.graph(coin).address[output])
    wallet = dataset.wallets.filter(pl.col("coin") == coin, pl.col("address") == address)
    return f"the service's own {wallet['branch'][0]}" if len(wallet) else "no order's payout"


_ORIGINS: Final = {
    "own": "this order's deposit",
    "deposit": "other orders' deposits",
    "change": "change",
    "sweep": "swept coins",
    "float": "the service's float",
    "stray": "stray coins",
}


def _spent(dataset: Dataset, order_id: str, payouts: Sequence[Coin]) -> tuple[tuple[str, int], ...]:
    graph = dataset.public.graph(payouts[0].coin)
    txs = pl.Series([int(graph.tx_of_output[payout.output]) for payout in payouts])
    hops = dataset.answers("hop").filter(pl.col("coin") == payouts[0].coin, pl.col("tx").is_in(txs.implode()))
    own = (pl.col("origin") == "deposit") & (pl.col("order_id") == order_id)
    kinds = hops.select(pl.when(own.fill_null(False)).then(pl.lit("own")).otherwise("origin").alias("kind"))
    counts = dict(kinds.group_by("kind").len().iter_rows())
    return tuple((name, counts[kind]) for kind, name in _ORIGINS.items() if kind in counts)
