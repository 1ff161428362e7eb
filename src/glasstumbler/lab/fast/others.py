"""Chains without a background economy and without coins of our kind: Ethereum's accounts, and Monero, which hides them.

All deposits come from a faucet here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glasstumbler.chains.eth_format import GWEI, TRANSFER_GAS
from glasstumbler.errors import RecordError
from glasstumbler.lab.economy import OUTSIDE
from glasstumbler.lab.fast import people as places
from glasstumbler.lab.fast.chains import COINBASE, Amounts, Gathered, Put, Txs, in_order, with_txids
from glasstumbler.lab.fast.flows import deposits, first_keys, first_names
from glasstumbler.lab.fast.left import NONE, Bytes, Side
from glasstumbler.lab.fast.shard import BEFORE
from glasstumbler.lab.population import Ints, Population

_FEE = 20 * GWEI * TRANSFER_GAS
_FLOATS = BEFORE - 1


def accounts(coin: str, people: Population, seed: int, sides: Mapping[str, Side]) -> Put:
    """Ethereum. The faucet has an account for each of the payments that it ever makes in one block."""
    sides = {slug: _exact(side) for slug, side in sides.items()}
    first_name, names = first_names(sides)
    first_key, first_person = first_keys(sides)
    first_faucet = places.PAYOUTS * len(people)
    gathered, tx_of_named = Gathered(), np.full(names, NONE, np.int64)
    given = [_faucet_payments(side, first_name[slug], first_key[slug]) for slug, side in sides.items()]
    height, named, to, amount = (np.concatenate(column) for column in zip(*given, strict=True))
    which, nonce = _accounts_of(height)
    fee = np.full(len(height), _FEE, object)
    faucet = first_person + first_faucet + which
    tx_of_named[named], _ = gathered.add(_transfers(height, fee, named, faucet, nonce, to, amount))
    for slug, side in sides.items():
        count = len(side.payment_height)
        named = first_name[slug] + len(side.txids) - count + np.arange(count)
        to = first_person + _numbers(people, side)
        sender = first_key[slug] + side.input_key
        tx_of_named[named], _ = gathered.add(
            _transfers(side.payment_height, side.payment_fee, named, sender, side.input_vout, to, side.output_amount)
        )
    owner = np.append(np.repeat(people.customer, places.PAYOUTS), np.full(int(which.max(initial=-1)) + 1, OUTSIDE))
    return _put(coin, seed, sides, gathered, tx_of_named, owner)


def hidden(coin: str, people: Population, seed: int, sides: Mapping[str, Side], blocks: int) -> Put:
    """Monero: transactions with two outputs each, of which nothing else is shown."""
    first_name, names = first_names(sides)
    flow = deposits(sides, first_name, first_keys(sides)[0])
    gathered, tx_of_named = Gathered(), np.full(names, NONE, np.int64)
    tx_of_named[flow.named], _ = gathered.add(_veiled(flow.height, flow.named, 2, 0))
    tip = np.arange(BEFORE + blocks + 1)
    gathered.add(_veiled(tip, np.full(len(tip), NONE), 1, COINBASE))
    return _put(coin, seed, sides, gathered, tx_of_named, np.zeros(0, np.int64))


def _put(coin: str, seed: int, sides: Mapping[str, Side], gathered: Gathered, tx_of_named: Ints, owner: Ints) -> Put:
    first_name, _ = first_names(sides)
    first_key, first_person = first_keys(sides)
    whole = gathered.whole()
    known: Bytes = np.concatenate([side.txids for side in sides.values()])
    chain = in_order(whole, with_txids(whole.named, known, seed, coin), first_person + len(owner))
    mine = {slug: tx_of_named[first_name[slug] : first_name[slug] + len(side.txids)] for slug, side in sides.items()}
    return Put(
        chain,
        np.zeros(first_person + len(owner), np.int64),
        np.concatenate([side.keys for side in sides.values()]),
        owner,
        {slug: chain.tx_of[txs] for slug, txs in mine.items()},
        {slug: chain.output_of[whole.first_output[txs]] for slug, txs in mine.items()},
        first_key,
    )


def _exact(side: Side) -> Side:
    """With Python's integers in place of texts."""
    names = ("deposit_amount", "float_amount", "payment_fee", "input_amount", "output_amount", "unspent")
    return side._replace(**{name: np.array([*map(int, getattr(side, name))], object) for name in names})


def _faucet_payments(side: Side, first_name: int, first_key: int) -> tuple[Ints, Ints, Ints, Amounts]:
    """(height, txid's row, name of the key, amount) of deposits and floats."""
    floats = len(side.float_key)
    return (
        np.concatenate([side.deposit_height, np.full(floats, _FLOATS)]),
        first_name + np.arange(len(side.deposit_height) + floats),
        first_key + np.concatenate([side.deposit_key, side.float_key]),
        np.concatenate([side.deposit_amount, side.float_amount]),
    )


def _accounts_of(height: Ints) -> tuple[Ints, Ints]:
    """(account, nonce): one payment of an account in a block."""
    order = np.argsort(height, kind="stable")
    which = np.empty(len(height), np.int64)
    which[order] = np.arange(len(height)) - np.searchsorted(height[order], height[order])
    again = np.lexsort((height, which))
    nonce = np.empty(len(height), np.int64)
    nonce[again] = np.arange(len(height)) - np.searchsorted(which[again], which[again])
    return which, nonce


def _transfers(height: Ints, fee: Amounts, named: Ints, sender: Ints, nonce: Ints, to: Ints, amount: Amounts) -> Txs:
    each = np.arange(len(height) + 1)
    spends = np.full(len(height), NONE, np.int64)
    return Txs(height, fee, named, each, spends, sender, nonce, amount + fee, each, to, amount)


def _veiled(height: Ints, named: Ints, outputs: int, fee: int) -> Txs:
    count, none = len(height), np.zeros(0, np.int64)
    return Txs(
        height, np.full(count, fee), named, np.zeros(count + 1, np.int64), none, none, none, none,
        np.arange(count + 1) * outputs, np.full(count * outputs, NONE), np.zeros(count * outputs, np.int64),
    )  # fmt: skip


def _numbers(people: Population, side: Side) -> Ints:
    return places.numbers(people, places.homes(people), side.output_order, side.output_place)


def check_accounts(slug: str, coin: str, side: Side, put: Put) -> None:
    """RecordError unless the service's accounts hold what the record says."""
    first, chain = put.first_key[slug], put.chain
    last = first + len(side.keys)
    into, out_of = chain.known[chain.address], chain.known[chain.account]
    held = (
        chain.amount[(into >= first) & (into < last)].sum() - chain.paid_in[(out_of >= first) & (out_of < last)].sum()
    )
    if held != int(side.unspent[0]):
        raise RecordError(None, f"{slug} holds {held} {coin} on its chain; the record says {int(side.unspent[0])}")
