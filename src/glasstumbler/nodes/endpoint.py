"""Where a node is, and how it is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Endpoint(NamedTuple):
    """`kind` names the software (a row of its adapter's table); `extra` holds what only one kind needs: the URL of a
    Monero wallet server, the files of LND's certificate and macaroon."""

    kind: str
    url: str
    user: str = ""
    password: str = ""
    extra: Mapping[str, str] = _NOTHING
