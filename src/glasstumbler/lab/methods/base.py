"""What a tracing method is: it learns from what the observer is told, and answers one task with a table.

A method sees `Public` (the chains) and `Told` (what the task grants its observer), never the answer key: nothing in
this folder imports lab.truth, lab.custody or the record (tests/lab/test_methods_see_nothing.py). Its `About` says
whom it is after, what its observer is assumed to know, what it costs, and where it is known to fail. A method may
abstain: what it says nothing about has no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple, Protocol

import pyarrow as pa

from glasstumbler.lab.public import Ints, Public

_COIN, _LONG, _INT, _SCORE = pa.string(), pa.int64(), pa.int32(), pa.float64()


def _table(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


_LINK = _table(deposit_coin=_COIN, deposit_output=_LONG, payout_coin=_COIN, payout_output=_LONG, score=_SCORE)
ANSWERS: Final[Mapping[str, pa.Schema]] = {
    "T1": _table(coin=_COIN, address=_LONG, score=_SCORE),
    "T2": _LINK,
    "T3": _LINK,
    "T4": _table(coin=_COIN, address=_LONG, cluster=_LONG),
    "T5": _table(coin=_COIN, output=_LONG, tainted=_SCORE),
    "T6": _LINK,
    "T7": _table(coin=_COIN, tx=_LONG, place=_INT, vout=_INT, score=_SCORE),
    "T8": _LINK,
}
"""Columns of a method's answer, by task. `score` in T1, T2, T3, T6 and T8: the greater, the likelier; where a method
means a probability it says so (`calibrated`). T4: any number for a cluster, one row an address. T5: the part of an
output's value, 0 to 1, that is tainted. T7: the probability that input `place` and output `vout` of a transaction are
one owner's."""


class Cluster(NamedTuple):
    """A service's addresses on one chain."""

    service: str
    coin: str
    addresses: Ints


class OwnOrder(NamedTuple):
    """An order that the investigator placed themselves: they know its deposit and its payouts."""

    service: str
    deposit_coin: str
    deposit_output: int
    payouts: tuple[tuple[str, int], ...]
    """(coin, output)."""


class Told(NamedTuple):
    """What a task's observer knows beside the chains. What a task does not grant is empty."""

    tags: pa.Table
    """schemas.PUBLIC_TAG."""
    clusters: tuple[Cluster, ...] = ()
    """T2, T3, T6, T8: the addresses of each service."""
    own_orders: tuple[OwnOrder, ...] = ()
    """T8; in T2 and T3 those of the training split, for methods that estimate something."""
    prices: pa.Table | None = None
    """T6: columns time (epoch seconds), base, quote, price (quote for one base, float)."""
    seeds: tuple[tuple[str, int], ...] = ()
    """T5: tainted outputs (coin, output)."""
    asked: tuple[str, ...] = ()
    """T2, T3, T6: the services whose orders are asked about, and what is said of others is not looked at; empty: all.
    A method may pass the others over."""


class About(NamedTuple):
    """What a reader of a score must know of its method. docs/methods.md and the error cards are made of it."""

    paper: str
    """Who published it, where and when."""
    rule: str
    """What it does, in a few sentences."""
    knows: str
    """What its observer is assumed to know."""
    cost: str
    """Time and memory, by the size of the chains."""
    fails: str
    """Where it is known to be wrong or to abstain, and what it does on chains of accounts and hidden amounts."""
    rebuilt: str = ""
    """What here is ours because the paper's rule could not be had word for word. Empty: nothing."""
    elsewhere: str = ""
    """What was reported of it, or of its kind, on live services: context, since policies and truth differ."""


class Method(Protocol):
    name: ClassVar[str]
    """As in the registry: lower-case words with dashes."""
    task: ClassVar[str]
    """A key of ANSWERS."""
    calibrated: ClassVar[bool]
    """Whether its scores mean probabilities."""
    about: ClassVar[About]

    def fit(self, public: Public, told: Told) -> None: ...
    def predict(self, public: Public) -> pa.Table:
        """ANSWERS[task]."""
        ...
