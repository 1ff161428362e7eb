"""One adapter for every Core-style node: bitcoind, litecoind, btcd, bcoin, bcash. What differs is core_kinds.py.

A question about tip or mempool takes one look at the node; everything else is answered from the mirror
(core_mirror.py), so calls are bounded by blocks, not by transactions. Transactions and blocks are made here.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from glasstumbler.chains import blocks, miner
from glasstumbler.chains.base import Output, Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.mempool import Entry
from glasstumbler.chains.networks import MATURITY
from glasstumbler.chains.tx import to_tx
from glasstumbler.chains.utxo_book import BLOCK_SPACING
from glasstumbler.clock import Clock
from glasstumbler.errors import BlockRefused, ChainError, TransactionRefused
from glasstumbler.nodes.core_mirror import CoreMirror
from glasstumbler.nodes.core_node import CoreNode
from glasstumbler.nodes.endpoint import Endpoint

_PAGE = 100
"""Blocks that are made and given at once."""
_AHEAD = 7200 - 600
"""Seconds that a block's time may be ahead of the node's clock, with some to spare."""
_MEDIAN_SPAN = 11
_OVER = 11
"""Blocks above a transaction with which Core does not take it back into its mempool when they are invalidated."""
_NO_ENTRIES: tuple[Entry, ...] = ()


class CoreChain(CoreMirror):
    """A `LabChain`. Make one with `open`."""

    @classmethod
    def open(cls, coin: str, endpoint: Endpoint, ring: KeyRing, clock: Clock, folder: Path | None = None) -> CoreChain:
        """Follow this node, with the log that is kept in `folder` (made if need be; None: in memory).

        A chain younger than the start is mined to it. SettingsError, RefusedNode, NodeAway; StoreError if the log
        cannot be used; ChainError if the node is of no use (pruned, or on another chain than the log).
        """
        node = CoreNode(coin, endpoint)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        log = BlockLog(folder / f"{coin}.blocks" if folder else None, coin)
        try:
            chain = cls(coin, node, ring, clock, log)
            with chain._lock:
                chain._load()
                chain._meet()
                chain._begin()
        except BaseException:
            node.close()
            log.close()
            raise
        return chain

    # Reading

    def tip(self) -> tuple[int, str]:
        """One call; more only if the tip moved."""
        best = self._node.tip()
        with self._lock:
            if best != self._view.hashes[-1]:
                self._meet()
            return super().tip()

    def mempool(self) -> Collection[str]:
        """One call; more only if something changed."""
        seen = self._node.look()
        with self._lock:
            if seen.tip != self._view.hashes[-1] or self._pool.entries.keys() != set(seen.mempool):
                self._meet()
            return super().mempool()

    # Sending

    def broadcast(self, raw: bytes) -> str:
        tx = to_tx(raw)
        with self._lock:
            self._accept(tx)
        return tx.txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        """Judged by our own rules, which name the reason, then sent together: what the node says counts."""
        said: list[TransactionRefused | None] = []
        txs: list[Tx | None] = []
        for raw in raws:
            try:
                txs.append(to_tx(raw))
                said.append(None)
            except TransactionRefused as refused:
                txs.append(None)
                said.append(refused)
        with self._lock:
            refused_now = self._send_all([tx for tx in txs if tx])
        return [no or (refused_now.get(tx.txid) if tx else None) for tx, no in zip(txs, said, strict=True)]

    def pay_many(self, outputs: Sequence[Output]) -> str:
        with self._lock:
            if self._unsure:
                self._meet()
            return super().pay_many(outputs)

    def _accept(self, tx: Tx) -> None:
        refused = self._send_all([tx])
        if refused:
            raise refused[tx.txid]

    def _send_all(self, txs: Sequence[Tx]) -> dict[str, TransactionRefused]:
        """What was said against each that does not wait now. Whoever is refused by a mirror that lags behind the node
        is judged again."""
        refused = self._try_to_send(txs)
        if refused and self._meet():
            refused = self._try_to_send(txs)
        return refused

    def _try_to_send(self, txs: Sequence[Tx]) -> dict[str, TransactionRefused]:
        refused: dict[str, TransactionRefused] = {}
        arrived: dict[str, Tx] = {}
        displaced: dict[str, Tx] = {}
        for tx in txs:
            if tx.txid in self._pool.entries or tx.txid in self._view.standing:
                continue
            try:
                entry, evicted = self._pool.judge(tx)
            except TransactionRefused as error:
                refused[tx.txid] = error
                continue
            displaced |= {txid: self._pool.entries[txid].tx for txid in evicted}
            self._pool.enter(entry, evicted)
            arrived[tx.txid] = tx
        try:
            refused |= self._node.send({txid: tx.raw for txid, tx in arrived.items()})
        except BaseException:
            self._unsure = True
            self._take_back(arrived, displaced)
            raise
        self._take_back([txid for txid in arrived if txid in refused], displaced if refused else {})
        self._write_down(arrived, displaced)
        return refused

    def _take_back(self, txids: Collection[str], displaced: dict[str, Tx]) -> None:
        """What the node did not take does not wait, and what it would have put out does."""
        self._waiting = None
        self._pool.remove(self._pool.descendants([txid for txid in txids if txid in self._pool.entries]))
        self._bring_back([tx for tx in displaced.values() if tx.txid not in self._pool.entries])

    # Making blocks

    def mine(self, blocks: int = 1) -> int:
        """BlockRefused if the node does not take a block of ours."""
        with self._lock:
            self._meet()
            for _ in range(blocks):
                for refill in self._faucet.refills():
                    self._send(refill.raw)
                self._grow([miner.choose(self._pool.entries.values())])
            return self._view.height

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        """ChainError if the chain is not that long, or the node forgets nothing."""
        with self._lock:
            self._meet()
            height = self._view.height
            if not 1 <= depth <= height:
                raise ChainError(f"a chain of {height} blocks cannot lose {depth}")
            if forget:
                self._unmake(height - depth)
            self._give(self._stack(height - depth, [_NO_ENTRIES] * (depth + 1)))
            self._adopt(height - depth, height + 1, forget)
            self._meet()
            return self._view.height

    def close(self) -> None:
        """Harmless if done already."""
        with self._lock:
            self._node.close()
            self._log.close()

    def _grow(self, contents: Sequence[Sequence[Entry]], first_time: int | None = None) -> None:
        """Blocks of these transactions on the tip."""
        raws = self._stack(self._view.height, contents, first_time)
        self._give(raws)
        if self._node.tip() == blocks.block_hash(raws[-1]):
            self._connect(raws)
        else:  # somebody else's came first
            self._meet()

    def _give(self, raws: Sequence[bytes]) -> None:
        for said in self._node.submit(raws):
            if said:
                raise BlockRefused(f"{self.node} did not take a block: {said}")

    def _unmake(self, fork: int) -> None:
        """Take the node's blocks above `fork` away so that their transactions, and those that wait, are forgotten.

        What waits is buried first, in blocks that nobody gets to see: Core does not take back into its mempool what
        stands more than ten blocks deep in what is invalidated, bcoin and bcash nothing while their mempool is empty.
        """
        if not self._node.kind.forgets:
            raise ChainError(f"{self.node} cannot be made to forget a transaction")
        self._give(self._stack(self._view.height, [*self._all_waiting(), *[_NO_ENTRIES] * _OVER]))
        self._node.invalidate(self._view.hashes[fork + 1])

    def _all_waiting(self) -> list[Sequence[Entry]]:
        left = dict(self._pool.entries)
        contents: list[Sequence[Entry]] = []
        while left and (chosen := miner.choose(left.values())):
            contents.append(chosen)
            for entry in chosen:
                del left[entry.tx.txid]
        return contents

    def _stack(self, fork: int, contents: Sequence[Sequence[Entry]], first_time: int | None = None) -> list[bytes]:
        """Raw blocks of these transactions, one on the other, the first on our block at height `fork`."""
        times = self._view.times[max(0, fork + 1 - _MEDIAN_SPAN) : fork + 1]
        previous, number, kind = self._view.hashes[fork], self._log.count(), self._node.kind
        now = min(self._clock.now(), int(time.time()) + _AHEAD)
        raws = []
        for at, entries in enumerate(contents):
            height = fork + 1 + at
            due = now if first_time is None else first_time + at * BLOCK_SPACING
            times.append(max(sorted(times[-_MEDIAN_SPAN:])[len(times[-_MEDIAN_SPAN:]) // 2] + 1, due))
            place = miner.Place(height, previous, times[-1], number + at, kind.block_version)
            witness = self._parameters.witness and height >= kind.segwit_height
            raws.append(miner.build(self._parameters._replace(witness=witness), place, entries, self._faucet.key))
            previous = blocks.block_hash(raws[-1])
        return raws

    # Opening

    def _load(self) -> None:
        if self._log.height() < 0:
            genesis = self._parameters.genesis
            self._log.append([LoggedBlock(0, blocks.block_hash(genesis), "00" * 32, genesis)])
        for logged in self._log.chain():
            self._replay(logged)
        self._refill([to_tx(raw) for raw in self._log.waiting()], ())

    def _begin(self) -> None:
        """Mine until the faucet has something to pay with, and in one more block the coins of its purse."""
        lacking = self._node.kind.start - self._view.height
        if lacking <= 0 and not any(coin.key == self._faucet.key for coin in self._view.coins.values()):
            lacking = MATURITY
        if lacking <= 0:
            return
        first = self._clock.now() - (lacking - 1) * BLOCK_SPACING
        for at in range(0, lacking, _PAGE):
            self._grow([_NO_ENTRIES] * min(_PAGE, lacking - at), first + at * BLOCK_SPACING)
        self.mine()
