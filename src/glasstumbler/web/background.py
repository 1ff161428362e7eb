"""A laboratory served from a thread of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from glasstumbler.house import House
from glasstumbler.web.serving import Serving, run


@contextmanager
def served(house: House, turning: bool = True) -> Iterator[Serving]:
    """The hub and the services of a started house on free loopback ports; stopped at the end."""
    serving = Serving(house, "127.0.0.1", 0, turning=turning)
    thread = threading.Thread(target=run, args=(serving,), name="servers", daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        serving.stop()
        thread.join()
