"""BOLT11 invoices: written, signed, read and verified.

`decode` is the door: it takes invoices of the private test network only. `decode_parts` is the bare codec and knows
no network. Amounts are millisatoshi, times epoch seconds. Source: BOLT 11 (lightning/bolts, 11-payment-encoding).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

from glasstumbler.chains import guard
from glasstumbler.chains.encoding import BECH32, bech32_decode, bech32_encode, to_symbols
from glasstumbler.errors import BadInvoice

MSAT_PER_BTC: Final = 100_000_000_000
VAR_ONION, PAYMENT_SECRET, BASIC_MPP, METADATA = 8, 14, 16, 48
"""Feature bits (BOLT 9) that an invoice may demand; any other even bit is refused."""
FEATURES: Final = 1 << VAR_ONION | 1 << PAYMENT_SECRET
DEFAULT_EXPIRY: Final = 3600
DEFAULT_CLTV: Final = 18

_TAGS: Final = {"p": 1, "r": 3, "9": 5, "x": 6, "f": 9, "d": 13, "s": 16, "n": 19, "h": 23, "c": 24, "m": 27}
_FIXED: Final = {"p": 52, "s": 52, "h": 52, "n": 53}
"""Lengths in symbols; a reader skips these fields at any other length."""
_NAMES: Final = {number: tag for tag, number in _TAGS.items()}
_MULTIPLIERS: Final = (("", MSAT_PER_BTC), ("m", 10**8), ("u", 10**5), ("n", 10**2))
_PREFIX = re.compile(r"(ln[a-z]+)(?:([1-9][0-9]{0,17})([munp]?))?")
_LONGEST: Final = 7089
"""Characters: what the largest QR code holds."""
_TIME_SYMBOLS: Final = 7
_SIGNATURE_SYMBOLS: Final = 104
_HINT_BYTES: Final = 51


class Hint(msgspec.Struct, frozen=True):
    """One hop of a private route (field r): the node it starts at, its channel and fees."""

    node: bytes
    short_channel_id: int
    base_msat: int
    ppm: int
    cltv_delta: int


class Invoice(msgspec.Struct, frozen=True):
    """What an invoice says. `payee` is its node's public key (33 bytes): None only before it is signed."""

    payment_hash: bytes
    payment_secret: bytes
    timestamp: int
    amount_msat: int | None = None
    description: str | None = None
    description_hash: bytes | None = None
    expiry: int = DEFAULT_EXPIRY
    min_final_cltv: int = DEFAULT_CLTV
    features: int = FEATURES
    fallbacks: tuple[tuple[int, bytes], ...] = ()
    """(witness version, program); version 17 is a key's hash, 18 a script's."""
    hints: tuple[tuple[Hint, ...], ...] = ()
    metadata: bytes | None = None
    payee: bytes | None = None
    prefix: str = guard.INVOICE_PREFIX

    @property
    def expires(self) -> int:
        return self.timestamp + self.expiry


def encode(invoice: Invoice, secret: bytes, name_payee: bool = False) -> str:
    """The invoice signed by the node's private key; `name_payee` adds field n. NotATestNetwork for other prefixes."""
    prefix = invoice.prefix + _amount_text(invoice.amount_msat)
    key = PrivateKey(secret)
    data = _number_symbols(invoice.timestamp, _TIME_SYMBOLS)
    for tag, symbols in _fields(invoice, key.public_key.format() if name_payee else None):
        data += [_TAGS[tag], *_number_symbols(len(symbols), 2), *symbols]
    signature = key.sign_recoverable(_signed_data(prefix, data), hasher=None)
    text = bech32_encode(prefix, data + to_symbols(signature), BECH32)
    guard.check_invoice(text)
    return text


def decode(text: str) -> Invoice:
    """An invoice of the private test network. BadInvoice if malformed or badly signed; NotATestNetwork for others."""
    guard.check_invoice(text)
    return decode_parts(text)


