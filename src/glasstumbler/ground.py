"""What a laboratory stands on: its private chains, opened in this process."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

from glasstumbler.chains.base import LabChain
from glasstumbler.chains.eth import EthChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.lightning import LightningNetwork, LightningPayment
from glasstumbler.chains.monero import MoneroChain
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import Clock
from glasstumbler.engine.commands import Route
from glasstumbler.vault import Vault

ChainName = Literal["btc", "bch", "ltc", "eth", "xmr", "lightning"]
CHAINS: tuple[ChainName, ...] = get_args(ChainName)


class Lightning(Protocol):
    """The Lightning network, wherever it runs. See chains/lightning.py."""

    @property
    def network(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def model(self) -> bool: ...
    def invoice(self, amount_msat: int, expiry: int = ..., description: str = ...) -> str: ...
    def check_route(self, invoice: str, payer: str) -> Route: ...
    def pay(self, payer: str, invoice: str, key: str) -> LightningPayment: ...
    def paid(self, key: str) -> LightningPayment | None: ...
    def sendable(self, payer: str) -> int: ...
    def close(self) -> None: ...


class Chains(NamedTuple):
    onchain: Mapping[str, LabChain]
    lightning: Lightning | None
    under: Callable[[], None] = lambda: None
    """Lets go of what they run on."""

    def close(self) -> None:
        for chain in self.onchain.values():
            chain.close()
        if self.lightning is not None:
            self.lightning.close()
        self.under()


class Ground(Protocol):
    """Chains and whose they are."""

    @property
    def chains(self) -> Chains: ...
    @property
    def holding(self) -> bool:
        """Whether this process is the one that has the chains: it alone mines in time."""
        ...

    def close(self) -> None: ...


class Own:
    """Chains of this process alone."""

    holding = True

    def __init__(self, chains: Chains) -> None:
        self.chains = chains

    def close(self) -> None:
        self.chains.close()


class Lent(Own):
    """Chains that somebody else closes."""

    def close(self) -> None:
        pass


def open_chains(
    names: Collection[ChainName], vault: Vault, clock: Clock, payers: Sequence[str], folder: Path | None
) -> Chains:
    """`payers`: services with a Lightning node. `folder` None: in memory. StoreError if the folder cannot be used or
    was begun with another secret."""
    ring = KeyRing(vault.derive("lab seed"))
    makers: dict[str, Callable[[], LabChain]] = {
        "btc": lambda: UtxoChain.open("btc", ring, clock, folder),
        "bch": lambda: UtxoChain.open("bch", ring, clock, folder),
        "ltc": lambda: UtxoChain.open("ltc", ring, clock, folder),
        "eth": lambda: EthChain(ring, clock, folder),
        "xmr": lambda: MoneroChain(ring, clock, folder),
    }
    onchain = {coin: make() for coin, make in makers.items() if coin in names}
    if "lightning" not in names:
        return Chains(onchain, None)
    chance = random.Random(vault.derive("lightning graph"))  # noqa: S311
    return Chains(onchain, LightningNetwork(ring, clock, chance, payers, folder))
