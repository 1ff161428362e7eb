"""Ethereum's formats: EIP-55 addresses and signed EIP-1559 transfers, without any node.

Only plain transfers are made and read: type 2, no data, no access list, 21000 gas. We always sign with
max_fee == max_priority_fee, so that the price paid per gas is max_fee whatever the base fee of the block, and the
fee is known exactly when the transaction is signed.

An Ethereum address carries no network: the checksum of EIP-55 is all that an address can be checked for. What keeps
a transfer on the private chain is the chain id inside its signature (EIP-155, EIP-1559).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from coincurve import PrivateKey, PublicKey

from glasstumbler.chains.base import Outpoint, Output, Signed, Spend, Tx
from glasstumbler.chains.keccak import keccak256
from glasstumbler.errors import BadAddress, ChainError, TransactionRefused

CHAIN_ID: Final = 31337
"""Of the private development chain; on the guard's allow-list."""
TRANSFER_GAS: Final = 21_000
"""What a transfer without data costs (Yellow Paper, appendix G: G_transaction)."""

GWEI: Final = 10**9
ETHER: Final = 10**18

_ELASTICITY, _CHANGE = 2, 8
"""EIP-1559: ELASTICITY_MULTIPLIER, BASE_FEE_MAX_CHANGE_DENOMINATOR."""
_TYPE_2: Final = b"\x02"
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Signatures above half the curve's order are refused (EIP-2)."""
_WIDEST: Final = 32
_COUNTER: Final = 8
"""Bytes of a nonce (EIP-2681) and of gas."""
_FIELDS: Final = 12
_DEEPEST: Final = 8
"""Lists in lists; a block of transactions needs three."""


class Transfer(NamedTuple):
    """A signed EIP-1559 transfer. Amounts in wei, fees in wei per gas, `sender` recovered from the signature."""

    chain_id: int
    nonce: int
    priority_fee: int
    max_fee: int
    gas: int
    to: bytes
    value: int
    sender: bytes
    txid: str
    raw: bytes

    @property
    def cost(self) -> int:
        """The most that it can take from its sender, wei."""
        return self.value + self.gas * self.max_fee

    def price(self, base_fee: int) -> int:
        """Wei per gas in a block of this base fee (EIP-1559: effective_gas_price)."""
        return min(self.max_fee, base_fee + self.priority_fee)

    def tx(self) -> Tx:
        """As an observer sees it: the sender's account at a nonce is what it spends."""
        spent = Outpoint("0x" + self.sender.hex(), self.nonce)
        return Tx(self.txid, (spent,), (Output(self.to, self.value),), self.raw)


Item = bytes | list["Item"]


def rlp_encode(item: Item) -> bytes:
    """Recursive length prefix (Yellow Paper, appendix B); five times as fast here as the general library."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    body = b"".join(map(rlp_encode, item))
    return _prefix(len(body), 0xC0) + body


def _prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes((offset + length,))
    size = rlp_int(length)
    return bytes((offset + 55 + len(size),)) + size


def next_base_fee(base_fee: int, gas_used: int, gas_limit: int) -> int:
    """Wei per gas of the block that follows one with these figures (EIP-1559)."""
    target = gas_limit // _ELASTICITY
    change = base_fee * abs(gas_used - target) // target // _CHANGE
    return base_fee + max(change, 1) if gas_used > target else base_fee - change


def rlp_int(number: int) -> bytes:
    """Big endian without leading zeros; 0 is the empty string."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def rlp_decode(data: bytes) -> Item:
    """One item and nothing after it; ValueError for anything that `rlp_encode` would not have written."""
    item, end = _read_item(data, 0, 0)
    if end != len(data):
        raise ValueError("bytes are missing or left over")
    return item


