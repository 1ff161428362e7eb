"""A standalone cluster of Spark that somebody runs: how it is reached, and whether its executors see what this does.

Frames are laid down as files between steps, and an executor that writes them where nobody else looks would lose rows
without a word. So each executor is asked, before anything it wrote is used, whether it sees the dataset and the scratch
folder and has this program. Nothing here waits without end: Spark itself would, for workers that never come.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

import glasstumbler
from glasstumbler.errors import SparkError

if TYPE_CHECKING:
    from pyspark import SparkContext

MASTER: Final = re.compile(r"spark://([A-Za-z0-9.-]+):([0-9]{1,5})")
_CONNECT: Final = 5.0
"""Seconds in which the master answers a call, and ..."""
PATIENCE: Final = 60.0
"""... in which the cluster gives an executor."""
_TRIES: Final = 6
_ASIDE: Final = "all machines need the dataset, TMPDIR and this Python at the same path (docs/scale.md)"


def reached(master: str) -> str:
    """The address of this machine from which the master is reached: the only one that is bound. `master`: as MASTER."""
    host, _, port = master.removeprefix("spark://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _CONNECT) as call:
            return str(call.getsockname()[0])
    except (OSError, OverflowError) as error:
        raise SparkError(f"--master {master}: nobody answers there ({error})") from None


class Executors:
    """Of a context on a cluster."""

    def __init__(self, context: SparkContext, scratch: Path, dataset: Path | None, patience: float) -> None:
        """Waits for the first, `patience` seconds. `dataset`: its folder; None: there is none to be seen."""
        self._context, self._patience = context, patience
        self._seen: set[str] = set()
        token = scratch / "token"
        token.write_bytes(scratch.name.encode())
        files = [token] if dataset is None else [token, dataset.resolve() / "manifest.json"]
        self._look = _looking(scratch, {str(path): path.read_bytes() for path in files}, glasstumbler.__version__)
        self._stopped, self.gone = Event(), False
        """`gone`: jobs were cancelled, since all executors were lost and none came."""
        deadline = time.monotonic() + patience
        while not self._there():
            if time.monotonic() > deadline:
                raise SparkError(
                    f"the cluster gave no executor in {patience:.0f} s: its workers have no free core, or less memory"
                    " than one asks for (SPARK_EXECUTOR_MEMORY, else 1g)"
                )
            time.sleep(0.1)
        self._watch = Thread(target=self._watched, daemon=True)
        self._watch.start()

    def look(self) -> None:
        """SparkError if one that was not asked yet does not see what this machine sees."""
        there = self._there()
        if there <= self._seen:
            return
        asked: set[tuple[str, int]] = set()
        for tries in range(_TRIES):  # tasks go round: one each, if all are idle
            tasks = len(there) << tries
            answers = self._context.parallelize(range(tasks), tasks).mapPartitions(self._look).collect()
            for host, daemon, wrong in answers:
                if wrong:
                    raise SparkError(f"the worker on {host} {wrong}: {_ASIDE}")
                asked.add((host, daemon))
            if len(asked) >= len(there):
                self._seen |= there
                return
        raise SparkError(f"of {len(there)} executors only {len(asked)} answered")

    def close(self) -> None:
        self._stopped.set()
        self._watch.join()

    def _there(self) -> set[str]:
        java: Any = self._context._jsc
        return set(str(java.sc().getExecutorIds().mkString(" ")).split())

    def _watched(self) -> None:
        """In a thread."""
        last = time.monotonic()
        while not self._stopped.wait(1):
            try:
                there = self._there()
            except Exception:
                return  # Java has gone, and who talks to it is told
            if there:
                last = time.monotonic()
            elif time.monotonic() - last > self._patience:
                self.gone = True
                self._context.cancelAllJobs()
                return


_Looked = Iterator[tuple[str, int, str]]


def _looking(scratch: Path, files: dict[str, bytes], version: str) -> Callable[[Iterable[int]], _Looked]:
    """What runs there tells its host, the process that its Python comes from, and what is wrong, if anything is. It is
    sent as it stands: a worker may lack this package."""
    room = str(scratch)

    def look(rows: Iterable[int]) -> _Looked:
        import os
        import socket
        import sys
        from pathlib import Path

        def wrong() -> str:
            try:
                import numba  # noqa: F401
                import pyarrow  # noqa: F401

                from glasstumbler import __version__ as mine
            except ImportError as error:
                return f"cannot run this program with {sys.executable} ({error})"
            if mine != version:
                return f"has glasstumbler {mine} and not {version}"
            for path, content in files.items():
                try:
                    same = Path(path).read_bytes() == content
                except OSError:
                    same = False
                if not same:
                    return f"does not see {path}"
            return "" if os.access(room, os.W_OK) else f"may not write into {room}"

        yield socket.gethostname(), os.getppid(), wrong()

    return look
