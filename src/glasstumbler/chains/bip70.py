"""BIP 70 payment requests of the laboratory: written and read, never fetched from anywhere.

Only what a swap needs of the protocol: PaymentRequest{payment_details_version 1, pki_type 2, serialized_payment_details
4} around PaymentDetails{network 1, outputs 2, time 3, expires 4, memo 5}, Output{amount 1, script 2}. Protobuf wire
format: varints (type 0) and length-delimited fields (type 2). Requests are unsigned (pki_type "none").
Source: BIP 70.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from glasstumbler.chains.base import Output
from glasstumbler.errors import BadPaymentRequest

NETWORK: Final = "regtest"
MEDIA_TYPE: Final = "application/bitcoin-paymentrequest"
_VARINT, _BYTES = 0, 2
_LONGEST: Final = 50_000
"""Bytes (BIP 70's own limit)."""


class PaymentRequest(NamedTuple):
    """Amounts in sat, times in epoch seconds; `expires` 0: never."""

    outputs: tuple[Output, ...]
    time: int
    expires: int = 0
    memo: str = ""
    network: str = NETWORK


def encode(request: PaymentRequest) -> bytes:
    outputs = b"".join(_field(2, _number(1, out.amount) + _field(2, out.key)) for out in request.outputs)
    details = _field(1, request.network.encode()) + outputs + _number(3, request.time)
    if request.expires:
        details += _number(4, request.expires)
    if request.memo:
        details += _field(5, request.memo.encode())
    return _number(1, 1) + _field(2, b"none") + _field(4, details)


def decode(raw: bytes) -> PaymentRequest:
    """BadPaymentRequest for anything that is not a well-formed request for this laboratory's network."""
    if len(raw) > _LONGEST:
        raise BadPaymentRequest("the payment request is too long", "pp_url")
    try:
        outer = _fields(raw)
        details = _fields(_only(outer, 4))
        outputs = tuple(_output(_fields(part)) for part in details.get(2, []) if isinstance(part, bytes))
        network = _only(details, 1).decode() if 1 in details else "main"  # BIP 70's default: never ours
        memo = _only(details, 5).decode() if 5 in details else ""
        request = PaymentRequest(outputs, _whole(details, 3), _whole(details, 4), memo, network)
    except (ValueError, KeyError, IndexError):
        raise BadPaymentRequest("not a payment request", "pp_url") from None
    if request.network != NETWORK:
        raise BadPaymentRequest(
            f"the payment request is for network {network!r}; allowed here: {NETWORK!r} (test networks only)", "pp_url"
        )
    return request


Fields = dict[int, list[int | bytes]]


def _output(fields: Fields) -> Output:
    return Output(_only(fields, 2), _whole(fields, 1))


def _only(fields: Fields, number: int) -> bytes:
    value = fields[number][-1]
    if not isinstance(value, bytes):
        raise ValueError("not a length-delimited field")
    return value


def _whole(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise ValueError("not a varint")
    return value


def _fields(raw: bytes) -> Fields:
    found: Fields = {}
    at = 0
    while at < len(raw):
        tag, at = _read_varint(raw, at)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _read_varint(raw, at)
        elif kind == _BYTES:
            size, at = _read_varint(raw, at)
            value, at = raw[at : at + size], at + size
            if at > len(raw):
                raise ValueError("cut short")
        else:
            raise ValueError("a field of a kind that BIP 70 does not use")
        found.setdefault(number, []).append(value)
    return found


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of over 64 bits")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
