"""Runs methods in processes of their own, with limits of time and memory, and says in one line what became of each."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import glasstumbler
from glasstumbler.errors import MethodError
from glasstumbler.lab.methods.base import Told
from glasstumbler.lab.scoring import handing

GIB: Final = 1 << 30
_LOADING: Final = 900
"""Seconds that reading the observer's part may take."""
_LOOK: Final = 0.1
"""Seconds between two looks at what a method holds."""
_START: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from glasstumbler.lab.scoring.worker import main; main(sys.argv[2])"
)


class Limits(NamedTuple):
    seconds: float = 900
    """Of each time that a method learns and answers."""
    memory: int = 8 * GIB
    """Bytes that its process may hold, the dataset included."""


class Ran(NamedTuple):
    answers: list[Path]
    seconds: float
    """On average, for one answer."""
    peak_mb: float


class Part(NamedTuple):
    """The observer's part of a dataset."""

    observer: Path
    laid: Path
    """Its graphs, as Public.lay leaves them: all processes have them in memory once."""


class Worker:
    """One process with the observer's part. It is started when it is first asked, and anew after it had to be ended."""

    def __init__(self, part: Part, scratch: Path, limits: Limits, wall: dict[str, list[str]] | None = None) -> None:
        """`scratch`: a folder for this worker alone. `wall`: what it may read and write beside that."""
        self._scratch, self._limits, self._jobs = scratch, limits, 0
        places = list(map(str, part))
        if wall is not None:
            wall = {"reading": [*wall["reading"], *places], "writing": [*wall["writing"], str(scratch)]}
        self._config = json.dumps({**dict(zip(Part._fields, places, strict=True)), "wall": wall})
        self._process: subprocess.Popen[bytes] | None = None

    def describe(self, method: dict[str, Any]) -> dict[str, Any]:
        return self._ask({"method": method, "describe": True}, 1)

    def run(self, method: dict[str, Any], tolds: Sequence[Told]) -> Ran:
        """Learns and answers anew for each. MethodError says in one line what went wrong."""
        folder = self._scratch / f"told{self._jobs}"
        places = []
        for number, told in enumerate(tolds):
            places.append(folder / str(number))
            places[-1].mkdir(parents=True)
            handing.write_told(told, places[-1])
        answers = [place / "answer" for place in places]
        paths = {"told": list(map(str, places)), "answers": list(map(str, answers))}
        said = self._ask({"method": method, "describe": False, **paths}, len(tolds))
        return Ran(answers, float(said["seconds"]) / max(len(tolds), 1), float(said["peak_mb"]))

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _ask(self, job: dict[str, Any], times: int) -> dict[str, Any]:
        process = self._started()
        status = self._scratch / f"status{self._jobs}.json"
        self._jobs += 1
        line = json.dumps({**job, "memory": self._limits.memory, "status": str(status)})
        assert process.stdin is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            reply = self._wait(process, self._limits.seconds * times, f"it took more than {self._limits.seconds:g} s")
        except (MethodError, OSError):
            self.close()
            raise
        return self._said(status, reply)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            home = str(self._scratch)
            source = str(Path(glasstumbler.__file__).parent.parent)
            self._process = subprocess.Popen(  # noqa: S603 - this very Python
                [sys.executable, "-I", "-c", _START, source, self._config],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=home,
                env=_environment(home, self._config),
                start_new_session=True,
            )
            try:
                reply = self._wait(self._process, _LOADING, "reading the dataset took too long")
            except MethodError:
                self.close()
                raise
            if "what" in reply:
                self.close()
                raise MethodError(str(reply["what"]))
        return self._process

    def _wait(self, process: subprocess.Popen[bytes], seconds: float, late: str) -> dict[str, Any]:
        """One line of it."""
        assert process.stdout is not None
        end, found = time.monotonic() + seconds, b""
        while not found.endswith(b"\n"):
            if time.monotonic() > end:
                raise MethodError(late)
            if held(process.pid) > self._limits.memory:
                raise MethodError(self._too_much())
            if select.select([process.stdout], [], [], _LOOK)[0]:
                part = os.read(process.stdout.fileno(), 1 << 16)
                if not part:
                    raise MethodError("its process was ended from outside, perhaps since the machine ran out of memory")
                found += part
        reply: dict[str, Any] = json.loads(found)
        return reply

    def _too_much(self) -> str:
        return f"it took more than {self._limits.memory / GIB:g} GiB of memory"

    def _said(self, status: Path, reply: dict[str, Any]) -> dict[str, Any]:
        if reply["status"] < 0:
            number = -reply["status"]
            raise MethodError(f"it crashed: signal {number} ({signal.strsignal(number)})")
        try:
            said = json.loads(status.read_bytes()) if not status.is_symlink() else None
        except (OSError, ValueError):
            said = None
        if not isinstance(said, dict):
            raise MethodError(f"it ended itself without an answer (exit code {reply['status']})")
        if said.get("memory"):
            raise MethodError(self._too_much())
        if "what" in said:
            raise MethodError(str(said["what"]))
        return said


class Crew:
    """Workers that run methods side by side, for threads that ask. A method runs in any of them."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers, self._free = list(workers), SimpleQueue[Worker]()
        for worker in workers:
            self._free.put(worker)

    def run(self, method: dict[str, Any], tolds: Sequence[Told]) -> Ran:
        """Worker.run, once one is free."""
        worker = self._free.get()
        try:
            return worker.run(method, tolds)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


def _environment(home: str, config: str) -> dict[str, str]:
    """Nothing of the caller's. Arrow's own allocator would take a gigabyte at once. Behind a wall compiled code is kept
    in the scratch folder, else beside its source."""
    kept = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": home, "TMPDIR": home, "MPLCONFIGDIR": home}
    kept["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    kept["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"  # large arrays on large pages: a tenth of the page faults
    if json.loads(config)["wall"] is not None:
        kept |= {"NUMBA_CACHE_DIR": home, "PYTHONDONTWRITEBYTECODE": "1"}
    return kept


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def held(leader: int) -> int:
    """Bytes that the processes of a group hold in memory, without its leader; 0 where there is no /proc."""
    found = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[2]) == leader and int(place.parent.name) != leader:
            found += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return found
