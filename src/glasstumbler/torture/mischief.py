"""Where faults strike: every call of a process to its store or to a chain passes through here, one at a time."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from glasstumbler.errors import ChainError
from glasstumbler.torture.schedule import Fault

T = TypeVar("T")


class Crash(BaseException):
    """A process dies here. Not an Exception: nothing in the program may catch it and go on."""


class Machine:
    """The machine's clock, which everything on it shares; seconds since the epoch."""

    def __init__(self, time: int) -> None:
        self.time = time


class SimClock:
    """A process's clock: the machine's, and what the laboratory has advanced it by."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self.offset = machine, 0

    def now(self) -> int:
        return self._machine.time + self.offset

    def advance(self, seconds: int) -> int:
        self.offset += seconds
        return self.now()

    def restore(self, offset: int) -> None:
        self.offset = offset


class Process:
    """A process of ours, as far as its calls go. `busy`: it holds the store's lock, so nobody else can go on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive, self.busy = False, False


class Mischief:
    """The faults of the step that runs, and whose turn it is."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.trace: list[str] = []
        self.struck = 0
        """Faults that have struck since the step began."""
        self.lasting = False
        """Whether a node or the disk is in trouble beyond the step: errors are to be expected."""
        self.power = False
        """The machine lost its power: every process on it is dead."""
        self._faults: list[Fault] = []
        self._counts: Counter[str] = Counter()
        self._quiet = 0
        self._baton: Baton | None = None

    def begin(self, faults: Sequence[Fault]) -> None:
        left = [fault for fault in self._faults if fault.place == "send"]
        self._faults, self._counts, self.struck = [*left, *faults], Counter(), 0

    def end(self) -> None:
        """No more faults."""
        self._faults, self.struck, self.lasting = [], 0, False

    @property
    def excused(self) -> bool:
        """Whether the world gave cause for an error since the step began."""
        return self.lasting or self.struck > 0

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Nothing strikes, and nodes answer truly: somebody checks."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    @property
    def silent(self) -> bool:
        return self._quiet > 0

    def reach(self, process: Process, place: str) -> Fault | None:
        """A process comes to a call. Another may go first; the fault that strikes now, if any. Crash if it is dead."""
        if self.silent:
            return None
        if self._baton is not None and not process.busy:
            self._baton.offer()
        if not process.alive or self.power:
            raise Crash(process.name)
        self._counts[place] += 1
        for fault in self._faults:
            if fault.place == place and fault.nth == self._counts[place]:
                self._faults.remove(fault)
                self.struck += 1
                self.trace.append(f"     {process.name}: {fault}")
                if fault.kind == "slow":
                    self.machine.time += 60
                    return None
                if fault.kind == "crash before":
                    self.crash(process)
                return fault
        return None

    def crash(self, process: Process) -> None:
        process.alive = False
        raise Crash(process.name)

    def call(self, process: Process, place: str, what: str, call: Callable[[], T]) -> T:
        """A call to a node that only asks."""
        fault = self.reach(process, place)
        if fault is not None and fault.kind == "node is down":
            raise ChainError(f"{what}: the node is down")
        found = call()
        if fault is not None and fault.kind == "crash after":
            self.crash(process)
        return found

    def together(self, chance: random.Random, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks at once, of which exactly one moves at a time: at each call `chance` says which."""
        if len(tasks) < 2:
            for task in tasks:
                task()
            return
        baton = self._baton = Baton(chance)
        try:
            baton.run(tasks)
        finally:
            self._baton = None


class Baton:
    """Threads of which only the one that holds the baton runs."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._turns: list[threading.Semaphore] = []
        self._running: list[int] = []
        self._holder = 0
        self._done = threading.Semaphore(0)
        self._errors: list[BaseException] = []

    def run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """The first error of a task, when all have ended."""
        self._turns = [threading.Semaphore(0) for _ in tasks]
        self._running = list(range(len(tasks)))
        threads = [threading.Thread(target=self._run, args=(n, task), daemon=True) for n, task in enumerate(tasks)]
        for thread in threads:
            thread.start()
        self._pass_on()
        self._done.acquire()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def offer(self) -> None:
        """The holder lets another go on, or not."""
        mine = self._holder
        following = self._chance.choice(self._running)
        if following != mine:
            self._holder = following
            self._turns[following].release()
            self._turns[mine].acquire()

    def _run(self, number: int, task: Callable[[], None]) -> None:
        self._turns[number].acquire()
        try:
            task()
        except BaseException as error:
            self._errors.append(error)
        self._running.remove(number)
        self._pass_on()

    def _pass_on(self) -> None:
        if not self._running:
            self._done.release()
            return
        self._holder = self._chance.choice(self._running)
        self._turns[self._holder].release()
