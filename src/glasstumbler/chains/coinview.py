"""The active chain as state: hashes and times by height, the unspent coins, and where each transaction stands.

Connecting and disconnecting a block are each other's inverse and check nothing (rules.py does). What a disconnected
block had spent is looked up in the chain itself, so no undo data is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from glasstumbler.chains.base import Outpoint, Output, Tx
from glasstumbler.chains.blocks import HEADER_SIZE
from glasstumbler.chains.snapshot import Held, Standing, State
from glasstumbler.chains.tx import compact_size

_MEDIAN_SPAN = 11
_RETURN = b"\x6a"
"""OP_RETURN: an output that begins so can never be spent and is no coin."""
_NOTHING = Outpoint("00" * 32, 0xFFFFFFFF)


class Coin(NamedTuple):
    """An unspent output of the active chain. `height` is its block's; `coinbase` tells whether it must mature."""

    key: bytes
    amount: int
    height: int
    coinbase: bool

    @property
    def output(self) -> Output:
        return Output(self.key, self.amount)


def is_coinbase(tx: Tx) -> bool:
    return tx.inputs == (_NOTHING,)


class CoinView:
    """Not safe from several threads. A view without blocks stands before the genesis block."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.times: list[int] = []
        self.coins: dict[Outpoint, Coin] = {}
        self.standing: dict[str, Standing] = {}

    @property
    def height(self) -> int:
        return len(self.hashes) - 1

    def held(self) -> Held:
        """As it is now."""
        return Held(list(self.hashes), dict(self.standing), self.coins.copy(), list(self.times))

    def restore(self, state: State) -> None:
        """Come to stand where this state was taken."""
        self.clear()
        self.hashes, self.times = state.hashes, state.times
        for mined in state.mined():
            txid, height = mined.txid, mined.height
            self.standing[txid] = mined.standing
            for vout, key, amount in mined.coins:
                self.coins[Outpoint(txid, vout)] = Coin(key, amount, height, mined.position == 0)

    def clear(self) -> None:
        """Back before the genesis block."""
        self.hashes, self.times = [], []
        self.coins.clear()
        self.standing.clear()

    def median_time(self, height: int) -> int:
        """Median time past at this block (BIP 113): the middle of it and the ten before."""
        return sorted(self.times[max(0, height + 1 - _MEDIAN_SPAN) : height + 1])[min(height + 1, _MEDIAN_SPAN) // 2]

    def connect(self, block_hash: str, time: int, txs: Sequence[Tx]) -> None:
        """Make a block the tip. `txs` of the genesis block are left out: its coin cannot be spent."""
        height = len(self.hashes)
        offset = HEADER_SIZE + len(compact_size(len(txs)))
        coins, standing = self.coins, self.standing
        # Every output first: where blocks are sorted by txid, a coin may be spent above the place where it is made.
        for number, tx in enumerate(txs):
            standing[tx.txid] = Standing(height, number, offset, len(tx.raw))
            offset += len(tx.raw)
            for vout, (key, amount) in enumerate(tx.outputs):
                if key[:1] != _RETURN:
                    coins[Outpoint(tx.txid, vout)] = Coin(key, amount, height, number == 0)
        for tx in txs[1:]:
            for outpoint in tx.inputs:
                del coins[outpoint]
        self.hashes.append(block_hash)
        self.times.append(time)

    def disconnect(self, txs: Sequence[Tx], find: Callable[[str], Tx]) -> None:
        """Take the tip, whose transactions these are, off again. `find` gives a mined transaction by txid."""
        for tx in txs[1:]:
            for outpoint in tx.inputs:
                source = find(outpoint.txid)
                key, amount = source.outputs[outpoint.vout]
                height = self.standing[outpoint.txid].height
                self.coins[outpoint] = Coin(key, amount, height, is_coinbase(source))
        for tx in txs:
            for vout in range(len(tx.outputs)):
                self.coins.pop(Outpoint(tx.txid, vout), None)
            del self.standing[tx.txid]
        self.hashes.pop()
        self.times.pop()