def _read_item(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    if at >= len(data) or depth > _DEEPEST:
        raise ValueError("an item is missing, or lists are nested too deep")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    start, end = _extent(data, at, 0xC0 if first >= 0xC0 else 0x80)
    if end > len(data):
        raise ValueError("an item is cut short")
    if first < 0xC0:
        if end == start + 1 and data[start] < 0x80:
            raise ValueError("a small byte with a length")
        return data[start:end], end
    items: list[Item] = []
    while start < end:
        item, start = _read_item(data, start, depth + 1)
        items.append(item)
    if start != end:
        raise ValueError("an item reaches out of its list")
    return items, end


def _extent(data: bytes, at: int, offset: int) -> tuple[int, int]:
    """Where an item's content starts and ends."""
    length = data[at] - offset
    if length < 56:
        return at + 1, at + 1 + length
    start = at + 1 + length - 55
    size = data[at + 1 : start]
    length = int.from_bytes(size, "big")
    if size[:1] in (b"", b"\0") or length < 56:
        raise ValueError("a length in more bytes than it takes")
    return start, start + length


def checksum_address(key: bytes) -> str:
    """EIP-55 form of 20 address bytes."""
    digits = key.hex()
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if m > "7" else d for d, m in zip(digits, mask, strict=False))


def parse_address(address: str) -> bytes:
    """The 20 bytes of an address; BadAddress if it is malformed, or mixed case with a wrong checksum (EIP-55)."""
    digits = address[2:]
    if not address.startswith("0x") or len(digits) != 40 or not digits.isascii():
        raise BadAddress("an Ethereum address is 0x and 40 hexadecimal digits")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        raise BadAddress("an Ethereum address is 0x and 40 hexadecimal digits") from None
    if len(key) != 20:
        raise BadAddress("an Ethereum address is 0x and 40 hexadecimal digits")
    if digits not in (digits.lower(), digits.upper()) and checksum_address(key) != address:
        raise BadAddress("the checksum of this Ethereum address is wrong (EIP-55)")
    return key


@lru_cache(maxsize=1 << 12)
def _signer(secret: bytes) -> PrivateKey:
    return PrivateKey(secret)


@lru_cache(maxsize=1 << 12)
def own_address(secret: bytes) -> bytes:
    """The 20 address bytes of a private key."""
    return _address_of(_signer(secret).public_key)


def _address_of(public: PublicKey) -> bytes:
    return keccak256(public.format(compressed=False)[1:])[12:]


def sign_transfer(secret: bytes, nonce: int, to: bytes, value: int, max_fee: int) -> Signed:
    """A type 2 transfer on the private chain, 21000 gas at exactly `max_fee` wei per gas (EIP-1559)."""
    price = rlp_int(max_fee)
    fields: list[Item] = [
        rlp_int(CHAIN_ID),
        rlp_int(nonce),
        price,
        price,
        rlp_int(TRANSFER_GAS),
        to,
        rlp_int(value),
        b"",
        [],
    ]
    digest = keccak256(_TYPE_2 + rlp_encode(fields))
    signature = _signer(secret).sign_recoverable(digest, hasher=None)
    r, s, parity = signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0"), rlp_int(signature[64])
    raw = _TYPE_2 + rlp_encode([*fields, parity, r, s])
    return Signed("0x" + keccak256(raw).hex(), raw, TRANSFER_GAS * max_fee)


