"""A demonstration as one HTML file: nothing is fetched, nothing runs; light and dark, narrow and wide."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from glasstumbler import __version__
from glasstumbler.errors import StoreError
from glasstumbler.lab import links, picture
from glasstumbler.lab.demo import Outcome, summary


def write(outcome: Outcome, seed: int, path: Path) -> Path:
    """The page as a file; StoreError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(outcome, seed), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    return path


def render(outcome: Outcome, seed: int) -> str:
    """The page. The same outcome gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("glasstumbler.lab"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"short": links.short, "brief": links.brief, "span": links.span}
    drawn = picture.choose(outcome.truths)
    return environment.get_template("report.html").render(
        version=__version__,
        seed=seed,
        outcome=outcome,
        services=sorted({truth["service"] for truth in outcome.truths}),
        groups=_groups(outcome),
        checks=summary(outcome.checks),
        drawn=drawn,
        beneficial=Markup(picture.beneficial(drawn)),  # noqa: S704 - every text in it is escaped there
        custody=Markup(picture.custody(drawn)),  # noqa: S704
        hops=links.hops,
    )


def _groups(outcome: Outcome) -> list[tuple[links.Row, list[links.Row]]]:
    """Rows by order, each group with its first row: service, order and deposits are the same in all."""
    rows: Any = groupby(links.rows(outcome.truths), key=lambda row: (row.service, row.order))
    return [(group[0], group) for group in (list(rows) for _, rows in rows)]
