"""A process that only works: watches the chains and pays what is due, beside those that answer requests."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from glasstumbler import log
from glasstumbler.errors import GlassTumblerError
from glasstumbler.house import House

_IDLE_SECONDS = 0.25
"""Between two looks at chains and due work."""
_AFTER_FAILURE_SECONDS = 1.0


class Worker:
    """Turn after turn until `stop`. It mines too, every `interval` seconds (0: never), while it holds the chains."""

    def __init__(self, house: House, interval: int) -> None:
        self._house, self._interval = house, interval
        self._stopping = threading.Event()
        self._mined = time.monotonic()

    def stop(self) -> None:
        """From any thread, or from a signal's handler. What has been begun is finished."""
        self._stopping.set()

    def run(self, ready: Callable[[], None]) -> None:
        """`ready` is called once a signal would end it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop())
        ready()
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = _IDLE_SECONDS
            try:
                self._mine_in_time()
                self._house.turn(wait=False)
            except GlassTumblerError as error:  # the store or the chains' holder has gone: it may come back
                log.warning("turn failed; it is tried again", reason=str(error))
                pause = _AFTER_FAILURE_SECONDS
            except Exception:
                log.exception("turn failed; it is tried again")
                pause = _AFTER_FAILURE_SECONDS

    def _mine_in_time(self) -> None:
        if not self._interval or time.monotonic() < self._mined + self._interval:
            return
        self._mined = time.monotonic()
        if self._house.ground.holding:
            for chain in self._house.chains.values():
                chain.mine(1)
