"""Ethereum blocks as nodes make them: any kind of transaction, a header of any later rules, the roots of real tries.

The block log keeps such a block as RLP: [header, transactions, ""], each transaction as one string of bytes (EIP-2718),
the older ones too. (The chain in this process keeps a list in the third place.) A development node can also be told to
act for an account whose key nobody has; nothing signs such a transaction, so that neither its hash nor its sender
follow from its bytes: it stands there as the list [hash, sender, bytes].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from glasstumbler.chains.base import Block, Outpoint, Output, Tx
from glasstumbler.chains.eth_format import Item, read_transfer, recover, rlp_decode, rlp_encode, rlp_int
from glasstumbler.chains.keccak import keccak256
from glasstumbler.errors import BlockRefused, TransactionRefused

_HEADER: Final[Sequence[tuple[str, int]]] = (
    ("parentHash", 32), ("sha3Uncles", 32), ("miner", 20), ("stateRoot", 32), ("transactionsRoot", 32),
    ("receiptsRoot", 32), ("logsBloom", 256), ("difficulty", 0), ("number", 0), ("gasLimit", 0), ("gasUsed", 0),
    ("timestamp", 0), ("extraData", -1), ("mixHash", 32), ("nonce", 8), ("baseFeePerGas", 0), ("withdrawalsRoot", 32),
    ("blobGasUsed", 0), ("excessBlobGas", 0), ("parentBeaconBlockRoot", 32), ("requestsHash", 32),
)  # fmt: skip
"""In the order of the header's RLP, with the bytes of each; 0: a number; -1: any bytes. From `baseFeePerGas` on each
belongs to a later set of rules (London, Shanghai, Cancun, Prague), and is left out before it."""


class NodeBlock(NamedTuple):
    """`block`, and what its header says of fees: `base_fee` in wei per gas."""

    block: Block
    base_fee: int
    gas_used: int
    gas_limit: int


class Unsigned(NamedTuple):
    """A transaction that a node made for somebody whose key it does not have."""

    txid: str
    sender: str
    raw: bytes


# Transactions.


class _Layout(NamedTuple):
    """Where things stand in the fields of a type; the signature is the last three."""

    size: int
    nonce: int
    to: int
    value: int
    data: int


_LEGACY = _Layout(9, 0, 3, 4, 5)
_TYPES: Final[Mapping[int, _Layout]] = {
    1: _Layout(11, 1, 4, 5, 6),  # EIP-2930
    2: _Layout(12, 1, 5, 6, 7),  # EIP-1559
    3: _Layout(14, 1, 5, 6, 7),  # EIP-4844
    4: _Layout(13, 1, 5, 6, 7),  # EIP-7702
}


def read_transaction(raw: bytes) -> Tx:
    """Any transaction as an observer sees it: its sender's account at a nonce is what it spends. Only a plain transfer,
    without data, pays anybody: what a contract does with money is not looked into. TransactionRefused: malformed,
    bad-signature."""
    try:
        return read_transfer(raw).tx()
    except TransactionRefused:
        fields, layout = _fields(raw)
    sender = "0x" + recover(*_signed(raw, fields, layout)).hex()
    return _tx("0x" + keccak256(raw).hex(), sender, raw, fields, layout)


def read_unsigned(unsigned: Unsigned) -> Tx:
    """TransactionRefused if its bytes are no transaction."""
    return _tx(unsigned.txid, unsigned.sender, unsigned.raw, *_fields(unsigned.raw))


def _tx(txid: str, sender: str, raw: bytes, fields: Sequence[Item], layout: _Layout) -> Tx:
    nonce, to, value, data = (fields[at] for at in (layout.nonce, layout.to, layout.value, layout.data))
    plain = len(to) == 20 and not data
    outputs = (Output(bytes(to), _number(value)),) if plain and isinstance(to, bytes) else ()
    return Tx(txid, (Outpoint(sender, _number(nonce)),), outputs, raw)


def _fields(raw: bytes) -> tuple[list[Item], _Layout]:
    legacy = raw[:1] >= b"\xc0"
    layout = _LEGACY if legacy else _TYPES.get(raw[0] if raw else 0)
    if layout is None:
        raise TransactionRefused("malformed", "a transaction of a kind that is not known here")
    try:
        fields = rlp_decode(raw if legacy else raw[1:])
    except ValueError as problem:
        raise TransactionRefused("malformed", f"RLP: {problem}") from None
    if not isinstance(fields, list) or len(fields) != layout.size:
        raise TransactionRefused("malformed", f"a transaction of this kind has {layout.size} fields")
    return fields, layout


def _signed(raw: bytes, fields: Sequence[Item], layout: _Layout) -> tuple[bytes, int, int, int]:
    """Digest, parity, r, s."""
    parity, r, s = (_number(field) for field in fields[-3:])
    unsigned = list(fields[:-3])
    if layout is not _LEGACY:
        return keccak256(raw[:1] + rlp_encode(unsigned)), parity, r, s
    if parity >= 35:  # EIP-155: the chain's id is signed too
        unsigned += [rlp_int((parity - 35) // 2), b"", b""]
        return keccak256(rlp_encode(unsigned)), (parity - 35) % 2, r, s
    return keccak256(rlp_encode(unsigned)), parity - 27 if parity >= 27 else 2, r, s


def _number(field: Item) -> int:
    if not isinstance(field, bytes) or len(field) > 32:
        raise TransactionRefused("malformed", "a number is expected")
    return int.from_bytes(field, "big")


# Blocks.


def make(shown: Mapping[str, Any], transactions: Sequence[bytes | Unsigned]) -> tuple[NodeBlock, bytes]:
    """A block, and its bytes for the log, out of a node's answer to eth_getBlockByNumber. BlockRefused if header and
    transactions are not those that its hash is of."""
    try:
        header = [_header_field(shown[name], size) for name, size in _HEADER if shown.get(name) is not None]
    except (KeyError, ValueError, TypeError, AttributeError):
        raise BlockRefused(f"the node shows a header that cannot be read: block {shown.get('number')}") from None
    body: list[Item] = [_entry(each) for each in transactions]
    raw = rlp_encode([[*header], body, b""])
    made = read_block(raw)
    if made.block.hash != shown.get("hash"):
        raise BlockRefused(f"block {shown.get('hash')} has not the header that the node shows")
    return made, raw


def _header_field(value: str, size: int) -> bytes:
    if size == 0:
        return rlp_int(int(value, 16))
    field = bytes.fromhex(value[2:])
    if size > 0 and len(field) != size:
        raise ValueError("a field of another length")
    return field


def _entry(transaction: bytes | Unsigned) -> Item:
    if isinstance(transaction, bytes):
        return transaction
    return [bytes.fromhex(transaction.txid[2:]), bytes.fromhex(transaction.sender[2:]), transaction.raw]


def read_block(raw: bytes) -> NodeBlock:
    """BlockRefused if it is no such block, or its header does not name its transactions."""
    try:
        parts = rlp_decode(raw)
        if not isinstance(parts, list) or len(parts) != 3 or not is_node_block(raw):
            raise BlockRefused("the block has not the three parts of a node's")
        header, entries = (part for part in parts if isinstance(part, list))
        fields = [field for field in header if isinstance(field, bytes)]
        txs = tuple(_read_entry(entry) for entry in entries)
        number = [int.from_bytes(field, "big") for field in fields]
        base_fee = number[15] if len(fields) > 15 else 0
    except (ValueError, IndexError, TransactionRefused) as problem:
        raise BlockRefused(f"the block is damaged: {problem}") from None
    if fields[4] != trie_root([tx.raw for tx in txs]):
        raise BlockRefused(f"block {number[8]}: its header does not fit its transactions")
    name = "0x" + keccak256(rlp_encode(header)).hex()
    return NodeBlock(Block(number[8], name, "0x" + fields[0].hex(), number[11], txs), base_fee, number[10], number[9])


def _read_entry(entry: Item) -> Tx:
    if isinstance(entry, bytes):
        return read_transaction(entry)
    txid, sender, raw = (field for field in entry if isinstance(field, bytes))
    return read_unsigned(Unsigned("0x" + txid.hex(), "0x" + sender.hex(), raw))


def is_node_block(raw: bytes) -> bool:
    """Whether the log's bytes are in this form rather than in that of the chain in this process."""
    return raw.endswith(b"\x80")


