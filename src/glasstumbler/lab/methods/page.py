"""docs/methods.md, made of what the methods say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from glasstumbler.lab.methods.base import Method
from glasstumbler.lab.methods.registry import LEFT_OUT, METHODS

TASKS: Final = {
    "T1": "Find a mixer's addresses",
    "T2": "Link a deposit to its payouts",
    "T3": "Link all orders jointly",
    "T4": "Cluster addresses by owner",
    "T5": "Follow taint",
    "T6": "Match swaps across chains",
    "T7": "Undo CoinJoins",
    "T8": "Use an investigator's own orders",
}
_LEAD: Final = """# Methods

This page is made of what the methods say of themselves (`python -m glasstumbler.lab.methods.page > docs/methods.md`; a
test holds it). They are published methods, written anew; where a paper does not give its rule word for word, *Rebuilt*
says what is ours. *Reported elsewhere* is what others got on live services, with other policies and another truth: to
be read beside a score, not to be compared with it. A method sees the observer's part of a dataset and what its task
grants (`lab/methods/base.py`), never the answer key. It may abstain: what it says nothing about has no row, and counts
as not found.

Scores hold for the stated policies on a synthetic chain. They say nothing of the accuracy on live services.
"""


def page(methods: Iterable[type[Method]]) -> str:
    """The whole page."""
    known = list(methods)
    parts = [_task(task, known) for task in TASKS if any(method.task == task for method in known)]
    return "\n".join([_LEAD, *parts, _left_out()])


def _left_out() -> str:
    return "\n".join(["## Not here\n", *(f"- **{name}.** {why}" for name, why in LEFT_OUT.items())]) + "\n"


def _task(task: str, methods: list[type[Method]]) -> str:
    parts = [section(method) for method in methods if method.task == task]
    return "\n".join([f"## {task}: {TASKS[task]}\n", *parts])


def section(method: type[Method]) -> str:
    """One method's part of the page; also the head of its error card."""
    return "\n".join([f"### {method.name}\n", *_lines(method)]) + "\n"


def _lines(method: type[Method]) -> Iterator[str]:
    about = method.about
    yield f"{about.rule}\n"
    rows = [("After", about.paper), ("Knows", about.knows), ("Costs", about.cost), ("Fails", about.fails)]
    rows += [("Rebuilt", about.rebuilt)] if about.rebuilt else []
    rows += [("Reported elsewhere", about.elsewhere)] if about.elsewhere else []
    rows.append(("Scores", "probabilities" if method.calibrated else "ranks only"))
    yield from (f"- **{name}.** {text}" for name, text in rows)


if __name__ == "__main__":
    print(page(METHODS.values()), end="")
