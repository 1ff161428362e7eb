"""Error cards: a page for each method, Markdown and HTML: what it is, how often it is right, and where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from glasstumbler.errors import StoreError
from glasstumbler.lab.methods.page import TASKS
from glasstumbler.lab.reporting.board import headline, number
from glasstumbler.lab.results import Results, Row
from glasstumbler.lab.scoring.run import Judged

WORST: Final = 5
_OF_A_TASK: Final = re.compile(r"T\d: ")
_LOWER_IS_BETTER: Final = ("Brier", "anonymity set", "over-merges", "owners in one cluster", "flagged per true")


class Line(NamedTuple):
    measure: str
    method: str
    chance: str
    ceiling: str


class Card(NamedTuple):
    title: str
    task: str
    dataset: str
    about: list[tuple[str, str]]
    lines: list[Line]
    measure: str
    """Of `worst`."""
    worst: list[tuple[str, str]]
    """Where it does worst: what, and how well."""
    examples: list[str]
    remarks: list[str]
    caveat: str


def cards(results: Results, judged: Iterable[Judged]) -> list[tuple[str, Card]]:
    """By the name of its file, without its ending."""
    return [(f"{one.task.lower()}-{one.who.name}", _card(results, one)) for one in judged if one.who.role != "chance"]


def _card(results: Results, judged: Judged) -> Card:
    mine = [row for row in results.rows if (row.task, row.method, row.role) == (judged.task, *judged.who[:2])]
    whole = [row for row in mine if not (row.service or row.volume or row.left_out)]
    about = results.dataset
    seed = f", a seed for {about.seed_is_for}" if about.seed_is_for else ""
    best = headline(row.measure for row in whole) if whole else ""
    return Card(
        judged.who.name,
        f"{judged.task}: {TASKS[judged.task]}",
        f"{about.scenario}, seed {about.seed}{seed}, {about.orders:,} orders{f', {about.mode}' * bool(about.mode)}",
        [(name, text) for name, text in _about(judged) if text],
        [_line(results, row) for row in whole],
        best,
        _worst([row for row in mine if row not in whole and row.measure == best]),
        judged.examples,
        [remark for remark in results.remarks if not _OF_A_TASK.match(remark) or remark.startswith(judged.task)],
        results.caveat,
    )


def _about(judged: Judged) -> list[tuple[str, str]]:
    about = judged.about
    named = {
        "What": "rule",
        "After": "paper",
        "Knows": "knows",
        "Costs": "cost",
        "Fails": "fails",
        "Rebuilt": "rebuilt",
        "Reported elsewhere": "elsewhere",
    }
    scores = "probabilities" if judged.who.calibrated else "ranks only"
    return [*((name, getattr(about, field)) for name, field in named.items()), ("Scores", scores)]


def _line(results: Results, row: Row) -> Line:
    beside = {"chance": "", "ceiling": ""}
    for other in results.rows:
        same = (other.task, other.measure, other.service, other.volume, other.left_out)
        if other.role in beside and same == (row.task, row.measure, "", 0, ""):
            beside[other.role] = text(other)
    return Line(row.measure, text(row), beside["chance"], beside["ceiling"])


def text(row: Row) -> str:
    """A figure and its interval."""
    interval = f" ({number(row.low)} to {number(row.high)})" if row.low is not None else ""
    return number(row.value) + interval


def _worst(rows: list[Row]) -> list[tuple[str, str]]:
    known = [row for row in rows if row.value is not None]
    lower = any(row.measure.startswith(_LOWER_IS_BETTER) for row in known)
    known.sort(key=lambda row: (row.value or 0.0) * (-1 if lower else 1))
    return [(_place(row), f"{text(row)}, {row.n:,} scored") for row in known[:WORST]]


def _place(row: Row) -> str:
    if row.left_out:
        return f"{row.left_out}, with none of its orders known"
    return row.service or f"{row.volume:,} orders a day"


def write(results: Results, judged: Iterable[Judged], folder: Path) -> list[Path]:
    """FOLDER/t2-demixing.md and .html, and so on; without cards no folder. StoreError if they cannot be written."""
    environment = Environment(
        loader=PackageLoader("glasstumbler.lab.scoring"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("card.html")
    written = []
    try:
        for name, card in cards(results, judged):
            folder.mkdir(parents=True, exist_ok=True)
            for ending, content in ((".md", markdown(card)), (".html", page.render(card=card))):
                written.append(folder / f"{name}{ending}")
                written[-1].write_text(content, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write error cards to {folder}: {error.strerror}") from None
    return written


def markdown(card: Card) -> str:
    parts = [f"# {_plain(card.title)}", f"{card.task}. Scored on {_plain(card.dataset)}.", f"**{card.caveat}**"]
    parts.append("\n".join(f"- **{name}.** {_plain(said)}" for name, said in card.about))
    parts.append("## How often it is right")
    parts.append(_table(("Measure", "This method", "Chance", "Ceiling"), card.lines))
    parts.append("The 95 % interval is in brackets; where a cell is empty there is no such figure.")
    if card.worst:
        parts.append(f"## Where it does worst ({card.measure})")
        parts.append(_table(("Where", "Figure"), card.worst))
    if card.examples:
        parts.append("## Where it was most surely wrong")
        parts.append("\n".join(f"- {_plain(example)}" for example in card.examples))
    if card.remarks:
        parts.append("## To be known")
        parts.append("\n".join(f"- {remark}" for remark in card.remarks))
    return "\n\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(said: str) -> str:
    """One line that no Markdown is in: a user's method may say anything."""
    told = " ".join(said.split())
    for sign in "\\`*_<>|[]":
        told = told.replace(sign, f"\\{sign}")
    return told
