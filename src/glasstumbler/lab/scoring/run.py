"""`glasstumbler score`: every method answers in a process of its own, and is judged beside chance and ceiling."""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np

from glasstumbler.errors import MethodError
from glasstumbler.lab import tasks
from glasstumbler.lab.ceiling import ceiling
from glasstumbler.lab.methods.base import ANSWERS, About, Told
from glasstumbler.lab.methods.page import TASKS
from glasstumbler.lab.results import Bootstrap, Curve, DatasetInfo, Failure, Results, Row, Timing
from glasstumbler.lab.scoring import bootstrap, cast, handing, tainting
from glasstumbler.lab.scoring.cast import Player
from glasstumbler.lab.scoring.checked import Columns, checked
from glasstumbler.lab.scoring.crew import Crew, Limits, Part, Ran, Worker
from glasstumbler.lab.scoring.judge import Judge, Verdict, Who
from glasstumbler.lab.scoring.judge_addresses import ClusterJudge, RoleJudge
from glasstumbler.lab.scoring.judge_links import LinkJudge
from glasstumbler.lab.scoring.judge_transactions import MappingJudge, TaintJudge
from glasstumbler.lab.scoring.scene import Scene
from glasstumbler.lab.tasks import Dataset

Show = Callable[[str, int, int], None]
CEILINGS: Final = ("T2", "T3", "T6", "T8")
TAUGHT: Final = ("T2", "T3", "T6")
"""Tasks in which known orders teach: a service can be left out."""
BESIDE: Final = "demixing"
"""The method of T2 that methods of T3 are held against."""
_CEILING_ABOUT: Final = About(
    paper="No paper: what was attainable.",
    rule="The posterior of an observer who knows the services' policies and their customers' habits (docs/scores.md).",
    knows="The answer key's densities of delays and fees.",
    cost="As demixing.",
    fails="It knows nothing of single orders, so it is wrong where two deposits fit one payment equally.",
)
_CUSTODY: Final = (
    "T5: behind a custodial service the coins do not carry the link. Against beneficial truth taint finds what it finds"
    " by accident, and it is right that it fails; against custody truth it is asked where the seeds' coins went."
)
_SWAPPED: Final = (
    "T5: after a swap to another chain no coin goes from the deposit to the payout. Taint must find none of it, and it"
    " is right that it does."
)
_SEALED: Final = "This is a test seed: it is scored once, after everything was decided on training seeds."


class Judged(NamedTuple):
    """A method's part of an error card."""

    who: Who
    task: str
    about: About
    examples: list[str]


class Scored(NamedTuple):
    results: Results
    judged: list[Judged]


def score(
    folder: Path,
    methods: Sequence[str] = (),
    only: Sequence[str] = (),
    limits: Limits = Limits(),  # noqa: B008 - of numbers, never changed
    show: Show | None = None,
    processes: int = 1,
) -> Scored:
    """`methods`: names of the registry or module:Class; empty: the whole registry. `only`: tasks; empty: all.
    `processes`: methods that answer side by side; the scores do not depend on it. DatasetError and MethodError for what
    makes the whole run senseless; what goes wrong with one method is in Results.failures."""
    cast.check(methods, only)
    dataset = Dataset(folder)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="glasstumbler-score-"))).resolve()
        part = Part((folder / "observer").resolve(), scratch / "laid")
        dataset.public = dataset.public.lay(part.laid)
        rooms = [_made(scratch / f"registry{number}") for number in range(processes)]
        crew = stack.enter_context(closing(Crew([Worker(part, room, limits) for room in rooms])))
        players, failed = cast.brought(methods, only, folder.resolve(), part, scratch, limits)
        for player in players:
            stack.callback(player.crew.close)
        run = _Run(Scene(dataset, tasks.by_period(dataset)), crew, _made(scratch / "ceiling"), show)
        run.failures += [Failure(*one) for one in failed]
        run.play([*cast.registered(methods, only, crew), *players], processes)
    return Scored(run.results(), run.judged)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class _Sitting:
    """A task while its methods are judged."""

    def __init__(self, task: str, judge: Judge, tolds: list[Told]) -> None:
        self.task, self.judge, self.tolds = task, judge, tolds
        self.begun = False


class _Ask(NamedTuple):
    """One answer of a method."""

    sitting: _Sitting
    player: Player
    tolds: list[Told]
    left_out: str


