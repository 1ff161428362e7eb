"""The nodes as a process reaches them: the laboratory's own chains, behind a line on which anything can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

from glasstumbler.chains.base import Block, LabChain, Output, Place, Tx, broadcast_each
from glasstumbler.chains.lightning import LightningPayment
from glasstumbler.engine.commands import Route
from glasstumbler.errors import ChainError, TransactionRefused
from glasstumbler.ground import Chains, Lightning
from glasstumbler.torture.mischief import Mischief, Process

T = TypeVar("T")
_REFUSALS = ("other", "fee-too-low", "missing-inputs")
"""What a node says that is full, that wants more, or that is behind; in turn."""


class Stale(NamedTuple):
    """What a node knew at some time, and goes on answering. Hashes by height, from the oldest that a reorganisation
    may have taken out since."""

    height: int
    hashes: Mapping[int, str | None]
    waiting: tuple[str, ...]


class Trouble:
    """What ails the nodes, by coin, until it passes."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.stale: dict[str, Stale] = {}

    @property
    def any(self) -> bool:
        return bool(self.down or self.stale)

    def freeze(self, chain: LabChain) -> None:
        """From now on the chain's node says what it says now."""
        height, _ = chain.tip()
        hashes = {number: chain.block_hash(number) for number in range(max(height - 40, 0), height + 1)}
        self.stale[chain.coin] = Stale(height, hashes, tuple(chain.mempool()))


class SimChain:
    """A `LabChain` on such a line, as one process sees it."""

    def __init__(self, chain: LabChain, process: Process, mischief: Mischief, trouble: Trouble) -> None:
        self._chain, self._process, self._mischief, self._trouble = chain, process, mischief, trouble
        self.coin, self.network, self.node, self.model = chain.coin, chain.network, chain.node, chain.model
        self.format = chain.format
        self._refused = 0

    # Asking

    def tip(self) -> tuple[int, str]:
        return self._ask("tip", self._chain.tip, lambda was: (was.height, was.hashes[was.height] or ""))

    def block_hash(self, height: int) -> str | None:
        def then(was: Stale) -> str | None:
            if height > was.height:
                return None
            return was.hashes[height] if height in was.hashes else self._chain.block_hash(height)

        return self._ask("block_hash", lambda: self._chain.block_hash(height), then)

    def block(self, block_hash: str) -> Block:
        return self._ask("block", lambda: self._chain.block(block_hash))

    def mempool(self) -> Collection[str]:
        return self._ask("mempool", self._chain.mempool, lambda was: was.waiting)

    def transaction(self, txid: str) -> Tx | None:
        return self._ask("transaction", lambda: self._chain.transaction(txid))

    def place(self, txid: str) -> Place | None:
        def then(was: Stale) -> Place | None:
            place = self._chain.place(txid)
            if txid in was.waiting:
                return Place(None, None)
            known = place is not None and place.height is not None and was.hashes.get(place.height) == place.block
            return place if known else None

        return self._ask("place", lambda: self._chain.place(txid), then)

    def _ask(self, name: str, call: Callable[[], T], then: Callable[[Stale], T] | None = None) -> T:
        def answer() -> T:
            self._check_up()
            was = None if self._mischief.silent else self._trouble.stale.get(self.coin)
            return call() if was is None or then is None else then(was)

        return self._mischief.call(self._process, "ask", f"{self.coin} {name}", answer)

    def _check_up(self) -> None:
        if self.coin in self._trouble.down and not self._mischief.silent:
            raise ChainError(f"{self.coin}: the node is down")

    # Sending

    def broadcast(self, raw: bytes) -> str:
        fault = self._mischief.reach(self._process, "send")
        kind = fault.kind if fault is not None else ""
        self._check_up()
        if kind in ("node is down", "not sent"):
            raise ChainError(f"{self.coin}: no answer")
        if kind == "swallowed":
            return ""
        if kind == "refused":
            self._refused += 1
            raise TransactionRefused(_REFUSALS[self._refused % len(_REFUSALS)], "so says a node")
        if kind == "sent twice":
            self._chain.broadcast(raw)
        txid = self._chain.broadcast(raw)
        if kind == "sent but not heard":
            raise ChainError(f"{self.coin}: no answer")
        if kind == "crash after":
            self._mischief.crash(self._process)
        return txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        return broadcast_each(self, raws)

    def mine(self, blocks: int = 1) -> int:
        self._check_up()
        return self._chain.mine(blocks)

    def pay(self, address: str, amount: int) -> str:
        self._check_up()
        return self._chain.pay(address, amount)

    def pay_many(self, outputs: Sequence[Output]) -> str:
        self._check_up()
        return self._chain.pay_many(outputs)

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        return self._chain.reorg(depth, forget)

    def fresh_address(self, kind: str | None = None) -> str:
        return self._chain.fresh_address(kind)

    def close(self) -> None:
        """The node lives on."""


class SimLightning:
    """The Lightning network on such a line."""

    def __init__(self, network: Lightning, process: Process, mischief: Mischief, trouble: Trouble) -> None:
        self._network, self._process, self._mischief, self._trouble = network, process, mischief, trouble
        self.network, self.node, self.model = network.network, network.node, network.model

    def invoice(self, amount_msat: int, expiry: int = 3_600, description: str = "") -> str:
        return self._network.invoice(amount_msat, expiry, description)

    def check_route(self, invoice: str, payer: str) -> Route:
        return self._ask("check_route", lambda: self._network.check_route(invoice, payer))

    def paid(self, key: str) -> LightningPayment | None:
        return self._ask("paid", lambda: self._network.paid(key))

    def sendable(self, payer: str) -> int:
        return self._ask("sendable", lambda: self._network.sendable(payer))

    def pay(self, payer: str, invoice: str, key: str) -> LightningPayment:
        fault = self._mischief.reach(self._process, "send")
        kind = fault.kind if fault is not None else ""
        self._check_up()
        if kind in ("node is down", "not sent", "swallowed", "refused"):
            raise ChainError("lightning: no answer")
        paid = self._network.pay(payer, invoice, key)
        if kind == "sent twice":
            paid = self._network.pay(payer, invoice, key)
        if kind == "sent but not heard":
            raise ChainError("lightning: no answer")
        if kind == "crash after":
            self._mischief.crash(self._process)
        return paid

    def close(self) -> None:
        """The network lives on."""

    def _ask(self, name: str, call: Callable[[], T]) -> T:
        def answer() -> T:
            self._check_up()
            return call()

        return self._mischief.call(self._process, "ask", f"lightning {name}", answer)

    def _check_up(self) -> None:
        if "lightning" in self._trouble.down and not self._mischief.silent:
            raise ChainError("lightning: the node is down")


def lines(chains: Chains, process: Process, mischief: Mischief, trouble: Trouble) -> Chains:
    """All chains as a process reaches them."""
    onchain = {coin: SimChain(chain, process, mischief, trouble) for coin, chain in chains.onchain.items()}
    network = chains.lightning
    return Chains(onchain, network and SimLightning(network, process, mischief, trouble))
