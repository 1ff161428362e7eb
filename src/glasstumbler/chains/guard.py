"""The one gate: which nodes, addresses and invoices the laboratory deals with. Private test chains only.

A node is used only after it has shown its genesis hash, chain id or nettype, at every connect and
reconnect (`check_node`). An address or invoice is used only in test form (`check_address`, `check_invoice`);
the codes that decode one name the form they saw and ask here. Main networks are recognised by not being on
these lists: nothing of theirs stands in this file.

The lists are frozen and the module is sealed: no setting, argument, environment variable, assignment or
subclass widens them. An Ethereum address names no network; there only the node's chain id can be checked
(and EIP-55's checksum, in the Ethereum formats).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final, Never

from glasstumbler.errors import BadAddress, BadInvoice, NotATestNetwork, RefusedNode

Fact = str | int | bool

_BITCOIN_REGTEST = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
_LITECOIN_REGTEST = "530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9"

NODES: Final[Mapping[str, tuple[Mapping[str, Fact], ...]]] = MappingProxyType(
    {
        "btc": (MappingProxyType({"genesis": _BITCOIN_REGTEST}),),
        "bch": (MappingProxyType({"genesis": _BITCOIN_REGTEST}),),
        "ltc": (MappingProxyType({"genesis": _LITECOIN_REGTEST}),),
        "eth": (MappingProxyType({"chain_id": 31337}), MappingProxyType({"chain_id": 1337})),
        # A fakechain shows the main network's genesis hash, so nettype and offline are what tells.
        "xmr": (
            MappingProxyType({"nettype": "fakechain", "offline": True}),
            MappingProxyType({"nettype": "stagenet", "model": True}),
        ),
        "lightning": (MappingProxyType({"network": "regtest"}),),
    }
)
"""Per coin, the nodes that may be used: every fact of one of these rows must have been seen on the node."""


def bech32_prefix(prefix: str) -> str:
    return f"bech32 prefix {prefix!r}"


def cashaddr_prefix(prefix: str) -> str:
    return f"CashAddr prefix {prefix!r}"


def version_byte(version: int) -> str:
    return f"version byte 0x{version:02x}"


def network_byte(byte: int) -> str:
    return f"network byte {byte}"


ADDRESS_FORMS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "btc": MappingProxyType(
            {bech32_prefix("bcrt"): "segwit", version_byte(111): "p2pkh", version_byte(196): "p2sh"}
        ),
        "ltc": MappingProxyType(
            {
                bech32_prefix("rltc"): "segwit",
                version_byte(111): "p2pkh",
                version_byte(58): "p2sh",
                version_byte(196): "p2sh",
            }
        ),
        "bch": MappingProxyType(
            {cashaddr_prefix("bchreg"): "cash", version_byte(111): "p2pkh", version_byte(196): "p2sh"}
        ),
        "xmr": MappingProxyType(
            {network_byte(24): "standard", network_byte(25): "integrated", network_byte(36): "subaddress"}
        ),
    }
)
"""Per coin, the address forms of its private test chain, and what each holds."""

_PUBLIC_TEST_FORMS: Final = frozenset(
    {
        *map(bech32_prefix, ("tb", "tltc")),
        cashaddr_prefix("bchtest"),
        *map(network_byte, (53, 54, 63)),
    }
)

UNSIGNED: Final = "unsigned"
"""Network of chains in memory whose transactions carry no signature: for datasets, never to be served."""

INVOICE_PREFIX: Final = "lnbcrt"
_INVOICE = re.compile(r"(ln[a-z]+)(?:[0-9]+[munp]?)?1[a-z0-9]+")


def check_node(coin: str, **seen: Fact) -> None:
    """RefusedNode unless what was seen on the node is that of a private test chain of this coin.

    `genesis` (block hash, hex), `chain_id`, `nettype` with `offline` or `model`, `network`: see NODES.
    """
    rows = NODES.get(coin, ())
    if any(all(_same(seen.get(name), value) for name, value in row.items()) for row in rows):
        return
    allowed = " or ".join(_facts(row) for row in rows) or "no node of this coin"
    raise RefusedNode(f"{coin} node", _facts(seen) or "nothing", allowed)


def check_served(coin: str, network: str) -> None:
    """RefusedNode for a chain that clients must not be shown."""
    if network == UNSIGNED:
        raise RefusedNode(f"{coin} chain", f"network {network!r}", "chains whose transactions are signed")


def check_address(coin: str, form: str) -> str:
    """What an address of this (decoded) form holds: a value of ADDRESS_FORMS.

    BadAddress if the form is another coin's or a public test network's; NotATestNetwork for all else.
    """
    forms = ADDRESS_FORMS[coin]
    if form in forms:
        return forms[form]
    if form in _PUBLIC_TEST_FORMS:
        raise BadAddress(f"{form} is a public test network's form; allowed here: {_listed(forms)}")
    if any(form in others for others in ADDRESS_FORMS.values()):
        raise BadAddress(f"{form} is another coin's; {coin} takes: {_listed(forms)}")
    raise NotATestNetwork(f"{coin} address", form, _listed(forms))


def check_invoice(invoice: str) -> None:
    """NotATestNetwork unless the BOLT11 prefix is the private test chain's; BadInvoice if it looks like none.

    Only the prefix is judged here; checksum and fields are the decoder's.
    """
    if invoice not in (invoice.lower(), invoice.upper()):
        raise BadInvoice("mixed case")
    match = _INVOICE.fullmatch(invoice.lower())
    if match is None:
        raise BadInvoice("not a BOLT11 invoice")
    if match[1] != INVOICE_PREFIX:
        raise NotATestNetwork("Lightning invoice", f"prefix {match[1]!r}", f"prefix {INVOICE_PREFIX!r}")


def _same(seen: Fact | None, allowed: Fact) -> bool:
    # True == 1 in Python, and a node that answers 1 has not said `true`.
    return type(seen) is type(allowed) and seen == allowed


def _facts(row: Mapping[str, Fact]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in sorted(row.items()))


def _listed(forms: Mapping[str, str]) -> str:
    return ", ".join(forms)


class _Sealed(ModuleType):
    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{self.__name__} is sealed: {name} cannot be set")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{self.__name__} is sealed: {name} cannot be deleted")


sys.modules[__name__].__class__ = _Sealed
