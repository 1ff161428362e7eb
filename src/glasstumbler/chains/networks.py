"""The private test networks of btc, ltc and bch as one table: what differs between them, and nothing else.

All three are the coins' own regression-test networks (Bitcoin Core `CRegTestParams`, Litecoin Core's, Bitcoin Cash
Node's): lowest difficulty, never retargeted; 50 coins a block, halved every 150 blocks. LTC never signals its
extension blocks (MWEB).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from glasstumbler.chains.tx import double_sha256

COIN: Final = 100_000_000
BITS: Final = 0x207FFFFF
TARGET: Final = 0x7FFFFF << 8 * (0x20 - 3)
"""A block's proof of work, as a little-endian number, is not above this (BITS unpacked)."""
BLOCK_VERSION: Final = 0x20000000
MATURITY: Final = 100
"""A coinbase can be spent in the hundredth block after its own."""
MAX_WEIGHT: Final = 4_000_000
_HALVING: Final = 150


def _scrypt(header: bytes) -> bytes:
    return hashlib.scrypt(header, salt=header, n=1024, r=1, p=1, dklen=32)


def subsidy(height: int) -> int:
    """New coins of the block at this height, in base units."""
    return 50 * COIN >> (height // _HALVING)


class NetworkParameters(NamedTuple):
    coin: str
    genesis: bytes
    """The first block, raw."""
    work: Callable[[bytes], bytes]
    """Proof of work of a header of 80 bytes: 32 bytes, little-endian."""
    witness: bool
    """BIP 141: blocks commit to witnesses."""
    canonical_order: bool
    """Transactions stand in the order of their txids (CTOR) instead of parents before children."""
    replaceable: bool
    """BIP 125: a waiting transaction that says so can be replaced by one that pays more. Litecoin Core 0.21 and
    Bitcoin Cash keep what they saw first."""
    judged: bool
    """Bitcoin Core's engine judges every block."""
    engine_scripts: bool
    """Bitcoin Core's engine judges the scripts."""
    funding_kind: str
    """Address kind of the faucet, and of a fresh address unless another is asked for."""
    dust_rate: int
    """Base units per virtual byte at which dust is told (three times the fee)."""
    least_size: int
    """Bytes without witness of the smallest transaction that is relayed (on bch: that stands in a block)."""
    most_data: int
    """Bytes of the script of an output that only holds data."""


def _genesis(merkle_root: str, nonce: int, message: str, key: str) -> bytes:
    header = (1).to_bytes(4, "little") + bytes(32) + bytes.fromhex(merkle_root)[::-1]
    header += (1296688602).to_bytes(4, "little") + BITS.to_bytes(4, "little") + nonce.to_bytes(4, "little")
    text = message.encode()
    script = bytes.fromhex("04ffff001d0104") + bytes([len(text)]) + text
    coinbase = (1).to_bytes(4, "little") + b"\x01" + bytes(32) + b"\xff" * 4 + bytes([len(script)]) + script
    coinbase += b"\xff" * 4 + b"\x01" + (50 * COIN).to_bytes(8, "little")
    coinbase += b"\x43\x41" + bytes.fromhex(key) + b"\xac" + bytes(4)
    return header + b"\x01" + coinbase


_BITCOIN_GENESIS = _genesis(
    "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
    2,
    "The Times 03/Jan/2009 Chancellor on brink of second bailout for banks",
    "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb6"
    "49f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5f",
)
_LITECOIN_GENESIS = _genesis(
    "97ddfbbae6be97fd6cdf3e7ca13232a3afff2353e29badfab7f73011edd4ced9",
    0,
    "NY Times 05/Oct/2011 Steve Jobs, Apple’s Visionary, Dies at 56",
    "040184710fa689ad5023690c80f3a49c8f13f8d45b8c857fbcbc8bc4a8e4d3eb4b"
    "10f4d4604fa08dce601aaf0f470216fe1b51850b4acf21b179c45070ac7b03a9",
)

NETWORKS: Final[Mapping[str, NetworkParameters]] = MappingProxyType(
    {
        "btc": NetworkParameters(
            "btc", _BITCOIN_GENESIS, double_sha256, True, False, True, True, True, "p2wpkh", 3, 65, 83
        ),
        "ltc": NetworkParameters(
            "ltc", _LITECOIN_GENESIS, _scrypt, True, False, False, False, True, "p2wpkh", 30, 82, 83
        ),
        "bch": NetworkParameters(
            "bch", _BITCOIN_GENESIS, double_sha256, False, True, False, False, False, "p2pkh", 3, 100, 223
        ),
    }
)
