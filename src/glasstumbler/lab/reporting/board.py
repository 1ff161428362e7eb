"""What results.json holds, put as the report shows it: a board a task, and cuts by volume and by service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from glasstumbler.lab.methods.page import TASKS
from glasstumbler.lab.results import Results, Role, Row

ROLES: Final[tuple[Role, ...]] = ("chance", "method", "own", "ceiling")
"""In the order of tables and figures."""
HEADLINES: Final = ("hit@1", "PR-AUC", "F1", "B3 F1", "AUC")
"""Measures that speak for their task; of a task that has none of them, the first that it has."""
_MORE_DRAWN: Final = {"T5": ("value precision", "value recall")}
"""Beginnings of measures that the figure of a task shows too: taint is held against two truths, which differ."""


class Line(NamedTuple):
    """One method on one board."""

    method: str
    role: Role
    rows: Mapping[str, Row]
    """By measure."""


class Board(NamedTuple):
    """The scores of a task over all orders."""

    task: str
    title: str
    measures: tuple[str, ...]
    headline: str
    drawn: tuple[str, ...]
    """Measures in the figure of the scores: the headline, and few others."""
    lines: tuple[Line, ...]


class Part(NamedTuple):
    """A method's figures of one measure, cut by volume or by service."""

    method: str
    role: Role
    rows: tuple[Row, ...]


def boards(results: Results) -> list[Board]:
    """One for each task that has rows, in the tasks' order."""
    whole = [row for row in results.rows if not (row.service or row.volume or row.left_out)]
    return [_board(task, rows) for task in sorted({row.task for row in whole}) if (rows := _of(task, whole))]


def _of(task: str, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.task == task]


def _board(task: str, rows: list[Row]) -> Board:
    measures = tuple(dict.fromkeys(row.measure for row in rows))
    found: dict[tuple[str, Role], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row.method, row.role), {})[row.measure] = row
    lines = [Line(method, role, of) for (method, role), of in found.items()]
    lines.sort(key=lambda line: ROLES.index(line.role))
    best = headline(measures)
    more = [measure for measure in measures if measure.startswith(_MORE_DRAWN.get(task, ())) and measure != best]
    return Board(task, TASKS[task], measures, best, (best, *more), tuple(lines))


def headline(measures: Iterable[str]) -> str:
    known = list(measures)
    return next((measure for measure in HEADLINES if measure in known), known[0])


def by_volume(results: Results, board: Board) -> list[Part]:
    """Of the board's headline, orders a day rising; empty if the dataset has fewer than two volumes."""
    found = _parts(results, board, lambda row: row.volume > 0 and not row.service and not row.left_out)
    parts = [part._replace(rows=tuple(sorted(part.rows, key=lambda row: row.volume))) for part in found]
    return parts if len({row.volume for part in parts for row in part.rows}) > 1 else []


def by_service(results: Results, board: Board) -> list[Part]:
    """Of the board's headline."""
    return _parts(results, board, lambda row: bool(row.service) and not row.volume and not row.left_out)


def left_out(results: Results, board: Board) -> list[Part]:
    """Of the board's headline: scored on the service that taught nothing."""
    return _parts(results, board, lambda row: bool(row.left_out) and not row.volume)


def _parts(results: Results, board: Board, wanted: Callable[[Row], bool]) -> list[Part]:
    parts = []
    for line in board.lines:
        rows = [
            row
            for row in results.rows
            if (row.task, row.measure) == (board.task, board.headline)
            and (row.method, row.role) == (line.method, line.role)
            and wanted(row)
        ]
        parts += [Part(line.method, line.role, tuple(rows))] if rows else []
    return parts


def services(parts: Iterable[Part]) -> list[str]:
    """That the parts speak of, by name."""
    return sorted({row.left_out or row.service for part in parts for row in part.rows})


def number(value: float | None) -> str:
    """Three places, fewer of greater figures; a dash for what is not defined."""
    if value is None:
        return "–"
    if abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"
