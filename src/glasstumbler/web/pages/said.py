"""What tracing methods say of an order, asked for on demand: a dataset of the record as it stands, read by a process of
its own (lab/asking.py), its answers kept until the record has moved on and somebody asks again.

Nothing of what methods need is loaded before that, and into this process only what writes the dataset.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Final

import glasstumbler
from glasstumbler.errors import GlassTumblerError, Overloaded, RecordError
from glasstumbler.house import House
from glasstumbler.store.records import Records

ORDERS_MOST: Final = 5_000
BLOCKS_MOST: Final = 50_000
SECONDS_MOST: Final = 600
_KEPT: Final = 32
_TRIES: Final = 3
_LOOK: Final = 0.2
_START: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from glasstumbler.lab.asking import main; main(*sys.argv[2:])"
)
BOUND: Final = (
    f"Here methods are asked about records of up to {ORDERS_MOST:,} orders and {BLOCKS_MOST:,} blocks, and this one is"
    " larger. Make a dataset with `glasstumbler simulate`, and ask them with `glasstumbler score`."
)


class Job:
    """One order's questions: under way, or answered."""

    def __init__(self, head: int) -> None:
        self.head = head
        """Number of the record's last entry when it was asked."""
        self.at, self.done, self.of = "the record", 0, 0
        """What is being asked or read, and how many of how many are done."""
        self.answers: list[dict[str, Any]] = []
        """See asking.Answer."""
        self.wrong = ""
        """Why there are no answers."""

    @property
    def running(self) -> bool:
        return not self.answers and not self.wrong

    def hear(self, line: dict[str, Any]) -> None:
        """Of what the process prints."""
        if "answers" in line:
            self.answers = line["answers"]
        elif "wrong" in line:
            self.wrong = str(line["wrong"])
        else:
            self.at, self.done, self.of = line["at"], line["done"], line["of"]


class Said:
    """Of one house. One order is asked about at a time."""

    def __init__(self, house: House, stopping: Callable[[], bool]) -> None:
        self._house, self._stopping = house, stopping
        self._jobs: OrderedDict[tuple[str, str], Job] = OrderedDict()
        self._lock = Lock()

    def of(self, slug: str, name: str) -> Job | None:
        with self._lock:
            return self._jobs.get((slug, name))

    def begin(self, slug: str, name: str) -> Job | None:
        """The job that is now to be worked on; None if nothing has changed since this order's answers. Overloaded while
        another order is being asked about."""
        head = self._house.store.read(lambda records: records.head()[0])
        with self._lock:
            mine = self._jobs.get((slug, name))
            if mine is not None and (mine.running or (mine.head == head and mine.answers)):
                return None
            if any(job.running for job in self._jobs.values()):
                raise Overloaded("The methods are being asked about another order; ask again in a minute.")
            job = self._jobs[slug, name] = Job(head)
            self._jobs.move_to_end((slug, name))
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
            return job

    def work(self, job: Job, slug: str, name: str) -> None:
        """In a thread: until there are answers, or it is known why there are none."""
        try:
            job.wrong = self._too_large()
            if job.running:
                with TemporaryDirectory(prefix="glasstumbler-glass-") as folder:
                    self._write(Path(folder) / "dataset")
                    self._ask(job, Path(folder) / "dataset", slug, name)
        except GlassTumblerError as error:
            job.wrong = str(error)
        finally:
            if job.running:
                job.wrong = "Asking ended without an answer."

    def _too_large(self) -> str:
        orders = self._house.store.read(_last_order)
        blocks = sum(chain.tip()[0] for chain in self._house.chains.values())
        return BOUND if orders > ORDERS_MOST or blocks > BLOCKS_MOST else ""

    def _write(self, out: Path) -> None:
        """A record that moves while its chains are read does not add up: then once more."""
        from glasstumbler.lab import dataset  # only who asks waits for it

        house = self._house
        about = dataset.About(0, "glass", house.lightning is not None and house.lightning.model)
        for left in reversed(range(_TRIES)):
            try:
                with house.store.snapshot() as records:
                    dataset.export(records, house.chains, house.policies, about, out)
                return
            except RecordError as error:
                if not left:
                    raise RecordError(None, f"The record moved on while it was read; ask again. ({error})") from None

    def _ask(self, job: Job, folder: Path, slug: str, name: str) -> None:
        until = time.monotonic() + SECONDS_MOST
        with _asking(folder, slug, name) as process:
            while job.running and not self._stopping():
                line = _line(process)
                if line is not None and not line:
                    return
                if line:
                    job.hear(json.loads(line))
                elif time.monotonic() > until:
                    job.wrong = f"It took more than {SECONDS_MOST // 60} minutes."


def _last_order(records: Records) -> int:
    return int(next(iter(records.rows("SELECT COALESCE(MAX(number), 0) FROM orders")))[0])


@contextmanager
def _asking(folder: Path, slug: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    source = str(Path(glasstumbler.__file__).parent.parent)
    process = subprocess.Popen(  # noqa: S603 - this very Python
        [sys.executable, "-I", "-c", _START, source, str(folder), slug, name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _line(process: subprocess.Popen[bytes]) -> bytes | None:
    """What it prints next: nothing yet (None), or nothing more (empty)."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _LOOK)[0]:
        return None
    return process.stdout.readline()
