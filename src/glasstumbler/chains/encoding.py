"""Text codes of addresses: Base58Check, bech32 and bech32m (BIP 173, BIP 350), CashAddr (its specification).

Codes only: which prefix or version is allowed is guard.py's. Every decoder raises ValueError saying what is
wrong. Symbols of bech32 and CashAddr are ints of five bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

_B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_B58_VALUE = {symbol: value for value, symbol in enumerate(_B58)}
_B32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_B32_VALUE = {symbol: value for value, symbol in enumerate(_B32)}
_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuv" + bytes(224)
"""Symbols as the digits that `int` reads in base 32."""

BECH32: Final = 1
BECH32M: Final = 0x2BC830A3
"""What the checksum of each variant leaves (BIP 350)."""

_BECH32_MOST = 90
_CASHADDR_MOST = 128
_CASH_SIZES = (20, 24, 28, 32, 40, 48, 56, 64)


class _Code(NamedTuple):
    """A cyclic code over five-bit symbols: multiples of its generator, where the top symbol sits, and the
    number of checksum symbols."""

    table: tuple[int, ...]
    top: int
    mask: int
    length: int


def _code(generator: tuple[int, ...], length: int) -> _Code:
    table = [0] * 32
    for symbol in range(32):
        for bit, term in enumerate(generator):
            if symbol >> bit & 1:
                table[symbol] ^= term
    top = 5 * (length - 1)
    return _Code(tuple(table), top, (1 << top) - 1, length)


_BECH = _code((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3), 6)
_CASH = _code((0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470), 8)


def _remainder(code: _Code, state: int, symbols: Iterable[int]) -> int:
    table, top, mask, _ = code
    for symbol in symbols:
        state = ((state & mask) << 5) ^ symbol ^ table[state >> top]
    return state


def _checksum(code: _Code, state: int, target: int) -> str:
    rest = _remainder(code, state, bytes(code.length)) ^ target
    return "".join([_B32[rest >> shift & 31] for shift in range(code.top, -1, -5)])


@lru_cache(maxsize=64)
def _bech32_start(prefix: str) -> int:
    high = [ord(char) >> 5 for char in prefix]
    low = [ord(char) & 31 for char in prefix]
    return _remainder(_BECH, 1, (*high, 0, *low))


@lru_cache(maxsize=64)
def _cashaddr_start(prefix: str) -> int:
    return _remainder(_CASH, 1, (*(ord(char) & 31 for char in prefix), 0))


def to_symbols(data: bytes) -> list[int]:
    """Bytes as five-bit symbols, padded with zero bits at the end."""
    count = (len(data) * 8 + 4) // 5
    number = int.from_bytes(data, "big") << (count * 5 - len(data) * 8)
    return [number >> shift & 31 for shift in range(count * 5 - 5, -1, -5)]


def to_bytes(symbols: list[int]) -> bytes:
    """Inverse of to_symbols; ValueError for padding that is too long or not zero."""
    size, padding = divmod(len(symbols) * 5, 8)
    number = int(bytes(symbols).translate(_DIGITS) or b"0", 32)
    if padding >= 5 or number & ((1 << padding) - 1):
        raise ValueError("wrong padding")
    return (number >> padding).to_bytes(size, "big")


def bech32_encode(prefix: str, symbols: list[int], variant: int) -> str:
    state = _remainder(_BECH, _bech32_start(prefix), symbols)
    data = "".join([_B32[symbol] for symbol in symbols])
    return f"{prefix}1{data}{_checksum(_BECH, state, variant)}"


def bech32_decode(text: str, most: int = _BECH32_MOST) -> tuple[str, list[int], int]:
    """(prefix, symbols without checksum, BECH32 or BECH32M). Invoices are longer than BIP 173 allows: `most`."""
    if len(text) > most:
        raise ValueError("too long")
    lowered = _one_case(text)
    prefix, _, data = lowered.rpartition("1")
    if not prefix or not all("!" <= char <= "~" for char in prefix):
        raise ValueError("no prefix")
    symbols = _symbols(data)
    if len(symbols) < _BECH.length:
        raise ValueError("too short")
    variant = _remainder(_BECH, _bech32_start(prefix), symbols)
    if variant not in (BECH32, BECH32M):
        raise ValueError("wrong checksum")
    return prefix, symbols[: -_BECH.length], variant


def segwit_encode(prefix: str, version: int, program: bytes) -> str:
    """The address of a witness program: bech32 for version 0, bech32m for the others (BIP 350)."""
    return bech32_encode(prefix, [version, *to_symbols(program)], BECH32 if version == 0 else BECH32M)


def segwit_program(symbols: list[int], variant: int) -> tuple[int, bytes]:
    """(witness version, program) of decoded bech32 symbols."""
    if not symbols or symbols[0] > 16:
        raise ValueError("no witness version")
    version, program = symbols[0], to_bytes(symbols[1:])
    if variant != (BECH32 if version == 0 else BECH32M):
        raise ValueError("the other variant's checksum")
    if not 2 <= len(program) <= 40 or (version == 0 and len(program) not in (20, 32)):
        raise ValueError("wrong program length")
    return version, program


def cashaddr_encode(prefix: str, kind: int, payload: bytes) -> str:
    """prefix:..., as BCH wallets show it. `kind` is the type bits: 0 a key's hash, 1 a script's."""
    symbols = to_symbols(bytes([kind << 3 | _CASH_SIZES.index(len(payload))]) + payload)
    state = _remainder(_CASH, _cashaddr_start(prefix), symbols)
    data = "".join([_B32[symbol] for symbol in symbols])
    return f"{prefix}:{data}{_checksum(_CASH, state, 1)}"


def cashaddr_decode(text: str, default: str) -> tuple[str, int, bytes]:
    """(prefix, type bits, payload). An address without a prefix is read under `default`."""
    if len(text) > _CASHADDR_MOST:
        raise ValueError("too long")
    prefix, _, data = _one_case(text).rpartition(":")
    prefix = prefix or default
    symbols = _symbols(data)
    if len(symbols) <= _CASH.length or not all("!" <= char <= "~" for char in prefix):
        raise ValueError("too short or no prefix")
    if _remainder(_CASH, _cashaddr_start(prefix), symbols) != 1:
        raise ValueError("wrong checksum")
    content = to_bytes(symbols[: -_CASH.length])
    version, payload = content[0], content[1:]
    if version & 0x80 or len(payload) != _CASH_SIZES[version & 7]:
        raise ValueError("wrong version or length")
    return prefix, version >> 3, payload


def base58check_encode(version: int, payload: bytes) -> str:
    data = bytes([version]) + payload
    data += _double_sha256(data)[:4]
    number, digits = int.from_bytes(data, "big"), []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_B58[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def base58check_decode(text: str) -> tuple[int, bytes]:
    """(version byte, payload)."""
    if len(text) > _CASHADDR_MOST:
        raise ValueError("too long")
    number = 0
    try:
        for char in text:
            number = number * 58 + _B58_VALUE[char]
    except KeyError:
        raise ValueError("not base58") from None
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(data) < 5 or _double_sha256(data[:-4])[:4] != data[-4:]:
        raise ValueError("wrong checksum")
    return data[0], data[1:-4]


def _double_sha256(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def _one_case(text: str) -> str:
    lowered = text.lower()
    if not text.isascii() or text not in (lowered, text.upper()):
        raise ValueError("mixed case or not ASCII")
    return lowered


def _symbols(data: str) -> list[int]:
    try:
        return [_B32_VALUE[char] for char in data]
    except KeyError:
        raise ValueError("a character outside the alphabet") from None
