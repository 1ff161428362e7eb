"""The observer's tables of one chain, and who owns its addresses, as tables of so many rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from glasstumbler.lab import schemas
from glasstumbler.lab.economy import OUTSIDE, ROLES
from glasstumbler.lab.fast import columns as to
from glasstumbler.lab.fast import people as places
from glasstumbler.lab.fast.chain import SCRIPTS
from glasstumbler.lab.fast.chains import Amounts, Chain, Put, sums
from glasstumbler.lab.fast.left import NONE
from glasstumbler.lab.fast.names import names
from glasstumbler.lab.fast.shard import BEFORE
from glasstumbler.lab.observed import HIDDEN
from glasstumbler.lab.population import Ints

ROWS: Final = 1 << 19
_INPUT: Final = {"p2pkh": 148, "p2sh-p2wpkh": 172, "p2wpkh": 149, "p2tr": 107}
"""Bytes of an input with its witness; ECDSA signatures as long as they get."""
_FRAME, _MARKER, _OUTPUT = 8, 2, 9
_COINBASE: Final = {"bch": 100, "btc": 145, "ltc": 145}
_TRANSFER, _VEILED, _VEILED_COINBASE = 120, 246, 93
"""Bytes of a signed transfer of Ethereum's, and of Monero's transactions with two outputs, as the model's are."""


class Seen(NamedTuple):
    """One chain and what has to be known to write it down."""

    coin: str
    kinds: tuple[str, ...]
    put: Put
    seed: int
    tip: int
    """Height of the last block."""
    begin: int
    """Time of the block before the driver's first."""
    seconds: int
    """Between blocks."""
    lives: int
    """How many owners its economy has whose addresses are the answer key's; 0: it has none."""
    roles: Ints
    """By owner: index of ROLES."""

    @property
    def hidden(self) -> bool:
        return self.coin in HIDDEN

    @property
    def accounts(self) -> bool:
        return self.coin == "eth"


def blocks(seen: Seen) -> Iterator[pa.Table]:
    chain, count = seen.put.chain, seen.tip + 1
    digests = [sha256(f"{seen.seed}/{seen.coin}/block {height}".encode()).digest() for height in range(count)]
    raw = np.frombuffer(b"".join([bytes(32), *digests]), np.uint8).reshape(-1, 32)
    lead = "0x" if seen.accounts else ""
    yield to.table(
        schemas.BLOCK,
        [
            to.same(seen.coin, count),
            to.numbers(np.arange(count), pa.int32()),
            to.hashes(raw[1:], lead),
            to.hashes(raw[:-1], lead),
            seen.begin + (np.arange(count) - BEFORE) * np.where(np.arange(count) < BEFORE, 1, seen.seconds),
            np.bincount(chain.height, minlength=count),
            to.nothing(count, schemas.AMOUNT) if seen.hidden else to.amounts(_issued(seen, count)),
        ],
    )


def _issued(seen: Seen, count: int) -> Ints:
    """What the coinbases pay above the fees."""
    found, chain = np.zeros(count, np.int64), seen.put.chain
    if not seen.accounts:
        paid, made = sums(chain.amount, chain.first_output), chain.coinbase
        np.add.at(found, chain.height[made], paid[made])
        np.subtract.at(found, chain.height[~made], chain.fee[~made])
    return found


def txs(seen: Seen) -> Iterator[pa.Table]:
    chain = seen.put.chain
    size = _bytes(seen)
    place = np.arange(len(chain.height)) - np.searchsorted(chain.height, chain.height)
    for part in _parts(len(chain.height)):
        coinbase = chain.coinbase[part]
        count = len(coinbase)
        yield to.table(
            schemas.TX,
            [
                to.same(seen.coin, count),
                to.numbers(np.arange(part.start, part.start + count), pa.int64()),
                to.hashes(chain.txid[part], "0x" if seen.accounts else ""),
                to.numbers(chain.height[part], pa.int32()),
                to.numbers(place[part], pa.int32()),
                coinbase,
                to.numbers(np.diff(chain.first_input[part.start : part.stop + 1]), pa.int32()),
                to.numbers(np.diff(chain.first_output[part.start : part.stop + 1]), pa.int32()),
                to.numbers(size[part], pa.int32()),
                to.nothing(count, schemas.AMOUNT) if seen.hidden else to.amounts(chain.fee[part], ~coinbase),
            ],
        )


def inputs(seen: Seen) -> Iterator[pa.Table]:
    chain = seen.put.chain
    tx = chain.tx_of_input
    place = np.arange(len(tx)) - chain.first_input[tx]
    for part in _parts(len(tx)):
        count = len(tx[part])
        yield to.table(
            schemas.INPUT,
            [
                to.same(seen.coin, count),
                to.numbers(tx[part], pa.int64()),
                to.numbers(place[part], pa.int32()),
                to.numbers(chain.spends[part], pa.int64()),
                to.numbers(chain.account[part], pa.int64()),
                to.numbers(chain.nonce[part], pa.int64()),
                to.amounts(chain.paid_in[part]),
            ],
        )


