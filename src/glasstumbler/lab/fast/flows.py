"""What goes into services and comes out of them, of all services together, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from glasstumbler.lab.fast.chains import Amounts
from glasstumbler.lab.fast.left import NONE, Side
from glasstumbler.lab.population import Ints


class Flow(NamedTuple):
    """Lowest block first."""

    height: Ints
    order: Ints
    amount: Amounts
    what: Ints
    """Deposits: the name of the service's key; payouts: the number of the people's address."""
    named: Ints
    """Deposits: which of the txids that are known; payouts: the output's place among all that were gathered."""

    def at(self, height: int) -> Flow:
        part = slice(*np.searchsorted(self.height, [height, height + 1]).tolist())
        return Flow._make(column[part] for column in self)


def first_names(sides: Mapping[str, Side]) -> tuple[dict[str, int], int]:
    """Of each service: the row of its first txid among all of theirs; and how many there are."""
    return _starts({slug: len(side.txids) for slug, side in sides.items()})


def first_keys(sides: Mapping[str, Side]) -> tuple[dict[str, int], int]:
    """The same of their keys."""
    return _starts({slug: len(side.keys) for slug, side in sides.items()})


def _starts(counts: Mapping[str, int]) -> tuple[dict[str, int], int]:
    found, at = {}, 0
    for slug, count in counts.items():
        found[slug] = at
        at += count
    return found, at


def deposits(sides: Mapping[str, Side], first_name: Mapping[str, int], first_key: Mapping[str, int]) -> Flow:
    """Those of a block in the order in which they were made."""
    seen = np.concatenate([side.deposit_seen for side in sides.values()])
    flow = Flow(
        np.concatenate([side.deposit_height for side in sides.values()]),
        np.concatenate([side.deposit_order for side in sides.values()]),
        np.concatenate([side.deposit_amount for side in sides.values()]),
        np.concatenate([first_key[slug] + side.deposit_key for slug, side in sides.items()]),
        np.concatenate([first_name[slug] + np.arange(len(side.deposit_order)) for slug, side in sides.items()]),
    )
    return _sorted(flow, np.lexsort((flow.order, seen, flow.height)))


def payouts(
    sides: Mapping[str, Side], first_name: Mapping[str, int], first_output: Ints, numbers: Mapping[str, Ints]
) -> Flow:
    """`first_output`: by transaction, its first output's place; `numbers`: of the people's addresses that are paid."""
    parts = []
    for slug, side in sides.items():
        paid = side.output_order != NONE
        tx = np.repeat(np.arange(len(side.payment_height)), np.diff(side.first_output))
        begin = first_output[first_name[slug] + len(side.txids) - len(side.payment_height) + tx]
        place = begin + np.arange(len(tx)) - side.first_output[tx]
        columns = (side.payment_height[tx], side.output_order, side.output_amount, numbers[slug], place)
        parts.append([column[paid] for column in columns])
    flow = Flow._make(np.concatenate(column) for column in zip(*parts, strict=True))
    return _sorted(flow, np.argsort(flow.height, kind="stable"))


def _sorted(flow: Flow, order: Ints) -> Flow:
    return Flow._make(column[order] for column in flow)
