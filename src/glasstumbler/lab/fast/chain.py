"""Chains without signatures, for simulations of millions of orders: who pays whom how much, at which fee.

An address is `unsigned:` and the hex digits of its key, and a raw transaction is a mark and a number. No chain, node or
decoder of the laboratory takes either for its own, and guard.py keeps such chains from being served. Fees, dust and key
lengths are those of the signed kinds. Blocks have no size limit, and everybody outside pays without end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b, sha256
from types import MappingProxyType
from typing import Final

from glasstumbler.chains.base import Block, Format, Outpoint, Output, Place, Signed, Spend, Tx
from glasstumbler.chains.eth_format import EthFormat
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.guard import UNSIGNED
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.chains.script import P2PKH_HEAD, P2PKH_TAIL
from glasstumbler.clock import Clock
from glasstumbler.engine.coins import Coin
from glasstumbler.errors import BadAddress, ChainError, TransactionRefused
from glasstumbler.wallet import Wallet

PREFIX: Final = f"{UNSIGNED}:"
_MARK: Final = UNSIGNED.encode()
SCRIPTS: Final[Mapping[str, tuple[bytes, int, bytes]]] = MappingProxyType(
    {
        "p2pkh": (P2PKH_HEAD, 20, P2PKH_TAIL),
        "p2sh-p2wpkh": (b"\xa9\x14", 20, b"\x87"),
        "p2wpkh": (b"\x00\x14", 20, b""),
        "p2tr": (b"\x51\x20", 32, b""),
        "account": (b"", 20, b""),
        "subaddress": (b"", 64, b""),
    }
)
"""By kind of address: what stands around the payload of a key, and the payload's length."""
_KEEP_BLOCKS: Final = 3
"""Blocks whose transactions are still told."""


def key_of(kind: str, payload: bytes) -> bytes:
    """The key of this kind around the first bytes of a payload."""
    head, length, tail = SCRIPTS[kind]
    return head + payload[:length] + tail


class UnsignedFormat:
    """Format of chains/base.py. What it "signs" is told by the chain of which it is the format."""

    def __init__(self, coin: str, service: str) -> None:
        formats: dict[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}
        real = formats[coin]
        self.coin, self.kinds, self.dust = real.coin, real.kinds, real.dust
        self.replaceable, self.one_to_one = real.replaceable, real.one_to_one
        self._real, self._service = real, service
        self._fees: dict[tuple[object, ...], int] = {}
        self.made: dict[bytes, Tx] = {}
        """By raw form, until a block has them."""
        self._number = 0

    def key(self, address: str) -> bytes:
        if not address.startswith(PREFIX):
            raise BadAddress("not an address of an unsigned chain")
        try:
            return bytes.fromhex(address[len(PREFIX) :])
        except ValueError:
            raise BadAddress("not an address of an unsigned chain") from None

    def address(self, key: bytes) -> str:
        return PREFIX + key.hex()

    def own_key(self, kind: str, secret: bytes) -> bytes:
        """`secret` is the payload."""
        return key_of(kind, secret)

    def fee(self, kinds: Sequence[str], keys: Sequence[bytes], rate: int) -> int:
        shape = (*kinds, *map(len, keys), rate)
        found = self._fees.get(shape)
        if found is None:
            found = self._fees[shape] = self._real.fee(kinds, keys, rate)
        return found

    def sign(self, spends: Sequence[Spend], outputs: Sequence[Output], sequence: int = 0xFFFFFFFD) -> Signed:
        fee = sum([spend.amount for spend in spends]) - sum([output.amount for output in outputs])
        if fee < 0:
            raise TransactionRefused("funds", f"the outputs take {-fee} more than the inputs bring")
        paid = outputs[:1] if self.one_to_one else outputs
        tx = self.make(tuple([spend.outpoint for spend in spends]), tuple(paid))
        return Signed(tx.txid, tx.raw, fee)

    def make(self, inputs: tuple[Outpoint, ...], outputs: tuple[Output, ...]) -> Tx:
        self._number += 1
        txid = sha256(f"{UNSIGNED}/{self.coin}/{self._service}/{self._number}".encode()).hexdigest()
        raw = b"%s%d" % (_MARK, self._number)
        tx = self.made[raw] = Tx("0x" + txid if self.coin == "eth" else txid, inputs, outputs, raw)
        return tx


