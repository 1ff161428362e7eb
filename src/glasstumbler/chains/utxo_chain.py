"""The in-process chains of btc, ltc and bch: one class over the table of networks.py.

Every block passes our own checks (rules.py); a BTC block then passes Bitcoin Core's engine, in the same process, on a
chain of its own that is kept in step. Nothing is shown before the block log has it, so a server that was killed
comes back with every block and waiting transaction that it had shown.

Two locks: `_making` lets one block be made at a time; `_lock` guards what readers see and is not held while the engine
judges a mined block, so transactions are taken and questions answered meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from glasstumbler.chains import blocks, guard, kernel, miner, rules
from glasstumbler.chains.base import Block, Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.mempool import Entry
from glasstumbler.chains.networks import NETWORKS
from glasstumbler.chains.snapshot import Snapshots, State
from glasstumbler.chains.tx import to_tx
from glasstumbler.chains.utxo_book import BLOCK_SPACING, START_HEIGHT, UtxoBook
from glasstumbler.clock import Clock
from glasstumbler.errors import ChainError, StoreError, TransactionRefused

_AT_ONCE = 50
"""Blocks that the engine may lack for an opening to wait for it."""
_NO_BLOCK = "00" * 32


class UtxoChain(UtxoBook):
    """A `LabChain`. Make one with `open`.

    `node` is "in-process"; where no wheel of Core's engine exists, "in-process, own checks only".
    """

    def __init__(
        self, coin: str, ring: KeyRing, clock: Clock, log: BlockLog, judge: kernel.Kernel | None, kept: Snapshots
    ) -> None:
        super().__init__(NETWORKS[coin], FORMATS[coin], ring, clock, log)
        self.node = "in-process" if kernel.AVAILABLE or coin == "bch" else "in-process, own checks only"
        self._judge, self._kept = judge, kept
        self._making = threading.Lock()
        self._behind: BaseException | None = None
        """Why the engine could not be brought up with the log."""

    @classmethod
    def open(
        cls, coin: str, ring: KeyRing, clock: Clock, folder: Path | None = None, start: int = START_HEIGHT
    ) -> UtxoChain:
        """The chain that is kept in `folder` (made if need be), or a new one in memory (None).

        StoreError if the log cannot be used; ChainError if the engine's folder cannot.
        """
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        log = BlockLog(folder / f"{coin}.blocks" if folder else None, coin)
        judge = None
        try:
            if NETWORKS[coin].judged and kernel.AVAILABLE:
                judge = kernel.Kernel(folder / f"{coin}-engine" if folder else None, clock.now())
            chain = cls(coin, ring, clock, log, judge, Snapshots(folder, coin, ring))
            chain._load()
            chain._begin(start)
        except BaseException:
            if judge is not None:
                judge.close()
            log.close()
            raise
        return chain

    # Sending

    def broadcast(self, raw: bytes) -> str:
        tx = to_tx(raw)
        with self._lock:
            if tx.txid not in self._pool.entries and tx.txid not in self._view.standing:
                self._accept(tx)
        return tx.txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        """Logged together: a crash before that loses what their senders have stored."""
        said: list[TransactionRefused | None] = []
        arrived: list[Tx] = []
        displaced: dict[str, Tx] = {}
        with self._lock:
            try:
                for raw in raws:
                    refused = None
                    try:
                        tx = to_tx(raw)
                        if tx.txid not in self._pool.entries and tx.txid not in self._view.standing:
                            entry, evicted = self._pool.judge(tx)
                            displaced |= {txid: self._pool.entries[txid].tx for txid in evicted}
                            self._pool.enter(entry, evicted)
                            arrived.append(tx)
                    except TransactionRefused as error:
                        refused = error
                    said.append(refused)
            finally:  # what was accepted waits, whatever befell a later one
                self._write_page(arrived, displaced)
        return said

    def _write_page(self, arrived: Sequence[Tx], displaced: Mapping[str, Tx]) -> None:
        """What the log does not take does not wait: else what builds on it would be lost with it."""
        self._waiting = None
        here = [tx for tx in arrived if tx.txid in self._pool.entries]
        try:
            self._log.wait([(tx.txid, tx.raw) for tx in here], displaced)
        except StoreError:
            self._pool.remove([tx.txid for tx in here])
            self._bring_back([tx for tx in displaced.values() if tx not in arrived])
            raise

    # Making blocks

    def mine(self, blocks: int = 1, least_rate: int = 0) -> int:
        """`least_rate`: what pays less (sat/vB) waits on, as when blocks are full of what pays more."""
        with self._made():
            for _ in range(blocks):
                self._mine(least_rate)
            return self._view.height

    def submit(self, raw: bytes) -> str:
        """Judge a block made elsewhere and make it the tip; its hash. BlockRefused if it breaks a rule or does not
        follow the tip."""
        with self._made():
            return self._connect(raw)

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        """ChainError if the chain is not that long. The engine must follow, or everything stays as it was."""
        with self._made(), self._lock:
            if not 1 <= depth <= self._view.height:
                raise ChainError(f"a chain of {self._view.height} blocks cannot lose {depth}")
            old_tip = self._view.hashes[-1]
            taken = [self.block(block_hash) for block_hash in self._view.hashes[-depth:]]
            waiting = [entry.tx for entry in self._pool.entries.values()]
            returned = [tx for block in taken for tx in block.txs[1:] if tx.txid not in forget]
            # Written down before the blocks go, so that whoever dies in between loses no transaction.
            self._log.wait([(tx.txid, tx.raw) for tx in returned])
            for block in reversed(taken):
                self._view.disconnect(block.txs, self._source)
            try:
                self._branch(depth + 1, old_tip)
            except BaseException:
                for block in taken:
                    self._view.connect(block.hash, block.time, block.txs)
                if self._judge is None or self._judge.tip()[1] == old_tip:  # else they are needed when it is followed
                    with suppress(StoreError):
                        self._log.wait((), [tx.txid for tx in returned])
                raise
            self._refill_mempool([*returned, *(tx for tx in waiting if tx.txid not in forget)], waiting)
            return self._view.height

    def close(self) -> None:
        """Harmless if done already."""
        with self._making, self._lock:
            self._kept.close(self._view.held)
            if self._judge is not None:
                self._judge.close()
            self._log.close()

    # Within

    @contextmanager
    def _made(self) -> Iterator[None]:
        """One block at a time, once engine and log stand at the same block. ChainError if the engine cannot be brought
        there, StoreError if the log still cannot take what the engine has."""
        with self._making, self._kept.changing():
            if self._behind is not None:
                raise ChainError(f"the consensus engine does not follow the block log: {self._behind}")
            if self._judge is not None and self._judge.tip()[0] > self._view.height:
                self._take_over(self._judge)
            yield

    def _take_over(self, judge: kernel.Kernel) -> None:
        """The engine took blocks that the log then had no room for."""
        with self._lock:
            waiting = [entry.tx for entry in self._pool.entries.values()]
            returned = self._reconcile(judge)
            self._refill_mempool([*returned, *waiting], waiting)

    def _accept(self, tx: Tx) -> None:
        entry, evicted = self._pool.judge(tx)
        self._log.wait([(tx.txid, tx.raw)], evicted)
        self._pool.enter(entry, evicted)
        self._waiting = None

    def _mine(self, least_rate: int = 0) -> None:
        with self._lock:
            for refill in self._faucet.refills():
                self._send(refill.raw)
            raw = self._build(miner.choose(self._pool.entries.values(), least_rate), self._clock.now())
        self._connect(raw)

    def _build(self, entries: Sequence[Entry], now: int, ahead: int = 0) -> bytes:
        """`ahead`: blocks built but not yet in the log."""
        view = self._view
        latest = kernel.latest_time() if self._judge is not None else None
        when = max(view.median_time(view.height) + 1, now if latest is None else min(now, latest))
        place = miner.Place(view.height + 1, view.hashes[-1], when, self._log.count() + ahead)
        return miner.build(self._parameters, place, entries, self._faucet.key)

    def _check(self, raw: bytes) -> rules.Checked:
        """Only under `_making`, so that the view does not move; the mempool may."""
        with self._lock:
            judged = {txid: entry.tx.raw for txid, entry in self._pool.entries.items()}
        return rules.check_block(raw, self._parameters, self._view, judged, self._verify)

    def _connect(self, raw: bytes) -> str:
        checked = self._check(raw)
        if self._judge is not None:
            self._judge.process(raw, checked.hash)
        height = self._view.height + 1
        with self._lock:
            gone = self._pool.struck(checked.txs)
            self._log.append([LoggedBlock(height, checked.hash, self._view.hashes[-1], raw)], gone)
            self._pool.remove(gone)
            self._view.connect(checked.hash, checked.time, checked.txs)
            self._kept.weigh(raw)
            self._kept.write_if_due(self._view.held)
            self._faucet.mined(checked.txs, height)
            previous = self._view.hashes[-2]
            self._remember(Block(height, checked.hash, previous, checked.time, checked.txs))
            self._waiting = None
        return checked.hash

    def _branch(self, length: int, old_tip: str) -> None:
        """Empty blocks on the view's tip, which the engine takes for its chain with the last of them. If it does not,
        the view is left where it was."""
        made: list[tuple[LoggedBlock, rules.Checked]] = []
        try:
            for number in range(length):
                raw = self._build((), self._clock.now(), number)
                checked = rules.check_block(raw, self._parameters, self._view, {}, self._verify)
                logged = LoggedBlock(self._view.height + 1, checked.hash, self._view.hashes[-1], raw)
                self._view.connect(checked.hash, checked.time, checked.txs)
                self._kept.weigh(raw)
                made.append((logged, checked))
                if self._judge is not None:
                    self._judge.process(raw, checked.hash if number == length - 1 else old_tip)
            self._log.append([logged for logged, _ in made])
        except BaseException:
            for _, checked in reversed(made):
                self._view.disconnect(checked.txs, self._source)
            raise

    def _refill_mempool(self, candidates: Sequence[Tx], waited: Sequence[Tx]) -> None:
        self._pool.remove([tx.txid for tx in waited])
        self._bring_back(candidates)
        self._waiting = None
        self._faucet.recount(self._view)
        arrived = [(txid, entry.tx.raw) for txid, entry in self._pool.entries.items()]
        self._log.wait(arrived, [tx.txid for tx in (*waited, *candidates)])

    # Opening

    def _load(self) -> None:
        if self._log.height() < 0:
            genesis = self._parameters.genesis
            self._log.append([LoggedBlock(0, blocks.block_hash(genesis), _NO_BLOCK, genesis)])
        guard.check_node(self.coin, genesis=self._log.hash_at(0) or "none")
        self._kept.load(self._restore, self._view.clear)
        for logged in self._log.chain(len(self._view.hashes)):
            self._replay(logged)
            self._kept.weigh(logged.raw)
        self._kept.write_if_due(self._view.held)
        returned = self._reconcile(self._judge) if self._judge is not None else []
        self._refill_mempool([*returned, *(to_tx(raw) for raw in self._log.waiting())], ())

    def _restore(self, state: State) -> None:
        """As the snapshot has it, and from there to the log's active chain if that has left it since."""
        self._view.restore(state)
        active = self._log.hashes()
        while self._view.hashes != active[: len(self._view.hashes)]:
            self._view.disconnect(self.block(self._view.hashes[-1]).txs, self._source)

    def _reconcile(self, judge: kernel.Kernel) -> list[Tx]:
        """After a crash either side may be ahead: the engine writes its databases late, the log its last block after
        the engine has judged it. The longer chain is the later one. Transactions of blocks that went."""
        height, tip = judge.tip()
        common = min(height, self._view.height)
        while judge.hash_at(common) != self._view.hashes[common]:
            common -= 1
        if height > self._view.height:
            return self._follow(judge, common)
        left = [self._view.hashes[at] for at in range(common + 1, self._view.height + 1)]
        if len(left) <= _AT_ONCE:
            self._catch_up(judge, left, height, tip)
            return []
        self._making.acquire()  # whoever wants to make a block waits; everything else goes on
        threading.Thread(target=self._catch_up_aside, args=(judge, left, height, tip), daemon=True).start()
        return []

    def _catch_up(self, judge: kernel.Kernel, left: Sequence[str], height: int, tip: str) -> None:
        """Blocks that a killed process's engine had not written down yet."""
        for block_hash in left:
            logged = self._log.find(block_hash)
            assert logged is not None
            judge.process(logged.raw, logged.hash if logged.height > height else tip)

    def _catch_up_aside(self, judge: kernel.Kernel, left: Sequence[str], height: int, tip: str) -> None:
        try:
            self._catch_up(judge, left, height, tip)
        except BaseException as error:
            self._behind = error
        finally:
            self._making.release()

    def _follow(self, judge: kernel.Kernel, common: int) -> list[Tx]:
        """Take over what the engine has above `common`, or leave all as it was if the log does not take it. The
        transactions of the blocks that went."""
        gone = [self.block(block_hash) for block_hash in self._view.hashes[common + 1 :]]
        added: list[tuple[LoggedBlock, rules.Checked]] = []
        for block in reversed(gone):
            self._view.disconnect(block.txs, self._source)
        try:
            for raw in judge.raw_blocks(common + 1):
                checked = rules.check_block(raw, self._parameters, self._view, {}, self._verify)
                logged = LoggedBlock(self._view.height + 1, checked.hash, self._view.hashes[-1], raw)
                self._view.connect(checked.hash, checked.time, checked.txs)
                self._kept.weigh(raw)
                added.append((logged, checked))
            self._log.append([logged for logged, _ in added])
        except BaseException:
            fresh = {tx.txid: tx for _, checked in added for tx in checked.txs}  # the log does not have them
            for _, checked in reversed(added):
                self._view.disconnect(checked.txs, lambda txid: fresh.get(txid) or self._source(txid))
            for block in gone:
                self._view.connect(block.hash, block.time, block.txs)
            raise
        return [tx for block in gone for tx in block.txs[1:]]

    def _begin(self, start: int) -> None:
        """Mine a new chain to its start, and in one more block the coins of the faucet's purse."""
        if self._view.height >= start:
            return
        with self._made():
            now = self._clock.now()
            while self._view.height < start:
                self._connect(self._build((), now - (start - self._view.height - 1) * BLOCK_SPACING))
            self._mine()
