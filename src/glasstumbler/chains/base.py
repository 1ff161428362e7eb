"""What every chain offers, in-process or real: blocks and a mempool to read, raw transactions to take.

Coins are chosen and transactions signed by us (`Format`), so a chain only serves blocks and broadcasts; Monero is
received only. `key` below is what a chain pays to, as bytes: the scriptPubKey on UTXO chains, the 20 address bytes
on Ethereum, public spend key and public view key of the subaddress (64 bytes) on Monero.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from glasstumbler.errors import TransactionRefused


class Outpoint(NamedTuple):
    """What a transaction spends. Ethereum: `txid` is the sender's address in lower-case hex (0x...) and `vout` the
    nonce, which is exactly what two conflicting transactions share. Monero shows nothing: no outpoints."""

    txid: str
    vout: int


class Output(NamedTuple):
    key: bytes
    amount: int


class Tx(msgspec.Struct, frozen=True, gc=False):
    """A transaction as an observer of the chain sees it; `raw` is the consensus serialisation."""

    txid: str
    inputs: tuple[Outpoint, ...]
    outputs: tuple[Output, ...]
    raw: bytes


class Block(msgspec.Struct, frozen=True):
    height: int
    hash: str
    previous: str
    time: int
    txs: tuple[Tx, ...]


class Place(NamedTuple):
    """Where a known transaction stands: in the active chain, or in the mempool (height None)."""

    height: int | None
    block: str | None


class Spend(NamedTuple):
    """A coin of ours as a transaction's input. `kind` is the address kind of its key; `secret` the private key."""

    outpoint: Outpoint
    amount: int
    kind: str
    secret: bytes


class Signed(NamedTuple):
    txid: str
    raw: bytes
    fee: int


class Format(Protocol):
    """A coin's formats, without any node: addresses, keys, fees, signatures."""

    coin: str
    kinds: tuple[str, ...]
    """Address kinds it can make: p2wpkh, p2tr, p2pkh, p2sh-p2wpkh; account; subaddress."""
    dust: int
    """The smallest output a node relays, in base units."""
    replaceable: bool
    """True where nodes take a transaction with a higher fee in place of one that waits (BIP 125)."""
    one_to_one: bool
    """True where a transaction spends one coin (an account at a nonce), pays one output, and what is left stays in
    the same account at the next nonce (Ethereum)."""

    def key(self, address: str) -> bytes:
        """The key of a test-network address. BadAddress if it is none; NotATestNetwork if it is a main-network one."""
        ...

    def address(self, key: bytes) -> str: ...

    def own_key(self, kind: str, secret: bytes) -> bytes:
        """The key that pays to this private key, in the form `kind`."""
        ...

    def fee(self, kinds: Sequence[str], keys: Sequence[bytes], rate: int) -> int:
        """Fee in base units of a transaction with inputs of these kinds and outputs to these keys.
        `rate` is sat/vB on UTXO chains and wei per gas on Ethereum."""
        ...

    def sign(self, spends: Sequence[Spend], outputs: Sequence[Output], sequence: int = 0xFFFFFFFD) -> Signed:
        """A signed transaction. UTXO chains: the fee is what the outputs leave over. Ethereum: one spend, one output
        (the change is implied: what neither the output nor the fee takes stays), and the fee is the spend's amount
        less output and implied change, so outputs there are [payout, change to own key]."""
        ...


class Chain(Protocol):
    """One private test chain. Every call is synchronous and safe from any thread."""

    @property
    def coin(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def node(self) -> str:
        """Kind of node: "in-process", or the name of the node software."""
        ...

    @property
    def model(self) -> bool:
        """True where consensus is a model rather than a real engine (Monero in-process)."""
        ...

    @property
    def format(self) -> Format: ...
    def tip(self) -> tuple[int, str]:
        """Height and hash of the active chain's last block."""
        ...

    def block_hash(self, height: int) -> str | None: ...

    def block(self, block_hash: str) -> Block:
        """Also for blocks that a reorganisation has taken out of the active chain."""
        ...

    def mempool(self) -> Collection[str]:
        """Txids that wait to be mined, in order of arrival. Cheap: it is asked after every change."""
        ...

    def transaction(self, txid: str) -> Tx | None:
        """From the mempool or the active chain."""
        ...

    def place(self, txid: str) -> Place | None:
        """None if neither the mempool nor the active chain knows it."""
        ...

    def broadcast(self, raw: bytes) -> str:
        """Txid. Harmless if it is known already, mined included. TransactionRefused otherwise."""
        ...

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        """Each as by `broadcast`, in order; what was said against each. One refused does not keep back the others."""
        ...

    def close(self) -> None: ...


def broadcast_each(chain: Chain, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
    """`broadcast_all` for a chain that takes one at a time."""
    said: list[TransactionRefused | None] = []
    for raw in raws:
        try:
            chain.broadcast(raw)
        except TransactionRefused as refused:
            said.append(refused)
        else:
            said.append(None)
    return said


class LabChain(Chain, Protocol):
    """What people and tests may do to a private chain."""

    def mine(self, blocks: int = 1) -> int:
        """New height. Every transaction of the mempool that fits is mined, in order of arrival; rest later."""
        ...

    def pay(self, address: str, amount: int) -> str:
        """From the faucet; txid. Several payments may stand unconfirmed at once."""
        ...

    def pay_many(self, outputs: Sequence[Output]) -> str:
        """From the faucet, one transaction with many outputs (Ethereum: one each, the last txid)."""
        ...

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        """Replace the last `depth` blocks by `depth + 1` empty ones. Their transactions return to the mempool where
        they are still valid, except those in `forget`, which are dropped. New height."""
        ...

    def fresh_address(self, kind: str | None = None) -> str:
        """A new address of the lab's own wallet (nobody's service), by default of the commonest kind."""
        ...
