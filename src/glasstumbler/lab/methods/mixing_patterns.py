"""Find a mixer by the form of its transactions: from those of known addresses along the coins to others like them."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from glasstumbler.lab.methods.address_kinds import address_kinds, kinds_of
from glasstumbler.lab.methods.base import About, Told
from glasstumbler.lab.methods.chains import ACCOUNTS, answer, spending
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.taint import Parts
from glasstumbler.lab.public import NONE, Graph, Ints, Public

STEP: Final = 0.99
"""What each transaction between a known one and this takes off the score."""


def tagged(tags: pa.Table, coin: str) -> Ints:
    """Addresses of the tags on one chain."""
    found: Ints = tags.filter(pc.equal(tags["coin"], coin))["address"].to_numpy()
    return np.unique(found)


def forms(graph: Graph) -> Ints:
    """By transaction, in one number: inputs (1, 2, more), outputs (1, 2, 3, more), the type of the inputs' addresses
    (or mixed), which types are paid, and the fee rate in base units a byte, rounded."""
    inputs, outputs = np.diff(graph.first_input), np.diff(graph.first_output)
    kinds = address_kinds(graph)
    least, most = np.full(graph.txs, 9, np.int64), np.full(graph.txs, NONE, np.int64)
    spent_from = kinds_of(graph.input_address, kinds).astype(np.int64)
    np.minimum.at(least, graph.tx_of_input, spent_from)
    np.maximum.at(most, graph.tx_of_input, spent_from)
    paid = np.zeros(graph.txs, np.int64)
    np.bitwise_or.at(paid, graph.tx_of_output, 1 << (kinds_of(graph.address, kinds).astype(np.int64) + 1))
    rate = np.where(inputs > 0, (graph.fee + graph.size // 2) // np.maximum(graph.size, 1), 0)
    code = np.minimum(inputs, 3) * 4 + np.minimum(outputs, 4) - 1
    code = (code * 8 + np.where(least == most, most + 1, 7)) * 64 + paid
    form: Ints = code * 100_000 + np.minimum(rate, 99_999)
    return form


def likeness(graph: Graph, known: Ints) -> Parts:
    """By transaction, 0 to 1: how much commoner its form is among the `known` transactions than on the chain. 0 for
    forms that none of them has."""
    _, form = np.unique(forms(graph), return_inverse=True)
    on_chain = np.bincount(form) / graph.txs
    among = np.bincount(form[known], minlength=len(on_chain)) / len(known)
    like: Parts = (among / (among + on_chain))[form]
    return like


@compiled
def _walk(first_input: Ints, first_output: Ints, maker: Ints, spender: Ints, like: Parts, known: Ints) -> Ints:
    """By transaction: steps from a known one along the coins, forward and back, through transactions of a likely form;
    NONE where there is no such way."""
    steps = np.full(len(like), NONE, np.int64)
    queue = np.empty(len(like), np.int64)
    read, written = 0, 0
    for tx in known:
        steps[tx] = 0
        queue[written] = tx
        written += 1
    while read < written:
        tx = queue[read]
        read += 1
        inputs, outputs = first_input[tx + 1] - first_input[tx], first_output[tx + 1] - first_output[tx]
        for place in range(inputs + outputs):
            other = maker[first_input[tx] + place] if place < inputs else spender[first_output[tx] + place - inputs]
            if other != NONE and steps[other] == NONE and like[other] > 0:
                steps[other] = steps[tx] + 1
                queue[written] = other
                written += 1
    return steps


def scores(graph: Graph, tags: Ints) -> Parts:
    """By address: the best score of the transactions that spend from it; 1 for the tagged."""
    found = np.zeros(graph.addresses, np.float64)
    found[tags] = 1
    known = np.unique(graph.tx_of_input[np.isin(graph.input_address, tags)])
    if len(known):
        like = likeness(graph, known)
        maker = graph.tx_of_output[graph.spends]
        steps = _walk(graph.first_input, graph.first_output, maker, graph.spender, like, known)
        score = np.where(steps == NONE, 0, like * STEP**steps)
        seen = graph.input_address != NONE
        np.maximum.at(found, graph.input_address[seen], score[graph.tx_of_input[seen]])
    return found


class MixingPatterns:
    name: ClassVar[str] = "mixing-patterns"
    task: ClassVar[str] = "T1"
    calibrated: ClassVar[bool] = False
    about: ClassVar[About] = About(
        paper="Shojaeinasab, Motamed and Bahrak, Mixing detection on Bitcoin transactions using statistical patterns"
        " (2022), arXiv 2204.02019.",
        rule="The transactions that spend from tagged addresses show the service's forms: numbers of inputs and"
        " outputs, address types, fee rate. From them it walks along the coins, forward and back, through transactions"
        " of those forms, and takes the addresses that these spend from for the service's. The score is how much"
        " commoner the form is among the known transactions than on the chain, less 1 % a step.",
        knows="The chain and a few tagged addresses of the service.",
        cost="A few passes; each transaction is visited once.",
        fails="Walks on into the wallets of customers and exchanges whose transactions have the same form. Says nothing"
        " if no tagged address has spent yet. " + ACCOUNTS,
        rebuilt="The paper gives patterns of the services that it studied; they could not be had word for word, and"
        " other services have others. What is kept is its way: transactions of one's own, patterns in their numbers, a"
        " walk along them. The form and the score are ours.",
        elsewhere="100 % of the services' transactions found, as its authors say (the paper's later version). Of its"
        " kind: over 92 % of the mixing transactions of services that obfuscate (Wu and others, arXiv 2010.16274).",
    )

    def fit(self, public: Public, told: Told) -> None:
        self._tags = told.tags

    def predict(self, public: Public) -> pa.Table:
        return answer("T1", [self._one(graph) for graph in spending(public)])

    def _one(self, graph: Graph) -> dict[str, object]:
        tags = tagged(self._tags, graph.coin)
        found = scores(graph, tags) if len(tags) else np.zeros(graph.addresses)
        addresses = np.flatnonzero(found)
        return {"coin": graph.coin, "address": addresses, "score": found[addresses]}
