"""Monero's own transactions and blocks, as nodes since 2022 write them: ring signatures, hidden amounts, view tags.

Only what the newest rules allow is read: transactions of version 2 whose RingCT is of type 6 (CLSAG, Bulletproofs+),
and coinbases. All numbers but those are LEB128 varints; keys are 32 bytes.
Sources: Zero to Monero, 2nd ed., 7 and 8; the Monero project's cryptonote_basic.h, rctTypes.h and tree-hash.c.

    transaction: version, unlock time, inputs, outputs, extra | RingCT type, fee, amounts, commitments | proofs
    block:       major and minor version, time, previous hash (32), nonce (4), coinbase, txids
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from glasstumbler.chains.keccak import keccak256
from glasstumbler.chains.monero_tx import Reader, varint
from glasstumbler.errors import BlockRefused, TransactionRefused

_VERSION, _FIRST_VERSION = 2, 1
_FROM_NOTHING, _FROM_KEY = 0xFF, 2
_KEY, _TAGGED_KEY = 2, 3
_COINBASE_TYPE, _NEWEST_TYPE = 0, 6
_MOST_PARTS: Final = 20_000
_MOST_EXTRA: Final = 1 << 16
_PUBLIC_KEY, _MORE_KEYS = 1, 4
_SIZED: Final = (2, 3, 0xDE)
"""Tags in `extra`: of keys, and of fields (nonces, marks of miners) that begin with their length."""


class RctOutput(NamedTuple):
    """`key` is the one-time key. `amount` is open in a coinbase, and then there is no commitment."""

    key: bytes
    tag: int | None
    amount: int
    hidden_amount: bytes
    commitment: bytes


class RctTx(NamedTuple):
    """`images`: key images of what it spends, none in a coinbase, which has a `height` instead. `unlock`: the block
    height or time before which its outputs are locked by its maker. `main_keys` are the transaction's public keys;
    `output_keys` one for each output, or none."""

    txid: str
    unlock: int
    height: int | None
    images: tuple[bytes, ...]
    outputs: tuple[RctOutput, ...]
    main_keys: tuple[bytes, ...]
    output_keys: tuple[bytes, ...]
    raw: bytes


class RctBlock(NamedTuple):
    """`txids` without the coinbase's; `raw` holds no transaction but that."""

    height: int
    hash: str
    previous: str
    time: int
    coinbase: RctTx
    txids: tuple[str, ...]
    raw: bytes


def read_rct_tx(raw: bytes) -> RctTx:
    """TransactionRefused("malformed") if the bytes are no transaction of the newest form."""
    reader = Reader(raw)
    try:
        tx = _transaction(reader)
        reader.end()
    except ValueError as problem:
        raise TransactionRefused("malformed", str(problem)) from None
    return tx


def read_rct_block(raw: bytes) -> RctBlock:
    """BlockRefused if the bytes are no block of the newest form."""
    reader = Reader(raw)
    try:
        reader.number(), reader.number()
        time, previous = reader.number(), reader.take(32).hex()
        reader.take(4)
        header = reader.since(0)
        coinbase = _transaction(reader)
        txids = tuple(reader.take(32).hex() for _ in range(reader.count(_MOST_PARTS)))
        reader.end()
    except ValueError as problem:
        raise BlockRefused(f"the block is damaged: {problem}") from None
    if coinbase.height is None:
        raise BlockRefused("the block is damaged: it does not begin with a coinbase")
    root = _tree([bytes.fromhex(txid) for txid in (coinbase.txid, *txids)])
    hashed = header + root + varint(1 + len(txids))
    name = keccak256(varint(len(hashed)) + hashed).hex()
    return RctBlock(coinbase.height, name, previous, time, coinbase, txids, raw)


