"""Which outputs of real Monero transactions are paid to wallets whose view keys we hold, and how much they hold.

    r a           D = 8 a R         R: the transaction's public key, or the output's own; a: private view key
    s             Hs(D || i)        for output number i
    P             s G + B           one-time key; B: public spend key of the subaddress that is paid
    amount        8 bytes XOR Keccak("amount" || s)
    C             Hs("commitment_mask" || s) G + amount H

An output that is found is *opened*: its number, D and the subaddress's public view key are kept beside the raw bytes,
and from these anybody can work out again, without a private key, whom it pays and how much (`show`). To open an output
falsely, for a key that it does not pay, one would have to invert the hash.
Sources: Zero to Monero, 2nd ed., 4.2, 4.3, 5.3; the Monero project's cryptonote_format_utils and rctOps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as SodiumError

from glasstumbler.chains.base import Block, Output, Tx
from glasstumbler.chains.keccak import keccak256
from glasstumbler.chains.monero_keys import keys_of, reduce_scalar, subaddress_offset
from glasstumbler.chains.monero_rct import RctBlock, RctOutput, RctTx, read_rct_block, read_rct_tx
from glasstumbler.chains.monero_tx import Reader, varint
from glasstumbler.errors import BlockRefused, TransactionRefused

_H: Final = bytes.fromhex("8b655970153799af2aeadc9ff1add0ea6c7251d54154cfa92c173a0dd39c1f94")
"""The second generator, of amounts."""
_AT_FIRST, _AT_MOST = 2048, 1 << 17
_MAGIC: Final = b"GTN1"


class Viewer(NamedTuple):
    """A wallet that is looked into: its private view key and its public spend key."""

    view: bytes
    public_spend: bytes


def viewer(seed: bytes) -> Viewer:
    """Of the wallet with this seed (32 bytes)."""
    keys = keys_of(seed)
    return Viewer(keys.view, keys.public_spend)


class Opening(NamedTuple):
    number: int
    derivation: bytes
    public_view: bytes


class Opened(NamedTuple):
    """A transaction with what was found in it. `tx` lists every output, so that numbers are the chain's: one that is
    not opened stands as its one-time key (32 bytes) and the amount 0, which is all that an observer sees."""

    rct: RctTx
    openings: tuple[Opening, ...]
    tx: Tx


class Wallet:
    """The subaddresses of one viewer. The table grows as it must: whether an output is paid to this wallet shows
    before it is known to which of its subaddresses."""

    def __init__(self, viewer: Viewer) -> None:
        self.view, self.public_spend = viewer
        self._indexes = {viewer.public_spend: 0}
        self._grow(_AT_FIRST)

    def knows(self, public_spend: bytes) -> bool:
        return public_spend in self._indexes

    def public_view(self, public_spend: bytes) -> bytes:
        """Of a subaddress of this wallet."""
        if not self._indexes[public_spend]:
            return crypto_scalarmult_ed25519_base_noclamp(self.view)
        return crypto_scalarmult_ed25519_noclamp(self.view, public_spend)

    def open(self, tx: RctTx) -> Iterator[Opening]:
        """The outputs that are paid to this wallet. Those that their sender has locked beyond what the chain asks are
        passed over: nobody could spend them when they are credited."""
        if tx.unlock and tx.height is None:
            return
        mains = [self._derivation(key) for key in tx.main_keys]
        for number, output in enumerate(tx.outputs):
            own = (self._derivation(key) for key in tx.output_keys[number : number + 1])
            for derivation in chain(mains, own):
                opening = derivation and self._opening(output, number, derivation)
                if opening:
                    yield opening
                    break

    def _derivation(self, key: bytes) -> bytes | None:
        """8 a R, or None if R is no point. Eight times R first: what is outside the main group goes, as in Monero."""
        try:
            for _ in range(3):
                key = crypto_core_ed25519_add(key, key)
            return crypto_scalarmult_ed25519_noclamp(self.view, key)
        except SodiumError:
            return None

    def _opening(self, output: RctOutput, number: int, derivation: bytes) -> Opening | None:
        if output.tag is not None and output.tag != _view_tag(derivation, number):
            return None
        shared = _shared(derivation, number)
        spend = _spend_key(output, shared)
        if spend is None or _amount(output, shared) is None:
            return None
        if spend not in self._indexes and output.commitment:  # the amount fits, so it is this wallet's
            self._grow(_AT_MOST, spend)
        return Opening(number, derivation, self.public_view(spend)) if spend in self._indexes else None

    def _grow(self, size: int, wanted: bytes | None = None) -> None:
        """So many subaddresses; or as far as the one that is wanted, and twice as far again."""
        index = len(self._indexes)
        while index < size:
            offset = subaddress_offset(self.view, 0, index)
            key = crypto_core_ed25519_add(self.public_spend, crypto_scalarmult_ed25519_base_noclamp(offset))
            self._indexes[key] = index
            index += 1
            if key == wanted:
                size = min(size, 2 * index)


def open_tx(tx: RctTx, wallets: Sequence[Wallet]) -> Opened:
    """What these wallets see in a transaction."""
    openings = tuple(opening for wallet in wallets for opening in wallet.open(tx))
    return show(tx, openings)


def show(tx: RctTx, openings: Sequence[Opening]) -> Opened:
    """BlockRefused if an output does not hold what it was opened to."""
    outputs = [Output(output.key, output.amount if tx.height is not None else 0) for output in tx.outputs]
    for number, derivation, public_view in openings:
        if number >= len(outputs):
            raise BlockRefused(f"{tx.txid} has no output {number}")
        shared = _shared(derivation, number)
        spend, amount = _spend_key(tx.outputs[number], shared), _amount(tx.outputs[number], shared)
        if spend is None or amount is None:
            raise BlockRefused(f"output {number} of {tx.txid} is not what it was opened to")
        outputs[number] = Output(spend + public_view, amount)
    return Opened(tx, tuple(openings), Tx(tx.txid, (), tuple(outputs), tx.raw))


def _shared(derivation: bytes, number: int) -> bytes:
    return reduce_scalar(keccak256(derivation + varint(number)))


def _view_tag(derivation: bytes, number: int) -> int:
    return keccak256(b"view_tag" + derivation + varint(number))[0]


def _spend_key(output: RctOutput, shared: bytes) -> bytes | None:
    try:
        return crypto_core_ed25519_sub(output.key, crypto_scalarmult_ed25519_base_noclamp(shared))
    except SodiumError:
        return None


def _amount(output: RctOutput, shared: bytes) -> int | None:
    """None unless the commitment is to this amount."""
    if not output.commitment:
        return output.amount
    mask = keccak256(b"amount" + shared)[:8]
    amount = int.from_bytes(output.hidden_amount, "little") ^ int.from_bytes(mask, "little")
    commitment = crypto_scalarmult_ed25519_base_noclamp(reduce_scalar(keccak256(b"commitment_mask" + shared)))
    if amount:
        value = crypto_scalarmult_ed25519_noclamp(amount.to_bytes(32, "little"), _H)
        commitment = crypto_core_ed25519_add(commitment, value)
    return amount if commitment == output.commitment else None


# As the block log keeps them: the node's own bytes, and what was opened. "GTN1", then lists with their count before
# them, and bytes with their length: block, transactions (each with its openings, the coinbase's first).


def log_block(block: RctBlock, txs: Sequence[Opened]) -> bytes:
    """`txs`: the coinbase and all others, in the block's order."""
    parts = [_MAGIC, _sized(block.raw), varint(len(txs))]
    for place, opened in enumerate(txs):
        parts += [_sized(opened.rct.raw if place else b""), varint(len(opened.openings))]
        parts += [varint(number) + derivation + view for number, derivation, view in opened.openings]
    return b"".join(parts)


