"""What the amounts of a CoinJoin give away of who paid whom: Boltzmann's link matrix."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, spending
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.mappings import MOST_INPUTS, MOST_OUTPUTS, MOST_PAIRS, mappings
from glasstumbler.lab.public import Flags, Graph, Ints, Public


def shared(graph: Graph) -> Flags:
    """By transaction: half of its outputs or more, and two at least, are of one amount, and its inputs are of as many
    addresses. Every CoinJoin of BlockSci's rule is among them, and those that pay all outputs alike."""
    return _shared(graph.first_input, graph.first_output, graph.input_address, graph.amount)


@compiled
def _shared(first_input: Ints, first_output: Ints, input_address: Ints, amount: Ints) -> Flags:
    txs = len(first_input) - 1
    found = np.zeros(txs, np.bool_)
    for tx in range(txs):
        if first_input[tx + 1] - first_input[tx] < 2 or first_output[tx + 1] - first_output[tx] < 2:
            continue
        amounts = np.sort(amount[first_output[tx] : first_output[tx + 1]])
        most, run = 1, 1
        for place in range(1, len(amounts)):
            run = run + 1 if amounts[place] == amounts[place - 1] else 1
            most = max(most, run)
        if most < 2 or 2 * most < len(amounts):
            continue
        addresses = np.sort(input_address[first_input[tx] : first_input[tx + 1]])
        found[tx] = 1 + (addresses[1:] != addresses[:-1]).sum() >= most
    return found


class LinkEntropy:
    name: ClassVar[str] = "link-entropy"
    task: ClassVar[str] = "T7"
    calibrated: ClassVar[bool] = True
    about: ClassVar[About] = About(
        paper="LaurentMT, Bitcoin Transactions and Privacy (2015), and its program Boltzmann.",
        rule="Counts every way in which groups of inputs can have paid groups of outputs, each group leaving at most"
        " the whole fee over. The score of an input and an output is the part of those mappings in which one group has"
        " both; the entropy of the transaction is the logarithm of their number. Inputs of one address count as one.",
        knows="The chain only.",
        cost="Exponential in the size of a transaction, so bounded: at most"
        f" {MOST_INPUTS} input addresses, {MOST_OUTPUTS} outputs and {MOST_PAIRS:,} pairs of sets that fit.",
        fails="Past those bounds it abstains. It holds every mapping for equally likely. Where the participants pay"
        " each other (as in JoinMarket) the sums do not fit and one group of all is left, which says nothing. "
        + ACCOUNTS,
        rebuilt="The count is the reference program's, without its options for fees among participants. Which"
        " transactions are worth it is ours: half of the outputs are alike, and the inputs are of as many addresses.",
    )

    def fit(self, public: Public, told: Told) -> None:
        """Nothing to learn."""

    def predict(self, public: Public) -> pa.Table:
        parts = (matrix for graph in spending(public) for matrix in _matrices(graph))
        return answer("T7", list(parts))


def _matrices(graph: Graph) -> list[dict[str, Any]]:
    found = []
    for tx in np.flatnonzero(shared(graph)):
        links = link_matrix(graph, int(tx))
        if links is not None:
            place, vout = np.indices(links.shape)
            found.append(
                {"tx": np.full(links.size, tx), "place": place.ravel(), "vout": vout.ravel(), "score": links.ravel()}
            )
    if not found:
        return []
    return [{"coin": graph.coin, **{name: np.concatenate([part[name] for part in found]) for name in found[0]}}]


def link_matrix(graph: Graph, tx: int) -> npt.NDArray[np.float64] | None:
    """[input, output]: the probability that one group has both. None past the bounds."""
    inputs = slice(graph.first_input[tx], graph.first_input[tx + 1])
    owners, which = np.unique(graph.input_address[inputs], return_inverse=True)
    worth = np.zeros(len(owners), np.int64)
    np.add.at(worth, which, graph.paid_in[inputs])
    found = mappings(worth, graph.amount[graph.first_output[tx] : graph.first_output[tx + 1]])
    return None if found is None else (found.links / found.total)[which]
