"""Where a node is, and how it is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Endpoint(NamedTuple):
    """`kind` names the software (a row of its adapter's table); `extra` holds what only some kinds need: `certificate`
    (the PEM file of a node that speaks TLS), `macaroon` (LND's file), `wallet` (URL of a Monero wallet server)."""

    kind: str
    url: str
    user: str = ""
    password: str = ""
    extra: Mapping[str, str] = _NOTHING
