"""How well taint follows value through services: T5.

A case is one order: its deposits are the seeds. Looked at are the outputs of the services' own transactions, but not
the seeds: what customers do with their coins afterwards has no truth. Amounts of a chain are counted in parts of what
the case had there, so that cases and coins weigh alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Flags, Ints
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


@compiled
def case(worth: Floats, looked_at: Flags, true: Ints, parts: Floats, flagged: Ints, tainted: Floats) -> Floats:
    """[truth, part] of one case on one chain. `worth`, `looked_at`: by output. `true`, `flagged`: outputs, ascending;
    `parts` [truth, place in `true`] and `tainted`, by place in `flagged`: what of them is true, and flagged."""
    found, at = np.zeros((len(parts), 5)), 0
    for place, output in enumerate(flagged):
        while at < len(true) and true[at] < output:
            at += 1
        if not looked_at[output]:
            continue
        for which in range(len(parts)):
            right = min(tainted[place], parts[which, at]) if at < len(true) and true[at] == output else 0.0
            found[which, RIGHT] += worth[output] * right
            found[which, FLAGGED] += worth[output] * tainted[place]
            found[which, FLAGGED_OUTPUTS] += tainted[place] > 0
            found[which, RIGHT_OUTPUTS] += right > 0
    for place, output in enumerate(true):
        for which in range(len(parts)):
            found[which, TRUE] += worth[output] * parts[which, place] if looked_at[output] else 0.0
    return found


MEASURES: Final[Mapping[str, Measure]] = {
    "value precision": ratio(RIGHT, FLAGGED),
    "value recall": ratio(RIGHT, TRUE),
    "flagged per true": ratio(FLAGGED_OUTPUTS, RIGHT_OUTPUTS),
}
"""Each against either truth."""
