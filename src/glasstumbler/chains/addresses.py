"""Addresses of btc, ltc and bch on their private test chains, to and from scriptPubKeys.

| coin | segwit or CashAddr | Base58Check versions (p2pkh; p2sh) |
|---|---|---|
| btc | bcrt1... (p2wpkh, p2wsh; p2tr) | 111; 196 |
| ltc | rltc1... (the same) | 111; 58, on reading also 196 |
| bch | bchreg:..., on reading also without the prefix | on reading only: 111; 196 |

A form that decodes but is not on guard.py's list is refused there by name. A main-network CashAddr written
without its prefix shows no network; its checksum is wrong under ours, so it is a BadAddress.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from glasstumbler.chains import encoding, guard
from glasstumbler.chains.script import classify, output_script
from glasstumbler.errors import BadAddress

_SEGWIT_PREFIX: Final = {"btc": "bcrt", "ltc": "rltc"}
_CASH_PREFIX: Final = "bchreg"
_VERSIONS: Final = {("btc", "p2pkh"): 111, ("btc", "p2sh"): 196, ("ltc", "p2pkh"): 111, ("ltc", "p2sh"): 58}
_WITNESS_VERSION: Final = {"p2wpkh": 0, "p2wsh": 0, "p2tr": 1}
_PROGRAMS: Final = {(0, 20): "p2wpkh", (0, 32): "p2wsh", (1, 32): "p2tr"}
_CASH_KINDS: Final = ("p2pkh", "p2sh")
_HASH = 20
_LONGEST = 120


@lru_cache(maxsize=1 << 14)
def address(coin: str, key: bytes) -> str:
    """The address of a scriptPubKey; BadAddress for scripts that have none on this coin."""
    found = classify(key)
    if found is not None:
        kind, payload = found
        if coin == "bch" and kind in _CASH_KINDS:
            return encoding.cashaddr_encode(_CASH_PREFIX, _CASH_KINDS.index(kind), payload)
        if (coin, kind) in _VERSIONS:
            return encoding.base58check_encode(_VERSIONS[coin, kind], payload)
        if coin in _SEGWIT_PREFIX and kind in _WITNESS_VERSION:
            return encoding.segwit_encode(_SEGWIT_PREFIX[coin], _WITNESS_VERSION[kind], payload)
    raise BadAddress(f"a script without an address on {coin}")


@lru_cache(maxsize=1 << 14)  # an order's addresses are read when it is asked for and when it is paid
def key(coin: str, address: str) -> bytes:
    """The scriptPubKey of an address. BadAddress if it is none of this coin on its private test chain;
    NotATestNetwork if it is well-formed elsewhere."""
    if len(address) > _LONGEST:
        raise BadAddress("too long for an address")
    for read in (_segwit, _cash, _base58):
        script = read(coin, address)
        if script is not None:
            return script
    raise BadAddress(f"not a {coin} address: no checksum fits")


def _segwit(coin: str, address: str) -> bytes | None:
    try:
        prefix, symbols, variant = encoding.bech32_decode(address)
    except ValueError:
        return None
    guard.check_address(coin, guard.bech32_prefix(prefix))
    try:
        version, program = encoding.segwit_program(symbols, variant)
    except ValueError as error:
        raise BadAddress(f"not a segwit address: {error}") from None
    kind = _PROGRAMS.get((version, len(program)))
    if kind is None:
        raise BadAddress(f"no use for witness version {version} with {len(program)} bytes")
    return output_script(kind, program)


def _cash(coin: str, address: str) -> bytes | None:
    try:
        prefix, kind, payload = encoding.cashaddr_decode(address, _CASH_PREFIX)
    except ValueError:
        return None
    guard.check_address(coin, guard.cashaddr_prefix(prefix))
    if kind >= len(_CASH_KINDS) or len(payload) != _HASH:
        raise BadAddress(f"no use for CashAddr type {kind} with {len(payload)} bytes")
    return output_script(_CASH_KINDS[kind], payload)


def _base58(coin: str, address: str) -> bytes | None:
    try:
        version, payload = encoding.base58check_decode(address)
    except ValueError:
        return None
    kind = guard.check_address(coin, guard.version_byte(version))
    if len(payload) != _HASH:
        raise BadAddress(f"{len(payload)} bytes where an address holds {_HASH}")
    return output_script(kind, payload)
