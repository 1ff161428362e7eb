"""Chain -> orders: blocks, the mempool and reorganisations become deposits of orders and places of payments.

The watch keeps a cursor on each chain in the store, with the last blocks it has taken in. A block, connected or
disconnected, is one unit of work, so that a crash leaves the cursor and everything that the block did in step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from glasstumbler.chains.base import Block, Chain
from glasstumbler.clock import Clock
from glasstumbler.engine import ledger
from glasstumbler.engine.policy import Policy
from glasstumbler.errors import ChainError
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records
from glasstumbler.turn import Turn, arrivals

_KEEP_BLOCKS = 500
"""Blocks that the cursor remembers: the deepest reorganisation that it follows."""


class Watch:
    """Follows one chain."""

    def __init__(self, store: Store, chain: Chain, policies: Mapping[str, Policy], clock: Clock) -> None:
        self._store, self._chain, self._policies, self._clock = store, chain, policies, clock
        self._coin = chain.coin
        self._known: set[str] | None = None
        """Txids of the mempool as last seen; None: look at everything anew."""
        self._seen: tuple[int, str] | None = None
        """The record's cursor then."""

    def due(self) -> bool:
        """Whether the chain shows something that was not taken in. Cheap."""
        cursor = self._store.read(lambda records: records.cursor(self._coin))
        return cursor != self._chain.tip() or set(self._chain.mempool()) != self._known

    def sync(self) -> bool:
        """Take in whatever has happened on the chain; True if anything had."""
        moved = False
        while self._step():
            moved = True
        return self._look_at_mempool() or moved

    def _step(self) -> bool:
        cursor = self._store.read(lambda records: records.cursor(self._coin))
        if cursor is None:
            self._begin()
            return True
        height, block_hash = cursor
        if self._chain.block_hash(height) != block_hash:
            self._disconnect(self._chain.block(block_hash))
            return True
        following = self._chain.block_hash(height + 1)
        if following is None:
            return False
        block = self._chain.block(following)
        if block.previous == block_hash:  # else the chain was reorganised between the two questions
            self._connect(block)
        return True

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Blocks from before the record pay nobody here, but a reorganisation may reach back into them."""
        tip, _ = self._chain.tip()
        now = self._clock.now()
        hashes = {height: self._chain.block_hash(height) for height in range(max(tip - _KEEP_BLOCKS, 0), tip + 1)}

        def unit(records: Records) -> None:
            for height, block_hash in hashes.items():
                if block_hash is not None:
                    records.push_block(self._coin, height, block_hash, _KEEP_BLOCKS)
            self._note(records, "watch begins", tip, now)

        self._store.write(unit)

    def _connect(self, block: Block) -> None:
        now = self._clock.now()

        def unit(records: Records) -> None:
            if records.cursor(self._coin) != (block.height - 1, block.previous):
                return  # another worker has taken it in
            turn = Turn(records, self._chain, self._policies, now, block.height)
            turn.payments_mined(records.payments_in(self._coin, [tx.txid for tx in block.txs]))
            turn.arrived(arrivals(records, self._coin, block.txs, block.height))
            turn.mature()
            records.push_block(self._coin, block.height, block.hash, _KEEP_BLOCKS)
            self._note(records, "block", block.height, now)

        self._store.write(unit)

    def _disconnect(self, block: Block) -> None:
        now = self._clock.now()
        self._known = None

        def unit(records: Records) -> None:
            if records.cursor(self._coin) != (block.height, block.hash):
                return
            records.pop_block(self._coin, block.height)
            if records.cursor(self._coin) is None:
                raise ChainError(f"{self._coin}: a reorganisation deeper than {_KEEP_BLOCKS} blocks")
            turn = Turn(records, self._chain, self._policies, now, block.height - 1)
            txids = [tx.txid for tx in block.txs]
            for payment in records.payments_in(self._coin, txids):
                turn.payment_unmined(payment)
            turn.deposits_unmined(records.deposits_in(self._coin, txids))
            if self._chain.format.one_to_one:
                turn.accounts_unmined(arrivals(records, self._coin, block.txs, block.height))
            else:
                turn.coins_unmined(records.coins_in(self._coin, txids))
            self._note(records, "block gone", block.height, now)

        self._store.write(unit)

    def _note(self, records: Records, kind: str, height: int, now: int) -> None:
        """The cursor moves inside the record too."""
        records.append(ledger.Entry(kind, now, ledger.LAB, detail={"coin": self._coin, "height": height}))

    # -- mempool --------------------------------------------------------------------------------------------------

    def _look_at_mempool(self) -> bool:
        now_there = set(self._chain.mempool())
        before = self._known
        cursor = self._store.read(lambda records: records.cursor(self._coin)) if self._store.shared else None
        if now_there == before and cursor == self._seen:
            return False
        fresh = now_there - before if before is not None else now_there
        # Where others watch as well, one of them may have seen what we never did, and died before it saw it go.
        vanished = before - now_there if before is not None and not self._store.shared else None
        txs = [tx for txid in self._in_order(fresh) if (tx := self._chain.transaction(txid)) is not None]
        now = self._clock.now()

        def unit(records: Records) -> bool:
            height = (records.cursor(self._coin) or (0, ""))[0]
            turn = Turn(records, self._chain, self._policies, now, height)
            turn.arrived(arrivals(records, self._coin, txs, None))
            lost = (
                records.unmined_deposits(self._coin) if vanished is None else records.deposits_in(self._coin, vanished)
            )
            return turn.deposits_lost(lost, now_there) or bool(txs)

        moved = self._store.write(unit)
        self._known, self._seen = now_there, cursor
        return moved

    def _in_order(self, txids: Collection[str]) -> Iterable[str]:
        return [txid for txid in self._chain.mempool() if txid in txids] if txids else ()
