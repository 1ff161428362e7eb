"""Blocks of the Bitcoin family: header, merkle root, coinbase, whole blocks, as bytes.

Hashes are 32 bytes in the order in which they are hashed; texts of hashes are reversed hex, as nodes show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct, error
from typing import Final, NamedTuple

from glasstumbler.chains.base import Outpoint, Output, Tx
from glasstumbler.chains.tx import RawIn, RawTx, compact_size, double_sha256, output_bytes, read, read_compact_size
from glasstumbler.errors import BlockRefused, TransactionRefused

HEADER_SIZE: Final = 80
_HEADER = Struct("<I32s32sIII")
_COMMITMENT_HEAD: Final = b"\x6a\x24\xaa\x21\xa9\xed"
"""Of the output that commits to the witnesses (BIP 141)."""
_RESERVED: Final = bytes(32)
_LEAST_COINBASE: Final = 100
"""Bytes: Bitcoin Cash takes no smaller transaction, and the other chains do not mind."""
_BARE_COINBASE: Final = 51
"""Bytes of one without script and outputs."""
_MOST_COINBASE_SCRIPT: Final = 100


class Header(NamedTuple):
    version: int
    previous: str
    merkle_root: bytes
    time: int
    bits: int
    nonce: int


def header_bytes(header: Header) -> bytes:
    return _HEADER.pack(
        header.version,
        bytes.fromhex(header.previous)[::-1],
        header.merkle_root,
        header.time,
        header.bits,
        header.nonce,
    )


def parse_header(raw: bytes) -> Header:
    """Of the first 80 bytes of a block; BlockRefused if there are fewer."""
    if len(raw) < HEADER_SIZE:
        raise BlockRefused("a header has 80 bytes")
    version, previous, root, time, bits, nonce = _HEADER.unpack_from(raw)
    return Header(version, previous[::-1].hex(), root, time, bits, nonce)


def block_hash(raw: bytes) -> str:
    """Of a header or a block that starts with it."""
    return double_sha256(raw[:HEADER_SIZE])[::-1].hex()


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Of txids (or wtxids) as hashed; at least one."""
    row = list(hashes)
    while len(row) > 1:
        if len(row) % 2:
            row.append(row[-1])
        row = [sha256(sha256(row[at] + row[at + 1]).digest()).digest() for at in range(0, len(row), 2)]
    return row[0]


def commitment(raws: Sequence[bytes]) -> bytes:
    """The scriptPubKey that commits to the witnesses of a block's transactions, the coinbase left out (BIP 141)."""
    root = merkle_root([_RESERVED, *(double_sha256(raw) for raw in raws)])
    return _COMMITMENT_HEAD + double_sha256(root + _RESERVED)


def coinbase(height: int, outputs: Sequence[Output], witness: Sequence[bytes] | None, extra: bytes = b"") -> RawTx:
    """The first transaction of a block.

    `outputs` say who gets subsidy and fees. `witness` are the block's other transactions, to which a commitment is
    added; None on a chain without segwit. `extra` makes the transaction another one (BIP 34 has the height only).
    ValueError if it is too long.
    """
    script = script_number(height) + _push(extra)
    size = _BARE_COINBASE + len(script) + len(output_bytes(outputs))
    script += bytes(max(0, _LEAST_COINBASE - size))
    if len(script) > _MOST_COINBASE_SCRIPT:
        raise ValueError("the extra bytes are too long")
    outputs = tuple(outputs)
    nothing = RawIn(Outpoint("00" * 32, 0xFFFFFFFF), script, 0xFFFFFFFF)
    if witness is None:
        return RawTx(1, (nothing,), outputs)
    return RawTx(2, (nothing._replace(witness=(_RESERVED,)),), (*outputs, Output(commitment(witness), 0)))


def script_number(number: int) -> bytes:
    """The push of a number that is not negative: as BIP 34 wants the height."""
    if number == 0:
        return b"\0"
    if number <= 16:
        return bytes((0x50 + number,))
    return _push(number.to_bytes(number.bit_length() // 8 + 1, "little"))


def _push(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def block_bytes(header: Header, raws: Sequence[bytes]) -> bytes:
    return header_bytes(header) + compact_size(len(raws)) + b"".join(raws)


def parse_block(raw: bytes) -> tuple[Header, tuple[Tx, ...]]:
    """BlockRefused for bytes that are no block; the merkle root is not checked here."""
    header = parse_header(raw)
    try:
        count, at = read_compact_size(raw, HEADER_SIZE)
        found = []
        for _ in range(count):
            tx, at = read(raw, at)
            found.append(tx)
    except (TransactionRefused, IndexError, OverflowError, error) as cause:
        raise BlockRefused(f"malformed block: {cause}") from None
    if at != len(raw) or not found:
        raise BlockRefused("malformed block: no transaction, or bytes after the last")
    return header, tuple(found)
