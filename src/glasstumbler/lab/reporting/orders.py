"""How long the services' payouts took and what they cost, by service: out of the answer key."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure as Sheet

from glasstumbler.lab.reporting.canvas import WIDTH, Figure, axes, heading, label
from glasstumbler.lab.reporting.palette import LINES
from glasstumbler.lab.tasks import Dataset

_HOUR: Final = 3600
_PANEL, _GAP, _TITLE, _FOOT = 52, 26, 52, 44
_BINS: Final = 36
_QUARTERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


class Spread(NamedTuple):
    """Of one service."""

    service: str
    values: npt.NDArray[np.float64]

    @property
    def quartiles(self) -> tuple[float, ...]:
        """Least, first quarter, median, third quarter, most."""
        return tuple(float(value) for value in np.quantile(self.values, _QUARTERS))


def delays(dataset: Dataset) -> list[Spread]:
    """Hours from funding to payment, of each payout."""
    payouts = dataset.answers("link").unique(["service", "order_id", "place"], maintain_order=True)
    return _spreads(payouts.select("service", (pl.col("delay_passed") / _HOUR).alias("value")))


def fees(dataset: Dataset) -> list[Spread]:
    """Percent of the deposits, of each order that was paid out; swaps hold theirs in the price, and are left out."""
    paid = dataset.answers("link").select("service", "order_id").unique()
    orders = dataset.orders.join(paid, on=["service", "order_id"], how="semi")
    mixed = orders.filter(pl.col("price").is_null(), pl.col("credited") > 0)
    fee = pl.col("fee").cast(pl.Float64) / pl.col("credited").cast(pl.Float64) * 100
    return _spreads(mixed.select("service", fee.alias("value")))


def _spreads(rows: pl.DataFrame) -> list[Spread]:
    found = {str(service): part["value"].to_numpy() for (service,), part in rows.group_by("service")}
    return [Spread(service, found[service]) for service in sorted(found)]


def delay_figure(spreads: Sequence[Spread]) -> Figure | None:
    return _figure("delays", "Delay of payouts", "hours from funding to payment", "h", spreads)


def fee_figure(spreads: Sequence[Spread]) -> Figure | None:
    return _figure("fees", "Fee of orders", "percent of the deposit, network part included", "%", spreads)


def _figure(name: str, title: str, axis: str, unit: str, spreads: Sequence[Spread]) -> Figure | None:
    if not spreads:
        return None
    said = "; ".join(f"{s.service}: median {s.quartiles[2]:.1f} {unit}, {len(s.values)} in all" for s in spreads)
    height = _TITLE + len(spreads) * (_PANEL + _GAP) - _GAP + _FOOT
    paint = partial(_paint, title=title, axis=axis, unit=unit, spreads=spreads)
    return Figure(name, title, f"{title}, {axis}, by service. {said}.", height, paint)


def _paint(sheet: Sheet, title: str, axis: str, unit: str, spreads: Sequence[Spread]) -> None:
    heading(sheet, title)
    most = max(spread.quartiles[-1] for spread in spreads) or 1.0
    for row, spread in enumerate(spreads):
        field = axes(sheet, 14, _TITLE + row * (_PANEL + _GAP), WIDTH - 28, _PANEL)
        counts, edges = np.histogram(spread.values, _BINS, (0, most))
        color = LINES[row % len(LINES)]
        field.bar(edges[:-1], counts / counts.max(), np.diff(edges) * 0.88, align="edge", color=color)
        field.axvline(spread.quartiles[2], color=color, linewidth=1.4, linestyle=(0, (3, 2)))
        field.set_xlim(0, most)
        field.set_ylim(0, 1.05)
        field.set_yticks([])
        field.spines["left"].set_visible(False)
        field.locator_params(axis="x", nbins=6)
        field.text(0, 1.12, label(spread.service, 24), transform=field.transAxes, fontweight="bold")
        note = f"median {spread.quartiles[2]:.1f} {unit}, n = {len(spread.values):,}"
        field.text(1, 1.12, note, transform=field.transAxes, ha="right")
        if row < len(spreads) - 1:
            field.tick_params(labelbottom=False)
        else:
            field.set_xlabel(axis)
