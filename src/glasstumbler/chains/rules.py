"""Our own consensus checks, the same for every block of every coin, before any engine sees it.

The rules are the coins' own as far as blocks of these private networks can break them: structure, merkle root,
proof of work, time, order, weight, inputs, maturity, locks, values, subsidy, witness commitment, scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from glasstumbler.chains import blocks
from glasstumbler.chains.base import Outpoint, Output, Tx
from glasstumbler.chains.coinview import Coin, CoinView, is_coinbase
from glasstumbler.chains.networks import BITS, MATURITY, MAX_WEIGHT, TARGET, NetworkParameters, subsidy
from glasstumbler.chains.tx import WITNESS_SCALE, RawTx, compact_size, fields, read_compact_size
from glasstumbler.errors import BlockRefused, TransactionRefused

MAX_MONEY: Final = 84_000_000 * 100_000_000
"""No amount is above this on any of the coins."""
MAX_SIGOPS: Final = 80_000
"""Sum of the signature operations of a block, each of a legacy output counted four times (BIP 141)."""
_LEGACY_SIGOPS: Final = 4
_LOCK_TIME: Final = 500_000_000
_FINAL: Final = 0xFFFFFFFF
_NO_RELATIVE_LOCK, _RELATIVE_TIME, _RELATIVE_MASK = 1 << 31, 1 << 22, 0xFFFF
_RELATIVE_UNIT = 9  # 512 seconds
_LEAST_VERSION: Final = 4

Verify = Callable[[RawTx, bytes, Sequence[Output]], None]
"""Judges all input scripts of a transaction (parsed, raw) against the outputs it spends; TransactionRefused."""


class Checked(NamedTuple):
    """A block that keeps every rule."""

    hash: str
    time: int
    txs: tuple[Tx, ...]


def sigops(tx: Tx) -> int:
    """Upper bound for the kinds of input that are accepted here (at most one each)."""
    legacy = sum(1 for key, _ in tx.outputs if len(key) == 25)
    return legacy * _LEGACY_SIGOPS + len(tx.inputs)


def has_witness(tx: Tx) -> bool:
    return tx.raw[4] == 0


def weight(tx: Tx) -> int:
    """BIP 141, without parsing what is not needed for it."""
    if not has_witness(tx):
        return WITNESS_SCALE * len(tx.raw)
    inputs, at = read_compact_size(tx.raw, 6)
    for _ in range(inputs):
        size, at = read_compact_size(tx.raw, at + 36)
        at += size + 4
    outputs = sum(8 + len(compact_size(len(key))) + len(key) for key, _ in tx.outputs)
    stripped = at - 2 + len(compact_size(len(tx.outputs))) + outputs + 4
    return (WITNESS_SCALE - 1) * stripped + len(tx.raw)


def check_spending(tx: Tx, spent: Sequence[Coin], height: int) -> int:
    """The fee of a transaction that is to stand in the block at `height`; TransactionRefused if a coin is not
    mature, an amount is out of range or more goes out than comes in."""
    for coin in spent:
        if coin.coinbase and height - coin.height < MATURITY:
            raise TransactionRefused("immature", f"a coinbase of height {coin.height} cannot be spent at {height}")
    paid = 0
    for _, amount in tx.outputs:
        paid += amount
        if amount > MAX_MONEY or paid > MAX_MONEY:
            raise TransactionRefused("malformed", "an amount beyond all money")
    fee = sum(coin.amount for coin in spent) - paid
    if fee < 0:
        raise TransactionRefused("funds", f"pays {-fee} more than it spends")
    return fee


def check_locks(tx: RawTx, spent: Sequence[Coin], view: CoinView, height: int) -> None:
    """Locktime (BIP 113) and relative locks (BIP 68) for the block at `height`; TransactionRefused("locked")."""
    before = view.median_time(height - 1)
    if tx.locktime and any(item.sequence != _FINAL for item in tx.inputs):
        reached = height if tx.locktime < _LOCK_TIME else before
        if tx.locktime >= reached:
            raise TransactionRefused("locked", f"locktime {tx.locktime} is not before {reached}")
    if tx.version < 2:
        return
    for item, coin in zip(tx.inputs, spent, strict=True):
        if item.sequence & _NO_RELATIVE_LOCK:
            continue
        wait = item.sequence & _RELATIVE_MASK
        if item.sequence & _RELATIVE_TIME:
            free = before >= view.median_time(max(coin.height - 1, 0)) + (wait << _RELATIVE_UNIT)
        else:
            free = height >= coin.height + wait
        if not free:
            raise TransactionRefused("locked", f"an input must wait {wait} more units (BIP 68)")


def check_block(
    raw: bytes, network: NetworkParameters, view: CoinView, judged: Mapping[str, bytes], verify: Verify
) -> Checked:
    """Judge a block on top of `view`, which is not changed. BlockRefused names the rule.

    `judged`: raw transactions by txid whose scripts, locks and weight were judged when they came to the mempool;
    in a block they are recognised byte by byte and only their coins are looked at again.
    """
    header, txs = blocks.parse_block(raw)
    height = view.height + 1
    _check_header(raw, header, network, view)
    _check_structure(header, txs, network, height)
    try:
        fees = _check_coins(txs, network, view, judged, verify)
    except TransactionRefused as error:
        raise BlockRefused(str(error)) from error
    created = sum(amount for _, amount in txs[0].outputs)
    if created > subsidy(height) + fees:
        raise BlockRefused(f"the coinbase pays {created}; {subsidy(height)} and {fees} fees are due")
    return Checked(blocks.block_hash(raw), header.time, txs)


def _check_header(raw: bytes, header: blocks.Header, network: NetworkParameters, view: CoinView) -> None:
    wrong = {
        "does not follow the tip": header.previous != view.hashes[-1],
        "an old version": header.version < _LEAST_VERSION,
        "another difficulty": header.bits != BITS,
        "not after the median time past": header.time <= view.median_time(view.height),
        "no proof of work": int.from_bytes(network.work(raw[: blocks.HEADER_SIZE]), "little") > TARGET,
    }
    for text, found in wrong.items():
        if found:
            raise BlockRefused(f"header: {text}")


def _check_structure(header: blocks.Header, txs: Sequence[Tx], network: NetworkParameters, height: int) -> None:
    txids = [tx.txid for tx in txs]
    coinbase = txs[0]
    wrong = {
        "the merkle root differs": blocks.merkle_root([bytes.fromhex(t)[::-1] for t in txids]) != header.merkle_root,
        "a transaction twice": len(set(txids)) != len(txids),
        "not exactly one coinbase, first": not is_coinbase(coinbase) or any(map(is_coinbase, txs[1:])),
        "the coinbase lacks its height": not _coinbase_script(coinbase).startswith(blocks.script_number(height)),
        "too heavy": sum(map(weight, txs)) > MAX_WEIGHT,
        "too many signature operations": sum(map(sigops, txs)) > MAX_SIGOPS,
    }
    if network.witness:
        wrong["the witness commitment differs"] = not _committed(txs)
    else:
        wrong["a witness on a chain without"] = any(map(has_witness, txs))
    if network.canonical_order:
        wrong["not in canonical order"] = txids[1:] != sorted(txids[1:])
        wrong["a transaction too small"] = any(len(tx.raw) < network.least_size for tx in txs)
    for text, found in wrong.items():
        if found:
            raise BlockRefused(f"block: {text}")


def _check_coins(
    txs: Sequence[Tx],
    network: NetworkParameters,
    view: CoinView,
    judged: Mapping[str, bytes],
    verify: Verify,
) -> int:
    """The block's fees."""
    height = view.height + 1
    made: dict[Outpoint, Coin] = {}
    if network.canonical_order:
        for tx in txs:
            _add_outputs(made, tx, height)
    spent: set[Outpoint] = set()
    fees = 0
    for tx in txs[1:]:
        coins = [_find(outpoint, view, made, spent) for outpoint in tx.inputs]
        fees += check_spending(tx, coins, height)
        if judged.get(tx.txid) != tx.raw:
            full = fields(tx)
            check_locks(full, coins, view, height)
            verify(full, tx.raw, [coin.output for coin in coins])
        if not network.canonical_order:
            _add_outputs(made, tx, height)
    return fees


def _find(outpoint: Outpoint, view: CoinView, made: Mapping[Outpoint, Coin], spent: set[Outpoint]) -> Coin:
    coin = view.coins.get(outpoint) or made.get(outpoint)
    if coin is None or outpoint in spent:
        raise TransactionRefused("missing-inputs", f"{outpoint.txid}:{outpoint.vout} is not there to be spent")
    spent.add(outpoint)
    return coin


def _add_outputs(made: dict[Outpoint, Coin], tx: Tx, height: int) -> None:
    for vout, (key, amount) in enumerate(tx.outputs):
        made[Outpoint(tx.txid, vout)] = Coin(key, amount, height, is_coinbase(tx))


def _coinbase_script(coinbase: Tx) -> bytes:
    return fields(coinbase).inputs[0].script


def _committed(txs: Sequence[Tx]) -> bool:
    """BIP 141, with the reserved value of zeros that our coinbases have."""
    wanted = blocks.commitment([tx.raw for tx in txs[1:]])
    head = wanted[:-32]
    found = [key for key, _ in txs[0].outputs if key.startswith(head)]
    return found[-1] == wanted if found else not any(map(has_witness, txs))
