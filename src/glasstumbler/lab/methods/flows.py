"""A service's deposits and payments, as anyone sees them who knows its addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import ANSWERS, Told
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.densities import Floats
from glasstumbler.lab.public import NONE, Flags, Graph, Ints, Public


class Groups(NamedTuple):
    """Outputs that belong together, the groups in the order of time. Group i has outputs[first[i]:first[i + 1]]."""

    first: Ints
    outputs: Ints
    time: Ints
    """Of the group's last block, epoch seconds."""
    amount: Ints
    """Of its outputs together; negative where the chain hides amounts."""

    def __len__(self) -> int:
        return len(self.time)

    @property
    def sizes(self) -> Ints:
        return np.diff(self.first)

    def of_output(self, outputs: int) -> Ints:
        """By output of the chain, of which there are so many: its group, or NONE."""
        found = np.full(outputs, NONE, np.int64)
        found[self.outputs] = np.repeat(np.arange(len(self)), self.sizes)
        return found

    def holding(self, outputs: Ints) -> Ints:
        """The group of each of these outputs, or NONE."""
        order = np.argsort(self.outputs)
        place = np.searchsorted(self.outputs, outputs, sorter=order)
        found = np.full(len(outputs), NONE, np.int64)
        there = place < len(order)
        row = order[place[there]]
        group = np.searchsorted(self.first, row, "right") - 1
        found[there] = np.where(self.outputs[row] == outputs[there], group, NONE)
        return found


class Flow(NamedTuple):
    """One service: what comes in on one chain, and what it pays on one, the same or another."""

    service: str
    coin: str
    payout_coin: str
    deposits: Groups
    """By address: several payments to one address are one order's."""
    payments: Groups
    """By transaction: what it pays to others."""


def mixing(public: Public, told: Told, asked: tuple[str, ...] = ()) -> Iterator[Flow]:
    """Every service on every chain where its addresses are known; only those `asked`, if any is."""
    for service, coin, addresses in told.clusters:
        graph = public.graph(coin)
        if len(addresses) and service in (asked or (service,)):
            yield Flow(service, coin, coin, deposits(graph, addresses), payments(graph, addresses))


def swapping(public: Public, told: Told, asked: tuple[str, ...] = ()) -> Iterator[Flow]:
    """Every service that is known on two chains, one way and the other; only those `asked`, if any is. What comes in
    where addresses are hidden is every output that creates no coins."""
    for service, coin, addresses in told.clusters:
        for other, payout_coin, payers in told.clusters:
            if other == service in (asked or (service,)) and payout_coin != coin and len(payers):
                taken = deposits(public.graph(coin), addresses)
                yield Flow(service, coin, payout_coin, taken, payments(public.graph(payout_coin), payers))


def deposits(graph: Graph, addresses: Ints) -> Groups:
    """What others pay to these addresses, by address. On a chain that hides addresses: every output by itself."""
    if not (graph.address != NONE).any():
        outputs = np.flatnonzero(~graph.coinbase[graph.tx_of_output])
        return grouped(graph, outputs, outputs)
    owned = _owned(graph, addresses)
    others = ~_signed(graph.tx_of_input, graph.input_address, owned, graph.txs) & ~graph.coinbase
    outputs = _paid(graph.first_output, graph.address, others, owned)
    return grouped(graph, outputs, graph.address[outputs])


def payments(graph: Graph, addresses: Ints) -> Groups:
    """What these addresses pay to others, by transaction."""
    owned = _owned(graph, addresses)
    others = ~owned
    others[NONE] = False
    mine = _signed(graph.tx_of_input, graph.input_address, owned, graph.txs)
    outputs = _paid(graph.first_output, graph.address, mine, others)
    return grouped(graph, outputs, graph.tx_of_output[outputs])


def singly(graph: Graph, groups: Groups) -> Groups:
    """Each output a group of its own."""
    return grouped(graph, groups.outputs, groups.outputs)


def _owned(graph: Graph, addresses: Ints) -> Flags:
    found = np.zeros(graph.addresses + 1, np.bool_)  # the last: outputs without an address
    found[addresses] = True
    return found


@compiled
def _signed(tx_of_input: Ints, input_address: Ints, owned: Flags, txs: int) -> Flags:
    found = np.zeros(txs, np.bool_)
    for place in range(len(input_address)):
        if owned[input_address[place]]:
            found[tx_of_input[place]] = True
    return found


@compiled
def _paid(first_output: Ints, address: Ints, payers: Flags, payees: Flags) -> Ints:
    """Outputs of these transactions to these addresses."""
    count = 0
    for tx in np.flatnonzero(payers):
        for output in range(first_output[tx], first_output[tx + 1]):
            count += payees[address[output]]
    found, count = np.empty(count, np.int64), 0
    for tx in np.flatnonzero(payers):
        for output in range(first_output[tx], first_output[tx + 1]):
            if payees[address[output]]:
                found[count] = output
                count += 1
    return found


def grouped(graph: Graph, outputs: Ints, keys: Ints) -> Groups:
    """Outputs with one key are a group."""
    return gathered(outputs, keys, graph.amount[outputs], graph.time[graph.tx_of_output[outputs]])


def gathered(outputs: Ints, keys: Ints, amounts: Ints, times: Ints) -> Groups:
    """As `grouped`, of what is known of each output."""
    if not len(outputs):
        nothing = np.zeros(0, np.int64)
        return Groups(np.zeros(1, np.int64), nothing, nothing, nothing)
    order = np.lexsort((outputs, keys))
    outputs, keys = outputs[order], keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    amount = np.add.reduceat(amounts[order], starts)
    time = np.maximum.reduceat(times[order], starts)
    by_time = np.lexsort((outputs[starts], time))
    sizes = np.diff(np.append(starts, len(outputs)))[by_time]
    first = np.concatenate([[0], np.cumsum(sizes)])
    place = np.arange(len(outputs)) - np.repeat(first[:-1], sizes) + np.repeat(starts[by_time], sizes)
    return Groups(first, outputs[place], time[by_time], amount[by_time])


def links(task: str, flow: Flow, deposit: Ints, payment: Ints, score: Any, payments: Groups) -> pa.Table:
    """ANSWERS[task] of pairs of groups: every output of one with every output of the other."""
    many = int((flow.deposits.sizes[deposit] * payments.sizes[payment]).sum())
    pairs = (np.empty(many, np.int64), np.empty(many, np.int64), np.empty(many))
    both = (flow.deposits.first, flow.deposits.outputs, payments.first, payments.outputs)
    _pairs(*both, deposit, payment, np.asarray(score, np.float64), *pairs)
    paid, paying, each = map(pa.array, pairs)
    columns = [pa.repeat(flow.coin, many), paid, pa.repeat(flow.payout_coin, many), paying, each]
    return pa.Table.from_arrays(columns, schema=ANSWERS[task])


@compiled
def _pairs(
    first: Ints,
    outputs: Ints,
    first_paying: Ints,
    paying: Ints,
    deposit: Ints,
    payment: Ints,
    score: Floats,
    found: Ints,
    found_paying: Ints,
    each: Floats,
) -> None:
    """Deposit, payout and score of each link."""
    count = 0
    for pair in range(len(deposit)):
        for output in outputs[first[deposit[pair]] : first[deposit[pair] + 1]]:
            for payout in paying[first_paying[payment[pair]] : first_paying[payment[pair] + 1]]:
                found[count], found_paying[count], each[count] = output, payout, score[pair]
                count += 1


def together(task: str, tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([ANSWERS[task].empty_table(), *tables])
