"""The figures of scores: dots with intervals, and lines. Chance is grey, the ceiling is ink, a user's own is orange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from glasstumbler.lab.reporting.board import Board, Part, number, services
from glasstumbler.lab.reporting.canvas import WIDTH, Figure, axes, heading, label
from glasstumbler.lab.reporting.palette import LINES, light
from glasstumbler.lab.results import Curve, Role, Row

_MARKS: Final = "os^DvPX"
_DASHES: Final = ("-", (0, (6, 1.5)), (0, (3, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_ROW, _HEAD, _TITLE = 21, 24, 34
"""Points: a row of dots, the heading of a group, the title above."""
_TICKS, _FOOT = 28, 46
"""Points below a field: for the figures of its axis; for these and the axis's name."""
_LEFT, _RIGHT = 140, 46
"""Points for names and for figures beside dots."""
_PLOT = 216
"""Points: height of the field that lines are drawn in."""
_MOST_POINTS, _MOST_MARKS = 240, 24


class Look(NamedTuple):
    color: str
    mark: str
    dash: object


def look(role: Role, place: int) -> Look:
    """Of the `place`th method of a task."""
    if role == "chance":
        return Look(light("chance"), "x", (0, (1, 1.5)))
    if role == "ceiling":
        return Look(light("ceiling"), "|", (0, (8, 3)))
    if role == "own":
        return Look(light("own"), "*", "-")
    return Look(LINES[place % len(LINES)], _MARKS[place % len(_MARKS)], _DASHES[place // len(LINES) % len(_DASHES)])


def places(lines: Iterable[tuple[str, Role]]) -> dict[tuple[str, Role], Look]:
    """Looks of a task's methods: the same in all figures of the task."""
    found: dict[tuple[str, Role], Look] = {}
    for name, role in lines:
        found[name, role] = look(role, sum(other == "method" for _, other in found))
    return found


def looks(board: Board) -> dict[tuple[str, Role], Look]:
    return places((line.method, line.role) for line in board.lines)


# -- dots -------------------------------------------------------------------------------------------------------------


class Dot(NamedTuple):
    name: str
    look: Look
    row: Row
    before: Row | None = None
    """Drawn hollow beside it."""


Groups = Sequence[tuple[str, Sequence[Dot]]]
"""Each with its heading; an empty one takes no room."""


def scores(board: Board) -> Figure | None:
    """The measures that speak for the task, of all methods; None if no figure of them is defined."""
    look_of = looks(board)
    groups = [
        (
            measure if len(board.drawn) > 1 else "",
            [
                Dot(line.method, look_of[line.method, line.role], row)
                for line in board.lines
                if (row := line.rows.get(measure))
            ],
        )
        for measure in board.drawn
    ]
    title = f"{board.task}: {board.headline if len(board.drawn) == 1 else board.title.lower()}"
    return _dots(f"{board.task.lower()}-scores", title, _groups_said(title, groups), groups)


def per_service(board: Board, parts: Sequence[Part]) -> Figure | None:
    look_of = looks(board)
    groups = [
        (
            service,
            [Dot(p.method, look_of[p.method, p.role], row) for p in parts for row in p.rows if row.service == service],
        )
        for service in services(parts)
    ]
    title = f"{board.task}: {board.headline} by service"
    return _dots(f"{board.task.lower()}-services", title, _groups_said(title, groups), groups)


def untaught(board: Board, parts: Sequence[Part], taught: Sequence[Part]) -> Figure | None:
    """Filled: the service taught nothing. Hollow: all services taught."""
    look_of = looks(board)
    known = {(p.method, row.service): row for p in taught for row in p.rows}
    groups = [
        (
            f"without {service}",
            [
                Dot(p.method, look_of[p.method, p.role], row, known.get((p.method, service)))
                for p in parts
                for row in p.rows
                if row.left_out == service
            ],
        )
        for service in services(parts)
    ]
    title = f"{board.task}: {board.headline}, untaught"
    return _dots(f"{board.task.lower()}-untaught", title, _groups_said(title, groups), groups)


def _groups_said(title: str, groups: Groups) -> str:
    parts = [
        f"{head}: " * bool(head) + ", ".join(f"{dot.name} {_spoken(dot.row)}" for dot in dots) for head, dots in groups
    ]
    return f"{title}. {'; '.join(parts)}."


def _spoken(row: Row) -> str:
    if row.low is None or row.high is None:
        return number(row.value)
    return f"{number(row.value)} ({number(row.low)} to {number(row.high)})"


def _dots(name: str, title: str, alt: str, groups: Groups) -> Figure | None:
    if all(dot.row.value is None for _, dots in groups for dot in dots):
        return None
    rows = sum(len(dots) * _ROW + (_HEAD if head else 0) for head, dots in groups)
    return Figure(name, title, alt, _TITLE + rows + _TICKS, partial(_paint_dots, title=title, groups=groups, rows=rows))


def _paint_dots(sheet: Sheet, title: str, groups: Groups, rows: int) -> None:
    heading(sheet, title)
    field = axes(sheet, _LEFT, _TITLE, WIDTH - _LEFT - _RIGHT, rows)
    field.set_ylim(rows, 0)
    _scale(field, [dot.row for _, dots in groups for dot in dots])
    field.set_yticks([])
    field.spines["left"].set_visible(False)
    y = 0.0
    for head, dots in groups:
        if head:
            _beside(field, head, -_LEFT + 8, y + _HEAD * 0.62, fontweight="bold")
            y += _HEAD
        for dot in dots:
            _dot(field, dot, y + _ROW / 2)
            y += _ROW


def _beside(field: Axes, text: str, x: float, y: float, **looks: object) -> None:
    """`x` points from the left edge of the field."""
    field.annotate(
        label(text, 30), (0, y), (x, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        va="center", annotation_clip=False, **looks,  # type: ignore[arg-type]
    )  # fmt: skip


def _dot(field: Axes, dot: Dot, y: float) -> None:
    row, color = dot.row, dot.look.color
    _beside(field, label(dot.name), -_LEFT + 8, y)
    field.annotate(
        number(row.value), (1, y), (_RIGHT - 6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        va="center", ha="right", annotation_clip=False,
    )  # fmt: skip
    field.axhline(y, color=light("grid"), linewidth=1, zorder=0)
    if dot.before is not None and dot.before.value is not None and row.value is not None:
        field.plot([dot.before.value, row.value], [y, y], color=color, linewidth=1, linestyle=":")
        field.plot(
            [dot.before.value], [y], "o", color=color, markersize=6.5, markeredgewidth=1.5, markerfacecolor="none"
        )
    if row.low is not None and row.high is not None:
        field.plot([row.low, row.high], [y, y], color=color, linewidth=2.4, solid_capstyle="butt")
    if row.value is not None:
        size, edge = (10, 2.4) if dot.look.mark in "x|*" else (7, 1)
        field.plot([row.value], [y], dot.look.mark, color=color, markersize=size, markeredgewidth=edge, clip_on=False)


def _scale(field: Axes, rows: Iterable[Row]) -> None:
    """From 0 to 1 where all figures are shares."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    field.margins(x=0)
    if all(0 <= end <= 1 for end in ends):
        field.set_xlim(0, 1)
        field.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    else:
        low, high = min(0.0, *ends), max(0.0, *ends)
        field.set_xlim(low, high + (high - low or 1) * 0.06)
        field.locator_params(axis="x", nbins=4)


# -- lines ------------------------------------------------------------------------------------------------------------


class Series(NamedTuple):
    name: str
    look: Look
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    weights: Sequence[float] = ()
    """0 to 1, of the points: how large they are drawn. Empty: all alike."""


def volumes(board: Board, parts: Sequence[Part]) -> Figure | None:
    """The headline by orders a day, with intervals where there are any."""
    look_of = looks(board)
    series = []
    for part in parts:
        rows = [row for row in part.rows if row.value is not None]
        ends = [(row.low, row.high) for row in rows if row.low is not None and row.high is not None]
        values = [float(row.value or 0) for row in rows]
        lows, highs = ([end[side] for end in ends] if len(ends) == len(rows) else [] for side in (0, 1))
        look_here = look_of[part.method, part.role]
        series.append(Series(part.method, look_here, [float(row.volume) for row in rows], values, lows, highs))
    title = f"{board.task}: {board.headline} by orders a day"
    said = "; ".join(f"{s.name} {_pairs(s)}" for s in series)
    return _lines(
        f"{board.task.lower()}-volumes",
        title,
        f"{title}: {said}.",
        series,
        partial(_volume_axes, measure=board.headline),
    )


def _pairs(series: Series) -> str:
    return ", ".join(f"{number(y)} at {x:,.0f}" for x, y in zip(series.x, series.y, strict=True))


def _volume_axes(field: Axes, measure: str) -> None:
    field.set_xscale("log")
    seen = sorted({float(x) for line in field.get_lines() for x in np.asarray(line.get_xdata(), float)})
    field.set_xticks(seen, [f"{x:,.0f}" for x in seen])
    field.xaxis.set_minor_locator(NullLocator())
    field.xaxis.set_minor_formatter(NullFormatter())
    field.set_xlim(seen[0] / 1.5, seen[-1] * 1.5)
    field.set_xlabel("orders a day")
    low, high = field.get_ylim()
    field.set_ylim(*((0, 1) if low >= -0.1 and high <= 1.2 else (min(0, low), high)))


def curves(board: Board, kind: str, found: Sequence[Curve]) -> Figure | None:
    """Of one kind (Curve.kind) and task; None if no method has points."""
    look_of = looks(board)
    known = {(curve.method, curve.role): curve for curve in found if (curve.task, curve.kind) == (board.task, kind)}
    wanted = [(curve, look_of[key]) for key in look_of if (curve := known.get(key)) is not None and curve.x]
    series = [_of_curve(curve, look, kind == "calibration") for curve, look in wanted]
    title = f"{board.task}: {_KINDS[kind][0]}"
    said = "; ".join(f"{curve.method}, {len(curve.x)} points" for curve, _ in wanted)
    alt = f"{_KINDS[kind][1]} Lines: {said}."
    return _lines(f"{board.task.lower()}-{kind}", title, alt, series, partial(_curve_axes, kind=kind))


_KINDS: Final = {
    "precision-recall": ("precision by recall", "Precision against recall as the threshold of the score falls."),
    "calibration": ("calibration", "What was true against what was claimed; on the diagonal a probability is right."),
}


def _of_curve(curve: Curve, look: Look, weighed: bool) -> Series:
    """`weighed`: points on which many answers stand are drawn larger."""
    kept = np.unique(np.linspace(0, len(curve.x) - 1, min(len(curve.x), _MOST_POINTS)).astype(int))
    most = max(1, *(curve.n[k] for k in kept), 1)
    weights = [(curve.n[k] / most) ** 0.5 for k in kept] if weighed else []
    return Series(curve.method, look, [curve.x[k] for k in kept], [curve.y[k] for k in kept], weights=weights)


def _curve_axes(field: Axes, kind: str) -> None:
    field.set_xlim(0, 1)
    field.set_ylim(0, 1.02)
    field.set_xlabel("recall" if kind == "precision-recall" else "claimed probability")
    field.set_ylabel("precision" if kind == "precision-recall" else "share that was true")
    if kind == "calibration":
        field.plot([0, 1], [0, 1], color=light("soft"), linewidth=1, linestyle=":", zorder=1)


def _lines(name: str, title: str, alt: str, series: Sequence[Series], finish: object) -> Figure | None:
    if not any(each.x for each in series):
        return None
    rows = (len(series) + 1) // 2
    paint = partial(_paint_lines, title=title, series=series, finish=finish)
    return Figure(name, title, alt, _TITLE + _PLOT + _FOOT + rows * 17 + 4, paint)


def _paint_lines(sheet: Sheet, title: str, series: Sequence[Series], finish: object) -> None:
    heading(sheet, title)
    field = axes(sheet, 46, _TITLE, WIDTH - 46 - 14, _PLOT)
    for each in series:
        _series(field, each)
    assert callable(finish)
    finish(field)
    field.xaxis.labelpad = field.yaxis.labelpad = 4
    field.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    height = sheet.get_size_inches()[1] * 72
    field.legend(
        loc="upper left", bbox_to_anchor=(8 / WIDTH, 1 - (_TITLE + _PLOT + _FOOT - 6) / height), ncols=2,
        bbox_transform=sheet.transFigure, borderaxespad=0, borderpad=0, handlelength=2.6, columnspacing=1.2,
        labelspacing=0.45,
    )  # fmt: skip


def _series(field: Axes, series: Series) -> None:
    open_mark = series.look.mark in "x|*"
    if series.low:
        field.fill_between(series.x, series.low, series.high, color=series.look.color, alpha=0.16, linewidth=0)
        for x, low, high in zip(series.x, series.low, series.high, strict=True):
            field.plot([x, x], [low, high], color=series.look.color, linewidth=1.2)
    (line,) = field.plot(
        series.x,
        series.y,
        color=series.look.color,
        linestyle=series.look.dash,
        marker=series.look.mark if len(series.x) <= _MOST_MARKS else None,
        markersize=7 if open_mark else 5.5,
        markeredgewidth=1.6 if open_mark else 1,
        label=label(series.name),
        clip_on=False,
    )
    if series.weights:
        line.set(markevery=[], linewidth=1, alpha=0.6)
        for x, y, weight in zip(series.x, series.y, series.weights, strict=True):
            field.plot(
                [x],
                [y],
                series.look.mark,
                color=series.look.color,
                markersize=2 + 7 * weight,
                markeredgewidth=1.6 if open_mark else 0,
                clip_on=False,
            )
