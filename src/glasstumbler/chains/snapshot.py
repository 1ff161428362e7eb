"""A chain's state after one of its blocks, kept beside the block log, so that a start need not connect them all again.

A snapshot is a cache: the log is the truth, and without a snapshot all blocks are connected. So is it when the snapshot
is torn, was changed, is of another form or of another secret, or does not lie on the log: a line of the program's log
says why.

    file: magic line with the form's number, HMAC-SHA256 (32 bytes) of what follows, MessagePack of `State`

The HMAC's key comes from the laboratory's secret. State that somebody else wrote would let coins be spent that are not
there.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from glasstumbler import log
from glasstumbler.chains.keys import KeyRing
from glasstumbler.errors import GlassTumblerError, StoreError

_MAGIC: Final = b"glasstumbler chain snapshot 1\n"
_MAC: Final = 32
_LEAST: Final = 200_000
"""Weight of blocks that are connected again rather than written down: a few hundredths of a second."""
_SHARE: Final = 4
"""A snapshot is written anew when the blocks behind it weigh a fourth of it: all writing together stays in proportion
to the chain."""
_BLOCK: Final = 1_000
"""What a block weighs beside its bytes."""
_SLICE: Final = 5_000
"""Transactions that are encoded without letting go of Python's lock."""


class Standing(NamedTuple):
    """Of a mined transaction: height of its block, its place in it, offset and size in the raw block."""

    height: int
    position: int
    offset: int
    size: int


class Mined(NamedTuple):
    """A mined transaction; of its outputs those that are unspent: number, key, amount."""

    txid: str
    height: int
    position: int
    offset: int
    size: int
    coins: list[tuple[int, bytes, int]]

    @property
    def standing(self) -> Standing:
        return Standing(*self[1:5])


class State(msgspec.Struct):
    """`hashes` by height, up to the block after which this is the state. `txs` in the order of the chain, in slices.
    `times` of the blocks: Bitcoin family. `accounts`: Ethereum's addresses, balances (big-endian) and nonces."""

    coin: str
    hashes: list[str]
    txs: list[list[Mined]]
    times: list[int]
    accounts: list[tuple[bytes, bytes, int]]

    def mined(self) -> Iterator[Mined]:
        for part in self.txs:
            yield from part


class Held(NamedTuple):
    """What a state is made of, as the chain keeps it; copies, so that the chain can go on. `coins` by txid and number,
    each beginning with its key and amount."""

    hashes: Sequence[str]
    standing: Mapping[str, Standing]
    coins: Mapping[Any, tuple[Any, ...]] = {}
    times: Sequence[int] = ()
    accounts: Mapping[bytes, tuple[int, int]] = {}


class Snapshots:
    """The snapshot file of one chain. Every call wants the chain's lock held."""

    def __init__(self, folder: Path | None, coin: str, ring: KeyRing) -> None:
        """`folder` None: nothing is kept."""
        self._path = folder / f"{coin}.snapshot" if folder is not None else None
        self._coin, self._key = coin, ring.secret(coin, "snapshot", "lab", 0)
        self._weight, self._size = 0, 0
        self._writer: threading.Thread | None = None

    def load(self, restore: Callable[[State], None], clear: Callable[[], None]) -> None:
        """Hand the kept state, if there is one, to `restore`, which brings the chain to it and onto the log's active
        chain. If either cannot be done, `clear` is called and all is as without a snapshot."""
        try:
            raw = self._read()
            if raw is not None:
                restore(self._state(raw))
                self._size = len(raw)
        except (GlassTumblerError, msgspec.MsgspecError, OSError, LookupError) as problem:
            log.warning("a chain's snapshot is no use, all blocks are read", coin=self._coin, reason=str(problem))
            clear()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Round whatever moves the chain. An error of ours leaves the chain as it was before; after any other nobody
        knows what state it is in, and none is written down any more."""
        try:
            yield
        except GlassTumblerError:
            raise
        except BaseException:
            self._path = None
            raise

    def weigh(self, raw: bytes) -> None:
        """This block was connected."""
        self._weight += len(raw) + _BLOCK

    def write_if_due(self, hold: Callable[[], Held]) -> None:
        """Aside, so that the chain goes on."""
        busy = self._writer is not None and self._writer.is_alive()
        if self._path is None or busy or self._weight < max(_LEAST, self._size // _SHARE):
            return
        self._weight = 0
        self._writer = threading.Thread(target=self._write, args=(self._path, hold()), name="snapshot", daemon=True)
        self._writer.start()

    def close(self, hold: Callable[[], Held]) -> None:
        """Write what has changed since."""
        if self._writer is not None:
            self._writer.join()
        if self._path is not None and self._weight:
            self._weight = 0
            self._write(self._path, hold())

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes() if self._path is not None else None
        except FileNotFoundError:
            return None

    def _state(self, raw: bytes) -> State:
        mac, body = raw[len(_MAGIC) : len(_MAGIC) + _MAC], raw[len(_MAGIC) + _MAC :]
        if not raw.startswith(_MAGIC):
            raise StoreError("it is of another form")
        if not hmac.compare_digest(mac, self._sum(body)):
            raise StoreError("its checksum is wrong: it is torn, was changed, or is of another laboratory")
        state = msgspec.msgpack.decode(body, type=State)
        if state.coin != self._coin:
            raise StoreError(f"it is of {state.coin}")
        return state

    def _sum(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")

    def _write(self, path: Path, held: Held) -> None:
        """Not flushed to the disk: what a power cut leaves of it does not fit the checksum."""
        written = path.with_suffix(".snapshot-new")
        try:
            body = _encoded(self._coin, held)
            written.write_bytes(_MAGIC + self._sum(body) + body)
            written.replace(path)
            self._size = len(body)
        except OSError as problem:
            log.warning("a chain's snapshot cannot be written", coin=self._coin, reason=str(problem))
            with suppress(OSError):
                written.unlink(missing_ok=True)


def _encoded(coin: str, held: Held) -> bytes:
    coins: dict[str, list[tuple[int, bytes, int]]] = {}
    for (txid, number), coin_held in held.coins.items():
        coins.setdefault(txid, []).append((number, coin_held[0], coin_held[1]))
    encode = msgspec.msgpack.encode
    mined = (Mined(txid, *standing, sorted(coins.get(txid, ()))) for txid, standing in held.standing.items())
    txs: list[msgspec.Raw] = []
    while part := list(islice(mined, _SLICE)):
        txs.append(msgspec.Raw(encode(part)))
    accounts = [(key, each[0].to_bytes(32, "big"), each[1]) for key, each in held.accounts.items()]
    return encode({"coin": coin, "hashes": held.hashes, "txs": txs, "times": held.times, "accounts": accounts})
