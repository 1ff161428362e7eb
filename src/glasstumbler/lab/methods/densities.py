"""How often a service waits so long and takes so much: densities estimated from orders that are known."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.public import Ints

Floats = npt.NDArray[np.float64]
MOST_BINS: Final = 64
_ABOUT: Final = 1 - 1e-6
"""Two halves of `finest` may be a little less than it."""


class Density(NamedTuple):
    """A histogram: heights[i] from edges[i] up to edges[i + 1], 0 outside."""

    edges: Floats
    heights: Floats

    @property
    def low(self) -> float:
        return float(self.edges[0])

    @property
    def high(self) -> float:
        return float(self.edges[-1])


def density(values: npt.ArrayLike, finest: float) -> Density:
    """Of at least one value. Bins hold about as many values each and are at least `finest` wide; where so many values
    are alike that one bin would not hold them, they have a narrow one for themselves. The ends lie a step outside what
    was seen, since the next value may."""
    seen = np.sort(np.asarray(values, np.float64))
    bins = min(max(int(len(seen) ** 0.5), 1), MOST_BINS)
    step = max((seen[-1] - seen[0]) / len(seen), finest / 2)
    edges = [seen[0] - step]
    for alike in _alike(np.quantile(seen, np.arange(1, bins) / bins), finest):
        for edge in (alike[0] - finest / 2, alike[-1] + finest / 2) if len(alike) > 1 else alike:
            if edge >= edges[-1] + finest * _ABOUT:
                edges.append(edge)
    end = seen[-1] + step
    if len(edges) > 1 and end < edges[-1] + finest * _ABOUT:
        edges.pop()
    bounds = np.append(edges, end)
    counts, _ = np.histogram(seen, bounds)
    mass = (counts + 0.5) / (len(seen) + 0.5 * len(counts))
    return Density(bounds, mass / np.diff(bounds))


def _alike(quantiles: Floats, finest: float) -> list[Floats]:
    """Neighbours that lie nearer than `finest` together."""
    return np.split(quantiles, np.flatnonzero(np.diff(quantiles) >= finest) + 1) if len(quantiles) else []


class Habits(NamedTuple):
    """What a service does with an order, as far as an observer sees it."""

    delay: Density
    """Seconds from the block of the deposit to that of the payment."""
    taken: Density
    """The part of the deposit that neither the payment nor the fee rule below accounts for."""
    rate: float = 0.0
    """Fee rule: this part of what is paid ..."""
    each: float = 0.0
    """... and so much for every output."""

    def needs(self, amount: Ints, outputs: Ints) -> Floats:
        """What had to come in for payments of so much to so many outputs."""
        found: Floats = amount * (1.0 + self.rate) + self.each * outputs
        return found
