"""The cache kept up with chains and record: by a thread once somebody has looked, and by each look for a moment."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic

from glasstumbler import log
from glasstumbler.chains.base import Chain
from glasstumbler.errors import ChainError, GlassTumblerError, StoreError
from glasstumbler.explorer import tally
from glasstumbler.explorer.chain_index import ChainIndex, Owners
from glasstumbler.explorer.file import CacheFile
from glasstumbler.explorer.look import Look
from glasstumbler.explorer.tally import Turnover
from glasstumbler.explorer.waiting import Waiting
from glasstumbler.store.base import Store

_PIECE_SECONDS = 0.2
"""That one writing transaction goes on for."""
_PATIENCE_SECONDS = 0.1
"""That a look waits for what is not taken in yet."""
_FIRST_SECONDS = 1.5
"""That the first look of all waits: what a small laboratory has is then there at once."""
_IDLE_SECONDS = 0.25
_BREATH_SECONDS = 0.02
"""Between two pieces: requests come first."""
_AFTER_FAILURE_SECONDS = 5


class Explorer:
    """Of one laboratory. The file is made at the first look, and followed from then on."""

    def __init__(self, folder: Path | None, owner: str, chains: Mapping[str, Chain], store: Store) -> None:
        self._folder, self._owner, self._chains, self._store = folder, owner, chains, store
        self.waiting = {coin: Waiting(chain) for coin, chain in chains.items()}
        self._opening, self._writing = threading.Lock(), threading.Lock()
        self._file: CacheFile | None = None
        self._stopping = threading.Event()
        self._tasks = {coin: partial(self._take_in, coin) for coin in chains} | {"entries": self._count}
        self._thread = threading.Thread(target=self._follow, name="explorer", daemon=True)

    @contextmanager
    def look(self, coin: str) -> Iterator[Look]:
        """What is known of a chain now. It may be behind the chain: `Look.height` says how far it is."""
        file = self._ready()
        self._catch_up(coin)
        with file.reading() as db:
            yield Look(db, coin)

    @contextmanager
    def turnover(self) -> Iterator[Turnover]:
        """What the services turned over, up to entry `Turnover.last`."""
        file = self._ready()
        if self._writing.acquire(timeout=_PATIENCE_SECONDS):
            try:
                self._count(_PATIENCE_SECONDS)
            finally:
                self._writing.release()
        with file.reading() as db:
            yield Turnover(db)

    def close(self) -> None:
        """Harmless if nobody has looked."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._opening:
            if self._file is not None:
                self._file.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _ready(self) -> CacheFile:
        with self._opening:
            if self._stopping.is_set():
                raise StoreError("the laboratory is stopping")
            if self._file is None:
                self._file = CacheFile(self._folder, self._owner)
                self._begin()
                self._thread.start()
            return self._file

    def _begin(self) -> None:
        end = monotonic() + _FIRST_SECONDS
        for work in self._tasks.values():
            with suppress(GlassTumblerError):  # the thread tries again, and says so
                while monotonic() < end and work(_PIECE_SECONDS):
                    pass

    def _catch_up(self, coin: str) -> None:
        if self._writing.acquire(timeout=_PATIENCE_SECONDS):
            try:
                with suppress(ChainError):  # a node that is away: what is known of its chain is shown
                    self._take_in(coin, _PATIENCE_SECONDS)
            finally:
                self._writing.release()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            pause = _IDLE_SECONDS
            for name, work in self._tasks.items():
                try:
                    with self._writing:
                        if work(_PIECE_SECONDS):
                            pause = _BREATH_SECONDS
                except GlassTumblerError as error:
                    log.info("the explorer waits", what=name, reason=str(error))
                except Exception:
                    log.exception("the explorer did not follow; it is tried again", what=name)
                    pause = _AFTER_FAILURE_SECONDS
                if self._stopping.is_set():
                    return
            self._stopping.wait(pause)

    def _take_in(self, coin: str, seconds: float) -> bool:
        """Blocks for so long at most; whether there may be more."""
        chain, file = self._chains[coin], self._file
        assert file is not None
        with file.reading() as db:
            if Look(db, coin).hash == chain.tip()[1]:
                return False
        with file.writing() as db:
            return db is None or follow(
                ChainIndex(db, coin, chain.format.one_to_one, self._owners(coin)), chain, seconds
            )

    def _count(self, seconds: float) -> bool:
        """Entries of the record for so long at most; whether there may be more."""
        file, end = self._file, monotonic() + seconds
        assert file is not None
        with file.reading() as db:
            after = tally.stands(db)
        if self._store.read(lambda records: records.head()) == after:
            return False
        with file.writing() as db:
            while db is not None and monotonic() < end:
                after = tally.stands(db)
                piece = self._store.read(partial(tally.read, after=after))
                if not piece.fits:
                    tally.forget(db)
                elif piece.entries:
                    tally.take(db, piece)
                else:
                    return False
        return True

    def _owners(self, coin: str) -> Owners:
        def owners(keys: Collection[bytes]) -> dict[bytes, str]:
            found = self._store.read(lambda records: records.watched(coin, keys))
            return {key: each.service for key, each in found.items()}

        return owners


def follow(index: ChainIndex, chain: Chain, seconds: float) -> bool:
    """Go where the chain is, for so long at most; whether there may be more."""
    end = monotonic() + seconds
    more = True
    while more and monotonic() < end:
        more = step(index, chain)
    index.finish()
    return more


def step(index: ChainIndex, chain: Chain) -> bool:
    """One block on or back; False if the index stands where the chain does."""
    if index.height >= 0 and chain.block_hash(index.height) != index.hash:
        index.disconnect()
        return True
    following = chain.block_hash(index.height + 1)
    if following is None:
        return False
    block = chain.block(following)
    if index.height < 0 or block.previous == index.hash:  # else it was reorganised between the two questions
        index.connect(block)
    return True
