"""A service's deposits and payments, as anyone sees them who knows its addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import ANSWERS, Told
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
    created = graph.coinbase[graph.tx_of_output]
    if not (graph.address != NONE).any():
        outputs = np.flatnonzero(~created)
        return grouped(graph, outputs, outputs)
    owned = _owned(graph, addresses)
    outputs = np.flatnonzero(owned[graph.address] & ~_signed(graph, owned)[graph.tx_of_output] & ~created)
    return grouped(graph, outputs, graph.address[outputs])


def payments(graph: Graph, addresses: Ints) -> Groups:
    """What these addresses pay to others, by transaction."""
    owned = _owned(graph, addresses)
    other = (graph.address != NONE) & ~owned[graph.address]
    outputs = np.flatnonzero(_signed(graph, owned)[graph.tx_of_output] & other)
    return grouped(graph, outputs, graph.tx_of_output[outputs])


def singly(graph: Graph, groups: Groups) -> Groups:
    """Each output a group of its own."""
    return grouped(graph, groups.outputs, groups.outputs)


def _owned(graph: Graph, addresses: Ints) -> Flags:
    found = np.zeros(graph.addresses + 1, np.bool_)  # the last: outputs without an address
    found[addresses] = True
    return found


def _signed(graph: Graph, owned: Flags) -> Flags:
    found = np.zeros(graph.txs, np.bool_)
    found[graph.tx_of_input[owned[graph.input_address]]] = True
    return found


def grouped(graph: Graph, outputs: Ints, keys: Ints) -> Groups:
    """Outputs with one key are a group."""
    if not len(outputs):
        nothing = np.zeros(0, np.int64)
        return Groups(np.zeros(1, np.int64), nothing, nothing, nothing)
    order = np.lexsort((outputs, keys))
    outputs, keys = outputs[order], keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    amount = np.add.reduceat(graph.amount[outputs], starts)
    time = np.maximum.reduceat(graph.time[graph.tx_of_output[outputs]], starts)
    by_time = np.lexsort((outputs[starts], time))
    sizes = np.diff(np.append(starts, len(outputs)))[by_time]
    first = np.concatenate([[0], np.cumsum(sizes)])
    place = np.arange(len(outputs)) - np.repeat(first[:-1], sizes) + np.repeat(starts[by_time], sizes)
    return Groups(first, outputs[place], time[by_time], amount[by_time])


def links(task: str, flow: Flow, deposit: Ints, payment: Ints, score: Any, payments: Groups) -> pa.Table:
    """ANSWERS[task] of pairs of groups: every output of one with every output of the other."""
    gives, takes = flow.deposits.sizes[deposit], payments.sizes[payment]
    each = gives * takes
    pair = np.repeat(np.arange(len(deposit)), each)
    place = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
    columns = [
        pa.repeat(flow.coin, len(pair)),
        pa.array(flow.deposits.outputs[flow.deposits.first[deposit[pair]] + place // takes[pair]]),
        pa.repeat(flow.payout_coin, len(pair)),
        pa.array(payments.outputs[payments.first[payment[pair]] + place % takes[pair]]),
        pa.array(np.asarray(score, np.float64)[pair]),
    ]
    return pa.Table.from_arrays(columns, schema=ANSWERS[task])


def together(task: str, tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables([ANSWERS[task].empty_table(), *tables])