# The trie over transactions (Yellow Paper, appendix D): the key is the place in the block, RLP-coded.


def trie_root(values: Sequence[bytes]) -> bytes:
    """Root of the Merkle Patricia trie that a header commits to its transactions with."""
    pairs = sorted((rlp_encode(rlp_int(place)).hex(), value) for place, value in enumerate(values))
    return keccak256(rlp_encode(_node(pairs, 0) if pairs else b""))


def _node(pairs: Sequence[tuple[str, bytes]], depth: int) -> Item:
    """The node of these pairs, whose keys (nibbles as hexadecimal digits, sorted) agree in the first `depth`. No key
    is the beginning of another one, so that values stand in leaves only."""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return [_path(first[depth:], leaf=True), pairs[0][1]]
    fork = depth
    while first[fork] == last[fork]:
        fork += 1
    if fork > depth:
        return [_path(first[depth:fork], leaf=False), _below(pairs, fork)]
    branch: list[Item] = [b""] * 17
    start = 0
    while start < len(pairs):
        nibble = pairs[start][0][depth]
        end = start
        while end < len(pairs) and pairs[end][0][depth] == nibble:
            end += 1
        branch[int(nibble, 16)] = _below(pairs[start:end], depth + 1)
        start = end
    return branch


def _below(pairs: Sequence[tuple[str, bytes]], depth: int) -> Item:
    """A node as its parent holds it: itself if it is short, otherwise its hash."""
    node = _node(pairs, depth)
    encoded = rlp_encode(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def _path(nibbles: str, leaf: bool) -> bytes:
    """Nibbles with the hex prefix that says whether they are odd and whether a leaf follows."""
    flag = 2 * leaf + len(nibbles) % 2
    return bytes.fromhex(f"{flag:x}{nibbles}" if len(nibbles) % 2 else f"{flag:x}0{nibbles}")
