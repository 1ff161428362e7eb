"""What the in-process chains of btc, ltc and bch share with the adapter of real nodes (nodes/core.py): the active chain
as state, what waits, the block log under both, and the faucet.

A chain adds who judges: see `_accept`. Readers hold `_lock`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from glasstumbler.chains import blocks, kernel, rules, signing
from glasstumbler.chains.base import Block, Format, Output, Place, Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.coinview import CoinView
from glasstumbler.chains.faucet import Faucet
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.mempool import Mempool
from glasstumbler.chains.networks import NetworkParameters
from glasstumbler.chains.tx import RawTx, to_tx
from glasstumbler.clock import Clock
from glasstumbler.errors import ChainError, StoreError, TransactionRefused

START_HEIGHT = 250
"""That a new chain is mined to, so that the faucet has 150 mature coinbases."""
BLOCK_SPACING = 600
"""Seconds between the blocks of that beginning, the last of which is dated now."""
_RECENT = 16
_NO_BLOCK = "00" * 32
_LAB = "lab"
_FAUCET = "faucet"


class UtxoBook:
    network = "regtest"
    model = False

    def __init__(self, parameters: NetworkParameters, form: Format, ring: KeyRing, clock: Clock, log: BlockLog) -> None:
        coin = parameters.coin
        self.coin, self.format = coin, form
        self._parameters, self._ring, self._clock, self._log = parameters, ring, clock, log
        self._lock = threading.RLock()
        self._view = CoinView()
        self._verify = _verifier(parameters)
        self._pool = Mempool(parameters, self._view, self._verify)
        self._recent: dict[str, Block] = {}
        self._waiting: tuple[str, ...] | None = ()
        secret = ring.secret(coin, _FAUCET, "float", 0)
        self._faucet = Faucet(self.format, parameters.funding_kind, secret, self._pool)

    # What a chain must say

    def _accept(self, tx: Tx) -> None:
        """Let a transaction into mempool and log; TransactionRefused with nothing changed."""
        raise NotImplementedError

    # Reading

    def tip(self) -> tuple[int, str]:
        with self._lock:
            return self._view.height, self._view.hashes[-1]

    def block_hash(self, height: int) -> str | None:
        with self._lock:
            return self._view.hashes[height] if 0 <= height <= self._view.height else None

    def block(self, block_hash: str) -> Block:
        found = self._recent.get(block_hash)
        if found is None:
            logged = self._log.find(block_hash)
            if logged is None:
                raise ChainError(f"no block {block_hash} on this {self.coin} chain")
            found = _read_block(self.coin, logged)
            with self._lock:
                self._remember(found)
        return found

    def raw_blocks(self) -> Iterator[bytes]:
        """The active chain's, the first one first, in the consensus serialisation."""
        for logged in self._log.chain():
            yield logged.raw

    def mempool(self) -> Collection[str]:
        """A tuple that is made once after each change: safe to keep and to walk through."""
        with self._lock:
            if self._waiting is None:
                self._waiting = tuple(self._pool.entries)
            return self._waiting

    def transaction(self, txid: str) -> Tx | None:
        with self._lock:
            entry = self._pool.entries.get(txid)
            return entry.tx if entry else self._mined_transaction(txid)

    def place(self, txid: str) -> Place | None:
        with self._lock:
            if txid in self._pool.entries:
                return Place(None, None)
            standing = self._view.standing.get(txid)
            return Place(standing.height, self._view.hashes[standing.height]) if standing else None

    # The lab's wallet

    def pay(self, address: str, amount: int) -> str:
        return self.pay_many([Output(self.format.key(address), amount)])

    def pay_many(self, outputs: Sequence[Output]) -> str:
        """NoFunds if the faucet has too little; TransactionRefused for an output that no node relays."""
        if any(output.amount < self.format.dust for output in outputs):
            raise TransactionRefused("dust", f"an output below {self.format.dust}")
        with self._lock:
            return self._send(self._faucet.sign(outputs).raw)

    def fresh_address(self, kind: str | None = None) -> str:
        index = self._log.next_number("fresh addresses")
        secret = self._ring.secret(self.coin, _LAB, "lab", index)
        return self.format.address(self.format.own_key(kind or self._parameters.funding_kind, secret))

    # Within

    def _send(self, raw: bytes) -> str:
        """A transaction of the faucet's."""
        tx = to_tx(raw)
        try:
            self._accept(tx)
        except (ChainError, StoreError):
            self._faucet.recount(self._view)
            raise
        self._faucet.sent(tx)
        return tx.txid

    def _bring_back(self, candidates: Sequence[Tx]) -> None:
        left = list(candidates)
        while left:
            refused = [tx for tx in left if not self._try(tx)]
            if len(refused) == len(left):
                break
            left = refused  # a child may have stood before its parent: canonical order

    def _try(self, tx: Tx) -> bool:
        try:
            self._pool.accept(tx, returned=True)
        except TransactionRefused:
            return False
        return True

    def _mined_transaction(self, txid: str) -> Tx | None:
        return self._source(txid) if txid in self._view.standing else None

    def _source(self, txid: str) -> Tx:
        height, _, offset, size = self._view.standing[txid]
        with suppress(TransactionRefused):
            tx = to_tx(self._log.piece(self._view.hashes[height], offset, size))
            if tx.txid == txid:
                return tx
        raise _damaged(self.coin, height)

    def _remember(self, block: Block) -> None:
        self._recent[block.hash] = block
        while len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]

    def _replay(self, logged: LoggedBlock) -> None:
        """What the log holds was judged before it was written: only its order and integrity are looked at."""
        header, txs = blocks.parse_block(logged.raw)
        tip = self._view.hashes[-1] if self._view.hashes else _NO_BLOCK
        if header.previous != tip or blocks.block_hash(logged.raw) != logged.hash:
            raise _damaged(self.coin, logged.height)
        try:
            self._view.connect(logged.hash, header.time, txs if logged.height else ())
        except KeyError as missing:
            raise _damaged(self.coin, logged.height) from missing


def _read_block(coin: str, logged: LoggedBlock) -> Block:
    """A block of the log, held against its hash."""
    header, txs = blocks.parse_block(logged.raw)
    root = blocks.merkle_root([bytes.fromhex(tx.txid)[::-1] for tx in txs])
    if blocks.block_hash(logged.raw) != logged.hash or header.merkle_root != root:
        raise _damaged(coin, logged.height)
    return Block(logged.height, logged.hash, logged.previous, header.time, txs)


def _damaged(coin: str, height: int) -> StoreError:
    return StoreError(f"the {coin} block log is damaged at height {height}")


def _verifier(network: NetworkParameters) -> rules.Verify:
    """Core's engine where it knows the coin's scripts and is there; else our own check of the standard kinds."""
    if network.engine_scripts and kernel.AVAILABLE:
        return _verify_by_engine

    def verify(parsed: RawTx, raw: bytes, spent: Sequence[Output]) -> None:
        signing.verify(parsed, spent, network.coin)

    return verify


def _verify_by_engine(parsed: RawTx, raw: bytes, spent: Sequence[Output]) -> None:
    kernel.verify_inputs(raw, spent)
