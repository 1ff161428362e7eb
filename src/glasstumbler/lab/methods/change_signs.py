"""BlockSci's change heuristics: for each output whether it can be the change of its transaction.

Each heuristic names the outputs that it cannot rule out. They are arrays of one truth value an output, so `&`, `|` and
`& ~` are BlockSci's and, or and minus. Its locktime heuristic is not here: the observer's tables have no locktime.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from glasstumbler.lab.methods.address_kinds import address_kinds, kinds_of
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import NONE, Flags, Graph, Ints

ROUND: Final = 10**6
"""Base units: an output of a multiple of this (0.01 BTC) is a payment rather than change."""
_FAR: Final = 2**62
_FEW: Final = 16
"""Inputs that are looked through one by one; more are sorted first."""


class Signs(NamedTuple):
    """By output."""

    address_reuse: Flags
    """Its address is one that the transaction spends from."""
    address_type: Flags
    """All inputs are of one address type, and it is of that type."""
    optimal_change: Flags
    """It is smaller than every input: else the smallest would not have been needed."""
    power_of_ten: Flags
    """It is no multiple of ROUND. (BlockSci's name for it; people pay round amounts, change is not round.)"""
    fresh: Flags
    """Its transaction is the first that pays its address."""
    fixed_fee: Flags
    """It is unspent, or the spending transaction pays the same fee a kilobyte."""
    peeling_chain: Flags
    """Its transaction is one of a peeling chain, and it is unspent or spent by such a one."""
    spent: Flags
    """It is spent."""


def signs(graph: Graph) -> Signs:
    """All False for coinbases, which have no change, and for outputs without an address."""
    tx, spender = graph.tx_of_output, graph.spender
    spent = spender != NONE
    able = ~graph.coinbase[tx] & (graph.address != NONE)
    found = Signs(
        address_reuse=_pays_back(graph.first_input, graph.first_output, graph.input_address, graph.address),
        address_type=_of_inputs_type(graph),
        optimal_change=graph.amount < smallest_input(graph)[tx],
        power_of_ten=graph.amount % ROUND != 0,
        fresh=graph.first_payer[graph.address] == tx,
        fixed_fee=~spent | (_fee_rate(graph)[spender] == _fee_rate(graph)[tx]),
        peeling_chain=_peels(graph)[tx] & (~spent | _peels(graph)[spender]),
        spent=spent,
    )
    return Signs(*(sign & able for sign in found))


def smallest_input(graph: Graph) -> Ints:
    """By transaction; beyond every amount where there is none."""
    found = np.full(graph.txs, _FAR, np.int64)
    some = np.diff(graph.first_input) > 0
    found[some] = np.minimum.reduceat(graph.paid_in, graph.first_input[:-1][some]) if some.any() else 0
    return found


def _of_inputs_type(graph: Graph) -> Flags:
    kinds = address_kinds(graph)
    inputs = kinds_of(graph.input_address, kinds)
    some = np.diff(graph.first_input) > 0
    starts = graph.first_input[:-1][some]
    least, most = np.full(graph.txs, NONE, np.int8), np.full(graph.txs, NONE, np.int8)
    if some.any():
        least[some], most[some] = np.minimum.reduceat(inputs, starts), np.maximum.reduceat(inputs, starts)
    of_all = np.where((least == most) & (least != NONE), least, np.int8(-2))
    found: Flags = kinds_of(graph.address, kinds) == of_all[graph.tx_of_output]
    return found


def _fee_rate(graph: Graph) -> Ints:
    """By transaction: base units for 1,000 bytes, rounded down. BlockSci takes virtual bytes; the tables have bytes."""
    rate: Ints = graph.fee * 1000 // np.maximum(graph.size, 1)
    return rate


def _peels(graph: Graph) -> Flags:
    """BlockSci's isPeelingChain: one input, two outputs, and so has the transaction before or one after."""
    like: Flags = (np.diff(graph.first_input) == 1) & (np.diff(graph.first_output) == 2)
    found = np.zeros(graph.txs, np.bool_)
    before, after = graph.tx_of_output[graph.spends], graph.tx_of_input
    linked = like[before] & like[after]
    found[before[linked]] = True
    found[after[linked]] = True
    return found


@compiled
def _pays_back(first_input: Ints, first_output: Ints, input_address: Ints, address: Ints) -> Flags:
    found = np.zeros(len(address), np.bool_)
    for tx in range(len(first_input) - 1):
        spent_from = input_address[first_input[tx] : first_input[tx + 1]]
        if len(spent_from) > _FEW:
            spent_from = np.sort(spent_from)
        for output in range(first_output[tx], first_output[tx + 1]):
            if len(spent_from) > _FEW:
                place = np.searchsorted(spent_from, address[output])
                found[output] = place < len(spent_from) and spent_from[place] == address[output]
            else:
                for one in spent_from:
                    found[output] |= one == address[output]
    return found