def read_names(raw: bytes) -> tuple[str, ...]:
    """The txids of a block of the log, in its order."""
    block = _logged(Reader(raw))
    return (block.coinbase.txid, *block.txids)


def read_node_block(raw: bytes) -> Block:
    """A block of the log. BlockRefused if block, transactions and openings are not those of each other."""
    block, txs = read_parts(raw)
    return Block(block.height, block.hash, block.previous, block.time, tuple(opened.tx for opened in txs))


def read_parts(raw: bytes) -> tuple[RctBlock, tuple[Opened, ...]]:
    reader = Reader(raw)
    block = _logged(reader)
    try:
        names = (block.coinbase.txid, *block.txids)
        if reader.count(len(names)) != len(names):
            raise BlockRefused("the block is damaged: it names other transactions")
        txs = tuple(_opened(reader, block, name) for name in names)
        reader.end()
    except (ValueError, TransactionRefused) as problem:
        raise BlockRefused(f"the block is damaged: {problem}") from None
    return block, txs


def is_node_block(raw: bytes) -> bool:
    """Or one of the model's."""
    return raw.startswith(_MAGIC)


def _logged(reader: Reader) -> RctBlock:
    try:
        if reader.take(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin as a node's")
        return read_rct_block(reader.take(reader.number()))
    except ValueError as problem:
        raise BlockRefused(f"the block is damaged: {problem}") from None


def _opened(reader: Reader, block: RctBlock, name: str) -> Opened:
    raw = reader.take(reader.number())
    tx = read_rct_tx(raw) if name != block.coinbase.txid else block.coinbase
    if tx.txid != name:
        raise BlockRefused(f"the block is damaged: {name} has other bytes")
    count = reader.count(len(tx.outputs))
    return show(tx, [Opening(reader.number(), reader.take(32), reader.take(32)) for _ in range(count)])


def _sized(data: bytes) -> bytes:
    return varint(len(data)) + data
