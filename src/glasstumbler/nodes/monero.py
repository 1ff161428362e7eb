"""The adapter for monerod on a private chain (regtest, offline), with monero-wallet-rpc for the faucet.

Receiving needs no wallet: blocks and mempool are scanned here with the view keys of the services' wallets
(chains/monero_scan.py). What pays none of them stands as one-time keys without amounts, as everybody sees it.

The adapter follows its node: `tip` and `mempool` ask it (one call each while nothing changes), everything else is
answered from what they saw, from memory and the block log. A node that was started anew and has lost blocks or
transactions is given them again; one that goes back without that was told to, and is followed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from glasstumbler.chains.base import Block, Output, Place, Tx, broadcast_each
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.chains.monero_keys import (
    INTEGRATED,
    PRIMARY,
    SUBADDRESS,
    Address,
    decode_address,
    subaddress,
)
from glasstumbler.chains.monero_rct import RctBlock, read_rct_block, read_rct_tx
from glasstumbler.chains.monero_scan import (
    Opened,
    Viewer,
    Wallet,
    is_node_block,
    log_block,
    open_tx,
    read_names,
    read_node_block,
    read_parts,
    viewer,
)
from glasstumbler.errors import ChainError, NodeAnswer, NoFunds, StoreError, TransactionRefused
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.monero_wallet import MOST_OUTPUTS, FaucetWallet, wire_address
from glasstumbler.nodes.monerod import Info, Monerod

XMR: Final = 10**12
START_HEIGHT: Final = 100
"""A younger chain is brought up to it: coinbases of 35 XMR, 30 of them unlocked, and the faucet's coins split."""
DEEPEST: Final = 90
"""Blocks that a reorganisation takes out at most: a Monero wallet follows no more than 100."""

_SPLITS, _SPLIT_LOCK, _SPLIT_AMOUNT = 12, 10, 4 * XMR
_TRIES: Final = 20
_RECENT: Final = 64


