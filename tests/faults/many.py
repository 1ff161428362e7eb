"""Several servers and workers on one record in PostgreSQL, killed one after another under load.

`python -m tests.faults.many --kills 600 --seed 1` runs until so many were killed, one every second.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM
from tempfile import mkdtemp

from tests.faults.check import check
from tests.faults.driver import Driver
from tests.faults.history import History
from tests.faults.kills import Found
from tests.faults.server import SETTINGS, START_SECONDS, STOP_SECONDS, Server
from tests.faults.wire import Refused, Unknown, Wire
from tests.faults.world import Witness
from tests.postgres import server as postgres
from tests.web.server import COMMAND, environment, run

APIS, WORKERS = 3, 3
EVERY = 1.0
"""Seconds between two kills."""


class Worker:
    """`glasstumbler worker` as a child process. It is ready when it says so."""

    def __init__(self, folder: Path, store: str) -> None:
        self.errors = folder.with_name(folder.name + ".stderr")
        arguments = [*COMMAND, "worker", "--data", str(folder), "--store", store, "--block-interval", "0"]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, env=environment(SETTINGS))

    def ready(self) -> Worker:
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError(f"no worker: {self.errors.read_text()[-4000:]}")
        return self

    def end(self, number: int = SIGKILL) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(STOP_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


class Fleet:
    """So many of each on one folder and one record. Whoever is killed is started again at once, beside the others."""

    def __init__(self, folder: Path, store: str, apis: int, workers: int) -> None:
        self._folder, self._store = folder, store
        self.wire = Wire([])
        self._lock = threading.Lock()
        self._starting: list[threading.Thread] = []
        self.failures: list[str] = []
        first = self._start("api")
        self.keys = first.keys if isinstance(first, Server) else {}
        self._crew: list[tuple[str, Server | Worker]] = [("api", first)]
        self._crew += [("api", self._start("api")) for _ in range(apis - 1)]
        self._crew += [("worker", self._start("worker")) for _ in range(workers)]
        self._listen()

    def _start(self, kind: str) -> Server | Worker:
        if kind == "worker":
            return Worker(self._folder, self._store).ready()
        return Server(self._folder, "--store", self._store).ready()

    def _listen(self) -> None:
        with self._lock:
            self.wire.urls[:] = [each.urls["hub"] for _, each in self._crew if isinstance(each, Server)]

    def kill_one(self, chance: random.Random) -> str:
        """What it was; "" if only one of each kind is left, while the others start: somebody is to work and answer."""
        with self._lock:
            kinds = Counter(kind for kind, _ in self._crew)
            spare = [place for place, (kind, _) in enumerate(self._crew) if kinds[kind] > 1]
            if not spare:
                return ""
            kind, victim = self._crew.pop(chance.choice(spare))
        victim.end(SIGKILL)
        self._listen()
        starting = threading.Thread(target=self._replace, args=(kind,))
        starting.start()
        self._starting.append(starting)
        return kind

    def _replace(self, kind: str) -> None:
        try:
            fresh = self._start(kind)
        except (RuntimeError, Unknown, Refused) as error:
            self.failures.append(f"a new {kind} does not start: {error}")
            return
        with self._lock:
            self._crew.append((kind, fresh))
        self._listen()

    def complete(self) -> None:
        """Until everybody has started."""
        for thread in self._starting:
            thread.join()

    def end(self, number: int) -> None:
        self.complete()
        for kind, each in self._crew:
            if (code := each.end(number)) and number == SIGTERM:
                self.failures.append(f"a stopped {kind} ended with {code}")
        self._crew.clear()


@contextmanager
def record() -> Iterator[str]:
    """The address of an empty database, on a server of its own."""
    with postgres() as running:
        running.stop()
        running.start(max_connections="150")
        yield running.database()


def scenario(folder: Path, seed: str, kills: int, apis: int = APIS, workers: int = WORKERS) -> Found:
    """Load while one process is killed every second, until so many were; then all run, and every funded order must be
    done."""
    chance, found = random.Random(seed), Found()
    history = History(folder.with_name(folder.name + ".history"))
    witness = Witness(folder / "chains")
    with record() as store:
        fleet = Fleet(folder, store, apis, workers)
        driver = Driver(fleet.wire, history, fleet.keys, seed)
        try:
            driver.during(lambda: _kill(fleet, chance, kills, found.kills))
            fleet.complete()
            driver.settle_doubts(witness.look())
            found.differences += check(history, witness.look(), driver.look_at_all())
            driver.finish(witness.look())
            looks = driver.look_at_all()
            fleet.end(SIGTERM)
            world = witness.look()
            found.differences += check(history, world, looks, over=True)
            code, out, err = run("audit", "--data", folder, "--store", store)
            found.audits += 1
            found.differences += [] if code == 0 else [f"audit ended with {code}: {out}{err}"]
            found.funded = len(driver.funded(world))
        except (Unknown, Refused, RuntimeError) as error:
            found.differences.append(f"{type(error).__name__}: {error}")
        finally:
            fleet.end(SIGKILL)
            history.close()
    found.outcomes = Counter(history.counts())
    found.orders = len(history.of("create", "ok"))
    found.differences += fleet.failures
    found.differences = [f"seed {seed}: {each}" for each in found.differences]
    return found


def _kill(fleet: Fleet, chance: random.Random, wanted: int, kills: Counter[str]) -> None:
    """RuntimeError if those that were killed do not come back."""
    waited = 0.0
    while kills.total() < wanted:
        time.sleep(EVERY)
        kind = fleet.kill_one(chance)
        waited = 0.0 if kind else waited + EVERY
        if kind:
            kills[kind] += 1
        if waited > START_SECONDS:
            raise RuntimeError(f"nobody has started for {waited:.0f} s: {fleet.failures}")


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kills", type=int, default=600)
    asked.add_argument("--seed", default="1")
    options = asked.parse_args()
    home = Path(mkdtemp(prefix="many-"))
    began = time.monotonic()
    found = scenario(home / "data", options.seed, options.kills)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s", *found.lines(), sep="\n")
    if found.differences:
        print(f"the folder and its history are in {home}")
    else:
        shutil.rmtree(home)
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
