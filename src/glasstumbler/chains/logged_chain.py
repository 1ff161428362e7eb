"""What Ethereum and the Monero model share: blocks in order, waiting transactions, reorganisations, and the block log.

A coin's chain adds its rules and its state: see the methods that raise NotImplementedError. Every public call takes
the one lock.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from glasstumbler.chains.base import Block, Format, Place, Tx, broadcast_each
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.clock import Clock
from glasstumbler.errors import BlockRefused, ChainError, TransactionRefused


class Waiting(Protocol):
    """A parsed transaction."""

    @property
    def txid(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    def tx(self) -> Tx: ...


T = TypeVar("T", bound=Waiting)


class Site(NamedTuple):
    """Where a block is to stand. `number` counts all blocks ever made, so that a competing branch differs."""

    height: int
    previous: str
    time: int
    number: int


class LoggedChain(Generic[T]):
    coin: str
    format: Format
    network = "private"
    node = "in-process"
    model = False

    def __init__(self, clock: Clock, folder: Path | None) -> None:
        """`folder` None: in memory; otherwise COIN.blocks there, made or reopened. StoreError if it cannot be used."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._log = BlockLog(folder / f"{self.coin}.blocks" if folder else None, self.coin)
        self._lock = threading.RLock()
        self._blocks: list[Block] = []
        self._heights: dict[str, int] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._pool: dict[str, T] = {}
        self._listed: tuple[str, ...] | None = None
        self._made = 0

    # What a coin's chain must say.

    def _decode(self, raw: bytes) -> Block:
        """A block of the log."""
        raise NotImplementedError

    def _build(self, site: Site, waiting: Iterable[T]) -> bytes:
        """A raw block at the tip out of what fits; the state stays as it is."""
        raise NotImplementedError

    def _connect(self, raw: bytes, block: Block) -> None:
        """Bring the state to after this block. BlockRefused, with the state as before, if it breaks a rule."""
        raise NotImplementedError

    def _disconnect(self, block: Block) -> None:
        """Bring the state back to before this block, the tip's."""
        raise NotImplementedError

    def _read(self, raw: bytes) -> T:
        """TransactionRefused if the bytes are no transaction, or its signature is wrong."""
        raise NotImplementedError

    def _check(self, parsed: T, returning: bool) -> Collection[str]:
        """May it wait? The txids that it replaces; TransactionRefused if not. `returning`: a reorganisation or a
        restart brings it back, and it may live on what waits before it."""
        raise NotImplementedError

    def _entered(self, parsed: T) -> None:
        """It waits now."""

    def _left(self, parsed: T) -> None:
        """It waits no longer."""

    # The chain.

    def tip(self) -> tuple[int, str]:
        with self._lock:
            return len(self._blocks) - 1, self._blocks[-1].hash

    def block_hash(self, height: int) -> str | None:
        with self._lock:
            return self._blocks[height].hash if 0 <= height < len(self._blocks) else None

    def block(self, block_hash: str) -> Block:
        with self._lock:
            height = self._heights.get(block_hash)
            if height is not None:
                return self._blocks[height]
            logged = self._log.find(block_hash)
        if logged is None:
            raise ChainError(f"no block {block_hash}")
        return self._decode(logged.raw)

    def mempool(self) -> Collection[str]:
        """A snapshot, safe to walk; made anew only after a change."""
        with self._lock:
            if self._listed is None:
                self._listed = tuple(self._pool)
            return self._listed

    def transaction(self, txid: str) -> Tx | None:
        with self._lock:
            if txid in self._pool:
                return self._pool[txid].tx()
            place = self._places.get(txid)
            return None if place is None else self._blocks[place[0]].txs[place[1]]

    def place(self, txid: str) -> Place | None:
        with self._lock:
            if txid in self._pool:
                return Place(None, None)
            place = self._places.get(txid)
            return None if place is None else Place(place[0], self._blocks[place[0]].hash)

    def broadcast(self, raw: bytes) -> str:
        parsed = self._read(raw)
        with self._lock:
            if parsed.txid not in self._pool and parsed.txid not in self._places:
                replaced = self._check(parsed, returning=False)
                self._log.wait([(parsed.txid, raw)], replaced)
                self._leave(replaced)
                self._enter(parsed)
        return parsed.txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        return broadcast_each(self, raws)

    def mine(self, blocks: int = 1) -> int:
        with self._lock:
            self._grow(blocks, self._pool)
            return len(self._blocks) - 1

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        with self._lock:
            if not 0 < depth < len(self._blocks):
                raise ChainError(f"a reorganisation of {depth} blocks; the chain has {len(self._blocks) - 1}")
            waiting = list(self._pool.values())
            self._leave(list(self._pool))
            blocks = [self._pop() for _ in range(depth)][::-1]
            removed = [tx for block in blocks for tx in block.txs]
            try:
                # Written down before the blocks go, so that whoever dies in between loses no transaction.
                self._log.wait([(tx.txid, tx.raw) for tx in removed if tx.txid not in forget])
                self._grow(depth + 1, {})
            except BaseException:
                self._put_back(blocks, waiting)
                raise
            raws = [tx.raw for tx in removed] + [parsed.raw for parsed in waiting]
            txids = {tx.txid for tx in removed} | {parsed.txid for parsed in waiting}
            self._bring_back(raws, forget)
            self._log.wait([(parsed.txid, parsed.raw) for parsed in self._pool.values()], txids)
            return len(self._blocks) - 1

    def close(self) -> None:
        with self._lock:
            self._log.close()

    # Inside.

    def _open(self, genesis: bytes) -> None:
        """Play the log's blocks and waiting transactions again. BlockRefused if it begins with another block."""
        try:
            if self._log.height() < 0:
                first = self._decode(genesis)
                self._log.append([LoggedBlock(0, first.hash, first.previous, genesis)])
            self._made = self._log.count()
            for logged in self._log.chain():
                if logged.height == 0 and logged.raw != genesis:
                    raise BlockRefused(f"the {self.coin} chain in this folder was begun with another seed")
                self._push(logged.raw, self._decode(logged.raw))
            self._bring_back(self._log.waiting(), set())
        except BaseException:
            self._log.close()
            raise

    def _grow(self, count: int, pool: dict[str, T]) -> None:
        """Blocks at the tip, logged in one go; none at all if the log cannot be written."""
        if count < 1:
            return
        waiting = dict(pool)
        made: list[LoggedBlock] = []
        for _ in range(count):
            tip = self._blocks[-1]
            site = Site(tip.height + 1, tip.hash, max(self._clock.now(), tip.time + 1), self._made)
            raw = self._build(site, waiting.values())
            block = self._decode(raw)
            self._push(raw, block)
            self._made += 1
            made.append(LoggedBlock(block.height, block.hash, block.previous, raw))
            for tx in block.txs:
                waiting.pop(tx.txid, None)
        mined = pool.keys() - waiting.keys()
        try:
            self._log.append(made, mined)
        except BaseException:
            for _ in made:
                self._pop()
            raise
        self._leave(mined)

    def _push(self, raw: bytes, block: Block) -> None:
        self._connect(raw, block)
        self._blocks.append(block)
        self._heights[block.hash] = block.height
        for position, tx in enumerate(block.txs):
            self._places[tx.txid] = (block.height, position)

    def _pop(self) -> Block:
        block = self._blocks.pop()
        self._disconnect(block)
        del self._heights[block.hash]
        for tx in block.txs:
            del self._places[tx.txid]
        return block

    def _put_back(self, blocks: Iterable[Block], waiting: Iterable[T]) -> None:
        """As it was before a reorganisation that the log would not take."""
        for block in blocks:
            logged = self._log.find(block.hash)
            if logged is None:
                raise ChainError(f"the log has lost block {block.hash}")
            self._push(logged.raw, block)
        for parsed in waiting:
            self._enter(parsed)

    def _bring_back(self, raws: Iterable[bytes], forget: Collection[str]) -> None:
        for raw in raws:
            try:
                parsed = self._read(raw)
                if parsed.txid in forget or parsed.txid in self._pool:
                    continue
                self._leave(self._check(parsed, returning=True))
            except TransactionRefused:
                continue  # it lived on what is gone: a node drops it too
            self._enter(parsed)

    def _enter(self, parsed: T) -> None:
        self._pool[parsed.txid] = parsed
        self._listed = None
        self._entered(parsed)

    def _leave(self, txids: Collection[str]) -> None:
        for txid in txids:
            self._left(self._pool.pop(txid))
        self._listed = None