@lru_cache(maxsize=16_384)
def read_transfer(raw: bytes) -> Transfer:
    """A raw transaction, its sender recovered. TransactionRefused: malformed, bad-signature, other (no plain transfer
    of ours: another type, data, an access list, a contract's creation)."""
    if not raw or raw[:1] != _TYPE_2:
        raise TransactionRefused("malformed", "not an EIP-1559 (type 2) transaction")
    try:
        fields = rlp_decode(raw[1:])
    except ValueError as problem:
        raise TransactionRefused("malformed", f"RLP: {problem}") from None
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        raise TransactionRefused("malformed", f"an EIP-1559 transaction has {_FIELDS} fields")
    access = fields.pop(8)
    flat = [field for field in fields if isinstance(field, bytes)]
    if len(flat) != _FIELDS - 1 or not isinstance(access, list):
        raise TransactionRefused("malformed", "a field has the wrong shape")
    chain_id, nonce, priority_fee, max_fee, gas, to, value, data, parity, r, s = flat
    if len(to) not in (0, 20):
        raise TransactionRefused("malformed", "a recipient has 20 bytes")
    if not to or data or access:
        raise TransactionRefused("other", "only plain transfers: no contract, no data, no access list")
    unsigned = _TYPE_2 + rlp_encode([chain_id, nonce, priority_fee, max_fee, gas, to, value, data, access])
    return Transfer(
        chain_id=_number(chain_id),
        nonce=_number(nonce, _COUNTER),
        priority_fee=_number(priority_fee),
        max_fee=_number(max_fee),
        gas=_number(gas, _COUNTER),
        to=to,
        value=_number(value),
        sender=recover(keccak256(unsigned), _number(parity), _number(r), _number(s)),
        txid="0x" + keccak256(raw).hex(),
        raw=raw,
    )


def _number(field: bytes, widest: int = _WIDEST) -> int:
    if field[:1] == b"\0" or len(field) > widest:
        raise TransactionRefused("malformed", f"a number has leading zeros or more than {8 * widest} bits")
    return int.from_bytes(field, "big")


def recover(digest: bytes, parity: int, r: int, s: int) -> bytes:
    """The address that signed this digest. TransactionRefused (bad-signature) if none did, or in a form that Ethereum
    does not take."""
    if parity > 1 or s > _HALF_ORDER:
        raise TransactionRefused("bad-signature", "parity above 1, or s above half the order (EIP-2)")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))
    try:
        return _address_of(PublicKey.from_signature_and_message(signature, digest, hasher=None))
    except Exception:  # coincurve raises a bare Exception where no key can be recovered
        raise TransactionRefused("bad-signature", "no public key fits this signature") from None


class EthFormat:
    """Format of chains/base.py. A spend is the account's balance at a nonce; what is left stays in the account."""

    coin = "eth"
    kinds: tuple[str, ...] = ("account",)
    dust = 0
    one_to_one = True
    replaceable = False  # a replacement would change what the account has left

    def key(self, address: str) -> bytes:
        return parse_address(address)

    def address(self, key: bytes) -> str:
        return checksum_address(key)

    def own_key(self, kind: str, secret: bytes) -> bytes:
        if kind not in self.kinds:
            raise ChainError(f"Ethereum has no address kind {kind!r}")
        return own_address(secret)

    def fee(self, kinds: Sequence[str], keys: Sequence[bytes], rate: int) -> int:
        """Wei of one transfer at `rate` wei per gas, whatever is spent and paid."""
        return TRANSFER_GAS * rate

    def sign(self, spends: Sequence[Spend], outputs: Sequence[Output], sequence: int = 0xFFFFFFFD) -> Signed:
        """One transfer: `outputs` are the payout and, unless nothing is left, the change to the own key. The fee is
        what they leave of the spend, and must be a multiple of 21000 wei. ChainError if the parts do not fit."""
        if len(spends) != 1 or len(outputs) not in (1, 2):
            raise ChainError("an Ethereum transfer has one sender, one payout and the change that stays")
        (spend,), (payout, *change) = spends, outputs
        sender = own_address(spend.secret)
        if spend.outpoint.txid != "0x" + sender.hex():
            raise ChainError(f"the account {spend.outpoint.txid} does not belong to this private key")
        if change and change[0].key != sender:
            raise ChainError("change stays in the sender's own account")
        fee = spend.amount - sum(output.amount for output in outputs)
        max_fee, rest = divmod(fee, TRANSFER_GAS)
        if max_fee < 0 or rest:
            raise ChainError(f"a fee of {fee} wei is no multiple of {TRANSFER_GAS}")
        return sign_transfer(spend.secret, spend.outpoint.vout, payout.key, payout.amount, max_fee)
