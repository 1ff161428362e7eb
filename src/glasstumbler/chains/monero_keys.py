"""Monero keys and addresses in stagenet form, the only form that the laboratory knows.

From one 32-byte seed: the private spend key (the seed reduced), the private view key (its hash, reduced), and any
number of subaddresses, as Monero's own wallets derive them. Points and scalars are ed25519's, 32 bytes little endian.
Sources: the Monero project's `cryptonote_format_utils` and base58 (blocks of 8 bytes); Zero to Monero, 2nd ed., 4.3.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)

from glasstumbler.chains.keccak import keccak256
from glasstumbler.errors import BadAddress

PRIMARY: Final = 24
INTEGRATED: Final = 25
SUBADDRESS: Final = 36

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT: Final = {letter: digit for digit, letter in enumerate(_ALPHABET)}
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_TEXT_SIZE: Final = (0, 2, 3, 5, 6, 7, 9, 10, 11)
"""Letters that encode a block of so many bytes."""
_LONGEST: Final = 120
_CHECKSUM: Final = 4


class Keys(NamedTuple):
    """Private and public spend key, private and public view key."""

    spend: bytes
    public_spend: bytes
    view: bytes
    public_view: bytes


class Address(NamedTuple):
    """A decoded address. `payment_id` is 8 bytes in an integrated address, empty in others."""

    network_byte: int
    public_spend: bytes
    public_view: bytes
    payment_id: bytes


def reduce_scalar(data: bytes) -> bytes:
    """32 bytes modulo the order of the group (`sc_reduce32`)."""
    return crypto_core_ed25519_scalar_reduce(data + bytes(32))


@lru_cache(maxsize=1024)
def keys_of(seed: bytes) -> Keys:
    """ValueError unless the seed has 32 bytes and is not a multiple of the group's order."""
    spend = reduce_scalar(seed) if len(seed) == 32 else bytes(32)
    if spend == bytes(32):
        raise ValueError("a Monero seed has 32 bytes, and is no multiple of the group's order")
    view = reduce_scalar(keccak256(spend))
    base = crypto_scalarmult_ed25519_base_noclamp
    return Keys(spend, base(spend), view, base(view))


def subaddress_offset(view: bytes, account: int, index: int) -> bytes:
    """m = Hs("SubAddr\\0" || view key || account || index)."""
    numbers = account.to_bytes(4, "little") + index.to_bytes(4, "little")
    return reduce_scalar(keccak256(b"SubAddr\0" + view + numbers))


def subaddress_key(seed: bytes, index: int, account: int = 0) -> bytes:
    """Public spend key D = B + m*G and public view key C = a*D of a subaddress (64 bytes); 0, 0 is the primary."""
    keys = keys_of(seed)
    if not index and not account:
        return keys.public_spend + keys.public_view
    offset = subaddress_offset(keys.view, account, index)
    point = crypto_core_ed25519_add(keys.public_spend, crypto_scalarmult_ed25519_base_noclamp(offset))
    return point + crypto_scalarmult_ed25519_noclamp(keys.view, point)


def subaddress_secret(seed: bytes, index: int, account: int = 0) -> bytes:
    """The private key of D, which spends what a subaddress received."""
    keys = keys_of(seed)
    if not index and not account:
        return keys.spend
    return crypto_core_ed25519_scalar_add(keys.spend, subaddress_offset(keys.view, account, index))


def subaddress(seed: bytes, index: int, account: int = 0) -> str:
    kind = SUBADDRESS if index or account else PRIMARY
    return encode_address(kind, subaddress_key(seed, index, account))


def integrated_address(seed: bytes, payment_id: bytes, index: int = 0) -> str:
    """A payment id of 8 bytes in one string with the keys of an address: with the primary's, as Monero has it, or
    with subaddress `index`'s, so that what is paid to it arrives at that subaddress."""
    if len(payment_id) != 8:
        raise ValueError("a short payment id has 8 bytes")
    return encode_address(INTEGRATED, subaddress_key(seed, index), payment_id)


def encode_address(network_byte: int, key: bytes, payment_id: bytes = b"") -> str:
    data = bytes((network_byte,)) + key + payment_id
    return _base58(data + keccak256(data)[:_CHECKSUM])


def decode_address(address: str) -> Address:
    """Any well-formed Monero address: which networks pass is the guard's to say. BadAddress if malformed."""
    data = _unbase58(address)
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if len(body) not in (65, 73) or keccak256(body)[:_CHECKSUM] != checksum:
        raise BadAddress("the length or checksum of this Monero address is wrong")
    return Address(body[0], body[1:33], body[33:65], body[65:])


def _base58(data: bytes) -> str:
    return "".join(_encode_block(data[start : start + 8]) for start in range(0, len(data), 8))


def _encode_block(block: bytes) -> str:
    size = _TEXT_SIZE[len(block)]
    number = int.from_bytes(block, "big")
    pairs = []
    for _ in range((size + 1) // 2):
        number, pair = divmod(number, 58 * 58)
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))[-size:]


def _unbase58(text: str) -> bytes:
    if len(text) > _LONGEST:
        raise BadAddress("too long for a Monero address")
    return b"".join(_decode_block(text[start : start + 11]) for start in range(0, len(text), 11))


def _decode_block(text: str) -> bytes:
    if len(text) not in _TEXT_SIZE:
        raise BadAddress("a Monero address has no such length")
    size = _TEXT_SIZE.index(len(text))
    number = 0
    for letter in text:
        digit = _DIGIT.get(letter)
        if digit is None:
            raise BadAddress("a letter that base58 does not have")
        number = number * 58 + digit
    if number >> (8 * size):
        raise BadAddress("a block of this Monero address overflows")
    return number.to_bytes(size, "big")
