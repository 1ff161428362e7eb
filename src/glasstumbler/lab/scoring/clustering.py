"""How well clusters of addresses agree with their owners: T4.

An address of which a method says nothing is a cluster of its own; addresses of unknown owners are not looked at. The
unit of resampling is an owner, since an owner's addresses stand or fall together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Ints
from glasstumbler.lab.scoring.bootstrap import Floats, Measure
from glasstumbler.lab.scoring.linking import ratio

ADDRESSES, PURE, WHOLE, SAME, CLUSTER_PAIRS, OWNER_PAIRS, ALL_PAIRS = range(7)
"""What an address adds: itself; the part of its cluster that its owner has, and of its owner's addresses that its
cluster has; how many other addresses share both, its cluster, its owner; all others."""
_CLOSE: Final = 4
"""Numbers lie close if a table of their range has at most so many places for each."""


class Agreement(NamedTuple):
    parts: Floats
    """[address, part]"""
    owners: Ints
    """In each cluster, by its number."""

    @property
    def over_merged(self) -> int:
        """Clusters of several owners."""
        return int((self.owners > 1).sum())

    @property
    def most_owners(self) -> int:
        """In one cluster."""
        return int(self.owners.max(initial=0))


def agreement(owner: Ints, cluster: Ints) -> Agreement:
    """`owner`, `cluster`: by address, any numbers from 0; memory grows with the greatest."""
    same, owners = _shared(owner, cluster, int(owner.max(initial=0)) + 1, int(cluster.max(initial=0)) + 1)
    in_cluster, of_owner = np.bincount(cluster)[cluster], np.bincount(owner)[owner]
    every = np.full(len(owner), len(owner) - 1)
    parts = [np.ones(len(owner)), same / in_cluster, same / of_owner, same - 1, in_cluster - 1, of_owner - 1, every]
    return Agreement(np.stack(parts, 1).astype(np.float64), owners)


@compiled
def _shared(owner: Ints, cluster: Ints, owners: int, clusters: int) -> tuple[Ints, Ints]:
    """By address: how many share both, itself included. By cluster: how many owners it has. Owner by owner, so that one
    table of all clusters serves them all."""
    end = np.zeros(owners + 1, np.int64)
    for one in owner:
        end[one + 1] += 1
    end = np.cumsum(end)
    order = np.empty(len(owner), np.int64)
    for address in range(len(owner)):
        order[end[owner[address]]] = address
        end[owner[address]] += 1  # at last where the next owner's begin
    same, many, of_cluster = np.empty(len(owner), np.int64), np.zeros(clusters, np.int64), np.zeros(clusters, np.int64)
    first = 0
    for one in range(owners):
        for place in range(first, end[one]):
            mine = cluster[order[place]]
            of_cluster[mine] += many[mine] == 0
            many[mine] += 1
        for place in range(first, end[one]):
            same[order[place]] = many[cluster[order[place]]]
        for place in range(first, end[one]):
            many[cluster[order[place]]] = 0
        first = end[one]
    return same, of_cluster


def dense(numbers: Ints) -> Ints:
    """As np.unique's inverse: each number's place among those that occur. Without sorting, where they lie close."""
    least, most = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if most - least > _CLOSE * len(numbers):
        found: Ints = np.unique(numbers, return_inverse=True)[1]
        return found
    there = np.zeros(most - least + 1, np.bool_)
    there[numbers - least] = True
    found = np.cumsum(there)[numbers - least] - 1
    return found


def by_owner(parts: Floats, owner: Ints) -> Floats:
    """Sums over the addresses of an owner."""
    number = dense(owner)
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
