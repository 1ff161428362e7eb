"""Addresses in test-network form out of the payloads of keys, whole arrays at once.

Of the same forms as chains/addresses.py makes one by one (tests hold them against each other): bech32 and bech32m
(BIP 173, BIP 350), Base58Check, CashAddr.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.chains.eth_format import checksum_address
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.lab.fast.chain import key_of
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.population import Ints

Letters = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
_SYMBOLS: Final = np.frombuffer(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l", np.uint8)
_DIGITS: Final = np.frombuffer(b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", np.uint8)
_BECH32, _BECH32M = 1, 0x2BC830A3
_BECH32_STEPS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CASH_STEPS: Final = (0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470)
_LONGEST_BASE58: Final = 35


def names(coin: str, kinds: tuple[str, ...], kind: Ints, payloads: Letters) -> pa.StringArray:
    """By address. `kind` is an index of `kinds`, `payloads` has a row of bytes for each."""
    lengths = np.zeros(len(kind), np.int64)
    parts: list[tuple[Ints, Letters]] = []
    for index, name in enumerate(kinds):
        here = np.flatnonzero(kind == index)
        if len(here):
            letters, lengths[here] = _MAKERS[coin, name](payloads[here])
            parts.append((here, letters))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    text = np.empty(int(ends[-1]), np.uint8)
    for here, letters in parts:
        _copy(letters, ends[here], lengths[here], text)
    return pa.StringArray.from_buffers(len(kind), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(text))


@compiled
def _copy(letters: Letters, starts: Ints, lengths: Ints, text: Letters) -> None:
    for row in range(len(starts)):
        for at in range(lengths[row]):
            text[starts[row] + at] = letters[row, at]


# -- symbols of five bits ---------------------------------------------------------------------------------------------


def _segwit(prefix: str, version: int, size: int, payloads: Letters) -> tuple[Letters, int]:
    head = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix] + [version]
    lead = f"{prefix}1".encode() + bytes(_SYMBOLS[version : version + 1])
    return _written(payloads[:, :size], lead, head, _Code(6, 25, _BECH32_STEPS, _BECH32M if version else _BECH32))


def _cashaddr(prefix: str, version: int, payloads: Letters) -> tuple[Letters, int]:
    marked = np.column_stack([np.full(len(payloads), version, np.uint8), payloads[:, :20]])
    head = [ord(letter) & 31 for letter in prefix] + [0]
    return _written(marked, f"{prefix}:".encode(), head, _Code(8, 35, _CASH_STEPS, 1))


class _Code(NamedTuple):
    """A BCH code over symbols of five bits."""

    size: int
    """Symbols of its checksum."""
    top: int
    """Bits of the remainder that are not shifted out."""
    steps: tuple[int, ...]
    last: int


def _written(data: Letters, lead: bytes, head: list[int], code: _Code) -> tuple[Letters, int]:
    """`lead`: what stands before the data; `head`: the symbols that the checksum begins with."""
    table = np.zeros(32, np.uint64)
    for over in range(32):
        for bit, step in enumerate(code.steps):
            table[over] ^= np.uint64(step if over >> bit & 1 else 0)
    begin = np.uint64(1)
    for symbol in head:
        begin = _after(begin, np.uint64(symbol), np.uint64(code.top), table)
    found = _symbols(
        np.ascontiguousarray(data), np.frombuffer(lead, np.uint8), begin, table, code.size, np.uint64(code.top),
        np.uint64(code.last), _SYMBOLS,
    )  # fmt: skip
    return found, found.shape[1]


@compiled
def _after(c: np.uint64, symbol: np.uint64, top: np.uint64, table: Words) -> np.uint64:
    low = c & ((np.uint64(1) << top) - np.uint64(1))
    found: np.uint64 = (low << np.uint64(5)) ^ symbol ^ table[c >> top]
    return found


@compiled
def _symbols(
    data: Letters,
    lead: Letters,
    begin: np.uint64,
    table: Words,
    size: int,
    top: np.uint64,
    last: np.uint64,
    letters: Letters,
) -> Letters:
    many = (data.shape[1] * 8 + 4) // 5
    found = np.empty((len(data), len(lead) + many + size), np.uint8)
    for row in range(len(data)):
        found[row, : len(lead)] = lead
        at, c, bits, held = len(lead), begin, 0, np.int64(0)
        for place in range(data.shape[1]):
            held = (held & 31) << 8 | np.int64(data[row, place])
            bits += 8
            while bits >= 5:
                bits -= 5
                symbol = held >> bits & 31
                found[row, at] = letters[symbol]
                c = _after(c, np.uint64(symbol), top, table)
                at += 1
        if bits:
            symbol = held << (5 - bits) & 31
            found[row, at] = letters[symbol]
            c = _after(c, np.uint64(symbol), top, table)
            at += 1
        for _ in range(size):
            c = _after(c, np.uint64(0), top, table)
        c ^= last
        for place in range(size):
            found[row, at + place] = letters[np.int64(c >> np.uint64(5 * (size - 1 - place))) & 31]
    return found


# -- digits of base 58 ------------------------------------------------------------------------------------------------


def _base58(version: int, payloads: Letters) -> tuple[Letters, Ints]:
    marked = np.column_stack([np.full(len(payloads), version, np.uint8), payloads[:, :20]])
    raw = marked.tobytes()
    checks = b"".join([sha256(sha256(raw[at : at + 21]).digest()).digest()[:4] for at in range(0, len(raw), 21)])
    whole = np.zeros((len(payloads), 28), np.uint8)
    whole[:, 3:24], whole[:, 24:] = marked, np.frombuffer(checks, np.uint8).reshape(-1, 4)
    return _digits(whole.view(">u4").astype(np.uint64), _DIGITS, _LONGEST_BASE58)


@compiled
def _digits(words: Words, digits: Letters, longest: int) -> tuple[Letters, Ints]:
    """Of numbers in words of 32 bits, the highest first, that do not begin with a zero byte."""
    found = np.empty((len(words), longest), np.uint8)
    lengths = np.empty(len(words), np.int64)
    small = np.empty(longest + 5, np.uint8)
    five = np.uint64(58**5)
    for row in range(len(words)):
        many = 0
        while many < longest:
            rest = np.uint64(0)
            for place in range(words.shape[1]):
                value = rest << np.uint64(32) | words[row, place]
                words[row, place] = value // five
                rest = value % five
            for _ in range(5):
                small[many] = rest % np.uint64(58)
                rest //= np.uint64(58)
                many += 1
        while small[many - 1] == 0:
            many -= 1
        lengths[row] = many
        for place in range(many):
            found[row, place] = digits[small[many - 1 - place]]
    return found, lengths


# -- one by one -------------------------------------------------------------------------------------------------------


def _each(kind: str, write: Callable[[bytes], str], payloads: Letters) -> tuple[Letters, int]:
    raw, size = payloads.tobytes(), payloads.shape[1]
    texts = "".join([write(key_of(kind, raw[at : at + size])) for at in range(0, len(raw), size)])
    letters = np.frombuffer(texts.encode(), np.uint8).reshape(len(payloads), -1)
    return letters, letters.shape[1]


_MAKERS: Final[dict[tuple[str, str], Callable[[Letters], tuple[Letters, Ints | int]]]] = {
    ("btc", "p2wpkh"): partial(_segwit, "bcrt", 0, 20),
    ("btc", "p2tr"): partial(_segwit, "bcrt", 1, 32),
    ("btc", "p2pkh"): partial(_base58, 111),
    ("btc", "p2sh-p2wpkh"): partial(_base58, 196),
    ("ltc", "p2wpkh"): partial(_segwit, "rltc", 0, 20),
    ("ltc", "p2tr"): partial(_segwit, "rltc", 1, 32),
    ("ltc", "p2pkh"): partial(_base58, 111),
    ("ltc", "p2sh-p2wpkh"): partial(_base58, 58),
    ("bch", "p2pkh"): partial(_cashaddr, "bchreg", 0),
    ("eth", "account"): partial(_each, "account", checksum_address),
    ("xmr", "subaddress"): partial(_each, "subaddress", MoneroFormat().address),
}
