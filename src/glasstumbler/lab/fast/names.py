"""Addresses in test-network form out of the payloads of keys, whole arrays at once.

Of the same forms as chains/addresses.py makes one by one (tests hold them against each other): bech32 and bech32m
(BIP 173, BIP 350), Base58Check, CashAddr.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glasstumbler.chains.eth_format import checksum_address
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.lab.fast.chain import key_of
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.population import Ints

Letters = npt.NDArray[np.uint8]
_SYMBOLS: Final = np.frombuffer(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l", np.uint8)
_DIGITS: Final = np.frombuffer(b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", np.uint8)
_BECH32, _BECH32M = 1, 0x2BC830A3
_BECH32_STEPS: Final = np.array([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3], np.uint64)
_CASH_STEPS: Final = np.array([0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470], np.uint64)
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
    symbols = np.column_stack([np.full(len(payloads), version, np.uint8), _fives(payloads[:, :size])])
    head = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    last = _BECH32M if version else _BECH32
    return _with_checksum(f"{prefix}1", head, symbols, 6, 25, _BECH32_STEPS, last)


def _cashaddr(prefix: str, version: int, payloads: Letters) -> tuple[Letters, int]:
    marked = np.column_stack([np.full(len(payloads), version, np.uint8), payloads[:, :20]])
    head = [ord(letter) & 31 for letter in prefix] + [0]
    return _with_checksum(f"{prefix}:", head, _fives(marked), 8, 35, _CASH_STEPS, 1)


def _with_checksum(
    lead: str, head: list[int], symbols: Letters, size: int, top: int, steps: npt.NDArray[np.uint64], last: int
) -> tuple[Letters, int]:
    check = _checksums(np.array(head, np.uint8), symbols, size, top, steps, last)
    letters = np.repeat(np.frombuffer(lead.encode(), np.uint8)[None, :], len(symbols), axis=0)
    whole = np.concatenate([letters, _SYMBOLS[np.column_stack([symbols, check])]], axis=1)
    return whole, whole.shape[1]


def _fives(data: Letters) -> Letters:
    """Eight bits into five, the last filled up with zeros."""
    bits = np.unpackbits(data, axis=1)
    bits = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 5))).reshape(len(data), -1, 5)
    found: Letters = (bits @ np.array([16, 8, 4, 2, 1], np.uint8)).astype(np.uint8)
    return found


@compiled
def _checksums(
    head: Letters, symbols: Letters, size: int, top: int, steps: npt.NDArray[np.uint64], last: int
) -> Letters:
    """The remainder of a BCH code over 32 symbols, `size` symbols of it; `top`: bits that are not shifted out."""
    found = np.empty((len(symbols), size), np.uint8)
    low = (np.uint64(1) << np.uint64(top)) - np.uint64(1)
    for row in range(len(symbols)):
        c = np.uint64(1)
        for at in range(len(head) + symbols.shape[1] + size):
            if at < len(head):
                value = head[at]
            elif at < len(head) + symbols.shape[1]:
                value = symbols[row, at - len(head)]
            else:
                value = np.uint8(0)
            over = c >> np.uint64(top)
            c = ((c & low) << np.uint64(5)) ^ np.uint64(value)
            for bit in range(5):
                if (over >> np.uint64(bit)) & np.uint64(1):
                    c ^= steps[bit]
        c ^= np.uint64(last)
        for at in range(size):
            found[row, at] = (c >> np.uint64(5 * (size - 1 - at))) & np.uint64(31)
    return found


# -- digits of base 58 ------------------------------------------------------------------------------------------------


def _base58(version: int, payloads: Letters) -> tuple[Letters, Ints]:
    marked = np.column_stack([np.full(len(payloads), version, np.uint8), payloads[:, :20]])
    raw = marked.tobytes()
    checks = b"".join([sha256(sha256(raw[at : at + 21]).digest()).digest()[:4] for at in range(0, len(raw), 21)])
    whole = np.column_stack([marked, np.frombuffer(checks, np.uint8).reshape(-1, 4)])
    return _base58_digits(whole, _DIGITS, _LONGEST_BASE58)


@compiled
def _base58_digits(data: Letters, digits: Letters, longest: int) -> tuple[Letters, Ints]:
    """Of numbers that do not begin with a zero byte."""
    found = np.empty((len(data), longest), np.uint8)
    lengths = np.empty(len(data), np.int64)
    small = np.empty(longest, np.uint8)
    for row in range(len(data)):
        small[:] = 0
        many = 0
        for at in range(data.shape[1]):
            carry = np.int64(data[row, at])
            for place in range(many):
                carry += np.int64(small[place]) << 8
                small[place] = carry % 58
                carry //= 58
            while carry:
                small[many] = carry % 58
                carry //= 58
                many += 1
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
