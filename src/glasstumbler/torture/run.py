"""One schedule from beginning to end; and, when it fails, the shortest one that still does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from glasstumbler.torture.schedule import Schedule, draw
from glasstumbler.torture.witness import Broken
from glasstumbler.torture.world import World

_TRIES = 150
"""Runs that are spent on making a failing schedule short."""


class Failure(NamedTuple):
    promise: str
    text: str
    after: int
    """Steps that were taken, the last one included."""
    trace: tuple[str, ...]


class Report(NamedTuple):
    seed: int
    steps: int
    failure: Failure | None
    short: Schedule | None
    """What is left of the schedule."""

    def lines(self) -> list[str]:
        if self.failure is None or self.short is None:
            return [f"seed {self.seed}: {self.steps} steps, the four promises held"]
        return [
            f"seed {self.seed}, step {self.short.steps[-1].number if self.short.steps else 0}: {self.failure.text}",
            f"{self.short.title}; {len(self.short.steps)} of {self.steps} steps still fail:",
            *self.failure.trace,
        ]

    def document(self) -> dict[str, Any]:
        """Ready for JSON; `failure` is null where the four promises held."""
        failure = None
        if self.failure is not None and self.short is not None:
            schedule = {"title": self.short.title, "steps": len(self.short.steps)}
            failure = {**self.failure._asdict(), "shortest": schedule}
        return {"seed": self.seed, "steps": self.steps, "held": failure is None, "failure": failure}


def torture(seed: int, steps: int, tries: int = _TRIES) -> Report:
    schedule = draw(seed, steps)
    failure = live(schedule)
    if failure is None:
        return Report(seed, steps, None, None)
    short, failure = shorten(schedule, failure, tries)
    return Report(seed, steps, failure, short)


def live(schedule: Schedule) -> Failure | None:
    """What goes wrong, if anything does."""
    world = World(schedule)
    taken = 0
    try:
        for step in schedule.steps:
            taken += 1
            world.take(step)
        world.settle()
    except Broken as broken:
        return Failure(broken.promise, str(broken), taken, tuple(world.mischief.trace))
    finally:
        world.close()
    return None


def shorten(schedule: Schedule, failure: Failure, tries: int) -> tuple[Schedule, Failure]:
    """Leave out steps and faults for as long as the same promise is still broken."""
    best, found = schedule._replace(steps=schedule.steps[: failure.after]), failure
    left = tries
    moved = True
    while moved and left > 0:
        moved = False
        for candidate in _shorter(best):
            if left == 0:
                break
            left -= 1
            again = live(candidate)
            if again is not None and again.promise == failure.promise:
                best, found = candidate._replace(steps=candidate.steps[: again.after]), again
                moved = True
                break
    return best, found


def _shorter(schedule: Schedule) -> Iterator[Schedule]:
    """Half of the steps less, a quarter less, ... one less; then a fault less."""
    steps = schedule.steps
    size = len(steps) // 2
    while size >= 1:
        for start in range(0, len(steps), size):
            yield schedule._replace(steps=steps[:start] + steps[start + size :])
        size //= 2
    for place, step in enumerate(steps):
        for fault in step.faults:
            less = step._replace(faults=tuple(each for each in step.faults if each is not fault))
            yield schedule._replace(steps=(*steps[:place], less, *steps[place + 1 :]))
