"""A mirror of a Core-style node: its active chain and what waits there, brought up with one look at it.

The node's word counts: which block is the tip, and what waits. All that was ever followed stands in the block log. A
node that lost blocks or waiting transactions is given them again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from glasstumbler.chains import blocks
from glasstumbler.chains.base import Block, Outpoint, Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.coinview import is_coinbase
from glasstumbler.chains.formats import FORMATS, UtxoFormat
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.networks import NETWORKS
from glasstumbler.chains.tx import to_tx
from glasstumbler.chains.utxo_book import UtxoBook
from glasstumbler.clock import Clock
from glasstumbler.errors import ChainError, NodeAway, RefusedNode, TransactionRefused
from glasstumbler.nodes.core_kinds import CoreKind
from glasstumbler.nodes.core_node import CoreNode

_PAGE = 100
"""Blocks that are fetched or logged at once."""
_TRIES = 5


class CoreMirror(UtxoBook):
    def __init__(self, coin: str, node: CoreNode, ring: KeyRing, clock: Clock, log: BlockLog) -> None:
        form = _format(coin, node.kind)
        super().__init__(NETWORKS[coin]._replace(replaceable=form.replaceable), form, ring, clock, log)
        self._node = node
        self._unsure = True
        """Whether the node may have taken what it was not heard to take."""

    @property
    def node(self) -> str:
        return self._node.version

    def _meet(self) -> bool:
        """Bring mirror and node together; whether the mirror changed."""
        changed = False
        for _ in range(_TRIES):
            seen = self._node.look()
            if seen.tip == self._view.hashes[-1]:
                changed = self._meet_mempool(seen.mempool) or changed
                self._unsure = False
                return changed
            self._follow(seen.tip)
            changed = True
        raise NodeAway(self.node, "its tip does not stand still")

    def _follow(self, tip: str) -> None:
        """A node whose chain is shorter than ours has lost blocks, or was told to give them up: it gets them again, and
        if it does not want them we go with it."""
        height = self._node.height(tip)
        fork = self._fork(min(height, self._view.height))
        if fork == 0 and height and self._view.height:
            raise RefusedNode(f"{self.coin} node", "another chain, from its first block on", "the one in the block log")
        if height < self._view.height:
            lost = [logged.raw for logged in self._log.chain(fork + 1)]
            self._node.submit(lost)
            if self._node.tip() == self._view.hashes[-1]:
                return
        self._adopt(fork, height)

    def _fork(self, top: int) -> int:
        """Height of the last block that the node has too, at most `top`."""
        size = 2
        while top > 0:
            heights = range(max(0, top + 1 - size), top + 1)
            theirs = self._node.hashes(heights)
            for height, block_hash in zip(reversed(heights), reversed(theirs), strict=True):
                if self._view.hashes[height] == block_hash:
                    return height
            top, size = heights[0] - 1, _PAGE
        return 0

    def _adopt(self, fork: int, height: int, forget: Collection[str] = ()) -> None:
        """Go with the node's chain from `fork` up to `height`. What our blocks above it held waits again."""
        first = self._fetch(fork + 1, height)
        gone = [self.block(block_hash) for block_hash in self._view.hashes[fork + 1 :]]
        if gone:
            returned = [tx for block in gone for tx in block.txs[1:] if tx.txid not in forget]
            waiting = [entry.tx for entry in self._pool.entries.values()]
            self._log.wait([(tx.txid, tx.raw) for tx in returned])
            self._pool.remove(list(self._pool.entries))
            for block in reversed(gone):
                self._view.disconnect(block.txs, self._source)
            try:
                self._connect(first) if first else self._shorten()
            finally:
                self._refill([*returned, *(tx for tx in waiting if tx.txid not in forget)], waiting)
        elif first:
            self._connect(first)
        while self._view.height < height and (more := self._fetch(self._view.height + 1, height)):
            self._connect(more)

    def _fetch(self, first: int, last: int) -> list[bytes]:
        """The next page of the node's blocks."""
        return self._node.raw_blocks(self._node.hashes(range(first, min(last, first + _PAGE - 1) + 1)))

    def _shorten(self) -> None:
        logged = self._log.find(self._view.hashes[-1])
        assert logged is not None
        self._log.append([logged])

    def _refill(self, candidates: Sequence[Tx], waited: Sequence[Tx]) -> None:
        self._bring_back(candidates)
        self._waiting = None
        self._faucet.recount(self._view)
        arrived = [(txid, entry.tx.raw) for txid, entry in self._pool.entries.items()]
        self._log.wait(arrived, [tx.txid for tx in (*waited, *candidates)])

    def _connect(self, raws: Sequence[bytes]) -> None:
        """Blocks on the tip, in view and log or in neither. ChainError if they do not fit: the node judged them, but
        what it hands out is looked at."""
        logged: list[LoggedBlock] = []
        made: list[Block] = []
        gone: set[str] = set()
        try:
            for raw in raws:
                block = self._fitting(raw)
                gone |= self._pool.struck(block.txs)
                self._view.connect(block.hash, block.time, block.txs)
                made.append(block)
                logged.append(LoggedBlock(block.height, block.hash, block.previous, raw))
            self._log.append(logged, gone)
        except BaseException:
            fresh = {tx.txid: tx for block in made for tx in block.txs}
            for block in reversed(made):
                self._view.disconnect(block.txs, lambda txid: fresh.get(txid) or self._source(txid))
            raise
        self._pool.remove(gone)
        self._waiting = None
        for block in made:
            self._faucet.mined(block.txs, block.height)
            self._remember(block)

    def _fitting(self, raw: bytes) -> Block:
        header, txs = blocks.parse_block(raw)
        made = {Outpoint(tx.txid, vout) for tx in txs for vout in range(len(tx.outputs))}
        spent = [outpoint for tx in txs[1:] for outpoint in tx.inputs]
        fits = (
            header.previous == self._view.hashes[-1]
            and blocks.merkle_root([bytes.fromhex(tx.txid)[::-1] for tx in txs]) == header.merkle_root
            and is_coinbase(txs[0])
            and len(set(spent)) == len(spent)
            and all(outpoint in self._view.coins or outpoint in made for outpoint in spent)
        )
        block_hash = blocks.block_hash(raw)
        if not fits:
            raise ChainError(f"{self.node} gave block {block_hash}, which does not follow from the blocks before it")
        return Block(self._view.height + 1, block_hash, header.previous, header.time, txs)

    def _meet_mempool(self, theirs: Sequence[str]) -> bool:
        """Take in what is new at the node; give it again what it lost. Whether the mirror changed."""
        there = set(theirs)
        if self._pool.entries.keys() == there:
            return False
        before = set(self._pool.entries)
        self._take_in([txid for txid in theirs if txid not in before])
        lost = {txid: entry.tx.raw for txid, entry in self._pool.entries.items() if txid not in there}
        refused = [txid for txid in self._node.send(lost) if txid in self._pool.entries]
        if refused:
            dropped = self._pool.descendants(refused)
            self._pool.remove(dropped)
            self._waiting = None
            self._log.wait((), dropped)
            self._faucet.recount(self._view)
        return self._pool.entries.keys() != before

    def _take_in(self, txids: Sequence[str]) -> None:
        """Among it may be a payment of the faucet's own that was sent when the line broke."""
        arrived = {txid: to_tx(raw) for txid, raw in self._node.raw_transactions(txids).items()}
        if arrived:
            gone = self._admit(list(arrived.values()))
            self._waiting = None
            if self._unsure:
                self._faucet.recount(self._view)
            self._write_down(arrived, gone)

    def _admit(self, txs: Sequence[Tx]) -> set[str]:
        """What the node has waiting, parents first; txids that it put out."""
        gone: set[str] = set()
        left = list(txs)
        while left:
            later = []
            for tx in left:
                try:
                    gone |= self._pool.admit(tx)
                except TransactionRefused:
                    later.append(tx)
            if len(later) == len(left):
                break  # it spends what came after our last look: at the next
            left = later
        return gone

    def _write_down(self, arrived: dict[str, Tx], displaced: Iterable[str]) -> None:
        waiting = self._pool.entries
        self._log.wait(
            [(txid, tx.raw) for txid, tx in arrived.items() if txid in waiting],
            [txid for txid in displaced if txid not in waiting],
        )


def _format(coin: str, kind: CoreKind) -> UtxoFormat:
    """What the node in use takes decides."""
    known = FORMATS[coin]
    kinds = tuple(each for each in known.kinds if each not in kind.cannot_spend)
    return UtxoFormat(coin, kinds, known.dust, known.replaceable and kind.replaceable)
