"""One coin's whole chain as arrays: gathered in any order, then put in the order of blocks and numbered.

In a block the coinbase comes first and the others by their txids, so that a place in a block says nothing of what a
transaction is. Transactions, outputs and addresses get the numbers of lab/numbering.py.
"""

from __future__ import annotations

from hashlib import shake_256
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from glasstumbler.errors import RecordError
from glasstumbler.lab.fast.left import NONE, Bytes
from glasstumbler.lab.population import Flags, Ints

Amounts = npt.NDArray[Any]
"""int64, or Python's integers where 64 bits are too few."""
COINBASE: Final = -2
"""In place of a fee."""


class Txs(NamedTuple):
    """Some transactions. Those of number t have inputs[first_input[t]:first_input[t + 1]], outputs likewise."""

    height: Ints
    fee: Amounts
    named: Ints
    """Row among the txids that are known; NONE: it gets one."""
    first_input: Ints
    spends: Ints
    """By input: the output that is spent, by its place among all that were gathered; NONE on a chain of accounts."""
    account: Ints
    nonce: Ints
    paid_in: Amounts
    """By input, on a chain of accounts; elsewhere it is what the output holds."""
    first_output: Ints
    address: Ints
    amount: Amounts


class Put(NamedTuple):
    """A chain, and what the answer key needs to speak of it. Names of addresses: first the services' keys, service by
    service, then people's numbers."""

    chain: Chain
    kind: Ints
    """By name: index of the format's kinds."""
    keys: Bytes
    """By name, as far as they are keys: payloads."""
    owner: Ints
    """By number of people: who owns the address."""
    tx: dict[str, Ints]
    """By service: the numbers of its transactions."""
    output: dict[str, Ints]
    """By service: the first output of each of its transactions, or of a deposit the one that pays the service."""
    first_key: dict[str, int]
    """By service: the name of its first key."""


class Chain(NamedTuple):
    """In the order of the dataset, which begins with height 0."""

    height: Ints
    coinbase: Flags
    fee: Amounts
    txid: Bytes
    first_input: Ints
    spends: Ints
    account: Ints
    nonce: Ints
    paid_in: Amounts
    first_output: Ints
    address: Ints
    """Number of the address of each output."""
    amount: Amounts
    known: Ints
    """By number of an address: what it was called while it was gathered."""
    tx_of: Ints
    """By the order in which transactions were gathered: their numbers."""
    output_of: Ints
    address_of: Ints
    """By what they were called; NONE for those that no block shows."""

    @property
    def tx_of_input(self) -> Ints:
        return np.repeat(np.arange(len(self.height)), np.diff(self.first_input))

    @property
    def tx_of_output(self) -> Ints:
        return np.repeat(np.arange(len(self.height)), np.diff(self.first_output))


class Gathered:
    """Transactions come in, in parts; an output is known by how many came before it."""

    def __init__(self) -> None:
        self.parts: list[Txs] = []
        self.txs = self.outputs = 0

    def add(self, part: Txs) -> tuple[Ints, Ints]:
        """Places of its transactions and of its outputs."""
        self.parts.append(part)
        txs = np.arange(self.txs, self.txs + len(part.height))
        outputs = np.arange(self.outputs, self.outputs + len(part.address))
        self.txs, self.outputs = self.txs + len(txs), self.outputs + len(outputs)
        return txs, outputs

    def whole(self) -> Txs:
        plain = {
            name: np.concatenate([getattr(part, name) for part in self.parts])
            for name in Txs._fields
            if not name.startswith("first_")
        }
        first = {
            name: offsets(np.concatenate([np.diff(getattr(part, name)) for part in self.parts]))
            for name in ("first_input", "first_output")
        }
        return Txs(**plain, **first)


