"""The 165 features of a transaction in the shape of the Elliptic data: 93 of its own, 72 of its neighbours.

The published data set (Weber et al. 2019, arXiv 1908.02591) keeps the names of its features back: "94 local" with the
time step (inputs, outputs, fee, volume, and figures of the transactions and addresses at both ends) and 72 aggregates
one hop backward and forward. Ours are of that kind, with names. They are of the observer's part only, and look at the
whole chain, what comes later included.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.exports.segments import FOUR, Floats, add_up, commonest, distinct, four, shared
from glasstumbler.lab.public import NONE, Graph, Ints

ENDS: Final = (
    *(("amount", "base units"), ("blocks", "blocks")),
    *(("address_outputs", "outputs"), ("address_received", "base units"), ("address_inputs", "inputs")),
    *(("tx_inputs", "inputs"), ("tx_outputs", "outputs"), ("tx_bytes", "bytes"), ("tx_fee", "base units")),
    ("zeros", "digits"),
)
"""Of each input and each output. `blocks`: since it was made, or until it is spent (or to the last block). `address_`:
how often its address is paid, how much, how often it is spent from. `tx_`: of the transaction that made it, or that
spends it. `zeros`: at the end of the amount in base units."""
OWN: Final = (
    *(("inputs", "inputs"), ("outputs", "outputs"), ("bytes", "bytes"), ("fee", "base units")),
    *(("fee_rate", "base units a byte"), ("amount_in", "base units"), ("amount_out", "base units")),
    *(("input_addresses", "addresses"), ("output_addresses", "addresses")),
    *(("returned", "outputs"), ("equal_outputs", "outputs"), ("unspent_outputs", "outputs"), ("coinbase", "0 or 1")),
)
"""Of a transaction. `returned`: outputs to an address that it spends from. `equal_outputs`: of its commonest amount."""
NEIGHBOURS: Final = (*OWN[:7], ("largest_output", "base units"), ("blocks", "blocks between"))
"""Of each transaction whose outputs it spends (back), and of each that spends its outputs (forward)."""


class Feature(NamedTuple):
    name: str
    unit: str


FEATURES: Final = (
    *(Feature(name, unit) for name, unit in OWN),
    *(Feature(f"{end}_{name}_{f}", unit) for end in ("input", "output") for name, unit in ENDS for f in FOUR),
    *(Feature(f"{side}_{name}_{f}", unit) for side in ("back", "forward") for name, unit in NEIGHBOURS for f in FOUR),
)
"""In the order of the file's columns, after the transaction and its time step."""
LOCAL: Final = len(OWN) + 2 * len(ENDS) * len(FOUR)
AT_ONCE: Final = 10_000
"""Transactions whose features are in memory together."""


