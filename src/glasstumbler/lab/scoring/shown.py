"""Scores on a terminal: a table for each task, and how its first measure falls by volume and by service."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
        console.print(_scores(each))
        for table in _cuts(results, each):
            console.print(table)
    console.print()
    for remark in results.remarks:
        console.print(f"- {remark}", markup=False)
    console.print(results.caveat, markup=False)


def _scores(each: Board) -> Table:
    table = Table(title=f"{each.task}: {each.title}", title_justify="left")
    table.add_column("method", overflow="fold")
    for measure in each.measures:
        table.add_column(measure, justify="right")
    for line in each.lines:
        cells = (_cell(line.rows.get(measure)) for measure in each.measures)
        table.add_row(_name(line.method, line.role), *cells)
    return table


def _name(method: str, role: str) -> str:
    return method if role in ("method", method) else f"{method} ({role})"


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return number(row.value) + (f"\n{number(row.low)} to {number(row.high)}" if row.low is not None else "")


def _cuts(results: Results, each: Board) -> Iterator[Table]:
    kinds: dict[str, tuple[list[Part], Callable[[Row], str]]] = {
        "by orders a day": (board.by_volume(results, each), lambda row: f"{row.volume:,}"),
        "by service": (board.by_service(results, each), lambda row: row.service),
        "of a service with none of its orders known": (board.left_out(results, each), lambda row: row.left_out),
    }
    for title, (parts, name) in kinds.items():
        columns = list(dict.fromkeys(name(row) for part in parts for row in part.rows))
        if columns:
            table = Table(title=f"{each.task}: {each.headline} {title}", title_justify="left")
            table.add_column("method", overflow="fold")
            for column in columns:
                table.add_column(column, justify="right")
            for part in parts:
                found = {name(row): row for row in part.rows}
                table.add_row(_of(part), *(_cell(found.get(column)) for column in columns))
            yield table


def _of(part: Part) -> str:
    return _name(part.method, part.role)
