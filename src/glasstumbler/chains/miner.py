"""Blocks out of what waits: in order of arrival, a parent always before its children. Same input, same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from glasstumbler.chains import blocks, rules
from glasstumbler.chains.base import Output, Tx
from glasstumbler.chains.mempool import Entry
from glasstumbler.chains.networks import BITS, BLOCK_VERSION, MAX_WEIGHT, TARGET, NetworkParameters, subsidy
from glasstumbler.chains.tx import serialise, to_tx

_RESERVED_WEIGHT: Final = 8000
_RESERVED_SIGOPS: Final = 400
"""Left for the header and the coinbase (Core's defaults)."""


class Place(NamedTuple):
    """Where a block is to stand. `time` in epoch seconds; `number` tells it from every other block of this chain,
    so that a competing branch mined in the same second is another one. `version` may hold votes (BIP 9)."""

    height: int
    previous: str
    time: int
    number: int
    version: int = BLOCK_VERSION


def choose(waiting: Iterable[Entry], least_rate: int = 0) -> list[Entry]:
    """What fits into one block and pays `least_rate` (sat/vB). What is left over keeps its children waiting too."""
    chosen: list[Entry] = []
    left_out: set[str] = set()
    weight, sigops = MAX_WEIGHT - _RESERVED_WEIGHT, rules.MAX_SIGOPS - _RESERVED_SIGOPS
    for entry in waiting:
        cost = rules.sigops(entry.tx)
        cheap = entry.fee < entry.vsize * least_rate
        if cheap or entry.weight > weight or cost > sigops or not left_out.isdisjoint(entry.parents):
            left_out.add(entry.tx.txid)
            continue
        weight -= entry.weight
        sigops -= cost
        chosen.append(entry)
    return chosen


def build(network: NetworkParameters, place: Place, entries: Iterable[Entry], key: bytes) -> bytes:
    """A raw block with its proof of work; subsidy and fees go to `key` (a scriptPubKey)."""
    chosen = list(entries)
    if network.canonical_order:
        chosen.sort(key=lambda entry: entry.tx.txid)
    reward = subsidy(place.height) + sum(entry.fee for entry in chosen)
    raws = [entry.tx.raw for entry in chosen]
    coinbase = to_tx(
        serialise(
            blocks.coinbase(
                place.height,
                (Output(key, reward),),
                raws if network.witness else None,
                place.number.to_bytes(4, "little"),
            )
        )
    )
    header = _header(place, (coinbase, *(entry.tx for entry in chosen)))
    solved = solve(network, blocks.header_bytes(header))
    return blocks.block_bytes(blocks.parse_header(solved), [coinbase.raw, *raws])


def _header(place: Place, txs: Iterable[Tx]) -> blocks.Header:
    root = blocks.merkle_root([bytes.fromhex(tx.txid)[::-1] for tx in txs])
    return blocks.Header(place.version, place.previous, root, place.time, BITS, 0)


def solve(network: NetworkParameters, header: bytes) -> bytes:
    """The header of 80 bytes with the first nonce that makes its proof of work; every second one does."""
    head, nonce = header[:-4], 0
    while True:
        tried = head + nonce.to_bytes(4, "little")
        if int.from_bytes(network.work(tried), "little") <= TARGET:
            return tried
        nonce += 1
