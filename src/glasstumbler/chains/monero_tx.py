"""Transactions and blocks of the Monero model: a serialisation of our own.

A model, not Monero: no ring signatures, no stealth addresses, no hidden amounts. An output stands openly as the
subaddress that it pays (its two public keys) and its amount; an input names the output that it spends and carries an
ed25519 signature by that subaddress's private spend key. The laboratory shows observers no inputs (`Tx.inputs` is
empty), as on the real chain; `raw` holds them, so a dataset for tracers must leave `raw` out.

    transaction: "GTX1", inputs, outputs, extra      each list with its count before it; numbers are LEB128 varints
    input:       txid (32), output number, signature (64)
    output:      public spend key (32), public view key (32), amount in piconero
    block:       "GTB1", height, previous hash (32), time, number, transactions, each with its length before it
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha512
from typing import Final, NamedTuple

from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from glasstumbler.chains.base import Block, Output, Tx
from glasstumbler.chains.keccak import keccak256
from glasstumbler.errors import BlockRefused, TransactionRefused

_TX_MAGIC: Final = b"GTX1"
_BLOCK_MAGIC: Final = b"GTB1"
_MOST_PARTS: Final = 20_000
"""Inputs or outputs of a transaction."""
_MOST_EXTRA: Final = 64
_VARINT_BITS: Final = 64


class Source(NamedTuple):
    """The output that an input spends."""

    txid: str
    number: int


class Input(NamedTuple):
    source: Source
    signature: bytes


class MoneroTx(NamedTuple):
    """`extra` tells coinbases apart (they have no inputs), and payments that would otherwise be equal."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    extra: bytes
    txid: str
    raw: bytes

    def tx(self) -> Tx:
        """As an observer sees it."""
        return Tx(self.txid, (), self.outputs, self.raw)


class MoneroBlock(NamedTuple):
    height: int
    previous: str
    time: int
    number: int
    txs: tuple[MoneroTx, ...]

    def raw(self) -> bytes:
        txs = b"".join(varint(len(tx.raw)) + tx.raw for tx in self.txs)
        return self._header() + varint(len(self.txs)) + txs

    def hash(self) -> str:
        body = keccak256(b"".join(bytes.fromhex(tx.txid) for tx in self.txs))
        return keccak256(self._header() + body).hex()

    def block(self) -> Block:
        return Block(self.height, self.hash(), self.previous, self.time, tuple(tx.tx() for tx in self.txs))

    def _header(self) -> bytes:
        numbers = varint(self.time) + varint(self.number)
        return _BLOCK_MAGIC + varint(self.height) + bytes.fromhex(self.previous) + numbers


def coinbase(outputs: Sequence[Output], extra: bytes) -> MoneroTx:
    return _finished((), outputs, extra)


def sign(spends: Sequence[tuple[Source, bytes]], outputs: Sequence[Output], extra: bytes = b"") -> MoneroTx:
    """A transaction that spends these outputs, each with the private spend key of its subaddress."""
    digest = _signed_data([source for source, _ in spends], outputs, extra)
    return _finished([Input(source, _sign(secret, digest)) for source, secret in spends], outputs, extra)


def verify(tx: MoneroTx, number: int, key: bytes) -> bool:
    """Does input `number` carry the signature of the subaddress (64 bytes) whose output it spends?"""
    digest = _signed_data([entry.source for entry in tx.inputs], tx.outputs, tx.extra)
    return _verified(key[:32], digest, tx.inputs[number].signature)


def read_tx(raw: bytes) -> MoneroTx:
    """TransactionRefused("malformed") if the bytes are no transaction of the model."""
    try:
        return Reader(raw).transaction()
    except ValueError as problem:
        raise TransactionRefused("malformed", str(problem)) from None


def read_monero_block(raw: bytes) -> MoneroBlock:
    """BlockRefused if the bytes are no block of the model."""
    try:
        return Reader(raw).block()
    except (ValueError, TransactionRefused) as problem:
        raise BlockRefused(f"the block is damaged: {problem}") from None


def _finished(inputs: Sequence[Input], outputs: Sequence[Output], extra: bytes) -> MoneroTx:
    body = [_source_bytes(entry.source) + entry.signature for entry in inputs]
    raw = _TX_MAGIC + varint(len(body)) + b"".join(body) + _outputs_bytes(outputs, extra)
    return MoneroTx(tuple(inputs), tuple(outputs), extra, keccak256(raw).hex(), raw)


def _signed_data(sources: Sequence[Source], outputs: Sequence[Output], extra: bytes) -> bytes:
    return keccak256(b"spend" + b"".join(map(_source_bytes, sources)) + _outputs_bytes(outputs, extra))


def _source_bytes(source: Source) -> bytes:
    return bytes.fromhex(source.txid) + varint(source.number)


def _outputs_bytes(outputs: Sequence[Output], extra: bytes) -> bytes:
    body = b"".join(key + varint(amount) for key, amount in outputs)
    return varint(len(outputs)) + body + varint(len(extra)) + extra


def _sign(secret: bytes, message: bytes) -> bytes:
    """Ed25519 (RFC 8032) with a bare scalar as the key, since a subaddress's is a sum and has no seed."""
    public = crypto_scalarmult_ed25519_base_noclamp(secret)
    nonce = crypto_core_ed25519_scalar_reduce(sha512(secret + message).digest())
    point = crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = crypto_core_ed25519_scalar_reduce(sha512(point + public + message).digest())
    return point + crypto_core_ed25519_scalar_add(nonce, crypto_core_ed25519_scalar_mul(challenge, secret))


@lru_cache(maxsize=16_384)
def _verified(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(public).verify(message, signature)
    except BadSignatureError:
        return False
    return True


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Reader:
    """Reads Monero's numbers, and what is written above; ValueError for anything else."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self.place = raw, 0

    def transaction(self) -> MoneroTx:
        self._magic(_TX_MAGIC)
        inputs = tuple(self._input() for _ in range(self.count(_MOST_PARTS)))
        outputs = tuple(Output(self.take(64), self.number()) for _ in range(self.count(_MOST_PARTS)))
        extra = self.take(self.count(_MOST_EXTRA))
        self.end()
        return MoneroTx(inputs, outputs, extra, keccak256(self._raw).hex(), self._raw)

    def block(self) -> MoneroBlock:
        self._magic(_BLOCK_MAGIC)
        height, previous, time, number = self.number(), self.take(32).hex(), self.number(), self.number()
        txs = tuple(read_tx(self.take(self.number())) for _ in range(self.count(len(self._raw))))
        self.end()
        return MoneroBlock(height, previous, time, number, txs)

    def _input(self) -> Input:
        return Input(Source(self.take(32).hex(), self.number()), self.take(64))

    def _magic(self, magic: bytes) -> None:
        if self.take(len(magic)) != magic:
            raise ValueError("it does not begin as one of this model")

    def take(self, size: int) -> bytes:
        end = self.place + size
        if end > len(self._raw):
            raise ValueError("it is cut short")
        start, self.place = self.place, end
        return self._raw[start:end]

    def number(self) -> int:
        number = shift = 0
        while shift < _VARINT_BITS:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or number >> _VARINT_BITS:
                    break
                return number
            shift += 7
        raise ValueError("a number of more than 64 bits, or longer than it need be")

    def count(self, most: int) -> int:
        count = self.number()
        if count > most:
            raise ValueError(f"{count} parts; at most {most}")
        return count

    def since(self, place: int) -> bytes:
        return self._raw[place : self.place]

    def end(self) -> None:
        if self.place != len(self._raw):
            raise ValueError("bytes are left over")
