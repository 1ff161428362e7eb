"""Chains on real nodes: those that the laboratory starts in its folder, and those of the user's own in their place.

Nodes that were started here are looked after: one that died is started again, and its adapter gives it what it lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from glasstumbler import log
from glasstumbler.chains.base import LabChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.lightning import LAB
from glasstumbler.chains.monero_keys import keys_of
from glasstumbler.chains.monero_scan import Viewer
from glasstumbler.clock import Clock
from glasstumbler.errors import GlassTumblerError, SettingsError
from glasstumbler.ground import CHAINS, ChainName, Chains
from glasstumbler.nodes.core import CoreChain
from glasstumbler.nodes.endpoint import Endpoint, NodeSettings
from glasstumbler.nodes.ethereum import EthNode
from glasstumbler.nodes.lnd import LndNetwork
from glasstumbler.nodes.monero import MoneroNode
from glasstumbler.nodes.running import Nodes
from glasstumbler.vault import Vault

_PROGRAMS: Final[Mapping[str, str]] = {
    "btc": "btcd",
    "bch": "bcash",
    "ltc": "litecoind",
    "eth": "anvil",
    "xmr": "monerod and monero-wallet-rpc",
}
"""What is started for a chain."""
_LOOK_SECONDS: Final = 1.0


def open_fleet(
    folder: Path,
    names: Collection[ChainName],
    given: Mapping[str, NodeSettings],
    vault: Vault,
    clock: Clock,
    payers: Sequence[str],
    receivers: Sequence[str],
    say: Callable[[str], None],
) -> Chains:
    """The chains `names` of a laboratory in `folder`. `given`: by nodes.endpoint.NAMES, nodes of the user's own; one
    without a URL is started here. `payers`: services with a Lightning node; `receivers`: services that take Monero.
    `say` hears what is being started, since it takes a while.

    SettingsError if a program is missing or the settings contradict each other; NodeAway, RefusedNode, StoreError.
    """
    own = {name: node.endpoint() for name, node in given.items() if node.url}
    _check(own, names, payers)
    logs, lab, services = folder / "chains", KeyRing(vault.derive("lab seed")), KeyRing(vault.wallet_seed)
    with ExitStack() as undo:
        nodes = Nodes(folder / "nodes")
        undo.callback(nodes.close)
        onchain: dict[str, LabChain] = {}
        for coin in (name for name in CHAINS if name in names and name != "lightning"):
            say(f"{coin}: {'your own node' if coin in own else 'starting ' + _PROGRAMS[coin]}")
            onchain[coin] = _chain(coin, own.get(coin) or _started(nodes, coin), lab, clock, logs, services, receivers)
            undo.callback(onchain[coin].close)
        lightning = None
        if "lightning" in names:
            say("lightning: an LND for each payer and one for the laboratory, and their channels")
            lightning = LndNetwork({alias: _lnd(nodes, own, alias) for alias in (LAB, *payers)}, clock, logs)
            undo.callback(lightning.close)
            lightning.prepare(onchain["btc"])
        caretaker = _Caretaker(nodes)
        undo.pop_all()
    return Chains(onchain, lightning, caretaker.close)


def _chain(
    coin: str,
    endpoint: Endpoint,
    lab: KeyRing,
    clock: Clock,
    logs: Path,
    services: KeyRing,
    receivers: Sequence[str],
) -> LabChain:
    if coin == "xmr":
        keys = [keys_of(services.secret("xmr", slug, "deposit", 0)) for slug in receivers]
        return MoneroNode(endpoint, lab, logs, [Viewer(each.view, each.public_spend) for each in keys])
    return (EthNode if coin == "eth" else CoreChain).open(coin, endpoint, lab, clock, logs)


def _started(nodes: Nodes, coin: str) -> Endpoint:
    if coin != "xmr":
        return nodes.start(_PROGRAMS[coin])
    endpoint = nodes.start("monerod")
    return endpoint._replace(extra={"wallet": nodes.start("monero-wallet-rpc").url})


def _lnd(nodes: Nodes, own: Mapping[str, Endpoint], alias: str) -> Endpoint:
    name = f"lightning_{alias}"
    return own.get(name) or nodes.start("lnd", name, behind="btcd")


class _Caretaker:
    """Looks every second whether the nodes live, and starts what has died again; stops them at the end."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes, self._leaving = nodes, threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, name="nodes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._leaving.set()
        self._thread.join()
        self._nodes.close()

    def _look_again_and_again(self) -> None:
        while not self._leaving.wait(_LOOK_SECONDS):
            for name in self._nodes.names():
                if self._nodes.process(name) is None and not self._leaving.is_set():
                    self._start_again(name)

    def _start_again(self, name: str) -> None:
        log.warning("a node has died and is started again", node=name)
        try:
            self._nodes.ensure(name)
        except GlassTumblerError as error:
            log.error("a node does not come up; it is tried again", node=name, reason=str(error))


def _check(own: Mapping[str, Endpoint], names: Collection[ChainName], payers: Sequence[str]) -> None:
    if "lightning" not in names:
        return
    if "btc" not in names:
        raise SettingsError("[lab] chains: lightning on real nodes needs btc")
    wanted = {f"lightning_{alias}" for alias in (LAB, *payers)}
    brought = wanted & own.keys()
    if brought and brought != wanted:
        raise SettingsError(f"[lab.node.{min(wanted - brought)}] is missing: bring every Lightning node or none")
    if "btc" in own and not brought:
        raise SettingsError(
            "the LND that is started here follows its own btcd; beside your own node for btc, bring "
            f"{' and '.join(f'[lab.node.{name}]' for name in sorted(wanted))}, or leave lightning out of [lab] chains"
        )
