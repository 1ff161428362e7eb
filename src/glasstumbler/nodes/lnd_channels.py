"""The channels of a private Lightning network, opened once: from the lab's node to each service's.

The lab opens and so pays every fee of the channels' own; what a service holds changes only by what it pays.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from glasstumbler.errors import NodeAnswer, NodeAway
from glasstumbler.nodes.lnd_node import LndNode

_CHANNELS: Final = 3
"""To each service."""
_CAPACITIES: Final = {True: 1_000_000_000, False: 16_000_000}
"""Satoshis of a channel: where both nodes take wumbo channels, and where not."""
_WUMBO: Final = ("18", "19")
"""BOLT 9's feature bits."""
_PUSHED: Final = 9
"""Tenths of a channel that begin on the service's side."""
_MARGIN: Final = 1_000_000
"""Satoshis: for the fees of opening a channel, and for what LND keeps back to close one."""
_CONFIRMATIONS: Final = 6
"""The most that LND asks for before a channel opens, and what it asks for before the channel is announced."""
_DEEP: Final = 13
"""Blocks on the last channel, so that no reorganisation of the laboratory (at most 12) takes it back."""
_RATE: Final = "2"
"""Satoshis for a virtual byte."""
_PATIENCE: Final = 60.0


class Faucet(Protocol):
    """The BTC chain that the nodes live on."""

    def pay(self, address: str, amount: int) -> str: ...
    def mine(self, blocks: int = 1) -> int: ...


def open_channels(lab: LndNode, payers: Sequence[LndNode], faucet: Faucet) -> None:
    """Harmless if done before, wherever an earlier run was stopped. NodeAway if something does not come in a minute."""
    for node in (lab, *payers):
        _wait(node, "follows the chain", partial(_follows, node, faucet))
    for payer in payers:
        _connect(payer, lab)
        _open(lab, payer, faucet)


def _open(lab: LndNode, payer: LndNode, faucet: Faucet) -> None:
    if _pending(lab, payer):  # of an earlier run
        faucet.mine(_CONFIRMATIONS)
        _wait(lab, "has no channel left to open", lambda: not _pending(lab, payer))
    there = len(_between(payer, lab))
    if there < _CHANNELS:
        capacity = _CAPACITIES[_wumbo(lab) and _wumbo(payer)]
        _fund(payer, _MARGIN, faucet)
        _fund(lab, (_CHANNELS - there) * (capacity + _MARGIN), faucet)
        for count in range(there + 1, _CHANNELS + 1):
            _wait(lab, "can open a channel", lambda: _begun(lab, payer, capacity))
            faucet.mine(_CONFIRMATIONS)
            _wait(payer, "has its channels", partial(_has_channels, payer, lab, count))
        faucet.mine(_DEEP)
    for node in (lab, payer):
        _wait(node, "has its channels up", partial(_is_up, node))
    _wait(payer, "finds ways over its channels", partial(_finds_ways, payer, lab))


def _begun(lab: LndNode, payer: LndNode, capacity: int) -> bool:
    """Whether a channel is on its way; not while LND still takes in the block before."""
    try:
        lab.tell(
            "/v1/channels",
            node_pubkey=base64.b64encode(bytes.fromhex(payer.key)).decode(),
            local_funding_amount=str(capacity),
            push_sat=str(capacity * _PUSHED // 10),
            sat_per_vbyte=_RATE,
        )
    except NodeAnswer as error:
        if "synced" not in error.text:
            raise
        return False
    return True


def _between(node: LndNode, other: LndNode) -> list[int]:
    return [channel.number for channel in node.channels() if channel.peer == other.key]


def _has_channels(node: LndNode, other: LndNode, count: int) -> bool:
    return len(_between(node, other)) >= count


def _is_up(node: LndNode) -> bool:
    return all(channel.active for channel in node.channels())


def _finds_ways(payer: LndNode, lab: LndNode) -> bool:
    """A new channel is up some moments before it stands in the graph in which LND looks for ways."""
    try:
        edges = [payer.ask(f"/v1/graph/edge/{number}") for number in _between(payer, lab)]
    except NodeAnswer as error:
        if "edge not found" not in error.text:
            raise
        return False
    own = ("node1_policy" if edge["node1_pub"] == payer.key else "node2_policy" for edge in edges)
    return all(edge.get(policy) for edge, policy in zip(edges, own, strict=True))


def _pending(lab: LndNode, payer: LndNode) -> bool:
    opening = lab.ask("/v1/channels/pending")["pending_open_channels"]
    return any(row["channel"]["remote_node_pub"] == payer.key for row in opening)


def _wumbo(node: LndNode) -> bool:
    return any(bit in node.info()["features"] for bit in _WUMBO)


def _fund(node: LndNode, least: int, faucet: Faucet) -> None:
    """Coins of the node's own wallet, in a block."""

    def has(which: str) -> bool:
        return int(node.ask("/v1/balance/blockchain")[which]) >= least

    if has("confirmed_balance"):
        return
    if not has("total_balance"):
        faucet.pay(str(node.ask("/v1/newaddress", type="WITNESS_PUBKEY_HASH")["address"]), least)
    faucet.mine()
    _wait(node, "has its coins", lambda: has("confirmed_balance"))


def _follows(node: LndNode, faucet: Faucet) -> bool:
    """LND says it follows a chain only if the last block is not older than two hours."""
    if not node.info()["synced_to_chain"]:
        faucet.mine()
        time.sleep(1)
    return bool(node.info()["synced_to_chain"])


def _connect(payer: LndNode, lab: LndNode) -> None:
    """The services' nodes know the lab's by its address of today; both go on seeking it while it is away."""

    def connected() -> bool:
        return any(peer["pub_key"] == lab.key for peer in payer.ask("/v1/peers")["peers"])

    def connect() -> bool:
        try:
            payer.tell("/v1/peers", addr={"pubkey": lab.key, "host": lab.peer_address}, perm=True, timeout="5")
        except NodeAnswer as error:
            if "already connected" not in error.text:
                return False
        return connected()

    _wait(payer, f"is connected to {lab.alias} at {lab.peer_address}", lambda: connected() or connect())


def _wait(node: LndNode, until: str, there: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not there():
        if time.monotonic() > end:
            raise NodeAway("lnd", f"{node.alias}'s is not yet one that {until}")
        time.sleep(0.1)