class UnsignedChain:
    """LabChain of chains/base.py for one service: its transactions only."""

    network = UNSIGNED
    node = UNSIGNED
    model = True

    def __init__(self, coin: str, service: str, clock: Clock) -> None:
        self.coin, self.format, self._clock = coin, UnsignedFormat(coin, service), clock
        self._pool: dict[str, Tx] = {}
        self._hashes: list[str] = []
        self._blocks: dict[str, Block] = {}
        self.mine(1)

    def tip(self) -> tuple[int, str]:
        return len(self._hashes) - 1, self._hashes[-1]

    def block_hash(self, height: int) -> str | None:
        return self._hashes[height] if 0 <= height < len(self._hashes) else None

    def block(self, block_hash: str) -> Block:
        if block_hash not in self._blocks:
            raise ChainError(f"the {self.coin} chain keeps no block {block_hash}")
        return self._blocks[block_hash]

    def mempool(self) -> Collection[str]:
        return self._pool.keys()

    def transaction(self, txid: str) -> Tx | None:
        return self._pool.get(txid)

    def place(self, txid: str) -> Place | None:
        return Place(None, None) if txid in self._pool else None

    def broadcast(self, raw: bytes) -> str:
        tx = self.format.made.get(raw)
        if tx is None:
            raise TransactionRefused("malformed", "no transaction of this unsigned chain")
        self._pool[tx.txid] = tx
        return tx.txid

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        for raw in raws:
            self.broadcast(raw)
        return [None] * len(raws)

    def close(self) -> None:
        pass

    def mine(self, blocks: int = 1) -> int:
        for _ in range(blocks):
            txs = tuple(self._pool.values())
            for tx in txs:
                del self.format.made[tx.raw]
            self._pool.clear()
            height = len(self._hashes)
            block_hash = f"{UNSIGNED}-{self.coin}-{height:08}"
            self._blocks[block_hash] = Block(
                height, block_hash, self._hashes[-1] if height else "", self._clock.now(), txs
            )
            self._hashes.append(block_hash)
            if height >= _KEEP_BLOCKS:
                del self._blocks[self._hashes[height - _KEEP_BLOCKS]]
        return len(self._hashes) - 1

    def pay(self, address: str, amount: int) -> str:
        """From somebody outside: who, and with which coins, is found afterwards."""
        return self.pay_many([Output(self.format.key(address), amount)])

    def pay_many(self, outputs: Sequence[Output]) -> str:
        """Ethereum: one transaction each."""
        parts = [[output] for output in outputs] if self.format.one_to_one else [outputs]
        for part in parts:
            tx = self.format.make((), tuple(part))
            self._pool[tx.txid] = tx
        return tx.txid

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        raise ChainError("an unsigned chain is not reorganised")

    def fresh_address(self, kind: str | None = None) -> str:
        raise ChainError("an unsigned chain has no wallet of its own")


class UnsignedWallet(Wallet):
    """Keys without secrets: the digest of what they are for."""

    def key(self, coin: str, service: str, kind: str, branch: str, index: int) -> bytes:
        place = f"{coin}/{service}/{branch}/{index}".encode()
        return key_of(kind, blake2b(place, key=self._seed_bytes).digest())

    def spend(self, coin: Coin) -> Spend:
        secret = bytes.fromhex(coin.txid[len(PREFIX) :]) if coin.kind == "account" else b""
        return Spend(Outpoint(coin.txid, coin.vout), coin.amount, coin.kind, secret)

    def integrated(self, coin: str, service: str, payment_id: bytes, index: int) -> str:
        return f"{PREFIX}{payment_id.hex()}"