class _Run:
    def __init__(self, scene: Scene, crew: Crew, scratch: Path, show: Show | None) -> None:
        self._scene, self._crew, self._scratch, self._show = scene, crew, scratch, show
        self._broken: set[str] = set()
        """Methods that failed: nothing more is asked of them."""
        self._beside: dict[str, bootstrap.Floats] = {}
        """T2's parts of the method and the ceiling that T3 is held against."""
        self.rows: list[Row] = []
        self.curves: list[Curve] = []
        self.failures: list[Failure] = []
        self.timings: list[Timing] = []
        self.remarks: dict[str, list[str]] = {task: [] for task in TASKS}
        self.judged: list[Judged] = []

    def play(self, players: list[Player], processes: int) -> None:
        """Answers are judged in one order, whichever comes first, while the next are worked out."""
        done = 0
        waiting: deque[tuple[_Ask, Future[Ran | MethodError]]] = deque()
        with ThreadPoolExecutor(processes) as pool:
            try:
                for ask in self._asks(players):
                    waiting.append((ask, pool.submit(self._answer, ask)))
                    while len(waiting) > 2 * processes:
                        done = self._next(waiting, done, len(players))
                while waiting:
                    done = self._next(waiting, done, len(players))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for crew in {id(player.crew): player.crew for player in players}.values():
                    crew.close()
                raise

    def _next(self, waiting: deque[tuple[_Ask, Future[Ran | MethodError]]], done: int, total: int) -> int:
        ask, answer = waiting.popleft()
        if not ask.sitting.begun:
            self._begin(ask.sitting)
        if not ask.left_out:
            done += 1
            if self._show is not None:
                self._show(f"{ask.sitting.task} {ask.player.who.name}", min(done, total), total)
        self._take(ask, answer.result())
        return done

    def _asks(self, players: list[Player]) -> Iterator[_Ask]:
        for task in TASKS:
            mine = [player for player in players if player.task == task]
            chance = cast.chance(task, self._crew)
            if mine and chance is not None and chance.who.name not in {player.who.name for player in mine}:
                mine.insert(0, chance)
            sitting = self._sitting(task) if mine else None
            if sitting is not None:
                for player in mine:
                    yield _Ask(sitting, player, sitting.tolds, "")
                    yield from self._without_one(sitting, player)

    def _without_one(self, sitting: _Sitting, player: Player) -> Iterator[_Ask]:
        """Once for each service that is scored, with nothing known of its orders."""
        scene, judge = self._scene, sitting.judge
        if sitting.task not in TAUGHT or not isinstance(judge, LinkJudge):
            return
        there = [scene.services[one] for one in np.unique(scene.service_of[judge.asked.rows]).tolist()]
        for service in there if len(there) > 1 else []:
            told = tasks.told(scene.dataset, sitting.task, tasks.without(scene.dataset, service))
            yield _Ask(sitting, player, [told._replace(asked=(service,))], service)

    def _sitting(self, task: str) -> _Sitting | None:
        """With its judge, and what its observer is told; None if the dataset has nothing that could be scored."""
        scene = self._scene
        judge: Judge | None
        if task == "T5":
            chosen = tainting.cases(scene.dataset)
            tolds = [tasks.told(scene.dataset, task, scene.split, [case]) for case in chosen]
            judge = TaintJudge(scene, chosen) if chosen else None
            self.remarks[task] += [_CUSTODY] if chosen else []
            self.remarks[task] += [_SWAPPED] if any(map(self._swaps, chosen)) else []
        elif task == "T7":
            mapping = MappingJudge(scene)
            judge, tolds = mapping if mapping else None, [tasks.told(scene.dataset, task, scene.split)]
        elif task in ("T1", "T4"):
            judge = RoleJudge(scene) if task == "T1" else ClusterJudge(scene)
            tolds = [tasks.told(scene.dataset, task, scene.split)]
        else:
            own = tasks.own_orders(scene.dataset) if task == "T8" else np.zeros(0, np.int64)
            links = LinkJudge(scene, task, own)
            judge = links if links.asked.key.orders else None
            tolds = [tasks.told(scene.dataset, task, scene.split, own.tolist())]
        if judge is None:
            self.remarks[task].append(f"{task}: the dataset has nothing to score")
            return None
        return _Sitting(task, judge, tolds)

    def _swaps(self, case: int) -> bool:
        line = self._scene.dataset.orders.row(case, named=True)
        return bool(line["coin"] != line["payout_coin"])

    def _begin(self, sitting: _Sitting) -> None:
        """Chance where no method is it, the ceiling where there is one, and what else is held against."""
        sitting.begun = True
        task, judge = sitting.task, sitting.judge
        if isinstance(judge, TaintJudge):
            self._judge(judge, Who("chance", "chance", False), judge.everything())
        elif task not in cast.CHANCE:
            self._judge(judge, Who("chance", "chance", False), [_silence(task, self._scene)])
        if not isinstance(judge, LinkJudge):
            return
        self._references(task, judge)
        if task in CEILINGS:
            if self._show is not None:
                self._show(f"{task} ceiling", 0, 1)
            who = Who("ceiling", "ceiling", task != "T3")
            answer = checked(ceiling(self._scene.dataset, task, self._scratch), task, self._scene.public, False)
            verdict = self._judge(judge, who, [answer])
            if task == "T2" and verdict.parts is not None:
                self._beside["ceiling"] = verdict.parts
            self.judged.append(Judged(who, task, _CEILING_ABOUT, verdict.examples))

    def _references(self, task: str, judge: LinkJudge) -> None:
        if task == "T3" and self._beside:
            if BESIDE in self._beside:
                judge.reference = {"method": self._beside[BESIDE], "own": self._beside[BESIDE]}
            judge.reference["ceiling"] = self._beside["ceiling"]
        elif task == "T3":
            self.remarks[task].append(f"T3: T2's {BESIDE} was not run, so there is no lift over T2")
        elif task == "T8":
            scene = self._scene
            told = tasks.told(scene.dataset, "T2", tasks.untaught(scene.dataset))
            (player,) = cast.registered([cast.CHANCE["T2"]], [], self._crew)
            ran = _ran(player, [told])
            try:
                parts = next(map(judge.parts, self._checked(player, ran, "T2")))
            except MethodError as error:
                self._fail(player, error)
            else:
                judge.reference = {"chance": parts, "method": parts, "own": parts, "ceiling": parts}

    def _answer(self, ask: _Ask) -> Ran | MethodError:
        """In a thread."""
        if ask.left_out and ask.player.who.name in self._broken:
            return MethodError("it failed before")
        ran = _ran(ask.player, ask.tolds)
        if isinstance(ran, MethodError):
            self._broken.add(ask.player.who.name)
        return ran

    def _take(self, ask: _Ask, ran: Ran | MethodError) -> None:
        player = ask.player
        if ask.left_out and player.who.name in self._failed:
            if isinstance(ran, Ran):
                _remove(ran)
            return
        verdict = self._heard(ask, ran)
        if verdict is None or ask.left_out:
            return
        if player.who.name == BESIDE and verdict.parts is not None:
            self._beside[BESIDE] = verdict.parts
        self.judged.append(Judged(player.who, player.task, player.about, verdict.examples))

    def _heard(self, ask: _Ask, ran: Ran | MethodError) -> Verdict | None:
        """None, and a line among the failures, if anything is wrong with the answers."""
        sitting, player = ask.sitting, ask.player
        try:
            verdict = sitting.judge.judge(player.who, self._checked(player, ran, sitting.task), ask.left_out)
        except MethodError as error:
            self._fail(player, error)
            return None
        assert isinstance(ran, Ran)
        if not ask.left_out:
            self.timings.append(Timing(player.who.name, sitting.task, ran.seconds, ran.peak_mb))
        _remove(ran)
        self._add(verdict)
        return verdict

    @property
    def _failed(self) -> set[str]:
        return {failure.method for failure in self.failures}

    def _fail(self, player: Player, error: MethodError) -> None:
        self.failures.append(Failure(player.who.name, str(error)))
        self._broken.add(player.who.name)

    def _checked(self, player: Player, ran: Ran | MethodError, task: str) -> Iterator[Columns]:
        """One answer after another. MethodError if anything is wrong with one."""
        if isinstance(ran, MethodError):
            raise ran
        for path in ran.answers:
            yield checked(handing.read_answer(path), task, self._scene.public, player.who.calibrated)

    def _judge(self, judge: Judge, who: Who, answers: Iterable[Columns]) -> Verdict:
        verdict = judge.judge(who, answers)
        self._add(verdict)
        return verdict

    def _add(self, verdict: Verdict) -> None:
        self.rows += verdict.rows
        self.curves += verdict.curves

    def results(self) -> Results:
        manifest = self._scene.dataset.manifest
        path = self._scene.dataset.folder / "manifest.json"
        about = DatasetInfo(
            str(manifest.get("scenario", "")),
            int(manifest.get("seed", 0)),
            str(manifest.get("mode", "")),
            len(self._scene.dataset.orders),
            str(manifest.get("seed_is_for", "")),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        remarks = [_SEALED] * (about.seed_is_for == "test") + list(chain(*self.remarks.values()))
        drawn = Bootstrap(bootstrap.RESAMPLES, bootstrap.LEVEL, bootstrap.SEED)
        split = self._scene.split.name
        return Results(about, split, drawn, self.rows, self.curves, self.failures, self.timings, remarks)


def _ran(player: Player, tolds: list[Told]) -> Ran | MethodError:
    try:
        return player.crew.run(player.job, tolds)
    except MethodError as error:
        return error


def _remove(ran: Ran) -> None:
    shutil.rmtree(ran.answers[0].parent.parent)


def _silence(task: str, scene: Scene) -> Columns:
    """An answer without rows."""
    return checked(ANSWERS[task].empty_table(), task, scene.public, False)
