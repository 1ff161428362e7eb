"""Private keys from one seed (BIP 32), a branch for every use.

Path: m / 84' / 1' / account' / branch / index. Coin type 1 is every coin's test network (SLIP 44), so coin
and service are told apart by the account: the first 31 bits of SHA-256("glasstumbler/COIN/SERVICE").
A further coin or service then needs no table.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from coincurve import PublicKey

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the group of secp256k1."""

SECRET_SIZE: Final = 32
HARDENED: Final = 1 << 31

BRANCHES: Final[dict[str, int]] = {"deposit": 0, "change": 1, "sweep": 2, "float": 3, "lab": 4}


@lru_cache(maxsize=1 << 14)
def public_key(secret: bytes) -> bytes:
    """Compressed public key, 33 bytes. ValueError for a secret that is no private key."""
    if len(secret) != SECRET_SIZE:
        raise ValueError("a private key has 32 bytes")
    return PublicKey.from_valid_secret(secret).format()


class Node(NamedTuple):
    """An extended private key: 32 bytes each."""

    secret: bytes
    chain_code: bytes

    def child(self, index: int) -> Node:
        """BIP 32's CKDpriv. ValueError for the indices (one in 2**127) that have no key."""
        data = b"\0" + self.secret if index >= HARDENED else public_key(self.secret)
        digest = hmac.digest(self.chain_code, data + index.to_bytes(4, "big"), "sha512")
        tweak = int.from_bytes(digest[:32], "big")
        secret = (tweak + int.from_bytes(self.secret, "big")) % ORDER
        if tweak >= ORDER or secret == 0:
            raise ValueError(f"no key at index {index}")
        return Node(secret.to_bytes(32, "big"), digest[32:])

    def path(self, indices: Iterable[int]) -> Node:
        node = self
        for index in indices:
            node = node.child(index)
        return node


def master(seed: bytes) -> Node:
    """The root of a seed of 16 to 64 bytes; ValueError otherwise."""
    if not 16 <= len(seed) <= 64:
        raise ValueError("a seed has 16 to 64 bytes")
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    if not 0 < int.from_bytes(digest[:32], "big") < ORDER:
        raise ValueError("a seed without a key")
    return Node(digest[:32], digest[32:])


def account(coin: str, service: str) -> int:
    """Number of the account of a coin and service, below 2**31; hardened in the path."""
    return int.from_bytes(sha256(f"glasstumbler/{coin}/{service}".encode()).digest()[:4], "big") >> 1


class KeyRing:
    """All keys of one laboratory. Safe from any thread: what it remembers only saves time."""

    def __init__(self, seed: bytes) -> None:
        self._root = master(seed).path((HARDENED + 84, HARDENED + 1))
        self._branches: dict[tuple[str, str, str], Node] = {}

    def secret(self, coin: str, service: str, branch: str, index: int) -> bytes:
        """Private key, 32 bytes. `branch` is one of BRANCHES, `index` below 2**31; ValueError otherwise."""
        if branch not in BRANCHES or not 0 <= index < HARDENED:
            raise ValueError(f"no key {branch}/{index}")
        return self._branch(coin, service, branch).child(index).secret

    def public(self, coin: str, service: str, branch: str, index: int) -> bytes:
        """Compressed public key of `secret`, 33 bytes."""
        return public_key(self.secret(coin, service, branch, index))

    def _branch(self, coin: str, service: str, branch: str) -> Node:
        place = (coin, service, branch)
        node = self._branches.get(place)
        if node is None:
            node = self._root.path((HARDENED + account(coin, service), BRANCHES[branch]))
            self._branches[place] = node
        return node