def offsets(counts: Ints) -> Ints:
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def ranges(begin: Ints, counts: Ints) -> Ints:
    """begin[0], begin[0] + 1, ... (counts[0] of them), begin[1], ..."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(begin - ends + counts, counts)


def in_order(whole: Txs, txid: Bytes, addresses: int) -> Chain:
    """`txid` by transaction; `addresses`: how many names there are for them."""
    coinbase = whole.fee == COINBASE
    digits = np.ascontiguousarray(txid[:, :8]).view(">u8").ravel()
    order = np.lexsort((digits, ~coinbase, whole.height))
    ins, outs = np.diff(whole.first_input)[order], np.diff(whole.first_output)[order]
    from_input, from_output = ranges(whole.first_input[order], ins), ranges(whole.first_output[order], outs)
    output_of = inverse(from_output)
    spends = whole.spends[from_input]
    spends = np.where(spends == NONE, NONE, output_of[spends])
    amount, address = whole.amount[from_output], whole.address[from_output]
    account = whole.account[from_input]
    on_accounts = bool((account != NONE).any())
    shown = _interleaved(account, address) if on_accounts else address
    known, address_of = first_seen(shown, addresses)
    return Chain(
        height=whole.height[order],
        coinbase=coinbase[order],
        fee=whole.fee[order],
        txid=txid[order],
        first_input=offsets(ins),
        spends=spends,
        account=np.where(account == NONE, NONE, address_of[account]),
        nonce=whole.nonce[from_input],
        paid_in=whole.paid_in[from_input] if on_accounts else amount[spends],
        first_output=offsets(outs),
        address=np.where(address == NONE, NONE, address_of[address]),
        amount=amount,
        known=known,
        tx_of=inverse(order),
        output_of=output_of,
        address_of=address_of,
    )


def with_txids(named: Ints, known: Bytes, seed: int, coin: str) -> Bytes:
    """Those that are known, and for the others what SHAKE-256 gives out of seed and coin, one after another."""
    found = np.empty((len(named), 32), np.uint8)
    new = named == NONE
    found[~new] = known[named[~new]]
    stream = shake_256(f"{seed}/transactions of {coin}".encode()).digest(32 * int(new.sum()))
    found[new] = np.frombuffer(stream, np.uint8).reshape(-1, 32)
    return found


def inverse(order: Ints) -> Ints:
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order))
    return found


def _interleaved(account: Ints, address: Ints) -> Ints:
    """Of transactions with one input and one output: who pays, who is paid, and so on."""
    return np.column_stack([account, address]).ravel()


def first_seen(shown: Ints, count: int) -> tuple[Ints, Ints]:
    """(names in the order in which they first appear, the number of each name or NONE)."""
    first = np.full(count, NONE, np.int64)
    there = shown[shown != NONE]
    first[there[::-1]] = np.arange(len(there))[::-1]  # the last to be written is the first in the chain
    known = there[first[there] == np.arange(len(there))]
    number = np.full(count, NONE, np.int64)
    number[known] = np.arange(len(known))
    return known, number


def conserve(coin: str, chain: Chain) -> None:
    """RecordError unless every base unit is accounted for: each output is spent once at most, and by a later block than
    its own; inputs are outputs and fee."""
    spent = chain.spends[chain.spends != NONE]
    if len(spent) and np.bincount(spent).max() > 1:
        raise RecordError(None, f"{coin} output {int(np.bincount(spent).argmax())} is spent twice")
    if len(spent) and (chain.height[chain.tx_of_output[spent]] >= chain.height[chain.tx_of_input]).any():
        raise RecordError(None, f"the {coin} chain spends an output before a block has it")
    brought, paid = sums(chain.paid_in, chain.first_input), sums(chain.amount, chain.first_output)
    wrong = np.flatnonzero(~chain.coinbase & ((brought - paid != chain.fee) | (chain.fee < 0)))
    if len(wrong):
        at = int(wrong[0])
        raise RecordError(
            None, f"{coin} transaction {at}: inputs less outputs are {brought[at] - paid[at]}, its fee {chain.fee[at]}"
        )


def sums(values: Amounts, first: Ints) -> Amounts:
    """Of each row's values."""
    run = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
    found: Amounts = run[first[1:]] - run[first[:-1]]
    return found