class MoneroNode:
    """LabChain of chains/base.py. One process at a time."""

    coin = "xmr"
    network = "fakechain"
    model = False

    def __init__(
        self, endpoint: Endpoint, ring: KeyRing, folder: Path | None = None, viewers: Sequence[Viewer] = ()
    ) -> None:
        """`endpoint.extra["wallet"]` is the wallet server's URL. `ring` is the laboratory's, for the faucet and the
        fresh addresses. `viewers`: the wallets that are looked into, one for each service that takes Monero:
        `viewer(KeyRing(vault.wallet_seed).secret("xmr", SERVICE, "deposit", 0))`. `folder` None: the log is kept in
        memory. Blocks carry the node's own time.

        NodeAway, RefusedNode; StoreError if the folder's log is of the in-process model; ChainError if the node has
        another chain than the folder."""
        self.format = MoneroFormat()
        self._lock = threading.RLock()
        self._lab_seed = ring.secret("xmr", "lab", "lab", 0)
        self._wallets = [Wallet(each) for each in (*viewers, viewer(self._lab_seed))]
        self._hashes: list[str] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._pool: dict[str, Opened] = {}
        self._recent: OrderedDict[str, Block] = OrderedDict()
        self._started: int | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._log = BlockLog(folder / "xmr.blocks" if folder else None, "xmr")
        self._monerod = Monerod(endpoint)
        self._faucet = FaucetWallet(endpoint, ring.secret("xmr", "faucet", "float", 0))
        try:
            self._recall()
            info = self._look()
            self.node = f"monerod {info.version}"
            self._look_at_pool()
            self._begin()
        except BaseException:
            self.close()
            raise

    # Reading.

    def tip(self) -> tuple[int, str]:
        with self._lock:
            self._look()
            return self._tip()

    def block_hash(self, height: int) -> str | None:
        with self._lock:
            return self._hashes[height] if 0 <= height < len(self._hashes) else None

    def block(self, block_hash: str) -> Block:
        with self._lock:
            known = self._recent.get(block_hash)
            if known is None:
                known = read_node_block(self._logged(block_hash).raw)
                self._remember(known)
            return known

    def mempool(self) -> Collection[str]:
        with self._lock:
            self._look_at_pool()
            return tuple(self._pool)

    def transaction(self, txid: str) -> Tx | None:
        with self._lock:
            if txid in self._pool:
                return self._pool[txid].tx
            place = self._places.get(txid)
            return None if place is None else self.block(self._hashes[place[0]]).txs[place[1]]

    def place(self, txid: str) -> Place | None:
        with self._lock:
            if txid in self._pool:
                return Place(None, None)
            place = self._places.get(txid)
            return None if place is None else Place(place[0], self._hashes[place[0]])

    # Sending.

    def broadcast(self, raw: bytes) -> str:
        parsed = read_rct_tx(raw)
        with self._lock:
            if parsed.txid not in self._pool and parsed.txid not in self._places:
                self._monerod.send(raw)
                self._enter([open_tx(parsed, self._wallets)])
        return parsed.txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        return broadcast_each(self, raws)

    def pay(self, address: str, amount: int) -> str:
        self.format.key(address)  # the guard's word on it
        return self._pay([(self._target(decode_address(address)), amount)])

    def pay_many(self, outputs: Sequence[Output]) -> str:
        """Up to 15 outputs a transaction, so there may be several: the last one's txid."""
        targets = [(self._target(self._address_of(key)), amount) for key, amount in outputs]
        with self._lock:
            pieces = [targets[at : at + MOST_OUTPUTS] for at in range(0, len(targets), MOST_OUTPUTS)]
            return [self._pay(piece) for piece in pieces][-1]

    def fresh_address(self, kind: str | None = None) -> str:
        with self._lock:
            return subaddress(self._lab_seed, 1 + self._log.next_number("fresh"))

    # Blocks.

    def mine(self, blocks: int = 1) -> int:
        """Blocks and their order of transactions are the node's: by fee."""
        with self._lock:
            self._look()
            if blocks > 0:
                self._monerod.generate(blocks, self._faucet.wire_address)
                self._look()
            return self._tip()[0]

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        with self._lock:
            self._look()
            self._look_at_pool()
            height = self._tip()[0]
            if not 0 < depth <= min(height - 1, DEEPEST):
                raise ChainError(
                    f"a reorganisation of {depth} blocks; the chain has {height}, and {DEEPEST} are the most"
                )
            taken = [self._opened(name) for name in self._hashes[-depth:]]
            removed = [opened for block in taken for opened in block[1:]]
            waiting = list(self._pool.values())
            # Written down before the blocks go, so that whoever dies in between loses no transaction.
            self._log.wait([_row(opened) for opened in removed if opened.tx.txid not in forget])
            started, self._started = self._started, None  # until it is through, the node may lack what we have
            self._monerod.pop(depth)
            self._monerod.flush(self._monerod.pool())
            self._monerod.generate(height + 1 - self._monerod.info().height, self._faucet.wire_address)
            self._started = started
            self._pool.clear()
            self._look()
            self._give_back([*removed, *waiting], forget)
            gone = [opened for opened in (*removed, *waiting) if opened.tx.txid in forget]
            if gone:
                self._faucet.take_up([image for opened in gone for image in opened.rct.images])
            return self._tip()[0]

    def close(self) -> None:
        with self._lock:
            self._monerod.close()
            self._faucet.close()
            self._log.close()

    # Following the node.

    def _tip(self) -> tuple[int, str]:
        return len(self._hashes) - 1, self._hashes[-1]

    def _recall(self) -> None:
        """The chain as the log has it."""
        for logged in self._log.chain():
            if not is_node_block(logged.raw):
                raise StoreError("the xmr chain in this folder is the in-process model's, not a node's")
            self._note(logged.hash, read_names(logged.raw))

    def _look(self) -> Info:
        """Take in what blocks the node has."""
        info = self._monerod.info()
        anew = info.started != self._started
        if not self._hashes or info.top != self._hashes[-1]:
            self._follow(info, anew)
        if anew:
            self._give_back(self._waiting(), ())
            self._started = info.started
        return info

    def _follow(self, info: Info, anew: bool) -> None:
        own = len(self._hashes) - 1
        fork = min(own, info.height)
        while fork >= 0 and self._monerod.hash_at(fork) != self._hashes[fork]:
            fork -= 1
        if fork < own and fork == info.height and anew:
            self._replay(fork + 1)
            return
        if fork < min(1, own) and info.height > 0:
            raise ChainError("this monerod has another chain than the folder: give it the data folder that it had")
        fetched = [self._fetch(height) for height in range(fork + 1, info.height + 1)]
        previous = self._hashes[fork] if fork >= 0 else None
        for block, _ in fetched:
            if previous is not None and block.previous != previous:
                return  # it was reorganised meanwhile: at the next look
            previous = block.hash
        self._take(fork, fetched)
        if fork < own:
            self._look_at_pool()

    def _fetch(self, height: int) -> tuple[RctBlock, list[Opened]]:
        block = read_rct_block(self._monerod.block(height))
        unknown = [txid for txid in block.txids if txid not in self._pool]
        found = self._monerod.transactions(unknown) if unknown else {}
        txs = [open_tx(block.coinbase, self._wallets)]
        for txid in block.txids:
            if txid in self._pool:
                txs.append(self._pool[txid])
                continue
            parsed = read_rct_tx(found[txid].raw) if txid in found else None
            if parsed is None or parsed.txid != txid:
                raise ChainError(f"the node gives no transaction {txid}, which its block {block.hash} names")
            txs.append(open_tx(parsed, self._wallets))
        return block, txs

    def _take(self, fork: int, fetched: Sequence[tuple[RctBlock, list[Opened]]]) -> None:
        """These blocks follow the one at height `fork`; what stood there goes."""
        logged = [LoggedBlock(b.height, b.hash, b.previous, log_block(b, txs)) for b, txs in fetched]
        mined = [txid for block, _ in fetched for txid in block.txids]
        self._log.append(logged or [self._logged(self._hashes[fork])], mined)
        for name in self._hashes[fork + 1 :]:
            for txid in read_names(self._logged(name).raw):
                self._places.pop(txid, None)
        del self._hashes[fork + 1 :]
        for block, txs in fetched:
            self._note(block.hash, [opened.tx.txid for opened in txs])
            self._remember(
                Block(block.height, block.hash, block.previous, block.time, tuple(opened.tx for opened in txs))
            )
            for txid in block.txids:
                self._pool.pop(txid, None)

    def _note(self, name: str, txids: Iterable[str]) -> None:
        for position, txid in enumerate(txids):
            self._places[txid] = (len(self._hashes), position)
        self._hashes.append(name)

    def _replay(self, first: int) -> None:
        """The node has lost the blocks from this height on."""
        for name in self._hashes[first:]:
            block, txs = read_parts(self._logged(name).raw)
            try:
                for opened in txs[1:]:
                    self._monerod.send(opened.rct.raw)
                self._monerod.submit(block.raw)
            except (NodeAnswer, TransactionRefused) as error:
                raise ChainError(f"the node has lost block {name} and does not take it again: {error.text}") from None

    def _look_at_pool(self) -> None:
        """Take in what waits at the node, in order of arrival."""
        there = self._monerod.pool()
        if not self._pool.keys() <= set(there):  # mined, or lost by a node that was started anew, or gone
            self._look()
            there = self._monerod.pool()
            gone = self._pool.keys() - set(there)
            self._log.wait([], gone)
            for txid in gone:
                del self._pool[txid]
        unknown = [txid for txid in there if txid not in self._pool and txid not in self._places]
        if unknown:
            rows = self._monerod.transactions(unknown)
            fresh = sorted((row for row in rows.values() if row.waits), key=lambda row: row.since)
            self._enter([open_tx(read_rct_tx(row.raw), self._wallets) for row in fresh])

    def _enter(self, arrived: Sequence[Opened]) -> None:
        self._log.wait([_row(opened) for opened in arrived])
        self._pool.update((opened.tx.txid, opened) for opened in arrived)

    def _waiting(self) -> list[Opened]:
        return [open_tx(read_rct_tx(raw), self._wallets) for raw in self._log.waiting()]

    def _give_back(self, waiting: Sequence[Opened], forget: Collection[str]) -> None:
        """What waited, to a node that may have lost it, in its old order; what it does not take any more is gone."""
        kept: list[Opened] = []
        for opened in waiting:
            if opened.tx.txid in forget or opened.tx.txid in self._places:
                continue
            try:
                self._monerod.send(opened.rct.raw)
            except TransactionRefused:
                continue
            kept.append(opened)
        now = {opened.tx.txid: opened for opened in kept}
        now |= {txid: opened for txid, opened in self._pool.items() if txid not in now}
        self._log.wait([_row(opened) for opened in now.values()], {opened.tx.txid for opened in waiting} | now.keys())
        self._pool = now

    # The faucet.

    def _begin(self) -> None:
        """Coins for the faucet, on a chain that is young; many of them, since each is locked for a while once used."""
        height = self._tip()[0]
        if height >= START_HEIGHT:
            return
        self.mine(max(START_HEIGHT - _SPLIT_LOCK - height, 0))
        with suppress(NoFunds):  # an earlier start was broken off here, and has split some
            for _ in range(_SPLITS):
                self._pay([(self._faucet.wire_address, _SPLIT_AMOUNT)] * MOST_OUTPUTS)
        self.mine(START_HEIGHT - self._tip()[0])

    def _pay(self, payments: Sequence[tuple[str, int]]) -> str:
        with self._lock:
            self._look()
            self._faucet.look(*self._tip())
            for _ in range(_TRIES):
                made = self._faucet.make(payments)
                try:
                    txid = self.broadcast(made.raw)
                except TransactionRefused as refused:
                    if refused.reason != "conflict":
                        raise
                    self._faucet.put_aside(read_rct_tx(made.raw).images)
                else:
                    with suppress(
                        ChainError
                    ):  # it is sent; a wallet that did not hear of it is put right when it matters
                        self._faucet.sent(made)
                    return txid
            raise ChainError("the faucet's wallet does not know what its coins were spent for: mine a block")

    def _target(self, address: Address) -> str:
        """As the wallet server is told. Monero has integrated addresses for a wallet's first address only; ours hold
        a subaddress's keys, so that one is paid, and the payment id, which names the same order, stays away."""
        known = any(wallet.knows(address.public_spend) for wallet in self._wallets)
        if address.network_byte == INTEGRATED and known and not self._is_primary(address.public_spend):
            address = address._replace(network_byte=SUBADDRESS, payment_id=b"")
        return wire_address(address)

    def _address_of(self, key: bytes) -> Address:
        """A key does not tell a first address from a subaddress, and a payment to the wrong one is lost."""
        return Address(PRIMARY if self._is_primary(key[:32]) else SUBADDRESS, key[:32], key[32:], b"")

    def _is_primary(self, public_spend: bytes) -> bool:
        return any(wallet.public_spend == public_spend for wallet in self._wallets)

    # Inside.

    def _logged(self, block_hash: str) -> LoggedBlock:
        logged = self._log.find(block_hash)
        if logged is None:
            raise ChainError(f"no block {block_hash}")
        return logged

    def _opened(self, block_hash: str) -> tuple[Opened, ...]:
        return read_parts(self._logged(block_hash).raw)[1]

    def _remember(self, block: Block) -> None:
        self._recent[block.hash] = block
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)


def _row(opened: Opened) -> tuple[str, bytes]:
    return opened.tx.txid, opened.rct.raw
