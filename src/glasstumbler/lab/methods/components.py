"""Union-find: what hangs together in a graph of numbered nodes."""

from __future__ import annotations

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Ints, Shorts


def components(nodes: int, left: Ints | Shorts, right: Ints | Shorts) -> Shorts:
    """For each node the smallest number in its component. Edges run between `left[i]` and `right[i]`.

    Rem's algorithm with splicing (Patwary, Blair, Manne 2010), the smaller number always the parent: one pass over the
    edges and one over the nodes, 4 bytes a node. OverflowError beyond 2**31 - 1 nodes."""
    if nodes > np.iinfo(np.int32).max:
        raise OverflowError(f"{nodes} nodes; {np.iinfo(np.int32).max} can be numbered")
    parent = np.arange(nodes, dtype=np.int32)
    _join(parent, left, right)
    _flatten(parent)
    return parent


@compiled
def _join(parent: Shorts, left: Ints | Shorts, right: Ints | Shorts) -> None:
    for edge in range(len(left)):
        one, other = left[edge], right[edge]
        while parent[one] != parent[other]:
            if parent[one] < parent[other]:
                one, other = other, one
            above = parent[one]
            parent[one] = parent[other]
            if above == one:
                break
            one = above


@compiled
def _flatten(parent: Shorts) -> None:
    """A parent is never greater than its child, so one pass upward is enough."""
    for node in range(len(parent)):
        parent[node] = parent[parent[node]]
