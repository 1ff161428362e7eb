"""A chain's copy as it was when the record took in its last block.

A copy that is ahead holds payments that the record does not know of: it would pay them again. So the copy ends with the
record's own last block. What later blocks mined waits again, as after a reorganisation; our own payments that the
record does not know are left out, and with them whatever lives on them, since no chain takes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from glasstumbler.audit_blocks import LoggedBlocks
from glasstumbler.chains import monero_tx, tx
from glasstumbler.chains.base import Tx
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.chains.eth_format import read_transfer
from glasstumbler.errors import StoreError, TransactionRefused
from glasstumbler.store.records import Records

_READ: Mapping[str, Callable[[bytes], Tx]] = {
    "eth": lambda raw: read_transfer(raw).tx(),
    "xmr": lambda raw: monero_tx.read_tx(raw).tx(),
}


def cut_back(path: Path, coin: str, records: Records) -> None:
    """StoreError if the copy lacks the block that the record ends with."""
    cursor = records.cursor(coin)
    if cursor is None:
        return
    with closing(BlockLog(path, coin)) as log, closing(LoggedBlocks(path, coin)) as blocks:
        branch = _branch(log, *cursor)
        undone = [blocks.block(each.hash) for each in log.chain(branch[0].height)]
        kept = {each.hash for each in branch}
        again = [found for block in undone if block.hash not in kept for found in block.txs if _is_sent(found)]
        waiting = [read for raw in log.waiting() if (read := _read(coin, raw)) is not None]
        unknown = _unknown(records, coin, [*again, *waiting])
        log.append(branch)
        log.wait([(each.txid, each.raw) for each in again if each.txid not in unknown], unknown)


def _branch(log: BlockLog, height: int, block_hash: str) -> list[LoggedBlock]:
    """The blocks up to this one that are not active, and at least this one. Below the first block is none."""
    branch: list[LoggedBlock] = []
    while not branch or (height >= 0 and log.hash_at(height) != block_hash):
        found = log.find(block_hash)
        if found is None:
            raise StoreError(f"the chain's copy lacks block {block_hash}, with which the record ends")
        branch.insert(0, found)
        height, block_hash = height - 1, found.previous
    return branch


def _is_sent(found: Tx) -> bool:
    """Not the one that pays the miner."""
    return bool(found.inputs and found.inputs[0].txid.strip("0"))


def _read(coin: str, raw: bytes) -> Tx | None:
    try:
        return _READ.get(coin, tx.to_tx)(raw)
    except TransactionRefused:
        return None


def _unknown(records: Records, coin: str, txs: list[Tx]) -> set[str]:
    """Those that spend coins or accounts of ours, and are no payment of ours."""
    accounts = coin == "eth"
    rows = records.rows(f"SELECT txid, vout FROM coin WHERE coin = '{coin}'")
    ours = {(txid, 0 if accounts else vout) for txid, vout in rows}
    spending = {each.txid for each in txs if any((i.txid, 0 if accounts else i.vout) in ours for i in each.inputs)}
    return spending - {payment.txid for payment in records.payments_in(coin, list(spending))} if spending else set()
