"""Writes docs/results.md: python scripts/results.py SCORES/results.json ... > docs/results.md.

The page says how the scores were made; this only lays them out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.reporting import board
from glasstumbler.lab.reporting.board import Board, Line, Part
from glasstumbler.lab.results import CAVEAT, Results, read
from glasstumbler.lab.scoring.card import text

LEAD: Final = f"""# What the methods get here

**{CAVEAT}**

The published methods on datasets of a test seed, 9, which nothing was tuned on. It was scored once, on 22 November
2026; this page is what came out, good or bad. *Chance* and *ceiling* stand beside the methods ([scores](scores.md) says
what each figure means), and 95 % intervals in brackets.

```sh
glasstumbler simulate volume-sweep --orders 4000 --seed 9 --mode fast --out volume-sweep
glasstumbler score volume-sweep --out volume-sweep-scores
glasstumbler simulate five-services --orders 1000 --seed 9 --mode fast --out five-services
glasstumbler score five-services --out five-services-scores
glasstumbler simulate look-alikes --orders 400 --seed 9 --mode fast --out look-alikes
glasstumbler score look-alikes --out look-alikes-scores
```

![F1 by orders a day](pictures/volumes.svg)

They give the same figures again, and `glasstumbler report` the picture. `scripts/results.py` of a checkout writes this
page of their `results.json`.

## What to take from it

- **A mixer that takes an exact fee is undone by its fee.** At btcmix and whir an order of one payout is named by its
  amount alone, at 10,000 orders a day too. The policy decides, not the volume alone: where the customer chooses the fee
  and several payouts (bestmixer), the best method finds seven orders of ten, and the ceiling is no higher.
- **Order in time breaks with the volume**: `fifo-time` falls from 0.99 to below 0.5.
- **What was learned of one service is worth at another what their fees have in common**: with none of its own orders
  known, `demixing` still finds 0.875 of btcmix's orders in five-services and 0.169 of bestmixer's; in volume-sweep,
  where the one other service takes another fee, nothing.
- **Taint answers another question.** It finds where the coins went (custody) and nothing of who was paid (beneficial).
  That is right: behind a custodial service the coins do not carry the link.
- **A swap from a chain that hides amounts is not undone** by `swap-match`: it abstains where more than one fits.
- **A detector of mixers is no proof.** Where it flags 1 % of all other addresses, three tenths to nine tenths of what
  the better of the two flags is something else.
"""
MEASURES: Final = {
    "T1": ("PR-AUC", "precision at 0.1% false", "precision at 1.0% false"),
    "T2": ("hit@1", "hit@20", "set F1", "anonymity set"),
    "T3": ("precision", "recall", "F1", "lift over T2"),
    "T4": ("B3 precision", "B3 recall", "B3 F1", "over-merges"),
    "T5": tuple(f"value {what}, {truth}" for truth in ("custody", "beneficial") for what in ("precision", "recall")),
    "T6": ("precision", "recall", "F1", "coverage"),
    "T7": ("AUC", "deducible share", "precision of the sure"),
    "T8": ("hit@1", "anonymity set", "bits gained"),
}
"""A few of each task; results.json has all."""
REPORTED: Final = """## Reported elsewhere

What others got on live services. Policies and truth differ, so these are context, not a comparison.

| Method | Reported |
|---|---|
"""


def page(found: Iterable[Results]) -> str:
    parts = [LEAD]
    parts += [part for results in found for part in _dataset(results)]
    told = [f"| `{name}` | {method.about.elsewhere} |" for name, method in METHODS.items() if method.about.elsewhere]
    return "\n".join([*parts, REPORTED + "\n".join(told)]) + "\n"


def _dataset(results: Results) -> Iterator[str]:
    about = results.dataset
    yield f"## {about.scenario}: {about.orders:,} orders, seed {about.seed}\n"
    for each in board.boards(results):
        yield f"### {each.task}: {each.title} ({about.scenario})\n"
        yield _whole(each)
        for title, parts in (
            ("by orders a day", board.by_volume(results, each)),
            ("of a service with none of its orders known", board.left_out(results, each)),
        ):
            if parts:
                yield f"{each.headline} {title}:\n"
                yield _cut(parts)


def _whole(each: Board) -> str:
    measures = MEASURES[each.task]
    rows = [[_name(line), *(_cell(line, measure) for measure in measures)] for line in each.lines]
    return _table(("Method", *measures), rows)


def _cell(line: Line, measure: str) -> str:
    row = line.rows.get(measure)
    return text(row) if row else ""


def _name(of: Line | Part) -> str:
    return f"*{of.role}*" if of.role in ("chance", "ceiling") else f"`{of.method}`"


def _cut(parts: list[Part]) -> str:
    heads = list(dict.fromkeys(row.left_out or f"{row.volume:,}" for part in parts for row in part.rows))
    rows = []
    for part in parts:
        cells = {row.left_out or f"{row.volume:,}": text(row) for row in part.rows}
        rows.append([_name(part), *(cells.get(head, "") for head in heads)])
    return _table(("Method", *heads), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    print(page(read(Path(name)) for name in sys.argv[1:]), end="")
