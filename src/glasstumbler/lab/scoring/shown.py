"""Scores on a terminal: a table for each task, and how its first measure falls by volume and by service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from glasstumbler.lab.reporting import board
from glasstumbler.lab.reporting.board import Board, Part, number
from glasstumbler.lab.results import Results, Row


def show(results: Results) -> None:
    """On standard output."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 160))
    about = results.dataset
    seed = f"seed {about.seed}" + (f" (for {about.seed_is_for})" if about.seed_is_for else "")
    mode = f", {about.mode}" if about.mode else ""
    console.print(f"{about.scenario}, {seed}, {about.orders:,} orders{mode}; taught by: {results.split}", markup=False)
    for each in board.boards(results):
        console.print()
        for sheet in (_scores(each), *_cuts(results, each)):
            for table in laid(sheet, console.width):
                console.print(table)
    console.print()
    for remark in results.remarks:
        console.print(f"- {remark}", markup=False)
    console.print(results.caveat, markup=False)


def _scores(each: Board) -> Sheet:
    columns = [(measure, [_cell(line.rows.get(measure)) for line in each.lines]) for measure in each.measures]
    return Sheet(f"{each.task}: {each.title}", [_name(line.method, line.role) for line in each.lines], columns)


def _name(method: str, role: str) -> str:
    return method if role in ("method", method) else f"{method} ({role})"


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return number(row.value) + (f"\n{number(row.low)} to {number(row.high)}" if row.low is not None else "")


def _cuts(results: Results, each: Board) -> Iterator[Sheet]:
    kinds: dict[str, tuple[list[Part], Callable[[Row], str]]] = {
        "by orders a day": (board.by_volume(results, each), lambda row: f"{row.volume:,}"),
        "by service": (board.by_service(results, each), lambda row: row.service),
        "of a service with none of its orders known": (board.left_out(results, each), lambda row: row.left_out),
    }
    for title, (parts, name) in kinds.items():
        heads = dict.fromkeys(name(row) for part in parts for row in part.rows)
        if heads:
            found = [{name(row): _cell(row) for row in part.rows} for part in parts]
            columns = [(head, [cells.get(head, "") for cells in found]) for head in heads]
            names = [_name(part.method, part.role) for part in parts]
            yield Sheet(f"{each.task}: {each.headline} {title}", names, columns)


# -- laid out ---------------------------------------------------------------------------------------------------------


class Sheet(NamedTuple):
    title: str
    names: list[str]
    """Of methods, one a line."""
    columns: list[tuple[str, list[str]]]
    """What stands above, and the cells."""


def laid(sheet: Sheet, width: int) -> Iterator[Table]:
    """Names and numbers stay whole: intervals stand on one line or on two, and columns that do not fit stand below."""
    title, names, columns = sheet
    if _wide(names, columns) > width:
        columns = [(head, [cell.replace(" to ", " to\n") for cell in cells]) for head, cells in columns]
    while columns:
        most = next((many for many in range(len(columns), 1, -1) if _wide(names, columns[:many]) <= width), 1)
        yield _table(title, names, columns[:most])
        title, columns = f"{sheet.title} (continued)", columns[most:]


def _table(title: str, names: list[str], columns: list[tuple[str, list[str]]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("method", width=_widest("method", names))
    for head, cells in columns:
        table.add_column(head, justify="right", width=_widest(head, cells))
    for name, *line in zip(names, *(cells for _, cells in columns), strict=True):
        table.add_row(name, *line)
    return table


def _wide(names: list[str], columns: list[tuple[str, list[str]]]) -> int:
    """Of a table, with a frame and a space on both sides of each cell."""
    return 1 + sum(_widest(head, cells) + 3 for head, cells in [("method", names), *columns])


def _widest(head: str, cells: list[str]) -> int:
    """Heads go on below, word by word."""
    return max(map(cell_len, [*head.split(), *(line for cell in cells for line in cell.splitlines())]), default=0)
