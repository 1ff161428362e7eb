"""A Lightning network of real nodes on a btcd of their own: the lab's LND, and that of one service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.lightning import LAB
from glasstumbler.clock import RealClock
from glasstumbler.nodes.core import CoreChain
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.lnd import LndNetwork
from glasstumbler.nodes.running import Nodes

PAYER = "xmrto"
RING = KeyRing(b"real Lightning nodes")


class Site(NamedTuple):
    nodes: Nodes
    chain: CoreChain
    endpoints: dict[str, Endpoint]

    def open(self, **instead: Endpoint) -> LndNetwork:
        return LndNetwork(self.endpoints | instead, RealClock())


@contextmanager
def site(nodes: Nodes, folder: Path) -> Iterator[Site]:
    """Its channels are open."""
    chain = CoreChain.open("btc", nodes.start("btcd"), RING, RealClock(), folder)
    made = Site(nodes, chain, {alias: nodes.start("lnd", f"lnd-{alias}", "btcd") for alias in (LAB, PAYER)})
    network = made.open()
    network.prepare(chain)
    network.close()
    try:
        yield made
    finally:
        chain.close()
