"""How well clusters of addresses agree with their owners: T4.

An address of which a method says nothing is a cluster of its own; addresses of unknown owners are not looked at. The
unit of resampling is an owner, since an owner's addresses stand or fall together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.public import Ints
from glasstumbler.lab.scoring.bootstrap import Floats, Measure
from glasstumbler.lab.scoring.linking import ratio

ADDRESSES, PURE, WHOLE, SAME, CLUSTER_PAIRS, OWNER_PAIRS, ALL_PAIRS = range(7)
"""What an address adds: itself; the part of its cluster that its owner has, and of its owner's addresses that its
cluster has; how many other addresses share both, its cluster, its owner; all others."""


class Agreement(NamedTuple):
    parts: Floats
    """[address, part]"""
    over_merged: int
    """Clusters of several owners."""
    most_owners: int
    """In one cluster."""


def agreement(owner: Ints, cluster: Ints) -> Agreement:
    """`owner`, `cluster`: by address, any numbers from 0."""
    cell, which = np.unique(owner * (cluster.max(initial=0) + 1) + cluster, return_inverse=True)
    same = np.bincount(which)[which]
    in_cluster, of_owner = np.bincount(cluster)[cluster], np.bincount(owner)[owner]
    every = np.full(len(owner), len(owner) - 1)
    parts = [np.ones(len(owner)), same / in_cluster, same / of_owner, same - 1, in_cluster - 1, of_owner - 1, every]
    owners = np.bincount(cell % (cluster.max(initial=0) + 1), minlength=1)
    return Agreement(np.stack(parts, 1).astype(np.float64), int((owners > 1).sum()), int(owners.max()))


def by_owner(parts: Floats, owner: Ints) -> Floats:
    """Sums over the addresses of an owner."""
    _, number = np.unique(owner, return_inverse=True)
    return np.stack([np.bincount(number, column) for column in parts.T], 1)


def _b_cubed_f1(sums: Floats) -> Floats:
    pure, whole = sums[..., PURE] / sums[..., ADDRESSES], sums[..., WHOLE] / sums[..., ADDRESSES]
    found: Floats = 2 * pure * whole / (pure + whole)
    return found


def _adjusted_rand(sums: Floats) -> Floats:
    """Hubert and Arabie (1985): pairs that agree, less those that would by chance. 1 if nothing can disagree."""
    same, clusters, owners = (sums[..., place] for place in (SAME, CLUSTER_PAIRS, OWNER_PAIRS))
    by_chance = clusters * owners / sums[..., ALL_PAIRS]
    most = (clusters + owners) / 2
    found: Floats = np.where(most == by_chance, 1.0, (same - by_chance) / (most - by_chance))
    return found


MEASURES: Final[Mapping[str, Measure]] = {
    "B3 precision": ratio(PURE, ADDRESSES),
    "B3 recall": ratio(WHOLE, ADDRESSES),
    "B3 F1": _b_cubed_f1,
    "pair precision": ratio(SAME, CLUSTER_PAIRS),
    "pair recall": ratio(SAME, OWNER_PAIRS),
    "ARI": _adjusted_rand,
}
OF_A_SERVICE: Final = ("B3 precision", "B3 recall", "B3 F1")
"""That also mean something of the addresses of one service alone."""
