"""Where a node is, and how it is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

NAMES: Final = ("btc", "bch", "ltc", "eth", "xmr", "lightning_lab", "lightning_xmrto")
"""Nodes that a user may bring: tables [lab.node.NAME] of the settings. The Lightning network has a node for each
service that pays, and the laboratory's, which issues the invoices."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Endpoint(NamedTuple):
    """`kind` names the software (a row of its adapter's table); `extra` holds what only some kinds need: `certificate`
    (the PEM file of a node that speaks TLS), `macaroon` (LND's file), `peers` (HOST:PORT on which LND hears
    other Lightning nodes), `wallet` (URL of a Monero wallet server)."""

    kind: str
    url: str
    user: str = ""
    password: str = ""
    extra: Mapping[str, str] = _NOTHING


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node that somebody else has started; without a URL there is none. Fields as in `Endpoint`."""

    kind: str = ""
    url: str = ""
    user: str = ""
    password: str = ""
    certificate: str = ""
    macaroon: str = ""
    wallet: str = ""
    peers: str = ""

    def endpoint(self) -> Endpoint:
        extra = {name: getattr(self, name) for name in ("certificate", "macaroon", "wallet", "peers")}
        return Endpoint(self.kind, self.url, self.user, self.password, {n: v for n, v in extra.items() if v})
