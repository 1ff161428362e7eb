"""Find a mixer's addresses by what they do: a forest on features and motifs, taught by a few tags."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, spending
from glasstumbler.lab.methods.mixing_patterns import tagged
from glasstumbler.lab.methods.motifs import features
from glasstumbler.lab.public import Graph, Ints, Public

TREES: Final = 30
UNLABELLED: Final = 20_000
"""Addresses, at most, of each chain that stand for all that are not tagged."""
_SEED: Final = 1


class HybridMotifs:
    name: ClassVar[str] = "hybrid-motifs"
    task: ClassVar[str] = "T1"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="Wu and others, Detecting Mixing Services via Mining Bitcoin Transaction Network with Hybrid Motifs (IEEE"
        " Transactions on Systems, Man, and Cybernetics: Systems 2021), arXiv 2001.05233.",
        rule="Describes each address by how much and how often it is paid, by the sizes and fees of the transactions"
        " around it, and by motifs in time: made by one kind of transaction, spent by another, soon or later. Learns"
        " from the tagged addresses (positive) and a sample of the others (unlabelled), and scores all.",
        knows="The chain and a few tagged addresses of the service.",
        cost="Linear passes, one sort of the outputs by address, a forest of 30 trees judged once an address.",
        fails="What does as the service does looks like it: exchanges pay in batches too. Addresses of a role that no"
        " tag has are missed. With a handful of tags it is little better than chance. " + ACCOUNTS,
        rebuilt="The three levels, motifs of addresses and transactions with attributes and time, and learning from"
        " positive and unlabelled data are the paper's; its list of motifs and features and its way of learning were"
        " had in outline only. Ours: 50 motifs of length two, 11 other features, and a forest that takes the unlabelled"
        " for negative, which ranks rightly if the tags are a fair sample.",
    )

    def fit(self, public: Public, told: Told) -> None:
        self._forest: Any = None
        parts = [_lesson(graph, tags) for graph in spending(public) if len(tags := tagged(told.tags, graph.coin))]
        if not parts:
            return
        rows, right = np.concatenate([rows for rows, _ in parts]), np.concatenate([right for _, right in parts])
        if right.all():
            return
        from sklearn.ensemble import RandomForestClassifier

        self._forest = RandomForestClassifier(TREES, max_depth=8, class_weight="balanced", random_state=_SEED)
        self._forest.fit(rows, right)

    def predict(self, public: Public) -> pa.Table:
        return answer("T1", [self._one(graph) for graph in spending(public)])

    def _one(self, graph: Graph) -> dict[str, object]:
        found = np.zeros(graph.addresses)
        if self._forest is not None:
            for addresses, rows in features(graph, np.arange(graph.addresses)):
                found[addresses] = self._forest.predict_proba(rows)[:, 1]
        addresses = np.flatnonzero(found)
        return {"coin": graph.coin, "address": addresses, "score": found[addresses]}


def _lesson(graph: Graph, tags: Ints) -> tuple[Any, Any]:
    """Rows of features, and which of them are tagged addresses'."""
    others = np.delete(np.arange(graph.addresses), tags)
    sample = np.random.default_rng(_SEED).permutation(len(others))[:UNLABELLED]
    addresses = np.sort(np.concatenate([tags, others[sample]]))
    rows = np.concatenate([rows for _, rows in features(graph, addresses)])
    return rows, np.isin(addresses, tags)
