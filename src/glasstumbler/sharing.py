"""The chains of one folder for several processes: one holds them, the others ask it, and any of them takes over.

Who holds the lock file holds the chains; the system lets go of the lock when the process dies, however it dies. The
holder writes down the port on which it answers. Whoever finds nobody there tries to become the holder: the chains are
opened from their logs, which have every block and every transaction that was accepted.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from glasstumbler import log
from glasstumbler.chains import calls
from glasstumbler.chains.base import Block, Format, LabChain, Output, Place, Tx
from glasstumbler.chains.eth_format import EthFormat
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.host import Host
from glasstumbler.chains.lightning import LightningPayment
from glasstumbler.chains.line import Line
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.clock import Clock
from glasstumbler.engine.commands import Route
from glasstumbler.errors import ChainError, HostGone, StoreError, TransactionRefused
from glasstumbler.ground import ChainName, Chains
from glasstumbler.lock import exclusive

PATIENCE = 10.0
"""Seconds in which somebody must have taken over."""
_PAUSE = 0.05
_TIMEOUT = 60.0
"""Seconds for one answer: a thousand blocks take a while."""
_Formats: dict[str, Format] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}


class _Held(NamedTuple):
    chains: Chains
    host: Host
    lock: IO[str]


class Sharing:
    """One process's share in the chains `names` of `folder`. `key` is what both ends of a line prove to know; `opening`
    opens the chains in this process."""

    def __init__(
        self, folder: Path, key: bytes, clock: Clock, names: Collection[ChainName], opening: Callable[[], Chains]
    ) -> None:
        self._folder, self._key, self._clock, self._opening = folder, key, clock, opening
        self._held: _Held | None = None
        self._taking = threading.Lock()
        self._local = threading.local()
        self._closed = False
        onchain: dict[str, LabChain] = {name: _SharedChain(self, name) for name in names if name != calls.LIGHTNING}
        self.chains = Chains(onchain, _SharedLightning(self) if calls.LIGHTNING in names else None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot use {folder}: {error.strerror}") from None
        self._take()

    @property
    def holding(self) -> bool:
        """Whether this process is the one that has the chains."""
        return self._held is not None

    def ask(self, chain: str, method: str, *arguments: Any) -> Any:
        """The answer, from whoever holds the chains. HostGone if it was lost and asking again could do it twice;
        ChainError if nobody takes over in `PATIENCE` seconds."""
        call, until = calls.call_of(chain, method), time.monotonic() + PATIENCE
        while True:
            if (held := self._held) is not None:
                return calls.do(_named(held.chains)[chain], method, arguments)
            line = self._line()
            if line is not None:
                try:
                    line.send(calls.ask(chain, method, arguments, self._clock.offset))
                    raw = line.receive()
                except OSError:
                    self._hang_up()
                    if not call.again:
                        raise HostGone(
                            f"the process that held the chains went away during {method!r}; look whether it was done"
                        ) from None
                else:
                    return calls.answered(call, raw)
            if not self._take():
                if time.monotonic() > until:
                    raise ChainError(f"nobody answers for the chains in {self._folder}")
                time.sleep(_PAUSE)

    def close(self) -> None:
        """Let go of the chains: another process takes them over."""
        self._closed = True
        self._hang_up()
        with self._taking:
            held, self._held = self._held, None
            if held is not None:
                held.host.close()
                held.chains.close()
                held.lock.close()

    # -- holding --------------------------------------------------------------------------------------------------

    def _take(self) -> bool:
        """Become the holder if there is none; True if this process holds the chains now."""
        with self._taking:
            if self._held is not None:
                return True
            if self._closed:
                raise ChainError("the chains are closed")
            lock = exclusive(self._folder / "host.lock")
            if lock is None:
                return False
            try:
                self._held = self._open(lock)
            except BaseException:
                lock.close()
                raise
            log.info("this process holds the chains now", folder=str(self._folder))
            return True

    def _open(self, lock: IO[str]) -> _Held:
        chains = self._opening()
        host = Host(_named(chains), self._key, self._reached)
        written = self._folder / f"host.{os.getpid()}"
        try:
            written.write_text(str(host.port))
            written.replace(self._folder / "host")
        except OSError as error:
            host.close()
            chains.close()
            raise StoreError(f"cannot write {written}: {error.strerror}") from None
        return _Held(chains, host, lock)

    def _reached(self, offset: int) -> None:
        """Somebody's clock is ahead of ours: the laboratory's time only grows."""
        if offset > self._clock.offset:
            self._clock.restore(offset)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _line(self) -> Line | None:
        """This thread's line to the holder; None if nobody answers there."""
        line: Line | None = getattr(self._local, "line", None)
        if line is None:
            with suppress(OSError, ValueError, ChainError):
                port = int((self._folder / "host").read_text())
                end = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                try:
                    line = Line(end, self._key, asking=True)
                except BaseException:
                    end.close()
                    raise
                end.settimeout(_TIMEOUT)
                self._local.line = line
        return line

    def _hang_up(self) -> None:
        line: Line | None = getattr(self._local, "line", None)
        if line is not None:
            line.close()
            self._local.line = None


