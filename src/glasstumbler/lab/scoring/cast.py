"""Who is judged: methods of the registry and the user's own, chosen for a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from glasstumbler.errors import MethodError
from glasstumbler.lab.methods.base import ANSWERS, About
from glasstumbler.lab.methods.page import TASKS
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.scoring import own
from glasstumbler.lab.scoring.crew import Crew, Limits, Part, Worker
from glasstumbler.lab.scoring.judge import Who

CHANCE: Final = {"T2": "null", "T3": "null-joint", "T6": "null-swaps", "T8": "null-own"}
"""Methods that are the chance of their task. The other tasks' chance is no method."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class Player(NamedTuple):
    who: Who
    task: str
    job: dict[str, Any]
    """For the worker."""
    about: About
    crew: Crew


class Failed(NamedTuple):
    name: str
    what: str


def check(names: Sequence[str], tasks: Sequence[str]) -> None:
    """MethodError for a name that nothing has."""
    for task in tasks:
        if task not in TASKS:
            raise MethodError(f"no task is called {task!r}; these are: {', '.join(TASKS)}")
    for name in names:
        if not own.is_own(name) and name not in METHODS:
            raise MethodError(
                f"no method is called {name!r}; these are: {', '.join(METHODS)}; one of your own is my_module:MyMethod"
            )


def registered(names: Sequence[str], tasks: Sequence[str], crew: Crew) -> list[Player]:
    """Those named, or all; only of these tasks, or of all."""
    asked = [name for name in names if not own.is_own(name)] or ([] if names else list(METHODS))
    found = [METHODS[name] for name in METHODS if name in asked and (not tasks or METHODS[name].task in tasks)]
    return [_registered(method.name, crew) for method in found]


def chance(task: str, crew: Crew) -> Player | None:
    return _registered(CHANCE[task], crew) if task in CHANCE else None


def _registered(name: str, crew: Crew) -> Player:
    method = METHODS[name]
    who = Who(name, "chance" if name in CHANCE.values() else "method", method.calibrated)
    return Player(who, method.task, {"name": name}, method.about, crew)


def brought(
    names: Sequence[str], tasks: Sequence[str], dataset: Path, part: Part, scratch: Path, limits: Limits
) -> tuple[list[Player], list[Failed]]:
    """The user's own, each with a worker behind a wall of its own."""
    found: list[Player] = []
    failed = []
    for number, name in enumerate(filter(own.is_own, names)):
        folder = scratch / f"own{number}"
        folder.mkdir()
        try:
            player = _brought(name, dataset, part, folder, limits)
            if player.who.name in {other.who.name for other in found}:
                raise MethodError(f"another of your own methods is called {player.who.name!r} too")
        except MethodError as error:
            failed.append(Failed(name, str(error)))
            continue
        if not tasks or player.task in tasks:
            found.append(player)
    return found, failed


def _brought(name: str, dataset: Path, part: Part, scratch: Path, limits: Limits) -> Player:
    place = own.locate(name)
    plan = own.walled(place, dataset)
    job = own.job(place, plan["reading"])
    worker = Worker(part, scratch, limits, plan)
    try:
        said = worker.describe(job)
        if said["task"] not in ANSWERS:
            raise MethodError(f"its task is {said['task']!r}; it must be one of {', '.join(ANSWERS)}")
        if not _NAME.fullmatch(said["name"]) or said["name"] in {*METHODS, "chance", "ceiling"}:
            raise MethodError(
                f"its name is {said['name']!r}; it must be of letters, digits, dashes, and none that is taken"
            )
    except MethodError:
        worker.close()
        raise
    about = About(**{part: str(said["about"].get(part, "")) for part in About._fields})
    return Player(Who(said["name"], "own", bool(said["calibrated"])), said["task"], job, about, Crew([worker]))