def outputs(seen: Seen) -> Iterator[pa.Table]:
    chain = seen.put.chain
    tx = chain.tx_of_output
    place = np.arange(len(tx)) - chain.first_output[tx]
    for part in _parts(len(tx)):
        count = len(tx[part])
        yield to.table(
            schemas.OUTPUT,
            [
                to.same(seen.coin, count),
                to.numbers(np.arange(part.start, part.start + count), pa.int64()),
                to.numbers(tx[part], pa.int64()),
                to.numbers(place[part], pa.int32()),
                to.numbers(chain.address[part], pa.int64()),
                to.nothing(count, schemas.AMOUNT) if seen.hidden else to.amounts(chain.amount[part]),
            ],
        )


def addresses(seen: Seen) -> Iterator[pa.Table]:
    chain = seen.put.chain
    count = len(chain.known)
    if seen.hidden:
        return
    first, last, many, received = _summed_up(chain)
    for part in _parts(count):
        yield to.table(
            schemas.ADDRESS,
            [
                to.same(seen.coin, len(first[part])),
                to.numbers(np.arange(part.start, part.stop), pa.int64()),
                called(seen, chain.known[part]),
                to.numbers(first[part], pa.int32()),
                to.numbers(last[part], pa.int32()),
                to.numbers(many[part], pa.int32()),
                to.amounts(received[part]),
            ],
        )


def _summed_up(chain: Chain) -> tuple[Ints, Ints, Ints, Amounts]:
    """(first height, last height, outputs, received) by address."""
    count, height = len(chain.known), chain.height[chain.tx_of_output]
    first, last = np.full(count, NONE, np.int64), np.full(count, NONE, np.int64)
    first[chain.address[::-1]] = height[::-1]
    last[chain.address] = height
    sent = chain.account != NONE
    sender, when = chain.account[sent][::-1], chain.height[chain.tx_of_input[sent]][::-1]
    earlier = np.full(count, np.iinfo(np.int64).max)
    earlier[sender] = when
    first = np.where(first == NONE, earlier, np.minimum(first, earlier))
    received = np.zeros(count, chain.amount.dtype)
    np.add.at(received, chain.address, chain.amount)
    return first, np.where(last == NONE, first, last), np.bincount(chain.address, minlength=count), received


def called(seen: Seen, name: Ints) -> pa.Array:
    """Addresses in test-network form."""
    keys = seen.put.keys
    payloads = np.zeros((len(name), keys.shape[1]), np.uint8)
    own = name < len(keys)
    payloads[own] = keys[name[own]]
    people = places.payloads(name[~own] - len(keys), seen.coin, seen.seed)
    payloads[~own, : people.shape[1]] = people
    return names(seen.coin, seen.kinds, seen.put.kind[name], payloads)


def owners(seen: Seen) -> Iterator[pa.Table]:
    """schemas.OWNER: of those addresses that the chain shows."""
    if not seen.lives:
        return
    name = seen.put.chain.known
    number = name - len(seen.put.keys)
    owner = np.where(number >= 0, seen.put.owner[number], OUTSIDE)
    mine = np.flatnonzero((owner != OUTSIDE) & (owner < seen.lives))
    roles = pa.array(ROLES)
    for part in _parts(len(mine)):
        at = mine[part]
        yield to.table(
            schemas.OWNER,
            [
                to.same(seen.coin, len(at)),
                to.numbers(at, pa.int64()),
                to.numbers(owner[at], pa.int64()),
                roles.take(pa.array(seen.roles[owner[at]])),
            ],
        )


# -- sizes ------------------------------------------------------------------------------------------------------------


def _bytes(seen: Seen) -> Ints:
    """Of each transaction's serialisation, if it were signed."""
    chain = seen.put.chain
    if seen.accounts:
        return np.full(len(chain.height), _TRANSFER)
    if seen.hidden:
        return np.where(chain.coinbase, _VEILED_COINBASE, _VEILED)
    kind = seen.put.kind[chain.known]
    spent = kind[chain.address[chain.spends]]
    ins = sums(np.array([_INPUT[each] for each in seen.kinds])[spent], chain.first_input)
    outs = sums(np.array([_OUTPUT + _script(each) for each in seen.kinds])[kind[chain.address]], chain.first_output)
    bare = sums(np.array([each == "p2pkh" for each in seen.kinds], np.int64)[spent], chain.first_input)
    many_ins, many_outs = np.diff(chain.first_input), np.diff(chain.first_output)
    witness = np.where(bare < many_ins, _MARKER + bare, 0)
    found: Ints = _FRAME + _count_bytes(many_ins) + _count_bytes(many_outs) + ins + outs + witness
    return np.where(chain.coinbase, _COINBASE[seen.coin] + outs - outs[chain.coinbase].min(initial=1 << 40), found)


def _script(kind: str) -> int:
    head, length, tail = SCRIPTS[kind]
    return len(head) + length + len(tail)


def _count_bytes(many: Ints) -> Ints:
    """Of a number in Bitcoin's compact form."""
    return np.where(many < 253, 1, 3)


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, ROWS):
        yield slice(start, min(start + ROWS, count))
