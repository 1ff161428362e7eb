"""One adapter for every Core-style node: bitcoind, litecoind, btcd, bcoin, bcash. What differs is core_kinds.py.

The node's word counts: which block is the tip, and what waits. Here stands a mirror of it (UtxoBook), brought up with
one look at the node for each question about tip or mempool; everything else is answered from the mirror, so calls are
bounded by blocks, not by transactions. All that was ever followed stands in the block log. A node that lost blocks or
waiting transactions is given them again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from glasstumbler.chains import blocks, miner
from glasstumbler.chains.base import Block, Outpoint, Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.coinview import is_coinbase
from glasstumbler.chains.formats import FORMATS, UtxoFormat
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.mempool import Entry
from glasstumbler.chains.networks import MATURITY, NETWORKS
from glasstumbler.chains.tx import to_tx
from glasstumbler.chains.utxo_book import BLOCK_SPACING, UtxoBook
from glasstumbler.clock import Clock
from glasstumbler.errors import BlockRefused, ChainError, NodeAway, RefusedNode, TransactionRefused
from glasstumbler.nodes.core_kinds import CoreKind
from glasstumbler.nodes.core_node import CoreNode
from glasstumbler.nodes.endpoint import Endpoint

_PAGE = 100
"""Blocks that are fetched, given or logged at once."""
_TRIES = 5
_AHEAD = 7200 - 600
"""Seconds that a block's time may be ahead of the node's clock, with some to spare."""
_MEDIAN_SPAN = 11
_OVER = 11
"""Blocks above a transaction with which Core does not take it back into its mempool when they are invalidated."""
_NO_ENTRIES: tuple[Entry, ...] = ()


class CoreChain(UtxoBook):
    """A `LabChain`. Make one with `open`."""

    def __init__(self, coin: str, node: CoreNode, ring: KeyRing, clock: Clock, log: BlockLog) -> None:
        form = _format(coin, node.kind)
        super().__init__(NETWORKS[coin]._replace(replaceable=form.replaceable), form, ring, clock, log)
        self._node = node

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

    @property
    def node(self) -> str:
        return self._node.version

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

    def _write_down(self, arrived: dict[str, Tx], displaced: Iterable[str]) -> None:
        waiting = self._pool.entries
        self._log.wait(
            [(txid, tx.raw) for txid, tx in arrived.items() if txid in waiting],
            [txid for txid in displaced if txid not in waiting],
        )

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

    # Following the node

    def _meet(self) -> bool:
        """Bring mirror and node together; whether the mirror changed."""
        changed = False
        for _ in range(_TRIES):
            seen = self._node.look()
            if seen.tip == self._view.hashes[-1]:
                return self._meet_mempool(seen.mempool) or changed
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
        raws = self._node.raw_transactions([txid for txid in theirs if txid not in before])
        arrived = {txid: to_tx(raw) for txid, raw in raws.items()}
        gone = self._admit(list(arrived.values()))
        lost = {txid: entry.tx.raw for txid, entry in self._pool.entries.items() if txid not in there}
        refused = [txid for txid in self._node.send(lost) if txid in self._pool.entries]
        dropped = self._pool.descendants(refused)
        self._pool.remove(dropped)
        self._write_down(arrived, gone | dropped)
        self._waiting = None
        if gone or dropped:
            self._faucet.recount(self._view)
        return self._pool.entries.keys() != before

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


def _format(coin: str, kind: CoreKind) -> UtxoFormat:
    """What the node in use takes decides."""
    known = FORMATS[coin]
    kinds = tuple(each for each in known.kinds if each not in kind.cannot_spend)
    return UtxoFormat(coin, kinds, known.dust, known.replaceable and kind.replaceable)
