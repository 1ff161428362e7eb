"""A laboratory served from a thread of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from glasstumbler.house import House
from glasstumbler.limits import Limits
from glasstumbler.web.serving import Serving, run

_OPEN_SECONDS = 60


@contextmanager
def served(house: House, turning: bool = True, limits: Limits | None = None) -> Iterator[Serving]:
    """The hub and the services of a started house on free loopback ports; stopped at the end."""
    serving = Serving(lambda: house, "127.0.0.1", 0, turning=turning, limits=limits)
    opened = threading.Event()
    thread = threading.Thread(
        target=run, args=(serving, lambda opened_house: opened.set()), name="servers", daemon=True
    )
    thread.start()
    try:
        opened.wait(_OPEN_SECONDS)
        yield serving
    finally:
        serving.stop()
        thread.join()