def decode_parts(text: str) -> Invoice:
    """An invoice of whatever network: for the guarded `decode` and for the published vectors."""
    try:
        prefix, symbols, variant = bech32_decode(text, _LONGEST)
    except ValueError as problem:
        raise BadInvoice(str(problem)) from None
    if variant != BECH32 or len(symbols) < _TIME_SYMBOLS + _SIGNATURE_SYMBOLS:
        raise BadInvoice("too short, or the checksum of another format")
    network, amount = _read_prefix(prefix)
    data, signature = symbols[:-_SIGNATURE_SYMBOLS], _pack(symbols[-_SIGNATURE_SYMBOLS:])
    fields = _read_fields(data[_TIME_SYMBOLS:])
    payee = _verify(signature, _signed_data(prefix, data), fields.get("n", [None])[0])
    return _invoice(network, amount, _number(data[:_TIME_SYMBOLS]), fields, payee)


def _amount_text(msat: int | None) -> str:
    if msat is None:
        return ""
    for letter, unit in _MULTIPLIERS:
        if msat % unit == 0:
            return f"{msat // unit}{letter}"
    return f"{msat * 10}p"


def _read_prefix(prefix: str) -> tuple[str, int | None]:
    match = _PREFIX.fullmatch(prefix)
    if match is None:
        raise BadInvoice("the amount or its multiplier is malformed")
    network, digits, letter = match.groups()
    if digits is None:
        return network, None
    if letter != "p":
        return network, int(digits) * dict(_MULTIPLIERS)[letter]
    if int(digits) % 10:
        raise BadInvoice("an amount below one millisatoshi")
    return network, int(digits) // 10


def _fields(invoice: Invoice, payee: bytes | None) -> Iterator[tuple[str, list[int]]]:
    yield "s", to_symbols(invoice.payment_secret)
    yield "p", to_symbols(invoice.payment_hash)
    if invoice.description_hash is not None:
        yield "h", to_symbols(invoice.description_hash)
    else:
        yield "d", to_symbols((invoice.description or "").encode())
    if invoice.metadata is not None:
        yield "m", to_symbols(invoice.metadata)
    if payee is not None:
        yield "n", to_symbols(payee)
    if invoice.expiry != DEFAULT_EXPIRY:
        yield "x", _number_symbols(invoice.expiry)
    if invoice.min_final_cltv != DEFAULT_CLTV:
        yield "c", _number_symbols(invoice.min_final_cltv)
    for version, program in invoice.fallbacks:
        yield "f", [version, *to_symbols(program)]
    for hops in invoice.hints:
        yield "r", to_symbols(b"".join(map(_hint_bytes, hops)))
    if invoice.features:
        yield "9", _number_symbols(invoice.features)


def _read_fields(symbols: Sequence[int]) -> dict[str, list[list[int]]]:
    """Symbols of every field by tag, in order; unknown tags and wrong fixed lengths are skipped, as BOLT 11 says."""
    fields: dict[str, list[list[int]]] = {}
    at = 0
    while at < len(symbols):
        size = _number(symbols[at + 1 : at + 3])
        content = list(symbols[at + 3 : at + 3 + size])
        if len(symbols) < at + 3 or len(content) != size:
            raise BadInvoice("a field is longer than the invoice")
        tag = _NAMES.get(symbols[at])
        if tag is not None and size == _FIXED.get(tag, size):
            fields.setdefault(tag, []).append(content)
        at += 3 + size
    return fields


