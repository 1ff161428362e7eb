"""Bytes of chains: transactions, blocks, payment requests, and what a chain's node takes into its mempool."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fuzz.target import Target, split
from glasstumbler.chains import bip70, blocks, eth, eth_format, monero_rct, monero_scan, monero_tx, tx
from glasstumbler.chains.base import LabChain
from glasstumbler.chains.eth import EthChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroChain
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import BadPaymentRequest, BlockRefused, TransactionRefused


def run_payment_request(data: bytes) -> None:
    request = bip70.decode(data)
    assert bip70.decode(bip70.encode(request)) == request


# -- transactions ---------------------------------------------------------------------------------------------------


def _utxo_tx(data: bytes) -> None:
    seen = tx.to_tx(data)
    parsed = tx.fields(seen)
    assert tx.serialise(parsed) == data
    assert tx.identify(parsed) == (seen.txid, data)
    assert tx.txid(parsed) == seen.txid
    assert tx.weight(parsed) <= 4 * len(data)


def _eth_tx(data: bytes) -> None:
    transfer = eth_format.read_transfer(data)
    assert transfer.raw == data
    assert eth_format.rlp_encode(eth_format.rlp_decode(data[1:])) == data[1:]
    assert len(transfer.sender) == 20
    assert transfer.tx().txid == transfer.txid


def _monero_tx(data: bytes) -> None:
    parsed = monero_tx.read_tx(data)
    assert parsed.raw == data
    for number, entry in enumerate(parsed.inputs[:4]):
        monero_tx.verify(parsed, number, entry.signature)


def _rlp(data: bytes) -> None:
    try:
        item = eth_format.rlp_decode(data)
    except ValueError:
        raise TransactionRefused("malformed", "RLP") from None
    assert eth_format.rlp_encode(item) == data


def _rct_tx(data: bytes) -> None:
    parsed = monero_rct.read_rct_tx(data)
    assert parsed.raw == data
    assert monero_rct.read_rct_tx(data) == parsed


_TX: tuple[Callable[[bytes], None], ...] = (_utxo_tx, _eth_tx, _monero_tx, _rlp, _rct_tx)


def run_transaction(data: bytes) -> None:
    way, rest = split(data)
    _TX[way % len(_TX)](rest)


# -- blocks ---------------------------------------------------------------------------------------------------------


def _utxo_block(data: bytes) -> None:
    header, found = blocks.parse_block(data)
    assert blocks.block_bytes(header, [each.raw for each in found]) == data


def _eth_block(data: bytes) -> None:
    block = eth.read_block(data)
    assert eth.read_block(data) == block
    assert eth_format.rlp_encode(eth_format.rlp_decode(data)) == data


def _monero_block(data: bytes) -> None:
    block = monero_tx.read_monero_block(data)
    assert block.raw() == data
    assert block.block().hash == block.hash()


def _node_block(data: bytes) -> None:
    block, txs = monero_scan.read_parts(data)
    assert monero_scan.log_block(block, txs) == data
    assert monero_scan.read_names(data) == tuple(opened.tx.txid for opened in txs)


_BLOCK: tuple[Callable[[bytes], None], ...] = (_utxo_block, _eth_block, _monero_block, _node_block)


def run_block(data: bytes) -> None:
    way, rest = split(data)
    _BLOCK[way % len(_BLOCK)](rest)


# -- a chain's node -------------------------------------------------------------------------------------------------

_START = 110
COINS = ("btc", "ltc", "bch", "eth", "xmr")


@lru_cache(maxsize=len(COINS))
def chain(coin: str) -> LabChain:
    """The same chain each time, with coins of the faucet to spend."""
    ring, clock = KeyRing(b"\2" * 32), VirtualClock()
    if coin == "eth":
        return EthChain(ring, clock)
    if coin == "xmr":
        made = MoneroChain(ring, clock)
        made.mine(70)
        return made
    return UtxoChain.open(coin, ring, clock, start=_START)


def run_mempool(data: bytes) -> None:
    way, rest = split(data)
    coin = COINS[way % len(COINS)]
    node = chain(coin)
    tip = node.tip()
    txid = node.broadcast(rest)
    try:  # it was taken: it is shown, it can be mined, and the next input finds the chain as it was
        seen = node.transaction(txid)
        assert seen is not None and seen.raw == rest
        assert txid in node.mempool()
        node.mine(1)
        assert node.tip()[0] == tip[0] + 1
    finally:
        node.close()
        chain.cache_clear()


TARGETS = {
    "payment_request": Target(run_payment_request, (BadPaymentRequest,), 600),
    "transaction": Target(run_transaction, (TransactionRefused,), 3000),
    "block": Target(run_block, (BlockRefused,), 3000),
    "mempool": Target(run_mempool, (TransactionRefused,), 1500),
}
