"""The blocks that the record has taken in, read from a chain or from its log, each held against its own hash."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from glasstumbler.chains import blocks, eth, eth_block, monero, monero_scan, tx
from glasstumbler.chains.base import Block
from glasstumbler.chains.blocklog import BlockLog, LoggedBlock
from glasstumbler.errors import BlockRefused, ChainError


class Blocks(Protocol):
    """Blocks of one chain, active and stale: any `Chain`, or its log."""

    def tip(self) -> tuple[int, str]: ...
    def block_hash(self, height: int) -> str | None: ...
    def block(self, block_hash: str) -> Block: ...


class LoggedBlocks:
    """The log of a chain that may be running in another process. Close it."""

    def __init__(self, path: Path, coin: str) -> None:
        self._log, self._coin = BlockLog.read_only(path, coin), coin
        self._read = _READ.get(coin, _read_block)

    def tip(self) -> tuple[int, str]:
        with self._readable():
            height = self._log.height()
            return height, self._log.hash_at(height) or ""

    def block_hash(self, height: int) -> str | None:
        with self._readable():
            return self._log.hash_at(height)

    def block(self, block_hash: str) -> Block:
        """ChainError if it is not there, or its bytes are not those that the hash is of."""
        with self._readable():
            logged = self._log.find(block_hash)
        if logged is None:
            raise ChainError(f"the {self._coin} chain has no block {block_hash}, which the record has taken in")
        block = self._read(logged)
        if (block.height, block.hash, block.previous) != (logged.height, block_hash, logged.previous):
            raise ChainError(f"the {self._coin} chain's block {block_hash} was changed")
        return block

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ChainError(f"the log of the {self._coin} chain cannot be read: {error}") from None

    def close(self) -> None:
        self._log.close()


def _read_block(logged: LoggedBlock) -> Block:
    """Of the Bitcoin family; BlockRefused if transactions or witnesses are not those that the header names."""
    header, txs = blocks.parse_block(logged.raw)
    if blocks.merkle_root([bytes.fromhex(each.txid)[::-1] for each in txs]) != header.merkle_root:
        raise BlockRefused("its header does not fit its transactions")
    commitments = [output.key for output in txs[0].outputs if not output.amount]
    if commitments and blocks.commitment([each.raw for each in txs[1:]]) not in commitments:
        raise BlockRefused("its first transaction does not fit the witnesses")
    if tx.parse(txs[0].raw).inputs[0].witness not in ((), (bytes(32),)):  # the one thing that no hash covers
        raise BlockRefused("its first transaction has another witness")
    return Block(logged.height, blocks.block_hash(logged.raw), header.previous, header.time, txs)


def _read_eth_block(logged: LoggedBlock) -> Block:
    if eth_block.is_node_block(logged.raw):
        return eth_block.read_block(logged.raw).block
    return eth.read_whole_block(logged.raw)


def _read_xmr_block(logged: LoggedBlock) -> Block:
    if monero_scan.is_node_block(logged.raw):
        return monero_scan.read_node_block(logged.raw)
    return monero.read_block(logged.raw)


_READ: Mapping[str, Callable[[LoggedBlock], Block]] = {
    "eth": _read_eth_block,
    "xmr": _read_xmr_block,
}


def up_to(source: Blocks, height: int, block_hash: str) -> list[str]:
    """The hashes of the chain that ends in this block, from the first block on, even if a reorganisation has taken its
    end out. ChainError if a block is not there."""
    fork, branch = (height, block_hash), list[str]()
    while source.block_hash(fork[0]) != fork[1]:
        branch.append(fork[1])
        fork = (fork[0] - 1, source.block(fork[1]).previous)
    trunk = [name for number in range(fork[0] + 1) if (name := source.block_hash(number)) is not None]
    if len(trunk) <= fork[0]:
        raise ChainError("the chain grew shorter while it was read")
    if trunk and trunk[-1] != fork[1]:  # reorganised while we looked
        return up_to(source, height, block_hash)
    return [*trunk, *reversed(branch)]


def linked(source: Blocks, first: int, names: Sequence[str]) -> Iterator[Block]:
    """The blocks of these names, the first of them at this height. `names` begin with the block before, if there is
    one. ChainError if a block does not follow from the one before."""
    previous = names[0] if first else None
    for height, name in enumerate(names[1:] if first else names, first):
        block = source.block(name)
        if block.height != height or block.previous != (previous or block.previous):
            raise ChainError(f"block {name} does not follow from {previous}")
        yield block
        previous = name


def beyond(source: Blocks, height: int, block_hash: str, tip: tuple[int, str]) -> Iterator[Block]:
    """The blocks behind this one up to `tip`; none if a reorganisation has taken one of the two out."""
    names = [source.block_hash(number) for number in range(height, tip[0] + 1)]
    if names and names[0] == block_hash and names[-1] == tip[1]:
        yield from (source.block(name) for name in names[1:] if name is not None)