def _invoice(
    network: str, amount: int | None, timestamp: int, fields: dict[str, list[list[int]]], payee: bytes
) -> Invoice:
    if "p" not in fields or "s" not in fields:
        raise BadInvoice("no payment hash or no payment secret")
    if "d" not in fields and "h" not in fields:
        raise BadInvoice("no description")
    first = {tag: contents[0] for tag, contents in fields.items()}
    features = _number(first.get("9", []))
    _check_features(features)
    return Invoice(
        payment_hash=_pack(first["p"]),
        payment_secret=_pack(first["s"]),
        timestamp=timestamp,
        amount_msat=amount,
        description=_text(first["d"]) if "d" in first else None,
        description_hash=_pack(first["h"]) if "h" in first else None,
        expiry=_number(first["x"]) if "x" in first else DEFAULT_EXPIRY,
        min_final_cltv=_number(first["c"]) if "c" in first else DEFAULT_CLTV,
        features=features,
        fallbacks=tuple((f[0], _pack(f[1:])) for f in fields.get("f", []) if f and f[0] <= 18),
        hints=tuple(_read_hints(_pack(r)) for r in fields.get("r", [])),
        metadata=_pack(first["m"]) if "m" in first else None,
        payee=payee,
        prefix=network,
    )


def _check_features(features: int) -> None:
    known = {VAR_ONION, PAYMENT_SECRET, BASIC_MPP, METADATA}
    unknown = [bit for bit in range(0, features.bit_length(), 2) if features >> bit & 1 and bit not in known]
    if unknown:
        raise BadInvoice(f"it demands the unknown feature {unknown[0]}")


def _hint_bytes(hint: Hint) -> bytes:
    numbers = ((hint.short_channel_id, 8), (hint.base_msat, 4), (hint.ppm, 4), (hint.cltv_delta, 2))
    return hint.node + b"".join(number.to_bytes(size, "big") for number, size in numbers)


def _read_hints(data: bytes) -> tuple[Hint, ...]:
    if len(data) % _HINT_BYTES:
        raise BadInvoice("routing information of a wrong length")
    hops = (data[start : start + _HINT_BYTES] for start in range(0, len(data), _HINT_BYTES))
    return tuple(
        Hint(hop[:33], *(int.from_bytes(hop[a:b], "big") for a, b in ((33, 41), (41, 45), (45, 49), (49, 51))))
        for hop in hops
    )


def _verify(signature: bytes, digest: bytes, named: list[int] | None) -> bytes:
    """The payee's public key: that of field n, which must fit the signature, else the one recovered from it."""
    try:
        if named is None:
            return PublicKey.from_signature_and_message(signature, digest, hasher=None).format()
        payee = _pack(named)
        fits = PublicKey(payee).verify(cdata_to_der(deserialize_compact(signature[:64])), digest, hasher=None)
    except Exception:  # coincurve raises a bare Exception where no key can be recovered
        raise BadInvoice("the signature is none") from None
    if not fits:
        raise BadInvoice("the signature is not the payee's")
    return payee


def _signed_data(prefix: str, symbols: list[int]) -> bytes:
    """SHA-256 of the prefix and the data, the data padded with zero bits to whole bytes."""
    bits = 5 * len(symbols)
    data = _number(symbols) << (-bits % 8)
    return sha256(prefix.encode() + data.to_bytes((bits + 7) // 8, "big")).digest()


def _text(symbols: list[int]) -> str:
    try:
        return _pack(symbols).decode()
    except UnicodeDecodeError:
        raise BadInvoice("the description is not UTF-8") from None


def _number(symbols: Sequence[int]) -> int:
    number = 0
    for symbol in symbols:
        number = number << 5 | symbol
    return number


def _number_symbols(number: int, size: int | None = None) -> list[int]:
    """Big endian; of `size` symbols, or as few as it takes."""
    count = (number.bit_length() + 4) // 5 if size is None else size
    return [number >> shift & 31 for shift in range(5 * count - 5, -1, -5)]


def _pack(symbols: Sequence[int]) -> bytes:
    """Whole bytes of five-bit symbols; what is left at the end is padding."""
    size, padding = divmod(len(symbols) * 5, 8)
    return (_number(symbols) >> padding).to_bytes(size, "big")
