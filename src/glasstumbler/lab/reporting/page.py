"""The page: one HTML file, whole in itself. It fetches nothing and runs nothing; same content, same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from glasstumbler import __version__
from glasstumbler.lab.links import span
from glasstumbler.lab.reporting import flow, palette
from glasstumbler.lab.reporting.board import Board, Part, number, services
from glasstumbler.lab.reporting.canvas import Figure
from glasstumbler.lab.reporting.meanings import explained
from glasstumbler.lab.reporting.orders import Spread
from glasstumbler.lab.reporting.traced import Traced
from glasstumbler.lab.results import CAVEAT, Results, Role, Row


class Section(NamedTuple):
    """A task."""

    board: Board
    volumes: Sequence[Part]
    services: Sequence[Part]
    untaught: Sequence[Part]
    figures: Mapping[str, Figure]
    """By what they show, empty ones left out: scores, precision-recall, calibration, volumes, services, untaught."""


class Content(NamedTuple):
    results: Results
    manifest: Mapping[str, Any]
    sections: Sequence[Section]
    delays: Sequence[Spread]
    fees: Sequence[Spread]
    traced: Traced | None
    figures: Mapping[str, Figure]
    """delays, fees, traced."""

    def all_figures(self) -> list[Figure]:
        """In the order of the page."""
        return [figure for of in (*(s.figures for s in self.sections), self.figures) for figure in of.values()]


class Grid(NamedTuple):
    """A table of figures: methods down, `columns` across."""

    caption: str
    columns: Sequence[str]
    lines: Sequence[tuple[str, Role, Sequence[Row | None]]]
    scales: Sequence[float]
    """By column: what its little charts reach to."""


def render(content: Content) -> str:
    environment = Environment(
        loader=PackageLoader("glasstumbler.lab.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "span": span, "money": flow.money}
    return environment.get_template("report.html").render(
        version=__version__,
        caveat=CAVEAT,
        colors=Markup(palette.page_rules()),  # noqa: S704 - our own constants
        draw=lambda figure: Markup(figure.inline()),  # noqa: S704 - every text in it is escaped there
        grids={section.board.task: _grids(section) for section in content.sections},
        explained=explained,
        letters=flow.lettered(content.traced) if content.traced else [],
        little=_little,
        results=content.results,
        manifest=content.manifest,
        sections=content.sections,
        delays=content.delays,
        fees=content.fees,
        traced=content.traced,
        drawn_orders=content.figures,
    )


def _grids(section: Section) -> dict[str, Grid]:
    board = section.board
    measure = f"{board.task}: {board.headline}"
    scores = [(line.method, line.role, [line.rows.get(name) for name in board.measures]) for line in board.lines]
    volumes = sorted({row.volume for part in section.volumes for row in part.rows})
    grids = {
        "scores": _grid(f"{board.task}: scores over the whole dataset", board.measures, scores),
        "volumes": _grid(
            f"{measure} by orders a day",
            [f"{volume:,}" for volume in volumes],
            [(p.method, p.role, [_where(p, "volume", volume) for volume in volumes]) for p in section.volumes],
        ),
    }
    cuts = (
        ("services", section.services, "service", "{} by service"),
        ("untaught", section.untaught, "left_out", "{} on a service that taught nothing"),
    )
    for name, parts, field, caption in cuts:
        columns = services(parts)
        lines = [(p.method, p.role, [_where(p, field, column) for column in columns]) for p in parts]
        grids[name] = _grid(caption.format(measure), columns, lines)
    return grids


def _where(part: Part, field: str, value: object) -> Row | None:
    return next((row for row in part.rows if getattr(row, field) == value), None)


def _grid(caption: str, columns: Sequence[str], lines: Sequence[tuple[str, Role, Sequence[Row | None]]]) -> Grid:
    """Little charts of shares reach to 1, of other measures to the greatest end of an interval."""
    scales = []
    for place in range(len(columns)):
        rows = [row for _, _, cells in lines if (row := cells[place]) is not None]
        scales.append(max([1.0, *(end for row in rows for end in (row.value, row.high) if end is not None)]))
    return Grid(caption, columns, lines, scales)


def _little(row: Row, scale: float) -> dict[str, str] | None:
    """Places in a little chart that is 100 wide; None where nothing can be drawn."""
    if row.value is None or row.value < 0:
        return None
    low, high = row.value if row.low is None else row.low, row.value if row.high is None else row.high
    return {
        name: f"{4 + 92 * max(0.0, end) / scale:.1f}" for name, end in (("at", row.value), ("low", low), ("high", high))
    }
