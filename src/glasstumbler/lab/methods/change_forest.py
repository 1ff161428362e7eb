"""A random forest that knows change when it sees it, taught by change that the chain itself gave away."""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.lab.methods.base import About, OwnOrder, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, spending
from glasstumbler.lab.methods.change import with_change
from glasstumbler.lab.methods.change_signs import Signs, signs
from glasstumbler.lab.methods.coinjoin import coinjoins
from glasstumbler.lab.methods.cospend import cospend_clusters, rows
from glasstumbler.lab.public import NONE, Flags, Graph, Ints, Public

TREES: Final = 50
LESSONS: Final = 20_000
"""Transactions to learn from, at most, evenly over the chain; fewer than LEAST are too few, and nothing is learnt."""
LEAST: Final = 20
FALSE_POSITIVES: Final = 0.001
"""Part of the payments in the lessons that may be taken for change."""
_SEED: Final = 1
_Codes = npt.NDArray[np.int64]


class Lessons(NamedTuple):
    """Outputs, and whether each is change. The two of a transaction stand side by side."""

    outputs: Ints
    change: Flags


class Features(NamedTuple):
    """What the forest sees of outputs, each a small whole number in one code, so that equal outputs are judged once."""

    codes: _Codes
    sizes: tuple[int, ...]

    def columns(self, codes: _Codes) -> npt.NDArray[np.float32]:
        """A row for each code."""
        parts, rest = [], codes
        for size in self.sizes:
            parts.append(rest % size)
            rest = rest // size
        return np.stack(parts, axis=1).astype(np.float32)


class ChangeForest:
    name: ClassVar[str] = "change-forest"
    task: ClassVar[str] = "T4"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="Moeser and Narayanan, Resurrecting Address Clustering in Bitcoin (FC 2022), arXiv 2107.05749.",
        rule="Co-spend clusters; and in transactions with two outputs, none paid back to an input's address, the output"
        " that a random forest takes for change. It is taught by transactions of which the chain gave the change away:"
        " one of the two outputs was later spent together with the spender's other coins.",
        knows="The chain only; an investigator's own deposits too, if the task grants them.",
        cost="Linear passes, a forest of 50 trees on at most 20,000 transactions, one judgement for each distinct row"
        " of features.",
        fails="What gave itself away is not a fair sample: change that is never spent, or never with other coins,"
        " teaches nothing. Where fewer than 20 transactions teach, it is co-spending and nothing more. " + ACCOUNTS,
        rebuilt="The lessons are found as in the paper. The features are the heuristics of change_signs.py for the"
        " output and its neighbour, its part of the sum, zeros at its end, its place, how soon it is spent, the number"
        " of inputs; the paper has more (locktime, version, and so on). An output is change from the score on that, out"
        " of the bag, takes at most 1 in 1,000 payments for change. The paper's brake on the growth of clusters is not"
        " here.",
    )

    def fit(self, public: Public, told: Told) -> None:
        """Learn from all chains together."""
        self._forest: Any = None
        self._above = 1.0
        taught = [_taught(graph, told.own_orders) for graph in spending(public)]
        if not taught or sum(len(change) for _, change in taught) < 2 * LEAST:
            return
        self._learn(np.concatenate([rows for rows, _ in taught]), np.concatenate([change for _, change in taught]))

    def _learn(self, seen: npt.NDArray[np.float32], change: Flags) -> None:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(TREES, min_samples_leaf=2, oob_score=True, random_state=_SEED)
        forest.fit(seen, change)
        self._forest = forest
        payments = np.sort(np.nan_to_num(forest.oob_decision_function_[~change, 1]))
        self._above = max(0.5, float(payments[len(payments) - 1 - int(FALSE_POSITIVES * len(payments))]))

    def predict(self, public: Public) -> pa.Table:
        return answer("T4", [rows(graph, with_change(graph, self.change(graph))) for graph in spending(public)])

    def change(self, graph: Graph) -> Ints:
        """The outputs that it takes for change: the better of the two of a transaction, if good enough."""
        found = signs(graph)
        pairs = _pairs(graph, found)
        if self._forest is None or not len(pairs):
            return np.zeros(0, np.int64)
        features = _features(graph, found, pairs)
        distinct, where = np.unique(features.codes, return_inverse=True)
        score = self._forest.predict_proba(features.columns(distinct))[:, 1][where]
        other = score.reshape(-1, 2)[:, ::-1].reshape(-1)
        best: Ints = pairs[(score > self._above) & (score > other)]
        return best