def _named(chains: Chains) -> dict[str, object]:
    return {**chains.onchain, **({calls.LIGHTNING: chains.lightning} if chains.lightning else {})}


class _Shared:
    """What both kinds have: a name, and labels that are asked for once."""

    def __init__(self, sharing: Sharing, name: str) -> None:
        self._sharing, self._name = sharing, name
        self._labels: dict[str, Any] = {}

    def _ask(self, method: str, *arguments: Any) -> Any:
        return self._sharing.ask(self._name, method, *arguments)

    def _label(self, method: str) -> Any:
        if method not in self._labels:
            self._labels[method] = self._ask(method)
        return self._labels[method]

    @property
    def network(self) -> str:
        return str(self._label("network"))

    @property
    def node(self) -> str:
        return str(self._label("node"))

    @property
    def model(self) -> bool:
        return bool(self._label("model"))

    def close(self) -> None:
        """The sharing closes them all."""


class _SharedChain(_Shared):
    def __init__(self, sharing: Sharing, coin: str) -> None:
        super().__init__(sharing, coin)
        self.coin, self.format = coin, _Formats[coin]

    def tip(self) -> tuple[int, str]:
        height, block_hash = self._ask("tip")
        return int(height), str(block_hash)

    def block_hash(self, height: int) -> str | None:
        found: str | None = self._ask("block_hash", height)
        return found

    def block(self, block_hash: str) -> Block:
        found: Block = self._ask("block", block_hash)
        return found

    def mempool(self) -> Collection[str]:
        found: Collection[str] = self._ask("mempool")
        return found

    def transaction(self, txid: str) -> Tx | None:
        found: Tx | None = self._ask("transaction", txid)
        return found

    def place(self, txid: str) -> Place | None:
        found: Place | None = self._ask("place", txid)
        return found

    def broadcast(self, raw: bytes) -> str:
        return str(self._ask("broadcast", raw))

    def broadcast_all(self, raws: Sequence[bytes]) -> list[TransactionRefused | None]:
        found: list[TransactionRefused | None] = self._ask("broadcast_all", raws)
        return found

    def mine(self, blocks: int = 1) -> int:
        return int(self._ask("mine", blocks))

    def pay(self, address: str, amount: int) -> str:
        return str(self._ask("pay", address, amount))

    def pay_many(self, outputs: Sequence[Output]) -> str:
        return str(self._ask("pay_many", outputs))

    def reorg(self, depth: int, forget: Collection[str] = ()) -> int:
        return int(self._ask("reorg", depth, list(forget)))

    def fresh_address(self, kind: str | None = None) -> str:
        return str(self._ask("fresh_address", kind))


class _SharedLightning(_Shared):
    def __init__(self, sharing: Sharing) -> None:
        super().__init__(sharing, calls.LIGHTNING)

    def invoice(self, amount_msat: int, expiry: int = 3600, description: str = "") -> str:
        return str(self._ask("invoice", amount_msat, expiry, description))

    def check_route(self, invoice: str, payer: str) -> Route:
        found: Route = self._ask("check_route", invoice, payer)
        return found

    def pay(self, payer: str, invoice: str, key: str) -> LightningPayment:
        found: LightningPayment = self._ask("pay", payer, invoice, key)
        return found

    def paid(self, key: str) -> LightningPayment | None:
        found: LightningPayment | None = self._ask("paid", key)
        return found

    def sendable(self, payer: str) -> int:
        return int(self._ask("sendable", payer))
