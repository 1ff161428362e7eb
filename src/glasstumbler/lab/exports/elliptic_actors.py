"""The address files of the Elliptic++ data (Elmougy & Liu, KDD 2023, arXiv 2306.06108; git-disl/EllipticPlusPlus,
"Actors Dataset"): what each address did, and the graphs between addresses and transactions.

The columns' names are the published ones, a space in one of them included. What the paper does not settle is said at
`FIGURES`. Amounts are whole coins of the chain's coin, whatever the column's name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.exports.segments import FIVE, Floats, five
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import NONE, Graph, Ints, Shorts
from glasstumbler.money import PLACES

FIGURES: Final = (
    *("btc_transacted", "btc_sent", "btc_received", "fees", "fees_as_share"),
    *("blocks_btwn_txs", "blocks_btwn_input_txs", "blocks_btwn_output_txs"),
)
"""Each with FIVE. An address takes part in a transaction as sender, with what its inputs hold there, as receiver, with
what its outputs get there, or as both, which are two entries of `btc_transacted`. Fees are those of the transactions
that it sent; their shares are of what it sent in them. Blocks are between one transaction and the next: of all, of
those that it sent (`input`), of those that paid it (`output`)."""
COUNTS: Final = (
    *("num_txs_as_sender", "num_txs_as receiver", "first_block_appeared_in", "last_block_appeared_in"),
    *("lifetime_in_blocks", "total_txs", "first_sent_block", "first_received_block", "num_timesteps_appeared_in"),
)
"""A block that never was is 0, as in the published files."""
COLUMNS: Final = (
    *("address", "Time step"),
    *COUNTS,
    *(f"{figure}_{five}" for figure in FIGURES for five in FIVE),
    "num_addr_transacted_multiple",
    *(f"transacted_w_address_{five}" for five in FIVE),
)
AT_ONCE: Final = 200_000
"""Addresses whose figures are in memory together."""


class Visits(NamedTuple):
    """Distinct transactions of each address: those of address a are tx[offsets[a]:offsets[a + 1]]."""

    tx: Ints
    offsets: Ints


class Part(NamedTuple):
    """What addresses sent in their transactions, or received in them."""

    visits: Visits
    amount: Ints
    """Base units, one for each of the visits."""


class Links(NamedTuple):
    """Distinct addresses of each transaction: those of t are address[offsets[t]:offsets[t + 1]]."""

    address: Ints
    tx: Ints
    offsets: Ints


class Actors:
    """Of one chain."""

    def __init__(self, graph: Graph, steps: Ints) -> None:
        """`steps`: the time step of each transaction, below 64."""
        self._graph, self._steps, self._whole = graph, steps, 10 ** PLACES[graph.coin]
        self._sent = _part(graph, graph.input_address, graph.tx_of_input, graph.paid_in)
        self._received = _part(graph, graph.address, graph.tx_of_output, graph.amount)
        self.senders, self.receivers = _links(graph, self._sent), _links(graph, self._received)
        one, other = meetings(self.senders, self.receivers, 0, graph.txs)
        met = one != other
        one, other = one[met], other[met]
        self._met = np.sort(np.concatenate([one * graph.addresses + other, other * graph.addresses + one]))

    def rows(self) -> Iterator[tuple[Ints, Ints, Floats]]:
        """By address and time step, a part at a time: addresses, steps, and COLUMNS after these two."""
        for first in range(0, self._graph.addresses, AT_ONCE):
            yield self._rows(first, min(first + AT_ONCE, self._graph.addresses))

    def _rows(self, first: int, last: int) -> tuple[Ints, Ints, Floats]:
        graph, count = self._graph, last - first
        sent, received = _some(self._sent, first, last), _some(self._received, first, last)
        owners = np.concatenate([_owners(part.visits.offsets) for part in (sent, received)])
        keys = np.unique(owners * graph.txs + np.concatenate([sent.visits.tx, received.visits.tx]))
        every = Visits(keys % graph.txs, _offsets(keys // graph.txs, count))
        seen = np.unique(_owners(every.offsets) * 64 + self._steps[every.tx])
        moved = np.concatenate([sent.amount, received.amount])[np.argsort(owners, kind="stable")]
        fees = np.maximum(graph.fee[sent.visits.tx], 0)
        parts = (
            self._counts(sent.visits, received.visits, every, np.bincount(seen // 64, minlength=count)),
            self._money(moved, sent.visits.offsets + received.visits.offsets),
            self._money(sent.amount, sent.visits.offsets),
            self._money(received.amount, received.visits.offsets),
            self._money(fees, sent.visits.offsets),
            five(fees / np.maximum(sent.amount, 1), sent.visits.offsets),
            *(_between(graph, visits) for visits in (every, sent.visits, received.visits)),
            self._others(first, last),
        )
        return first + seen // 64, seen % 64, np.hstack(parts)[seen // 64]

    def _money(self, units: Ints, offsets: Ints) -> Floats:
        """FIVE in whole coins; added as base units, which a float holds exactly below 2**53."""
        found: Floats = five(units.astype(np.float64), offsets) / self._whole
        return found

    def _counts(self, sent: Visits, received: Visits, every: Visits, steps: Ints) -> Floats:
        height = self._graph.height
        sends, receipts, all_ = (np.diff(visits.offsets) for visits in (sent, received, every))
        start, end = _end(height, every, False), _end(height, every, True)
        firsts = (_end(height, sent, False), _end(height, received, False))
        columns = (sends, receipts, start, end, end - start, all_, *firsts, steps)
        return np.column_stack([np.asarray(column, np.float64) for column in columns])

    def _others(self, first: int, last: int) -> Floats:
        """How many addresses it met more than once, and FIVE of how often it met each."""
        addresses = self._graph.addresses
        begin, end = np.searchsorted(self._met, [first * addresses, last * addresses])
        met, times = np.unique(self._met[begin:end], return_counts=True)
        owners = met // max(addresses, 1) - first
        again = np.bincount(owners[times > 1], minlength=last - first).astype(np.float64)
        return np.column_stack([again, five(times.astype(np.float64), _offsets(owners, last - first))])


def meetings(senders: Links, receivers: Links, first: int, last: int) -> tuple[Ints, Ints]:
    """Every sender with every receiver of the transactions first to last - 1, transaction by transaction."""
    counts = np.diff(senders.offsets[first : last + 1]) * np.diff(receivers.offsets[first : last + 1])
    return _cross(*senders[::2], *receivers[::2], first, last, int(counts.sum()))


@compiled
def _cross(
    left: Ints, left_offsets: Ints, right: Ints, right_offsets: Ints, first: int, last: int, count: int
) -> tuple[Ints, Ints]:
    one, other = np.empty(count, np.int64), np.empty(count, np.int64)
    at = 0
    for group in range(first, last):
        for a in range(left_offsets[group], left_offsets[group + 1]):
            for b in range(right_offsets[group], right_offsets[group + 1]):
                one[at], other[at] = left[a], right[b]
                at += 1
    return one, other


def _part(graph: Graph, addresses: Ints, txs: Ints, amounts: Ints) -> Part:
    known = addresses != NONE
    keys = addresses[known] * graph.txs + txs[known]
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    so_far = np.concatenate([np.zeros(1, np.int64), np.cumsum(amounts[known][order])])
    amount = np.diff(so_far[np.append(starts, len(keys))])
    return Part(Visits(found % graph.txs, _offsets(found // graph.txs, graph.addresses)), amount)


def _links(graph: Graph, part: Part) -> Links:
    order = np.argsort(part.visits.tx, kind="stable")
    tx = part.visits.tx[order]
    return Links(_owners(part.visits.offsets)[order], tx, _offsets(tx, graph.txs))


def _some(part: Part, first: int, last: int) -> Part:
    offsets = part.visits.offsets[first : last + 1]
    at = slice(offsets[0], offsets[-1])
    return Part(Visits(part.visits.tx[at], offsets - offsets[0]), part.amount[at])


def _end(height: Shorts, visits: Visits, last: bool) -> Shorts:
    """Block of the first or the last visit; 0 where there is none."""
    empty = np.diff(visits.offsets) == 0
    at = (visits.offsets[1:] - 1 if last else visits.offsets[:-1])[~empty]
    found = np.zeros(len(empty), np.int32)
    found[~empty] = height[visits.tx[at]]
    return found


def _between(graph: Graph, visits: Visits) -> Floats:
    """FIVE of the blocks from each visit to the next."""
    height = graph.height[visits.tx].astype(np.float64)
    counts = np.diff(visits.offsets)
    inner = np.ones(len(height), np.bool_)
    inner[visits.offsets[:-1][counts > 0]] = False
    steps = np.diff(height, prepend=0.0)[inner]
    return five(steps, np.concatenate([np.zeros(1, np.int64), np.cumsum(np.maximum(counts - 1, 0))]))


def _offsets(owners: Ints, count: int) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(owners, minlength=count))])


def _owners(offsets: Ints) -> Ints:
    found: Ints = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return found
