"""What Ethereum and the Monero model share: blocks in order, waiting transactions, reorganisations, and the block log.

A coin's chain adds its rules and its state: see the methods that raise NotImplementedError. Every public call takes
the one lock.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from glasstumbler.chains.base import Block, Format, Place, Tx, broadcast_each
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.snapshot import Held, Snapshots, Standing, State
from glasstumbler.clock import Clock
from glasstumbler.errors import BlockRefused, ChainError, StoreError, TransactionRefused


class Waiting(Protocol):
    """A parsed transaction."""

    @property
    def txid(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    def tx(self) -> Tx: ...


T = TypeVar("T", bound=Waiting)
_RECENT = 16
"""Blocks that are kept at hand; the others are read from the log when they are wanted."""


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

    def __init__(self, ring: KeyRing, clock: Clock, folder: Path | None) -> None:
        """`folder` None: in memory; otherwise COIN.blocks there, made or reopened. StoreError if it cannot be used."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._ring, self._clock = ring, clock
        self._log = BlockLog(folder / f"{self.coin}.blocks" if folder else None, self.coin)
        self._lock = threading.RLock()
        self._kept = Snapshots(folder, self.coin, ring)
        self._hashes: list[str] = []
        self._standing: dict[str, Standing] = {}
        self._recent: dict[str, Block] = {}
        self._unlogged: dict[str, bytes] = {}
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

    def _disconnect(self, raw: bytes) -> None:
        """Bring the state back to before this block, the tip's; its own transactions still stand."""
        raise NotImplementedError

    def _held(self) -> Held:
        """The state as it is now."""
        raise NotImplementedError

    def _restore(self, state: State) -> None:
        """Bring the state, which is empty, to what was held."""
        raise NotImplementedError

    def _clear(self) -> None:
        """Bring the state to before the first block."""
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
            return len(self._hashes) - 1, self._hashes[-1]

    def block_hash(self, height: int) -> str | None:
        with self._lock:
            return self._hashes[height] if 0 <= height < len(self._hashes) else None

    def block(self, block_hash: str) -> Block:
        found = self._recent.get(block_hash)
        if found is None:
            found = self._decode(self._raw(block_hash))
            if found.hash != block_hash:
                raise self._damaged(found.height)
            with self._lock:
                self._remember(found)
        return found

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
            return self._mined(txid).tx() if txid in self._standing else None

    def place(self, txid: str) -> Place | None:
        with self._lock:
            if txid in self._pool:
                return Place(None, None)
            standing = self._standing.get(txid)
            return None if standing is None else Place(standing.height, self._hashes[standing.height])

    def broadcast(self, raw: bytes) -> str:
        parsed = self._read(raw)
        with self._lock:
            if parsed.txid not in self._pool and parsed.txid not in self._standing:
                replaced = self._check(parsed, returning=False)
                self._log.wait([(parsed.txid, raw)], replaced)
                self._leave(replaced)
                self._enter(parsed)
        return parsed.txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        return broadcast_each(self, raws)

    def mine(self, blocks: int = 1) -> int:
        with self._lock, self._kept.changing():
            self._grow(blocks, self._pool)
            self._kept.write_if_due(self._held)
            return len(self._hashes) - 1

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        with self._lock, self._kept.changing():
            if not 0 < depth < len(self._hashes):
                raise ChainError(f"a reorganisation of {depth} blocks; the chain has {len(self._hashes) - 1}")
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
            return len(self._hashes) - 1

    def close(self) -> None:
        with self._lock:
            self._kept.close(self._held)
            self._log.close()

    # Inside.

    def _open(self, genesis: bytes) -> None:
        """Come to stand where the log ends, from the snapshot or from the first block; then what waits. BlockRefused if
        the log begins with another block."""
        try:
            if self._log.height() < 0:
                first = self._decode(genesis)
                self._log.append([LoggedBlock(0, first.hash, first.previous, genesis)])
            self._made = self._log.count()
            self._kept.load(self._go_back, self._forget)
            for logged in self._log.chain(len(self._hashes)):
                if logged.height == 0 and logged.raw != genesis:
                    raise BlockRefused(f"the {self.coin} chain in this folder was begun with another seed")
                block = self._decode(logged.raw)
                if block.hash != logged.hash:
                    raise self._damaged(logged.height)
                self._push(logged.raw, block)
            self._kept.write_if_due(self._held)
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
        try:
            for _ in range(count):
                tip = self.block(self._hashes[-1])
                site = Site(tip.height + 1, tip.hash, max(self._clock.now(), tip.time + 1), self._made)
                raw = self._build(site, waiting.values())
                block = self._decode(raw)
                self._unlogged[block.hash] = raw
                self._push(raw, block)
                self._made += 1
                made.append(LoggedBlock(block.height, block.hash, block.previous, raw))
                for tx in block.txs:
                    waiting.pop(tx.txid, None)
            mined = pool.keys() - waiting.keys()
            self._log.append(made, mined)
        except BaseException:
            for _ in made:
                self._recent.pop(self._pop().hash)
            raise
        finally:
            self._unlogged.clear()
        self._leave(mined)

    def _push(self, raw: bytes, block: Block) -> None:
        self._connect(raw, block)
        self._hashes.append(block.hash)
        offset = 0
        for position, tx in enumerate(block.txs):
            offset = raw.index(tx.raw, offset)
            self._standing[tx.txid] = Standing(block.height, position, offset, len(tx.raw))
            offset += len(tx.raw)
        self._remember(block)
        self._kept.weigh(raw)

    def _pop(self) -> Block:
        block = self.block(self._hashes[-1])
        self._disconnect(self._raw(block.hash))
        self._hashes.pop()
        for tx in block.txs:
            del self._standing[tx.txid]
        return block

    def _raw(self, block_hash: str) -> bytes:
        """Of a block, active or stale. ChainError if there is none."""
        raw = self._unlogged.get(block_hash)
        if raw is not None:
            return raw
        logged = self._log.find(block_hash)
        if logged is None:
            raise ChainError(f"no block {block_hash}")
        return logged.raw

    def _mined(self, txid: str) -> T:
        """A transaction of the active chain."""
        height, _, offset, size = self._standing[txid]
        fresh = self._unlogged.get(self._hashes[height])
        with suppress(TransactionRefused):
            piece = fresh[offset : offset + size] if fresh else self._log.piece(self._hashes[height], offset, size)
            parsed = self._read(piece)
            if parsed.txid == txid:
                return parsed
        raise self._damaged(height)

    def _damaged(self, height: int) -> StoreError:
        return StoreError(f"the {self.coin} block log is damaged at height {height}")

    def _remember(self, block: Block) -> None:
        self._recent[block.hash] = block
        while len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]

    def _go_back(self, state: State) -> None:
        """As the snapshot has it, and from there to the log's active chain if that has left it since."""
        self._hashes = state.hashes
        self._standing = {mined.txid: mined.standing for mined in state.mined()}
        self._restore(state)
        active = self._log.hashes()
        while self._hashes != active[: len(self._hashes)]:
            self._pop()

    def _forget(self) -> None:
        self._hashes, self._standing = [], {}
        self._clear()

    def _put_back(self, blocks: Iterable[Block], waiting: Iterable[T]) -> None:
        """As it was before a reorganisation that the log would not take."""
        for block in blocks:
            self._push(self._raw(block.hash), block)
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
