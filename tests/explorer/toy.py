"""A chain of nothing but blocks: transactions that spend what they like, and reorganisations that take them back."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from glasstumbler.chains.base import Block, Outpoint, Output, Tx
from glasstumbler.chains.formats import FORMATS
from glasstumbler.errors import ChainError


class ToyChain:
    """As much of a `Chain` as the explorer reads."""

    coin, network, node, model = "btc", "toy", "toy", True
    format = FORMATS["btc"]

    def __init__(self) -> None:
        self._active: list[Block] = []
        self._all: dict[str, Block] = {}
        self._made = 0

    def tip(self) -> tuple[int, str]:
        return len(self._active) - 1, self._active[-1].hash if self._active else ""

    def block_hash(self, height: int) -> str | None:
        return self._active[height].hash if 0 <= height < len(self._active) else None

    def block(self, block_hash: str) -> Block:
        if block_hash not in self._all:
            raise ChainError(f"no block {block_hash}")
        return self._all[block_hash]

    def unspent(self) -> list[Outpoint]:
        txs = [tx for block in self._active for tx in block.txs]
        spent = {outpoint for tx in txs for outpoint in tx.inputs}
        made = [Outpoint(tx.txid, vout) for tx in txs for vout in range(len(tx.outputs))]
        return [outpoint for outpoint in made if outpoint not in spent]

    def mine(self, wanted: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
        """Transactions as (places among the unspent coins, numbers of keys to pay), after one with new coins."""
        free = self.unspent()
        txs = [self._tx((), (len(self._active) % 5,))]
        for places, keys in wanted:
            inputs = [free.pop(place % len(free)) for place in places if free]
            if inputs:
                txs.append(self._tx(inputs, keys))
        previous = self._active[-1].hash if self._active else "00" * 32
        name = sha256(repr((previous, [tx.txid for tx in txs])).encode()).hexdigest()
        block = Block(len(self._active), name, previous, 1_700_000_000 + len(self._active), tuple(txs))
        self._active.append(block)
        self._all[name] = block

    def drop(self, depth: int) -> None:
        del self._active[len(self._active) - depth :]

    def _tx(self, inputs: Sequence[Outpoint], keys: Sequence[int]) -> Tx:
        self._made += 1
        outputs = tuple(Output(b"\x00\x14" + bytes([key]) * 20, 1000 + self._made) for key in keys)
        txid = sha256(self._made.to_bytes(8, "big")).hexdigest()
        return Tx(txid, tuple(inputs), outputs, bytes(self._made % 200))
