"""What the published methods say of one order: each is asked in a process of its own, as by `glasstumbler score`,
and only here is its answer held beside the truth.

The pages run `main` in a process of its own, so that a server never loads what methods need. It prints a line of
JSON before each method is asked (`at`, `done`, `of`), and at the end one with all `answers`, or what is `wrong`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, NamedTuple

import msgspec
import polars as pl

from glasstumbler.errors import DatasetError, GlassTumblerError, MethodError
from glasstumbler.lab import tasks
from glasstumbler.lab.methods.page import TASKS
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.scoring import handing
from glasstumbler.lab.scoring.checked import checked
from glasstumbler.lab.scoring.crew import GIB, Limits, Part, Worker
from glasstumbler.lab.tasks import Dataset

Verdict = Literal["right", "partly", "wrong", "silent", "not asked"]
LIMITS: Final = Limits(60, 4 * GIB)
_LEARNS: Final = "needs a labelled dataset to learn from; not asked here"
NOT_ASKED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("demixing", "demixing-joint", "fifo-time"), _LEARNS),
    **dict.fromkeys(
        ("null", "null-joint", "null-swaps", "null-own"), "draws by lot: it has nothing to say of one order"
    ),
    "own-orders": "needs orders that an investigator placed; not asked here",
}
_FEW: Final = 3
_PATIENCE: Final = 10
"""Behind the services, which somebody may be waiting for."""


class Answer(msgspec.Struct, frozen=True):
    """Of one method."""

    method: str
    task: str
    title: str
    """Of the task."""
    verdict: Verdict
    said: str
    truth: str = ""
    """What it is held against."""


class Case(NamedTuple):
    """One order as the judges below see it."""

    dataset: Dataset
    row: int
    """Of the order table."""
    service: str
    links: pl.DataFrame
    """Of this order, LINK_TRUTH."""

    @property
    def deposits(self) -> set[tuple[str, int]]:
        return set(self.links.select("deposit_coin", "deposit_output").iter_rows())

    @property
    def payouts(self) -> set[tuple[str, int]]:
        return set(self.links.select("payout_coin", "payout_output").iter_rows())

    @property
    def crosses(self) -> bool:
        return {coin for coin, _ in self.deposits}.isdisjoint(coin for coin, _ in self.payouts)

    def addresses(self, outputs: set[tuple[str, int]]) -> set[tuple[str, int]]:
        """(coin, address); none where the chain hides them."""
        found = {(coin, int(self.dataset.public.graph(coin).address[output])) for coin, output in outputs}
        return {(coin, address) for coin, address in found if address >= 0}


Judged = tuple[Verdict, str, str]
"""Verdict, what the method says, what is true."""
Judge = Callable[[Case, pl.DataFrame], Judged]


def ask(folder: Path, service: str, order_id: str, tell: Callable[[str, int, int], None]) -> list[Answer]:
    """Every method of the registry, in its order. DatasetError if the order is not in the dataset."""
    case = _case(Dataset(folder), service, order_id)
    asked = [name for name in METHODS if not _why_not(name, case)]
    found: dict[str, Answer] = {}
    split = tasks.untaught(case.dataset)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="glasstumbler-asking-"))).resolve()
        part, room = Part((folder / "observer").resolve(), scratch / "laid"), scratch / "room"
        room.mkdir()
        case.dataset.public = case.dataset.public.lay(part.laid)
        worker = stack.enter_context(closing(Worker(part, room, LIMITS)))
        for done, name in enumerate(asked):
            tell(name, done, len(asked))
            task = METHODS[name].task
            told = tasks.told(case.dataset, task, split, [case.row] if task == "T5" else [])
            try:
                ran = worker.run({"name": name}, [told])
                table = handing.read_answer(ran.answers[0])
                checked(table, task, case.dataset.public, METHODS[name].calibrated)
            except MethodError as error:
                found[name] = _answer(name, ("silent", f"It failed: {error}", ""))
                continue
            found[name] = _answer(name, _JUDGES[task](case, _frame(table)))
    return [found.get(name) or _answer(name, ("not asked", _why_not(name, case), "")) for name in METHODS]


def _answer(name: str, judged: Judged) -> Answer:
    task = METHODS[name].task
    return Answer(name, task, TASKS[task], *judged)


def _frame(table: Any) -> pl.DataFrame:
    """Coins come as numbers into a list of names."""
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    coins = [column for column in found.columns if column == "coin" or column.endswith("_coin")]
    return found.with_columns(pl.col(coins).cast(pl.String))


def _case(dataset: Dataset, service: str, order_id: str) -> Case:
    rows = dataset.orders.filter(pl.col("service") == service, pl.col("order_id") == order_id)["order"]
    if not len(rows):
        raise DatasetError(f"the dataset has no order {order_id} of {service}")
    row = int(rows[0])
    links = dataset.links.filter(pl.col("order") == row)
    if not len(links):
        raise DatasetError(
            "there is nothing to ask yet: methods are asked about a deposit and payouts that stand on chains"
        )
    return Case(dataset, row, service, links)


def _why_not(name: str, case: Case) -> str:
    """Empty: it is asked."""
    task = METHODS[name].task
    if name in NOT_ASKED:
        return NOT_ASKED[name]
    if task in ("T2", "T3") and case.crosses:
        return "links within one chain; this order's payouts are on another than its deposit"
    if task == "T6" and not case.crosses:
        return "links across chains; this order's deposit and payouts are on one"
    if task in ("T1", "T4") and not case.addresses(case.deposits):
        return "works on addresses, and the chain of the deposit hides them"
    return ""


# -- judges -----------------------------------------------------------------------------------------------------------


def _verdict(right: int, wrong: int, wanted: int) -> Verdict:
    if not right and not wrong:
        return "silent"
    if not wrong and right == wanted:
        return "right"
    return "partly" if right else "wrong"


def _roles(case: Case, answer: pl.DataFrame) -> Judged:
    """T1 ranks addresses: what it names are its first, as many as the service truly has on the chain."""
    coin, address = min(case.addresses(case.deposits))
    wallet = case.dataset.wallets.filter(pl.col("coin") == coin)
    mine = answer.filter(pl.col("coin") == coin).sort("score", "address", descending=[True, False]).head(len(wallet))
    truth = f"The deposit address is one of {len(wallet)} that services have on this chain; payout addresses are not."
    if not len(mine):
        return "silent", "It names no address on this chain.", truth
    named = set(mine["address"].to_list())
    payouts = {number for chain, number in case.addresses(case.payouts) if chain == coin}
    wrong = len(payouts & named)
    said = f"Among its first {len(mine)} addresses the deposit address is {'one' if address in named else 'not'}"
    said += f", and so are {wrong} of {len(payouts)} payout addresses." if payouts else "."
    if (coin, address) in _tagged(case):
        said += " The deposit address was told to it, as a tag."
    right = address in named
    return ("partly" if right and wrong else "right" if right else "wrong"), said, truth


def _tagged(case: Case) -> set[tuple[str, int]]:
    tags = _frame(case.dataset.public.tags)
    return set(tags.select("coin", "address").iter_rows())


def _linked(case: Case, answer: pl.DataFrame) -> Judged:
    """As many of the best as the order has payouts."""
    deposits = pl.DataFrame(sorted(case.deposits), schema=["deposit_coin", "deposit_output"], orient="row")
    mine = answer.join(deposits, on=["deposit_coin", "deposit_output"], how="semi")
    best = mine.sort("score", "payout_coin", "payout_output", descending=[True, False, False])
    named = list(dict.fromkeys(best.select("payout_coin", "payout_output").iter_rows()))[: len(case.payouts)]
    right = len(case.payouts & set(named))
    truth = f"The order has {_many(len(case.payouts), 'payout')}."
    if not named:
        return "silent", "It names no payout of this deposit.", truth
    strange = _whose(case, [each for each in named if each not in case.payouts])
    said = f"It names {_many(len(named), 'payout')}: {right} of this order" + (f", and {strange}." if strange else ".")
    return _verdict(right, len(named) - right, len(case.payouts)), said, truth


def _whose(case: Case, outputs: list[tuple[str, int]]) -> str:
    """Payouts of other orders, by name."""
    found = []
    for coin, output in outputs[:_FEW]:
        rows = case.dataset.links.filter(pl.col("payout_coin") == coin, pl.col("payout_output") == output)
        order = case.dataset.orders["order_id"][int(rows["order"][0])] if len(rows) else None
        found.append(f"one of order {order}" if order else "an output that is no payout")
    return ", ".join(found) + (f" and {len(outputs) - _FEW} more" if len(outputs) > _FEW else "")


def _clustered(case: Case, answer: pl.DataFrame) -> Judged:
    coin, address = min(case.addresses(case.deposits))
    there = answer.filter(pl.col("coin") == coin)
    cluster = there.filter(pl.col("address") == address)["cluster"]
    wallet = case.dataset.wallets.filter(pl.col("coin") == coin, pl.col("service") == case.service)
    truth = f"{case.service} has {_many(len(wallet), 'address', 'addresses')} on this chain."
    together = set(there.filter(pl.col("cluster") == cluster[0])["address"].to_list()) if len(cluster) else set()
    others = together - {address}
    if not others:
        return "silent", "It joins the deposit address with no other.", truth
    right = len(others & set(wallet["address"].to_list()))
    said = f"It joins the deposit address with {len(others)} others: {right} of the service, {len(others) - right} not."
    return ("right" if right == len(others) else "partly" if right else "wrong"), said, truth


def _tainted(case: Case, answer: pl.DataFrame) -> Judged:
    """Held against whose value the payouts are; the truth beside it says too which coins they were."""
    truth = _frame(tasks.truth(case.dataset, "T5", [case.row]))
    moved = set(truth.filter(pl.col("custody") > 0).select("coin", "output").iter_rows())
    dirty = set(answer.filter(pl.col("tainted") > 0).select("coin", "output").iter_rows())
    every = set(case.dataset.links.select("payout_coin", "payout_output").iter_rows())
    right, wrong, wanted = len(dirty & case.payouts), len((dirty & every) - case.payouts), len(case.payouts)
    said = f"It taints {right} of this order's {_many(wanted, 'payout')}, and {_many(wrong, 'payout')} of other orders."
    own, others = len(moved & case.payouts), len((moved & every) - case.payouts)
    key = f"Its value is in {_many(wanted, 'payout')} of this order;"
    key += f" its coins went into {own} of them and {others} others."
    if not right and not wrong:
        return "silent", "It taints no payout at all.", key
    return _verdict(right, wrong, wanted), said, key


def _unmixed(case: Case, answer: pl.DataFrame) -> Judged:
    """The service signs its payments alone, so no transaction of it is a CoinJoin."""
    graphs = case.dataset.public.graph
    txs = sorted({(coin, int(graphs(coin).tx_of_output[output])) for coin, output in case.payouts})
    named = set(answer.select("coin", "tx").unique().iter_rows())
    taken = sum(tx in named for tx in txs)
    said = f"It takes {taken} of {_many(len(txs), 'transaction')} that made the payouts for a CoinJoin."
    truth = "The service signed them alone: none is a CoinJoin."
    return ("right" if not taken else "wrong" if taken == len(txs) else "partly"), said, truth


def _many(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


_JUDGES: Final[Mapping[str, Judge]] = {
    "T1": _roles,
    "T2": _linked,
    "T3": _linked,
    "T4": _clustered,
    "T5": _tainted,
    "T6": _linked,
    "T7": _unmixed,
}


def main(folder: str, service: str, order_id: str) -> None:
    os.nice(_PATIENCE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the methods' process ends too

    def say(what: dict[str, Any]) -> None:
        print(msgspec.json.encode(what).decode(), flush=True)

    try:
        answers = ask(Path(folder), service, order_id, lambda at, done, of: say({"at": at, "done": done, "of": of}))
    except GlassTumblerError as error:
        say({"wrong": str(error)})
        return
    say({"answers": msgspec.to_builtins(answers)})