def _transaction(reader: Reader) -> RctTx:
    start = reader.place
    version, unlock = reader.number(), reader.number()
    rings, images, height = _inputs(reader)
    if version != _VERSION and (version != _FIRST_VERSION or height != 0):
        raise ValueError("a transaction of another version than 2")
    bare = [_output(reader) for _ in range(reader.count(_MOST_PARTS))]
    extra = reader.take(reader.count(_MOST_EXTRA))
    main_keys, output_keys = _extra(extra, len(bare))
    prefix = keccak256(reader.since(start))
    if version == _FIRST_VERSION:  # the first block's
        return RctTx(prefix.hex(), unlock, height, images, tuple(bare), main_keys, output_keys, reader.since(start))
    base = reader.place
    kind = reader.take(1)[0]
    if kind != (_NEWEST_TYPE if height is None else _COINBASE_TYPE):
        raise ValueError(f"RingCT of type {kind}; only the newest, 6, is read")
    outputs, rest = bare, bytes(32)
    if height is None:
        reader.number()  # the fee
        amounts = [reader.take(8) for _ in bare]
        commitments = [reader.take(32) for _ in bare]
        outputs = [
            output._replace(hidden_amount=amount, commitment=commitment)
            for output, amount, commitment in zip(bare, amounts, commitments, strict=True)
        ]
    hashed = keccak256(reader.since(base))
    if height is None:
        proofs = reader.place
        _skip_proofs(reader, rings)
        rest = keccak256(reader.since(proofs))
    txid = keccak256(prefix + hashed + rest).hex()
    return RctTx(txid, unlock, height, images, tuple(outputs), main_keys, output_keys, reader.since(start))


def _inputs(reader: Reader) -> tuple[list[int], tuple[bytes, ...], int | None]:
    """Sizes of the rings and key images; or the height, of a coinbase."""
    rings: list[int] = []
    images: list[bytes] = []
    count = reader.count(_MOST_PARTS)
    for _ in range(count):
        kind = reader.take(1)[0]
        if kind == _FROM_NOTHING and count == 1:
            return [], (), reader.number()
        if kind != _FROM_KEY:
            raise ValueError(f"an input of type {kind}")
        reader.number()
        ring = reader.count(_MOST_PARTS)
        for _ in range(ring):
            reader.number()
        rings.append(ring)
        images.append(reader.take(32))
    if not images:
        raise ValueError("no inputs")
    return rings, tuple(images), None


def _output(reader: Reader) -> RctOutput:
    amount, kind = reader.number(), reader.take(1)[0]
    if kind not in (_KEY, _TAGGED_KEY):
        raise ValueError(f"an output of type {kind}")
    key = reader.take(32)
    return RctOutput(key, reader.take(1)[0] if kind == _TAGGED_KEY else None, amount, b"", b"")


def _skip_proofs(reader: Reader, rings: Sequence[int]) -> None:
    """Range proofs, a signature for each input, and the inputs' commitments: their sizes are all that matters here."""
    for _ in range(reader.count(_MOST_PARTS)):
        reader.take(6 * 32)
        for _ in range(2):
            reader.take(32 * reader.count(_MOST_PARTS))
    for ring in rings:
        reader.take(32 * (ring + 2))
    reader.take(32 * len(rings))


def _extra(extra: bytes, outputs: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The public keys, up to where a wallet would stop to understand what stands there."""
    reader = Reader(extra)
    main: list[bytes] = []
    more: tuple[bytes, ...] = ()
    try:
        while reader.place < len(extra):
            tag = reader.take(1)[0]
            if tag == _PUBLIC_KEY:
                main.append(reader.take(32))
            elif tag in _SIZED:
                reader.take(reader.number())
            elif tag == _MORE_KEYS:
                more = tuple(reader.take(32) for _ in range(reader.count(_MOST_PARTS)))
            else:  # padding, or nothing that names keys
                break
    except ValueError:
        pass  # whoever made the transaction may write there what he likes
    return tuple(main), more if len(more) == outputs else ()


def _tree(hashes: Sequence[bytes]) -> bytes:
    """Monero's Merkle tree: the last hashes are joined first, so that what is left is a power of two."""
    row = list(hashes)
    if len(row) == 1:
        return row[0]
    whole = 1
    while whole * 2 < len(row):
        whole *= 2
    single = 2 * whole - len(row)
    row = row[:single] + _joined(row[single:])
    while len(row) > 1:
        row = _joined(row)
    return row[0]


def _joined(row: Sequence[bytes]) -> list[bytes]:
    return [keccak256(row[at] + row[at + 1]) for at in range(0, len(row), 2)]
