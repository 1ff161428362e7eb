"""Follows an Ethereum node: its blocks into a log of ours, its mempool into a list of ours.

The node keeps its chain in memory and may lose it; the log has every block and what waits. A node that comes back with
the beginning of our chain is given the rest again: the same transactions in the same order at the same times, which
makes the same hashes. A node that comes back with other blocks, or takes blocks back while it runs, is followed.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from glasstumbler.chains import eth_block
from glasstumbler.chains.base import Block, Place, Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.eth_block import NodeBlock, Unsigned
from glasstumbler.errors import BlockRefused, ChainError, NodeAway, StoreError, TransactionRefused
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.eth_link import EthLink, Exchanged, Seen

_PIECE = 200
"""Blocks that are taken in at once."""
_RECENT = 600
"""Blocks that are kept parsed."""
_TRIES = 5
"""A chain that changes while it is read is read again."""
_GLANCES = 2
"""Looks at what is new before the whole mempool is read."""
FUNDED = "balances set"
"""In the log: what was given to the faucet outside of any block, [[height, address, wei], ...]."""

R = TypeVar("R")


class EthFollower:
    """The reading half of a `Chain`. Every public call takes the one lock."""

    coin = "eth"

    def __init__(self, endpoint: Endpoint, folder: Path | None) -> None:
        """`folder` None: the log is kept in memory; otherwise eth.blocks there. StoreError if it cannot be used."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._link = EthLink(endpoint)
        self._log = BlockLog(folder / "eth.blocks" if folder else None, self.coin)
        self._hashes: list[str] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._recent: OrderedDict[str, NodeBlock] = OrderedDict()
        self._pool: dict[str, Tx] = {}
        self._queues: dict[str, dict[int, str]] = {}
        """Txids of the pool by sender and nonce."""
        self._listed: tuple[str, ...] | None = None
        self._lost = True
        """The node is to be met, for the first time or again."""
        self._owing = True
        """The node is to be sent what waits."""
        try:
            self._load()
            self.tip()
        except BaseException:
            self.close()
            raise

    def tip(self) -> tuple[int, str]:
        with self._lock:
            self._steady(self._follow)
            return self._top()

    def block_hash(self, height: int) -> str | None:
        with self._lock:
            return self._hashes[height] if 0 <= height < len(self._hashes) else None

    def block(self, block_hash: str) -> Block:
        with self._lock:
            return self._node_block(block_hash).block

    def mempool(self) -> Collection[str]:
        """A snapshot, safe to walk."""
        with self._lock:
            self._steady(self._look)
            if self._listed is None:
                self._listed = tuple(self._pool)
            return self._listed

    def transaction(self, txid: str) -> Tx | None:
        with self._lock:
            if txid in self._pool:
                return self._pool[txid]
            place = self._places.get(txid)
            return None if place is None else self._node_block(self._hashes[place[0]]).block.txs[place[1]]

    def place(self, txid: str) -> Place | None:
        with self._lock:
            if txid in self._pool:
                return Place(None, None)
            place = self._places.get(txid)
            return None if place is None else Place(place[0], self._hashes[place[0]])

    def close(self) -> None:
        with self._lock:
            self._link.close()
            self._log.close()

    # Inside.

    def _steady(self, work: Callable[[], R]) -> R:
        """Do it with the node that we know; if it turns out to have been started anew, bring that one up first."""
        for _ in range(_TRIES):
            try:
                if self._lost:
                    self._come_back()
                return work()
            except Exchanged:
                self._lost = True
        raise NodeAway(self._link.name, "it is started anew again and again")

    def _top(self) -> tuple[int, str]:
        return len(self._hashes) - 1, self._hashes[-1]

    def _node_block(self, block_hash: str) -> NodeBlock:
        block = self._recent.get(block_hash)
        if block is None:
            logged = self._log.find(block_hash)
            if logged is None:
                raise ChainError(f"no block {block_hash}")
            block = eth_block.read_block(logged.raw)
            self._remember(block)
        return block

    def _remember(self, block: NodeBlock) -> None:
        self._recent[block.block.hash] = block
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    # Blocks.

    def _load(self) -> None:
        for logged in self._log.chain():
            if not eth_block.is_node_block(logged.raw):
                raise StoreError("the eth chain of this folder was made in this process; a node cannot go on with it")
            self._push(eth_block.read_block(logged.raw))
        for raw in self._log.waiting():
            with suppress(TransactionRefused):  # it was made for somebody without a signature
                self._enter([eth_block.read_transaction(raw)])

    def _push(self, block: NodeBlock) -> None:
        self._remember(block)
        self._hashes.append(block.block.hash)
        for position, tx in enumerate(block.block.txs):
            self._places[tx.txid] = (block.block.height, position)

    def _follow(self) -> None:
        """The node's tip is ours, and what waits here waits there."""
        self._take(self._link.seen())
        if self._owing:
            self._send_again()

    def _take(self, seen: Seen) -> None:
        for _ in range(_TRIES):
            while seen != self._top_seen():
                if not self._take_piece(min(seen.height, len(self._hashes) - 1 + _PIECE)):
                    break
            else:
                return
            seen = self._link.seen()
        raise NodeAway(self._link.name, "its chain changes faster than it can be read")

    def _top_seen(self) -> Seen | None:
        return Seen(*self._top()) if self._hashes else None

    def _take_piece(self, height: int) -> bool:
        """Take in what the node has up to this height. False if it changed while it was read."""
        fork = min(height, len(self._hashes) - 1)
        shown = self._shown(range(fork + 1, height + 1)) if height > fork else self._shown([height])
        if height == fork:
            fork -= 1
        while fork >= 0 and shown and shown[0]["parentHash"] != self._hashes[fork]:
            shown = self._shown([fork]) + shown
            fork -= 1
        while shown and fork + 1 < len(self._hashes) and shown[0]["hash"] == self._hashes[fork + 1]:
            shown, fork = shown[1:], fork + 1
        if fork < 0 and self._hashes:
            raise ChainError(
                f"the {self._link.name} node begins with block {shown[0]['hash'] if shown else 'none'} and the chain "
                f"in this folder with {self._hashes[0]}: it is another chain (start anvil with the same --timestamp)"
            )
        raws = self._raws([txid for each in shown for txid in each["transactions"]])
        if len(shown) != height - fork or raws is None or not _linked(shown):
            return False
        self._adopt(fork, [eth_block.make(each, [raws[txid] for txid in each["transactions"]]) for each in shown])
        return True

    def _shown(self, heights: Sequence[int]) -> list[Mapping[str, Any]]:
        return [each for each in self._link.blocks(heights) if each is not None]

    def _raws(self, txids: Sequence[str]) -> dict[str, bytes | Unsigned] | None:
        """Most are known, from when they waited. None if the node has not all."""
        signed = {txid: self._pool[txid].raw for txid in txids if txid in self._pool and _whole(self._pool[txid])}
        missing = [txid for txid in txids if txid not in signed]
        found: dict[str, bytes | Unsigned] = {**signed}
        for txid, raw in zip(missing, self._link.raws(missing), strict=True):
            if raw is None:
                return None
            found[txid] = raw
        return found

    def _adopt(self, fork: int, made: Sequence[tuple[NodeBlock, bytes]]) -> None:
        """These blocks stand on block `fork` now. What the blocks that they put out had, and they have not, waits."""
        fresh = [block for block, _ in made]
        mined = {tx.txid: tx for block in fresh for tx in block.block.txs}
        removed = [self._node_block(name) for name in self._hashes[fork + 1 :]]
        back = {tx.txid: tx for block in removed for tx in block.block.txs if tx.txid not in mined}
        # Written down before the blocks go, so that whoever dies in between loses no transaction.
        self._log.wait([(tx.txid, tx.raw) for tx in back.values()])
        logged = [LoggedBlock(each.block.height, each.block.hash, each.block.previous, raw) for each, raw in made]
        gone = self._put_out(mined.values())
        self._log.append(logged or [self._logged(fork)], gone)
        for block in reversed(removed):
            self._hashes.pop()
            for tx in block.block.txs:
                del self._places[tx.txid]
        for block in fresh:
            self._push(block)
        self._leave(gone)
        if removed:
            waiting = list(self._pool.values())
            self._leave(list(self._pool))
            self._enter([*back.values(), *waiting])
            self._owing = True

    def _put_out(self, mined: Iterable[Tx]) -> list[str]:
        """Txids of the pool that are mined now, or stand at a nonce that is used now."""
        return [
            txid
            for tx in mined
            for sender, nonce in tx.inputs
            if (txid := self._queues.get(sender, {}).get(nonce)) is not None
        ]

    def _logged(self, height: int) -> LoggedBlock:
        logged = self._log.find(self._hashes[height])
        if logged is None:
            raise ChainError(f"the log has lost block {self._hashes[height]}")
        return logged

    # The mempool.

    def _look(self) -> None:
        """Our list is the node's. Whether anything left it is told by the number that waits."""
        for _ in range(_GLANCES):
            news = self._link.news()
            if news.seen != self._top_seen() or self._owing:
                self._follow()
            if news.fresh is not None:
                self._arrived(news.fresh)
                if len(self._pool) == news.waiting:
                    return
        there = self._link.waiting()
        self._arrived(there)
        gone = self._pool.keys() - set(there)
        self._log.wait((), gone)
        self._leave(gone)
        self._follow()

    def _arrived(self, txids: Iterable[str]) -> None:
        unknown = [txid for txid in txids if txid not in self._pool and txid not in self._places]
        txs: list[Tx] = []
        for raw in self._link.raws(unknown):
            if isinstance(raw, Unsigned):
                txs.append(eth_block.read_unsigned(raw))
            elif raw is not None:
                txs.append(eth_block.read_transaction(raw))
        self._wait(txs)

    def _wait(self, txs: Sequence[Tx]) -> None:
        """They wait now, in the place of what has their nonce."""
        replaced = self._put_out(txs)
        self._log.wait([(tx.txid, tx.raw) for tx in txs if _whole(tx)], replaced)
        self._leave(replaced)
        self._enter(txs)

    def _enter(self, txs: Iterable[Tx]) -> None:
        for tx in txs:
            self._pool[tx.txid] = tx
            for sender, nonce in tx.inputs:
                self._queues.setdefault(sender, {})[nonce] = tx.txid
        self._listed = None

    def _leave(self, txids: Iterable[str]) -> None:
        for txid in txids:
            tx = self._pool.pop(txid, None)
            for sender, nonce in tx.inputs if tx is not None else ():
                queue = self._queues.get(sender, {})
                if queue.get(nonce) == txid:
                    del queue[nonce]
                    if not queue:
                        del self._queues[sender]
        self._listed = None

    def _send_again(self) -> None:
        """What the node does not take any more waits no longer: it lived on what is gone."""
        waiting = list(self._pool.values())
        said = self._link.send([tx.raw for tx in waiting], in_order=True)
        gone = [tx.txid for tx, refused in zip(waiting, said, strict=True) if refused is not None]
        self._log.wait((), gone)
        self._leave(gone)
        self._owing = False

    # A node that was started anew.

    def _come_back(self) -> None:
        seen = self._link.meet()
        if seen.height < len(self._hashes) - 1 and self._hashes[seen.height] == seen.hash:
            self._replay(seen.height)
        self._owing = True
        self._lost = False

    def _replay(self, height: int) -> None:
        """Give the node the blocks behind this one again."""
        self._link.drop_all()
        self._set_balances(height)
        for logged in list(self._log.chain(height + 1)):
            block, base_fee, *_ = eth_block.read_block(logged.raw)
            self._link.set_base_fee(base_fee)
            said = self._link.send([tx.raw for tx in block.txs], in_order=True)
            self._link.mine(block.time)
            if self._link.seen() != Seen(logged.height, logged.hash):
                self._link.rollback(1)  # so that it is not followed on a way of its own
                refused = next((str(refused) for refused in said if refused is not None), "it has another hash")
                raise BlockRefused(
                    f"the {self._link.name} node has lost its chain and does not make block {logged.height} again: "
                    f"{refused} (a node to be used here is started with --no-mining --order fifo and the same "
                    "--timestamp and --gas-limit, and its state is changed by transactions only)"
                )
            self._set_balances(logged.height)

    def _set_balances(self, height: int) -> None:
        for after, address, balance in self._funded():
            if after == height:
                self._link.set_balance(address, balance)

    def _funded(self) -> list[tuple[int, str, int]]:
        rows = json.loads(self._log.noted(FUNDED) or "[]")
        return [(height, address, balance) for height, address, balance in rows]


def _linked(shown: Sequence[Mapping[str, Any]]) -> bool:
    return all(later["parentHash"] == earlier["hash"] for earlier, later in pairwise(shown))


def _whole(tx: Tx) -> bool:
    """Whether its bytes say all of it (see `Unsigned`)."""
    try:
        return eth_block.read_transaction(tx.raw).txid == tx.txid
    except TransactionRefused:
        return False
