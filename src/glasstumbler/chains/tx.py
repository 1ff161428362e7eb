"""Transactions of the Bitcoin family in consensus serialisation (BIP 144), read and written.

Two readers: `read` (and `to_tx`) makes what an observer sees, fast, for blocks; `parse` makes every field, for
signing and judging. Bytes that are no transaction raise TransactionRefused("malformed", ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct, error
from typing import Final, NamedTuple

from glasstumbler.chains.base import Outpoint, Output, Tx
from glasstumbler.errors import TransactionRefused

WITNESS_SCALE: Final = 4
"""Weight units per virtual byte (BIP 141)."""

_MARKER = b"\0\1"

_U16 = Struct("<H").unpack_from
_U32 = Struct("<I").unpack_from
_U64 = Struct("<Q").unpack_from
_WIDE: Final = {0xFD: (_U16, 2, 0xFD), 0xFE: (_U32, 4, 0x10000), 0xFF: (_U64, 8, 0x1_0000_0000)}
"""First byte of a long compact size: reader, bytes, smallest value that needs it."""

_TRUNCATED = (IndexError, OverflowError, error)


class RawIn(NamedTuple):
    outpoint: Outpoint
    script: bytes
    sequence: int
    witness: tuple[bytes, ...] = ()


class RawTx(NamedTuple):
    version: int
    inputs: tuple[RawIn, ...]
    outputs: tuple[Output, ...]
    locktime: int = 0


def double_sha256(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def compact_size(number: int) -> bytes:
    if number < 0xFD:
        return bytes((number,))
    if number < 0x10000:
        return b"\xfd" + number.to_bytes(2, "little")
    if number < 0x1_0000_0000:
        return b"\xfe" + number.to_bytes(4, "little")
    return b"\xff" + number.to_bytes(8, "little")


def read_compact_size(raw: bytes, at: int) -> tuple[int, int]:
    """(number, offset behind it); IndexError or struct.error where the bytes end."""
    first = raw[at]
    if first < 0xFD:
        return first, at + 1
    unpack, size, least = _WIDE[first]
    (number,) = unpack(raw, at + 1)
    if number < least:
        raise _malformed("a size that is longer than it needs to be")
    return number, at + 1 + size


def to_tx(raw: bytes) -> Tx:
    """One whole transaction, as it comes to the mempool."""
    tx, end = read(raw, 0)
    if end != len(raw):
        raise _malformed("bytes after the end")
    if len(set(tx.inputs)) != len(tx.inputs):
        raise _malformed("an input twice")
    return tx


def read(raw: bytes, offset: int) -> tuple[Tx, int]:
    """The transaction that starts at `offset`, and the offset behind it."""
    try:
        return _read(raw, offset)
    except _TRUNCATED:
        raise _malformed("the bytes end too early") from None


def _read(raw: bytes, start: int) -> tuple[Tx, int]:
    segwit = raw[start + 4] == 0
    body = at = start + 6 if segwit else start + 4
    if segwit and raw[start + 5] != 1:
        raise _malformed("no inputs")
    inputs, at = _read_outpoints(raw, at)
    outputs, at = _read_outputs(raw, at)
    tail = at
    if segwit:
        at = _skip_witnesses(raw, at, len(inputs))
    end = at + 4
    if end > len(raw):
        raise _malformed("the bytes end too early")
    whole = raw[start:end]
    stripped = raw[start : start + 4] + raw[body:tail] + raw[at:end] if segwit else whole
    return Tx(_text(stripped), inputs, outputs, whole), end


def _read_outpoints(raw: bytes, at: int) -> tuple[tuple[Outpoint, ...], int]:
    count, at = read_compact_size(raw, at)
    if count == 0:
        raise _malformed("no inputs")
    found = []
    for _ in range(count):
        found.append(Outpoint(raw[at : at + 32][::-1].hex(), _U32(raw, at + 32)[0]))
        size = raw[at + 36]
        if size < 0xFD:
            at += 41 + size
        else:
            size, at = read_compact_size(raw, at + 36)
            at += size + 4
    return tuple(found), at


def _read_outputs(raw: bytes, at: int) -> tuple[tuple[Output, ...], int]:
    count, at = read_compact_size(raw, at)
    if count == 0:
        raise _malformed("no outputs")
    found = []
    for _ in range(count):
        amount = _U64(raw, at)[0]
        size = raw[at + 8]
        at += 9
        if size >= 0xFD:
            size, at = read_compact_size(raw, at - 1)
        found.append(Output(raw[at : at + size], amount))
        at += size
    return tuple(found), at


def _skip_witnesses(raw: bytes, at: int, inputs: int) -> int:
    start = at
    for _ in range(inputs):
        items, at = read_compact_size(raw, at)
        for _ in range(items):
            size, at = read_compact_size(raw, at)
            at += size
    if at - start == inputs:
        raise _malformed("a witness part without a witness")
    return at


def parse(raw: bytes) -> RawTx:
    """Every field of one whole transaction."""
    return fields(to_tx(raw))


def fields(tx: Tx) -> RawTx:
    """As `parse`, of a transaction that has been read already."""
    raw = tx.raw
    segwit = raw[4] == 0
    _, at = read_compact_size(raw, 6 if segwit else 4)
    inputs = []
    for outpoint in tx.inputs:
        script, at = _read_bytes(raw, at + 36)
        inputs.append(RawIn(outpoint, script, _U32(raw, at)[0]))
        at += 4
    if segwit:
        _, at = _read_outputs(raw, at)
        for index, item in enumerate(inputs):
            witness, at = _read_witness(raw, at)
            inputs[index] = item._replace(witness=witness)
    return RawTx(_U32(raw, 0)[0], tuple(inputs), tx.outputs, _U32(raw, len(raw) - 4)[0])


def _read_bytes(raw: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_compact_size(raw, at)
    return raw[at : at + size], at + size


def _read_witness(raw: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    count, at = read_compact_size(raw, at)
    items = []
    for _ in range(count):
        item, at = _read_bytes(raw, at)
        items.append(item)
    return tuple(items), at


def outpoint_bytes(outpoint: Outpoint) -> bytes:
    return bytes.fromhex(outpoint.txid)[::-1] + outpoint.vout.to_bytes(4, "little")


def output_bytes(outputs: Sequence[Output]) -> bytes:
    """The outputs one after another, without their number."""
    return b"".join([amount.to_bytes(8, "little") + compact_size(len(key)) + key for key, amount in outputs])


def serialise(tx: RawTx, with_witness: bool = True) -> bytes:
    """Consensus bytes; a transaction without any witness has only the one form."""
    return b"".join(_whole(tx) if with_witness else _stripped(tx, _body(tx)))


def identify(tx: RawTx) -> tuple[str, bytes]:
    """(txid, consensus bytes) in one go."""
    body = _body(tx)
    return _text(b"".join(_stripped(tx, body))), b"".join(_whole(tx, body))


def _body(tx: RawTx) -> bytes:
    """Inputs and outputs: what both forms share."""
    parts = [compact_size(len(tx.inputs))]
    for outpoint, script, sequence, _ in tx.inputs:
        parts += (outpoint_bytes(outpoint), compact_size(len(script)), script, sequence.to_bytes(4, "little"))
    parts += (compact_size(len(tx.outputs)), output_bytes(tx.outputs))
    return b"".join(parts)


def _stripped(tx: RawTx, body: bytes) -> tuple[bytes, ...]:
    return tx.version.to_bytes(4, "little"), body, tx.locktime.to_bytes(4, "little")


def _whole(tx: RawTx, body: bytes | None = None) -> tuple[bytes, ...]:
    version, body, locktime = _stripped(tx, _body(tx) if body is None else body)
    if not any(item.witness for item in tx.inputs):
        return version, body, locktime
    return version, _MARKER, body, *[_witness_bytes(item.witness) for item in tx.inputs], locktime


def _witness_bytes(items: tuple[bytes, ...]) -> bytes:
    return compact_size(len(items)) + b"".join([compact_size(len(item)) + item for item in items])


def txid(tx: RawTx) -> str:
    return _text(serialise(tx, with_witness=False))


def wtxid(tx: RawTx) -> str:
    return _text(serialise(tx))


def weight(tx: RawTx) -> int:
    """BIP 141: three times the size without witness, plus the size with it."""
    return (WITNESS_SCALE - 1) * len(serialise(tx, with_witness=False)) + len(serialise(tx))


def vsize(tx: RawTx) -> int:
    return -(-weight(tx) // WITNESS_SCALE)


def _text(data: bytes) -> str:
    return double_sha256(data)[::-1].hex()


def _malformed(text: str) -> TransactionRefused:
    return TransactionRefused("malformed", text)
