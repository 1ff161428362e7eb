"""The standard scriptPubKeys and what they hold.

A key's forms follow BIP 16 (p2sh), BIP 141 (p2wpkh, p2wsh), BIP 86 and BIP 341 (p2tr without scripts).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Final

from coincurve import PublicKey

from glasstumbler.chains.keys import ORDER, public_key
from glasstumbler.chains.pycryptodome import RIPEMD160

P2PKH_HEAD: Final = b"\x76\xa9\x14"
P2PKH_TAIL: Final = b"\x88\xac"

_TEMPLATES: Final[dict[int, tuple[tuple[str, bytes, bytes], ...]]] = {
    25: (("p2pkh", P2PKH_HEAD, P2PKH_TAIL),),
    23: (("p2sh", b"\xa9\x14", b"\x87"),),
    22: (("p2wpkh", b"\x00\x14", b""),),
    34: (("p2wsh", b"\x00\x20", b""), ("p2tr", b"\x51\x20", b"")),
}
"""By length of the whole script: kind, what stands before the payload, what stands after it."""


def _ripemd160() -> Callable[[bytes], bytes]:
    """OpenSSL 3.0 as some systems ship it has no RIPEMD-160; pycryptodome's is slower but always there."""
    try:
        hashlib.new("ripemd160")
    except ValueError:
        return lambda data: RIPEMD160.new(data).digest()
    return lambda data: hashlib.new("ripemd160", data).digest()


ripemd160 = _ripemd160()


def hash160(data: bytes) -> bytes:
    return ripemd160(sha256(data).digest())


def tagged_hash(tag: str, data: bytes) -> bytes:
    """BIP 340."""
    head = sha256(tag.encode()).digest()
    return sha256(head + head + data).digest()


def classify(script: bytes) -> tuple[str, bytes] | None:
    """(kind, payload) of a standard script: p2pkh, p2sh, p2wpkh, p2wsh, p2tr. None for any other."""
    for kind, head, tail in _TEMPLATES.get(len(script), ()):
        if script.startswith(head) and script.endswith(tail):
            return kind, script[len(head) : len(script) - len(tail)]
    return None


def output_script(kind: str, payload: bytes) -> bytes:
    """The scriptPubKey of a kind's payload (hash or output key); the inverse of `classify`."""
    for size, rows in _TEMPLATES.items():
        for name, head, tail in rows:
            if name == kind and len(head) + len(payload) + len(tail) == size:
                return head + payload + tail
    raise ValueError(f"no {kind} script with {len(payload)} bytes")


def tap_tweak(internal: bytes) -> bytes:
    """BIP 86: the tweak of an x-only internal key that commits to no script, 32 bytes."""
    return tagged_hash("TapTweak", internal)


@lru_cache(maxsize=1 << 14)
def taproot_output_key(public: bytes) -> bytes:
    """X-only output key (32 bytes) of a compressed public key, key path only (BIP 86)."""
    internal = public[1:]
    return PublicKey(b"\x02" + internal).add(tap_tweak(internal)).format()[1:]


def taproot_secret(secret: bytes) -> bytes:
    """The private key of the output key (BIP 341, taproot_tweak_seckey with an empty tree)."""
    public = public_key(secret)
    number = int.from_bytes(secret, "big")
    if public[0] == 3:
        number = ORDER - number
    return ((number + int.from_bytes(tap_tweak(public[1:]), "big")) % ORDER).to_bytes(32, "big")


def key_script(kind: str, public: bytes) -> bytes:
    """The scriptPubKey that pays to a compressed public key as p2pkh, p2wpkh, p2sh-p2wpkh or p2tr."""
    if kind == "p2tr":
        return output_script("p2tr", taproot_output_key(public))
    if kind == "p2sh-p2wpkh":
        return output_script("p2sh", hash160(redeem_script(public)))
    return output_script(kind, hash160(public))


def redeem_script(public: bytes) -> bytes:
    """Of a p2sh-p2wpkh output: the witness program."""
    return output_script("p2wpkh", hash160(public))


def p2pkh_code(key_hash: bytes) -> bytes:
    """What is signed for a key's hash: also the scriptCode of p2wpkh (BIP 143)."""
    return P2PKH_HEAD + key_hash + P2PKH_TAIL