def _pairs(graph: Graph, found: Signs) -> Ints:
    """Outputs of transactions with inputs, two outputs with addresses, none paid back, that are no CoinJoins."""
    usable = (np.diff(graph.first_output) == 2) & (np.diff(graph.first_input) > 0) & ~coinjoins(graph)
    unfit = (graph.address == NONE) | found.address_reuse
    usable[graph.tx_of_output[unfit]] = False
    return np.flatnonzero(usable[graph.tx_of_output])


def _lessons(graph: Graph, pairs: Ints, own: tuple[OwnOrder, ...]) -> Lessons:
    clusters = cospend_clusters(graph)
    spender = graph.input_address[graph.first_input[graph.tx_of_output[pairs]]]
    change = (spender != NONE) & (clusters[graph.address[pairs]] == clusters[spender])
    paid = np.array([order.deposit_output for order in own if order.deposit_coin == graph.coin], np.int64)
    mine = np.isin(graph.tx_of_output[pairs], graph.tx_of_output[paid])
    change[mine] = ~np.isin(pairs[mine], paid)
    clear = np.repeat(change[::2] != change[1::2], 2)
    return Lessons(pairs[clear], change[clear])


def _taught(graph: Graph, own: tuple[OwnOrder, ...]) -> tuple[npt.NDArray[np.float32], Flags]:
    """Rows of features, and which of them are change."""
    seen = signs(graph)
    found = _lessons(graph, _pairs(graph, seen), own)
    txs = len(found.outputs) // 2
    chosen = np.unique(np.linspace(0, max(txs - 1, 0), min(txs, LESSONS)).astype(np.int64))
    rows_chosen = (2 * chosen[:, None] + np.arange(2)).reshape(-1)
    features = _features(graph, seen, found.outputs[rows_chosen])
    return features.columns(features.codes), found.change[rows_chosen]


def _features(graph: Graph, seen: Signs, pairs: Ints) -> Features:
    """`pairs`: both outputs of each transaction, side by side."""
    own = sum(sign[pairs].astype(np.int64) << bit for bit, sign in enumerate(seen))
    others = np.asarray(own).reshape(-1, 2)[:, ::-1].reshape(-1)
    amount, tx, spender = graph.amount[pairs], graph.tx_of_output[pairs], graph.spender[pairs]
    total = np.repeat(amount.reshape(-1, 2).sum(axis=1), 2)
    waited = np.where(spender == NONE, 2**20, graph.height[spender] - graph.height[tx])
    columns = [own >> bit & 1 for bit in range(8)] + [others >> bit & 1 for bit in range(8)]
    sizes = [2] * 16
    columns += [np.minimum(16 * amount // np.maximum(total, 1), 15), np.arange(len(pairs)) % 2, _zeros(amount)]
    columns += [np.minimum(np.log2(waited + 1).astype(np.int64), 15), np.minimum(np.diff(graph.first_input)[tx], 3)]
    sizes += [16, 2, 10, 16, 4]
    codes = np.zeros(len(pairs), np.int64)
    for column, size in reversed(list(zip(columns, sizes, strict=True))):
        codes = codes * size + column
    return Features(codes, tuple(sizes))


def _zeros(amount: Ints) -> Ints:
    """Decimal zeros at the end, at most 9; none of 0."""
    found = np.zeros(len(amount), np.int64)
    for power in range(1, 10):
        found += (amount % 10**power == 0) & (amount > 0)
    return found