class Features:
    """Of one chain's transactions."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._inputs, self._outputs = np.diff(graph.first_input), np.diff(graph.first_output)
        self._fee = np.maximum(graph.fee, 0)
        self._last = int(graph.height.max(initial=0))
        self._paid = _count(graph.address, graph.addresses)
        self._spent = _count(graph.input_address, graph.addresses)
        known = graph.address != NONE
        self._received = np.bincount(graph.address[known], graph.amount[known], graph.addresses + 1)
        of_tx = (
            *(self._inputs, self._outputs, graph.size, self._fee, self._fee / np.maximum(graph.size, 1)),
            *(_sums(graph.paid_in, graph.first_input), _sums(graph.amount, graph.first_output)),
        )
        self._basic = [np.asarray(values, np.float64) for values in of_tx]
        self._largest = four(graph.amount.astype(np.float64), graph.first_output)[:, FOUR.index("max")].copy()
        self.edges = _edges(graph)
        """Distinct pairs (made, spends) of transactions, by the spending one."""
        self._back = _Side(self.edges[:, 1], self.edges[:, 0], graph.txs)
        turned = self.edges[np.argsort(self.edges[:, 0], kind="stable")]
        self._forward = _Side(turned[:, 0], turned[:, 1], graph.txs)

    def rows(self, first: int, last: int) -> Floats:
        """FEATURES of the transactions first to last - 1."""
        parts = [self._own(first, last), self._ends(first, last, True), self._ends(first, last, False)]
        parts += [self._neighbours(side, first, last) for side in (self._back, self._forward)]
        return np.hstack(parts)

    def scale(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each feature over all transactions; 1 where all are the same."""
        count, mean, spread = 0, np.zeros(len(FEATURES)), np.zeros(len(FEATURES))
        for first in range(0, self._graph.txs, AT_ONCE):
            count = add_up(self.rows(first, min(first + AT_ONCE, self._graph.txs)), count, mean, spread)
        deviation = np.sqrt(spread / max(count, 1))
        return mean, np.where(deviation > 0, deviation, 1.0)

    def _own(self, first: int, last: int) -> Floats:
        graph = self._graph
        ins, outs = graph.first_input[first : last + 1], graph.first_output[first : last + 1]
        unspent = _sums((graph.spender == NONE).astype(np.int64), outs)
        columns = (
            *(values[first:last] for values in self._basic),
            *(distinct(graph.input_address, ins), distinct(graph.address, outs)),
            *(shared(graph.address, outs, graph.input_address, ins), commonest(graph.amount, outs)),
            *(unspent, graph.coinbase[first:last]),
        )
        return np.column_stack([np.asarray(values, np.float64) for values in columns])

    def _ends(self, first: int, last: int, inputs: bool) -> Floats:
        graph = self._graph
        offsets = (graph.first_input if inputs else graph.first_output)[first : last + 1]
        at = slice(offsets[0], offsets[-1])
        if inputs:
            amount, address, own = graph.paid_in[at], graph.input_address[at], graph.tx_of_input[at]
            other = graph.tx_of_output[graph.spends[at]]
            blocks = graph.height[own] - graph.height[other]
        else:
            amount, address, own = graph.amount[at], graph.address[at], graph.tx_of_output[at]
            other = graph.spender[at]
            blocks = np.where(other == NONE, self._last, graph.height[other]) - graph.height[own]
        found = other != NONE
        of_address = (values[address] for values in (self._paid, self._received, self._spent))
        of_tx = (np.where(found, values[other], 0) for values in (self._inputs, self._outputs, graph.size, self._fee))
        values = (amount, blocks, *of_address, *of_tx, _zeros(amount))
        return np.hstack([four(np.asarray(each, np.float64), offsets - offsets[0]) for each in values])

    def _neighbours(self, side: _Side, first: int, last: int) -> Floats:
        offsets = side.offsets[first : last + 1]
        at = slice(offsets[0], offsets[-1])
        others, own = side.others[at], side.own[at]
        between = np.abs(self._graph.height[own] - self._graph.height[others]).astype(np.float64)
        values = (*(each[others] for each in (*self._basic, self._largest)), between)
        return np.hstack([four(each, offsets - offsets[0]) for each in values])


class _Side:
    """Neighbours on one side: those of transaction t are others[offsets[t]:offsets[t + 1]]."""

    def __init__(self, own: Ints, others: Ints, txs: int) -> None:
        self.own, self.others = own, others
        self.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(own, minlength=txs))])


def _edges(graph: Graph) -> Ints:
    keys = np.unique(graph.tx_of_input * graph.txs + graph.tx_of_output[graph.spends])
    return np.column_stack([keys % graph.txs, keys // graph.txs])


def _count(addresses: Ints, count: int) -> Ints:
    """How often each comes; the last place, which NONE leads to, has 0."""
    return np.bincount(addresses[addresses != NONE], minlength=count + 1)


def _sums(values: Ints, offsets: Ints) -> Ints:
    """Of each group."""
    so_far = np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
    found: Ints = so_far[offsets[1:]] - so_far[offsets[:-1]]
    return found


def _zeros(amounts: Ints) -> Ints:
    """Decimal digits 0 at the end; none of an amount of 0."""
    found = np.zeros(len(amounts), np.int64)
    for digits in range(1, 16):
        found += (amounts % 10**digits == 0) & (amounts > 0)
    return found
