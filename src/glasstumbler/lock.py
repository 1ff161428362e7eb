"""Who has a folder: one process, or several that share a record; and where its hub is."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from glasstumbler.errors import StoreError

_LOCK = "serve.lock"
_LOOK_SECONDS = 0.1
"""In which a look at the lock, which takes it for a moment, is over."""


def exclusive(path: Path) -> IO[str] | None:
    """The open file while nobody else has it; None if somebody does. Closing it lets go, and so does dying. OSError if
    it cannot be opened."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


@contextmanager
def claimed(data: Path, shared: bool) -> Iterator[Callable[[str], None]]:
    """One server to a folder, or several that share a record: not both. What is given back takes the hub's URL, for
    `running` to find."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with (data / _LOCK).open("a") as file:
        for last in (False, False, True):
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except OSError:
                if last:
                    raise StoreError(f"another `glasstumbler serve` runs on {data}") from None
                time.sleep(_LOOK_SECONDS)

        def tell(hub: str) -> None:
            file.truncate(0)
            file.write(json.dumps({"hub": hub}))
            file.flush()

        if not shared:
            file.truncate(0)
        yield tell


def running(data: Path) -> str | None:
    """The hub's URL of the server that runs on a folder ("" where it has none yet); None if there is none."""
    try:
        with (data / _LOCK).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                said = file.read()
                return str(json.loads(said)["hub"]) if said else ""
    except OSError:
        pass
    return None
