"""An Ethereum node as a private chain of the laboratory.

Coins are accounts at a nonce, as in the chain in this process (chains/eth.py), and transfers are signed here. Blocks
are mined at our clock's time, so that a node that forgets them can make the same ones again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from glasstumbler.chains.base import Output
from glasstumbler.chains.eth_format import (
    CHAIN_ID,
    ETHER,
    GWEI,
    TRANSFER_GAS,
    EthFormat,
    next_base_fee,
    own_address,
    read_transfer,
    sign_transfer,
)
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import Clock
from glasstumbler.errors import ChainError, NodeAway, NoFunds, TransactionRefused
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.eth_follow import FUNDED, EthFollower
from glasstumbler.nodes.eth_link import Seen

DEEPEST: Final = 100
"""Blocks of a reorganisation. From a few hundred on anvil goes back to a state out of a file, in which something is
missing: its blocks go on, with other state roots, and could not be made again after a kill."""
_FAUCET_BALANCE: Final = 10**9 * ETHER


class EthNode(EthFollower):
    """LabChain of chains/base.py. `ring` is the laboratory's: the faucet's key and the fresh addresses come from it."""

    network = "private"
    model = False

    def __init__(self, endpoint: Endpoint, ring: KeyRing, clock: Clock, folder: Path | None = None) -> None:
        self.format = EthFormat()
        self._ring, self._clock = ring, clock
        self._secret = ring.secret("eth", "faucet", "float", 0)
        self._faucet = "0x" + own_address(self._secret).hex()
        self._account: tuple[str, int, int] = "", 0, 0
        super().__init__(endpoint, folder)
        try:
            self.node = self._link.version()
            self._steady(self._fill_faucet)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, coin: str, endpoint: Endpoint, ring: KeyRing, clock: Clock, folder: Path | None) -> EthNode:
        """As every adapter is opened; `coin` is eth."""
        if coin != cls.coin:
            raise ChainError(f"an Ethereum node has no {coin}")
        return cls(endpoint, ring, clock, folder)

    # Sending.

    def broadcast(self, raw: bytes) -> str:
        (refused,) = self.broadcast_all([raw])
        if refused is not None:
            raise refused
        return read_transfer(raw).txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        with self._lock:
            return self._steady(lambda: self._send(raws))

    def _send(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        said = [self._fault(raw) for raw in raws]
        sent = [at for at, fault in enumerate(said) if fault is None and not self._knows(raws[at])]
        for at, refused in zip(sent, self._link.send([raws[at] for at in sent], in_order=True), strict=True):
            said[at] = refused
        self._wait_each([raws[at] for at in sent if said[at] is None])
        if any(said[at] for at in sent):
            self._follow()  # somebody else may have mined it
            said = [None if self._knows(raw) else refused for raw, refused in zip(raws, said, strict=True)]
        return said

    def _fault(self, raw: bytes) -> TransactionRefused | None:
        """What no node needs to be asked for: only transfers on this chain are sent."""
        try:
            chain_id = read_transfer(raw).chain_id
        except TransactionRefused as refused:
            return refused
        if chain_id != CHAIN_ID:
            return TransactionRefused("other", f"signed for chain {chain_id}; this private chain is {CHAIN_ID}")
        return None

    def _knows(self, raw: bytes) -> bool:
        try:
            txid = read_transfer(raw).txid
        except TransactionRefused:
            return False
        return txid in self._pool or txid in self._places

    def _wait_each(self, raws: Sequence[bytes]) -> None:
        """One after the other: a later one may replace an earlier one."""
        for raw in raws:
            if not self._knows(raw):
                self._wait([read_transfer(raw).tx()])

    # Faucet and the lab's own wallet.

    def pay(self, address: str, amount: int) -> str:
        return self.pay_many([Output(self.format.key(address), amount)])

    def pay_many(self, outputs: Sequence[Output]) -> str:
        with self._lock:
            return self._steady(lambda: self._pay(outputs))

    def fresh_address(self, kind: str | None = None) -> str:
        with self._lock:
            secret = self._ring.secret("eth", "lab", "lab", self._log.next_number("fresh"))
            return self.format.address(self.format.own_key(kind or "account", secret))

    def _pay(self, outputs: Sequence[Output]) -> str:
        self._follow()
        balance, nonce = self._faucet_account()
        queue = self._queues.get(self._faucet, {})
        price = self._price()
        need = sum(output.amount + TRANSFER_GAS * price for output in outputs)
        waiting = sum(read_transfer(self._pool[txid].raw).cost for txid in queue.values())
        if need > balance - waiting:
            raise NoFunds(f"the faucet has {balance - waiting} wei, and this takes {need}")
        signed = []
        for output in outputs:
            while nonce in queue:
                nonce += 1
            signed.append(sign_transfer(self._secret, nonce, output.key, output.amount, price))
            nonce += 1
        said = self._link.send([each.raw for each in signed])
        accepted = [each for each, refused in zip(signed, said, strict=True) if refused is None]
        self._wait([read_transfer(each.raw).tx() for each in accepted])
        for refused in said:
            if refused is not None:
                raise refused
        return signed[-1].txid

    def _price(self) -> int:
        """Wei per gas with which a payment is mined soon."""
        return max(2 * GWEI, 2 * self._base_fee(self._top()[0]))

    def _base_fee(self, height: int) -> int:
        """Of the block that follows this one."""
        last = self._node_block(self._hashes[height])
        return next_base_fee(last.base_fee, last.gas_used, last.gas_limit)

    def _faucet_account(self) -> tuple[int, int]:
        """Its balance and next nonce after the tip."""
        tip = self._top()[1]
        if self._account[0] != tip:
            self._account = tip, *self._link.account(self._faucet)
        return self._account[1:]

    def _fill_faucet(self) -> None:
        """Its money comes from outside of any block; where, is written down first."""
        self._follow()
        if self._faucet_account()[0] >= _FAUCET_BALANCE // 2:
            return
        given = (self._top()[0], self._faucet, _FAUCET_BALANCE)
        self._log.note(FUNDED, json.dumps([*self._funded(), given]))
        self._link.set_balance(self._faucet, _FAUCET_BALANCE)
        self._account = "", 0, 0

    # Blocks.

    def mine(self, blocks: int = 1) -> int:
        with self._lock:
            for _ in range(blocks):
                self._steady(self._mine_one)
            return self._top()[0]

    def _mine_one(self) -> None:
        self._look()  # what waits is known, so that only the hashes of the block have to be asked for
        self._link.mine(self._next_time())
        self._follow()

    def _next_time(self) -> int:
        return max(self._clock.now(), self._node_block(self._top()[1]).block.time + 1)

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        with self._lock:
            self._steady(self._look)
            height = self._top()[0]
            if not 0 < depth <= height:
                raise ChainError(f"a reorganisation of {depth} blocks; the chain has {height}")
            if depth > DEEPEST:
                raise ChainError(f"a reorganisation of {depth} blocks; {self._link.name} can do {DEEPEST}")
            self._steady(lambda: self._replace(depth))
            self._drop(forget)
            self._steady(self._follow)
            self._steady(self._fill_gaps)
            return self._top()[0]

    def _replace(self, depth: int) -> None:
        """The last blocks by one more, all empty. What waits is taken from the node first, and sent again after."""
        fork = self._top()[0] - depth
        stale = self._node_block(self._hashes[fork + 1]).block
        time = max(self._clock.now(), self._node_block(self._hashes[fork]).block.time + 1)
        self._owing = True
        self._link.drop_all()
        self._link.rollback(depth)
        if self._link.seen() != Seen(fork, self._hashes[fork]):
            raise NodeAway(self._link.name, f"it did not go back to block {fork}")
        self._link.set_base_fee(self._base_fee(fork))
        for number in range(depth + 1):
            self._link.mine(time + number + (time == stale.time))  # another time makes another block
        self._take(self._link.seen())

    def _drop(self, txids: Collection[str]) -> None:
        self._log.wait((), txids)
        self._leave(txids)

    def _fill_gaps(self) -> None:
        """What a reorganisation forgot must not hold up the faucet's later payments: nothing, paid to itself, takes
        the place of a missing nonce."""
        _, nonce = self._faucet_account()
        last = max(self._queues.get(self._faucet, {}), default=nonce)
        missing = [free for free in range(nonce, last) if free not in self._queues[self._faucet]]
        key, price = own_address(self._secret), self._price()
        self._send([sign_transfer(self._secret, free, key, 0, price).raw for free in missing])
