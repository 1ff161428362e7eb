"""What really happened: the chains and the Lightning network as their files hold them, read by another process."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from glasstumbler.chains import blocks, eth, monero
from glasstumbler.chains.base import Format, Tx
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.chains.eth_format import EthFormat, read_transfer
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.chains.monero_tx import read_tx
from glasstumbler.chains.tx import to_tx

COINS: dict[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}
_READERS: dict[str, Callable[[bytes], Tx]] = {
    "eth": lambda raw: read_transfer(raw).tx(),
    "xmr": lambda raw: read_tx(raw).tx(),
}
_BLOCKS: dict[str, Callable[[bytes], tuple[Tx, ...]]] = {
    "eth": lambda raw: eth.read_block(raw).txs,
    "xmr": lambda raw: monero.read_block(raw).txs,
}


class Paid(NamedTuple):
    """An output in the active chain, or in a transaction that waits (height None). `amount` in base units."""

    txid: str
    vout: int
    amount: int
    height: int | None


@dataclass
class World:
    """`paid` by coin and key; `txids` by coin; `lightning`: payments that went through, by payment hash."""

    paid: dict[tuple[str, bytes], list[Paid]] = field(default_factory=lambda: defaultdict(list))
    txids: set[tuple[str, str]] = field(default_factory=set)
    lightning: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def to(self, coin: str, address: str) -> list[Paid]:
        return self.paid.get((coin, COINS[coin].key(address)), [])

    def add(self, coin: str, tx: Tx, height: int | None) -> None:
        self.txids.add((coin, tx.txid))
        for vout, (key, amount) in enumerate(tx.outputs):
            self.paid[coin, key].append(Paid(tx.txid, vout, amount, height))


class Witness:
    """Reads a folder's chains again and again; a block that was read once is not parsed again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[Tx, ...]] = {}

    def look(self) -> World:
        world = World()
        for coin in COINS:
            path = self._folder / f"{coin}.blocks"
            if path.exists():
                self._look_at(world, coin, BlockLog.read_only(path, coin))
        if (path := self._folder / "lightning.sqlite").exists():
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
                for (hashed,) in file.execute("SELECT payment_hash FROM payments WHERE preimage IS NOT NULL"):
                    world.lightning[hashed.hex()] += 1
        return world

    def _look_at(self, world: World, coin: str, log: BlockLog) -> None:
        with closing(log):
            parse = _BLOCKS.get(coin, lambda raw: blocks.parse_block(raw)[1])
            for height, name in _active(log):
                if name not in self._read:
                    logged = log.find(name)
                    assert logged is not None
                    self._read[name] = parse(logged.raw)
                for tx in self._read[name]:
                    world.add(coin, tx, height)
            for raw in log.waiting():
                tx = _READERS.get(coin, to_tx)(raw)
                if (coin, tx.txid) not in world.txids:
                    world.add(coin, tx, None)


def _active(log: BlockLog) -> Iterator[tuple[int, str]]:
    for height in range(log.height() + 1):
        if (name := log.hash_at(height)) is not None:
            yield height, name
