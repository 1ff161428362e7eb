"""The demonstration: every documented request of the five services over HTTP, from the first call to the last payout.

Nothing here looks behind the API but the laboratory's own calls: the driver places orders, pays deposits, mines, lets
time pass until every order is complete, and then asks for the truth of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from glasstumbler.lab import links
from glasstumbler.lab.customers import BearerCustomer, Check, CodeCustomer, Customer, Keys, SwapCustomer
from glasstumbler.lab.hub import Hub

STEP = 1800
"""Seconds that pass between two looks."""
MOST_STEPS = 24


class Outcome(NamedTuple):
    """What a demonstration saw."""

    completed: bool
    truths: list[dict[str, Any]]
    """One answer of GET /lab/v1/orders/{service}/{order} for each order."""
    checks: list[Check]
    chains: list[dict[str, Any]]
    letter: str
    requests: int

    @property
    def holds(self) -> bool:
        return self.completed and all(check.holds for check in self.checks)


class Written(NamedTuple):
    dataset: Path
    report: Path


class Audit(Protocol):
    @property
    def clean(self) -> bool: ...
    def lines(self) -> Iterable[str]: ...
    def document(self) -> dict[str, Any]: ...


class Ended(NamedTuple):
    outcome: Outcome
    written: Written
    audit: Audit

    @property
    def holds(self) -> bool:
        return self.outcome.holds and self.audit.clean

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        outcome = self.outcome
        return {
            "holds": self.holds,
            "completed": outcome.completed,
            "requests": outcome.requests,
            "orders": outcome.truths,
            "checks": [check._asdict() for check in outcome.checks],
            "chains": outcome.chains,
            "dataset": str(self.written.dataset),
            "report": str(self.written.report),
            "audit": self.audit.document(),
        }


Say = Callable[[str], None]


def demo(
    client: httpx.Client,
    keys: Mapping[str, Keys],
    console: Console,
    audit: Callable[[], Audit],
    write: Callable[[Outcome], Written],
) -> Ended:
    """Drive, write, audit. `client` has the hub as base URL; the services limit no rates."""
    hub = Hub(client)
    with _Steps(console) as say:
        outcome = drive(hub, keys, say)
        say("writing dataset and report")
        written = write(outcome)
        say("auditing the record")
        return Ended(outcome, written, audit())


def show(console: Console, ended: Ended) -> None:
    _show(console, ended.outcome)
    console.print(f"dataset {ended.written.dataset}", soft_wrap=True)
    console.print(f"report {ended.written.report}", soft_wrap=True)
    for line in ended.audit.lines():
        console.print(line, soft_wrap=True)


def drive(hub: Hub, keys: Mapping[str, Keys], say: Say) -> Outcome:
    """`keys` by service; xmrto has none."""
    codes = CodeCustomer(hub, keys["bestmixer"])
    bearers = [BearerCustomer(hub, slug, keys[slug], *habits) for slug, habits in _BEARER.items()]
    customers: list[Customer] = [codes, *bearers, SwapCustomer(hub)]
    for customer in customers:
        say(f"ordering at {customer.service}")
        customer.place()
    coins = [chain["coin"] for chain in hub.chains() if chain["height"] is not None]
    completed = _wait(hub, customers, coins, say)
    say("asking for the truth of every order")
    truths = [hub.truth(customer.service, order) for customer in customers for order in customer.orders]
    checks = [check for customer in customers for check in customer.checks]
    return Outcome(completed, truths, checks, hub.chains(), codes.letter, hub.requests)


_BEARER: dict[str, tuple[tuple[str, str], str | None]] = {
    "btcmix": (("0.012", "0.0075"), None),
    "coinjoin": (("3.2", "2.4"), None),  # above the service's own pieces: largest first pays it with its own deposit
    "whir": (("0.45", "0.05"), "glassref"),
}
"""Amounts and referral code of each bearer customer."""


def _wait(hub: Hub, customers: list[Customer], coins: list[str], say: Say) -> bool:
    """Blocks and time pass until every service is done; False if they never are."""
    open_ = list(customers)
    for step in range(MOST_STEPS):
        for coin in coins:
            hub.mine(coin)
        open_ = [customer for customer in open_ if not customer.done()]
        if not open_:
            return True
        say(f"{links.span((step + 1) * STEP)} h on the clock; waiting for {', '.join(c.service for c in open_)}")
        hub.advance(STEP)
    return False


# -- the terminal -----------------------------------------------------------------------------------------------------


class _Steps:
    """A line that moves on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> Say:
        self._bar.start()
        self._task = self._bar.add_task("starting", total=None)
        return self._say

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _say(self, line: str) -> None:
        self._bar.update(self._task, description=line)
        if not self._console.is_terminal:
            self._console.print(line, soft_wrap=True)


def _show(console: Console, outcome: Outcome) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), title="Every link, TEST NETWORKS ONLY", title_justify="left")
    for heading in links.HEADINGS:
        table.add_column(heading, justify="right" if heading in ("Delay", "Fee", "Hops") else "left")
    for row in links.rows(outcome.truths):
        deposits = " ".join(links.short(deposit) for deposit in row.deposits)
        fee = links.brief(row.fee, 7 if row.fee.endswith("eth") else 8)
        cells = (links.short(row.payout), links.span(row.delay), fee, links.hops(row))
        table.add_row(row.service, row.order, deposits, *cells)
    console.print(table)
    console.print(f"{len(outcome.truths)} orders, {outcome.requests} requests", highlight=False)
    for line, holds in summary(outcome.checks):
        console.print(f"{'ok  ' if holds else 'FAIL'} {line}", highlight=False, soft_wrap=True)
    if not outcome.completed:
        console.print("FAIL some orders never completed", highlight=False)


def summary(checks: Iterable[Check]) -> list[tuple[str, bool]]:
    """Signatures, letters and the rest counted by service; what fails is named."""
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.service, _group(check.what)), []).append(check)
    lines: list[tuple[str, bool]] = []
    for (service, group), mine in groups.items():
        failed = [check.what for check in mine if not check.holds]
        text = f"{service}: {len(mine) - len(failed)} of {len(mine)} {group}"
        lines.append((text + (f"; not: {', '.join(failed)}" if failed else ""), not failed))
    return lines


_GROUPS = {"HMAC": "signatures hold", "letter": "letters of guarantee hold"}


def _group(what: str) -> str:
    return _GROUPS.get(what.partition(" ")[0], "replies as documented")
