"""How well taint follows value through services: T5.

A case is one order: its deposits are the seeds. Looked at are the outputs of the services' own transactions, but not
the seeds: what customers do with their coins afterwards has no truth. Amounts of a chain are counted in parts of what
the case had there, so that cases and coins weigh alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from glasstumbler.lab.public import Flags
from glasstumbler.lab.scoring.bootstrap import Floats, Measure
from glasstumbler.lab.scoring.linking import ratio
from glasstumbler.lab.tasks import Dataset

CASES: Final = 8
"""Orders of each service that are followed, at most."""
_SEED: Final = 5
RIGHT, FLAGGED, TRUE, FLAGGED_OUTPUTS, RIGHT_OUTPUTS = range(5)
"""What a case adds: value that is flagged and true, flagged, true; outputs that are flagged, and flagged and true."""
TRUTHS: Final = ("custody", "beneficial")


def cases(dataset: Dataset) -> list[int]:
    """Rows of orders, drawn at random among those of each service that were paid out on a chain."""
    paid = dataset.links["order"].unique().sort().to_numpy()
    services = dataset.orders["service"].to_numpy()[paid]
    draw, found = np.random.default_rng(_SEED), []
    for service in np.unique(services):
        found += sorted(draw.permutation(paid[services == service])[:CASES].tolist())
    return found


def case(worth: Floats, tainted: Floats, true: Floats, looked_at: Flags) -> Floats:
    """Parts of one case. By output: what it is worth; the parts of it that are flagged, and that are true."""
    worth, tainted, true = worth[looked_at], tainted[looked_at], true[looked_at]
    both = np.minimum(tainted, true)
    value = [(worth * part).sum() for part in (both, tainted, true)]
    return np.array([*value, (tainted > 0).sum(), (both > 0).sum()], np.float64)


MEASURES: Final[Mapping[str, Measure]] = {
    "value precision": ratio(RIGHT, FLAGGED),
    "value recall": ratio(RIGHT, TRUE),
    "flagged per true": ratio(FLAGGED_OUTPUTS, RIGHT_OUTPUTS),
}
"""Each against either truth."""
