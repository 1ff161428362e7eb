"""The chains that this process holds, answered for to the laboratory's other processes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from glasstumbler import log
from glasstumbler.chains import calls
from glasstumbler.chains.line import Line
from glasstumbler.errors import ChainError, GlassTumblerError

_HANDSHAKE_SECONDS = 5
_PAUSE = 0.1


class Host:
    """Listens on a loopback port of its own; a thread for each process that asks. `reached` is called with the asker's
    clock offset before each call, so that the chains' time is never behind that of whoever moves them."""

    def __init__(self, chains: Mapping[str, object], key: bytes, reached: Callable[[int], None]) -> None:
        self._chains, self._key, self._reached = chains, key, reached
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name="chain-host", daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody."""
        self._closed = True
        with self._lock:
            ends = list(self._ends)
        for end in (self._listening, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                end, _ = self._listening.accept()
            except OSError as error:  # closed, or no descriptors are left for now
                if not self._closed:
                    log.warning("nobody can be let in", reason=str(error))
                    time.sleep(_PAUSE)
                continue
            threading.Thread(target=self._serve, args=(end,), name="chain-line", daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with self._lock:
            self._ends.add(end)
        try:
            end.settimeout(_HANDSHAKE_SECONDS)
            line = Line(end, self._key, asking=False)
            end.settimeout(None)
            while True:
                line.send(self._answer(line.receive()))
        except (OSError, ChainError):
            pass  # it has gone, or is not of this laboratory
        finally:
            with self._lock:
                self._ends.discard(end)
            end.close()

    def _answer(self, raw: bytes) -> bytes:
        try:
            call, arguments = calls.asked(raw)
            if call.chain not in self._chains:
                raise ChainError(f"no chain of {call.chain!r} runs here")
            self._reached(call.offset)
            return calls.answer(calls.do(self._chains[call.chain], call.method, arguments))
        except GlassTumblerError as error:
            return calls.refuse(error)
        except Exception as error:
            log.exception("a chain's call failed")
            return calls.refuse(ChainError(f"the process that holds the chains failed: {type(error).__name__}"))
