"""Blocks made by hand, right or wrong, on top of a running in-process chain."""

from collections.abc import Callable, Sequence

from glasstumbler.chains import blocks, miner
from glasstumbler.chains.base import Outpoint, Output, Signed, Spend, Tx
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.networks import BITS, BLOCK_VERSION, NETWORKS, TARGET, subsidy
from glasstumbler.chains.tx import RawTx, serialise, to_tx
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import Clock, VirtualClock

RING = KeyRing(b"forged blocks of the tests")
SECRET = b"\x07" * 32
KINDS = {"btc": "p2wpkh", "ltc": "p2wpkh", "bch": "p2pkh"}


def opened(coin: str, clock: Clock | None = None) -> UtxoChain:
    return UtxoChain.open(coin, RING, clock or VirtualClock())


def own_key(chain: UtxoChain, kind: str | None = None) -> bytes:
    return chain.format.own_key(kind or KINDS[chain.coin], SECRET)


def coins(chain: UtxoChain, count: int, amount: int = 1_000_000, kind: str | None = None) -> list[Spend]:
    """Mined coins of SECRET's."""
    key, kind = own_key(chain, kind), kind or KINDS[chain.coin]
    txid = chain.pay_many([Output(key, amount)] * count)
    chain.mine()
    tx = chain.transaction(txid)
    assert tx is not None
    vouts = [vout for vout, output in enumerate(tx.outputs) if output.key == key]
    return [Spend(Outpoint(txid, vout), amount, kind, SECRET) for vout in vouts]


def spend(
    chain: UtxoChain, spends: Sequence[Spend], fee: int = 1000, outputs: int = 1, sequence: int = 0xFFFFFFFF
) -> Signed:
    """All of these coins back to SECRET's key, in equal parts and a rest."""
    have = sum(s.amount for s in spends) - fee
    parts = [have // outputs] * (outputs - 1)
    key = own_key(chain)
    return chain.format.sign(spends, [Output(key, a) for a in (*parts, have - sum(parts))], sequence)


def change_of(signed: Signed, vout: int = 0) -> Spend:
    """An output of `spend` as a coin (segwit chains)."""
    tx = to_tx(signed.raw)
    return Spend(Outpoint(tx.txid, vout), tx.outputs[vout].amount, "p2wpkh", SECRET)


def assemble(
    chain: UtxoChain,
    raws: Sequence[bytes] = (),
    fees: int = 0,
    header: Callable[[blocks.Header], blocks.Header] = lambda header: header,
    coinbase: Callable[[RawTx], RawTx] = lambda tx: tx,
    work: bool = True,
) -> bytes:
    """A block with these transactions in this order, right but for what `header` and `coinbase` change."""
    network = NETWORKS[chain.coin]
    height, tip = chain.tip()
    reward = Output(own_key(chain), subsidy(height + 1) + fees)
    first = coinbase(blocks.coinbase(height + 1, (reward,), raws if network.witness else None, b"forged"))
    txs: list[Tx] = [to_tx(serialise(first)), *map(to_tx, raws)]
    root = blocks.merkle_root([bytes.fromhex(tx.txid)[::-1] for tx in txs])
    made = header(blocks.Header(BLOCK_VERSION, tip, root, chain.block(tip).time + 1, BITS, 0))
    bare = blocks.header_bytes(made)
    solved = miner.solve(network, bare) if work else _unsolved(chain, bare)
    return blocks.block_bytes(blocks.parse_header(solved), [tx.raw for tx in txs])


def _unsolved(chain: UtxoChain, bare: bytes) -> bytes:
    tries = (bare[:-4] + nonce.to_bytes(4, "little") for nonce in range(1000))
    return next(t for t in tries if int.from_bytes(NETWORKS[chain.coin].work(t), "little") > TARGET)
