"""Keccak-256 as Ethereum and Monero use it: the padding of the original submission, not that of SHA3-256."""

from __future__ import annotations

from glasstumbler.chains.pycryptodome import keccak


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()
