"""`glasstumbler score`: every method answers in a process of its own, and is judged beside chance and ceiling."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
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
from glasstumbler.lab.scoring.crew import Limits, Worker
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
) -> Scored:
    """`methods`: names of the registry or module:Class; empty: the whole registry. `only`: tasks; empty: all.
    DatasetError and MethodError for what makes the whole run senseless; what goes wrong with one method is in
    Results.failures."""
    cast.check(methods, only)
    dataset = Dataset(folder)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="glasstumbler-score-"))).resolve()
        own_part = scratch / "registry"
        own_part.mkdir()
        worker = stack.enter_context(closing(Worker((folder / "observer").resolve(), own_part, limits)))
        players, failed = cast.brought(methods, only, folder.resolve(), scratch, limits)
        for player in players:
            stack.callback(player.worker.close)
        run = _Run(Scene(dataset, tasks.by_period(dataset)), worker, show)
        run.failures += [Failure(*one) for one in failed]
        run.play([*cast.registered(methods, only, worker), *players])
    return Scored(run.results(), run.judged)


class _Run:
    def __init__(self, scene: Scene, worker: Worker, show: Show | None) -> None:
        self._scene, self._worker, self._show = scene, worker, show
        self._beside: dict[str, bootstrap.Floats] = {}
        """T2's parts of the method and the ceiling that T3 is held against."""
        self.rows: list[Row] = []
        self.curves: list[Curve] = []
        self.failures: list[Failure] = []
        self.timings: list[Timing] = []
        self.remarks: list[str] = []
        self.judged: list[Judged] = []

    def play(self, players: list[Player]) -> None:
        asked = [task for task in TASKS if any(player.task == task for player in players)]
        total, done = len(players), 0
        for task in asked:
            mine = [player for player in players if player.task == task]
            chance = cast.chance(task, self._worker)
            if chance is not None and chance.who.name not in {player.who.name for player in mine}:
                mine.insert(0, chance)
            judge, tolds = self._task(task)
            if judge is None:
                done += len(mine)
                continue
            self._baselines(task, judge)
            for player in mine:
                done += 1
                if self._show is not None:
                    self._show(f"{task} {player.who.name}", min(done, total), total)
                self._one(judge, player, tolds)

    def _task(self, task: str) -> tuple[Judge | None, list[Told]]:
        """Its judge, and what its observer is told; None if the dataset has nothing that could be scored."""
        scene = self._scene
        judge: Judge | None
        if task == "T5":
            chosen = tainting.cases(scene.dataset)
            tolds = [tasks.told(scene.dataset, task, scene.split, [case]) for case in chosen]
            judge = TaintJudge(scene, chosen) if chosen else None
            self.remarks += [_CUSTODY] if chosen else []
            swapped = {scene.dataset.orders["coin"][case] for case in chosen if self._swaps(case)}
            self.remarks += [_SWAPPED] if swapped else []
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
            self.remarks.append(f"{task}: the dataset has nothing to score")
        return judge, tolds

    def _swaps(self, case: int) -> bool:
        line = self._scene.dataset.orders.row(case, named=True)
        return bool(line["coin"] != line["payout_coin"])

    def _baselines(self, task: str, judge: Judge) -> None:
        """Chance where no method is it, the ceiling where there is one, and what else is held against."""
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
            answer = checked(ceiling(self._scene.dataset, task), task, self._scene.public, False)
            if task == "T2":
                self._beside["ceiling"] = judge.parts(answer)
            self.judged.append(Judged(who, task, _CEILING_ABOUT, self._judge(judge, who, [answer])))

    def _references(self, task: str, judge: LinkJudge) -> None:
        if task == "T3" and self._beside:
            if BESIDE in self._beside:
                judge.reference = {"method": self._beside[BESIDE], "own": self._beside[BESIDE]}
            judge.reference["ceiling"] = self._beside["ceiling"]
        elif task == "T3":
            self.remarks.append(f"T3: T2's {BESIDE} was not run, so there is no lift over T2")
        elif task == "T8":
            scene = self._scene
            told = tasks.told(scene.dataset, "T2", tasks.untaught(scene.dataset))
            before = self._answers(cast.registered([cast.CHANCE["T2"]], [], self._worker)[0], [told], "T2")
            if before is not None:
                parts = judge.parts(before[0])
                judge.reference = {"chance": parts, "method": parts, "own": parts, "ceiling": parts}

    def _one(self, judge: Judge, player: Player, tolds: list[Told]) -> None:
        answers = self._answers(player, tolds, player.task, timed=True)
        if answers is None:
            return
        if player.who.name == BESIDE and isinstance(judge, LinkJudge):
            self._beside[BESIDE] = judge.parts(answers[0])
        examples = self._judge(judge, player.who, answers)
        self.judged.append(Judged(player.who, player.task, player.about, examples))
        if isinstance(judge, LinkJudge) and player.task in TAUGHT:
            self._left_out(judge, player)

    def _left_out(self, judge: LinkJudge, player: Player) -> None:
        """Once for each service that is scored, with nothing known of its orders."""
        scene = self._scene
        there = [scene.services[one] for one in np.unique(scene.service_of[judge.asked.rows]).tolist()]
        if len(there) < 2:
            return
        for service in there:
            told = tasks.told(scene.dataset, player.task, tasks.without(scene.dataset, service))
            answers = self._answers(player, [told], player.task)
            if answers is None:
                return
            self._add(judge.judge(player.who, answers, service))

    def _answers(self, player: Player, tolds: list[Told], task: str, timed: bool = False) -> list[Columns] | None:
        """None, and a line among the failures, if anything is wrong with them."""
        try:
            ran = player.worker.run(player.job, tolds)
            found = [
                checked(handing.read_answer(path), task, self._scene.public, player.who.calibrated)
                for path in ran.answers
            ]
        except MethodError as error:
            self.failures.append(Failure(player.who.name, str(error)))
            return None
        if timed:
            self.timings.append(Timing(player.who.name, task, ran.seconds, ran.peak_mb))
        shutil.rmtree(ran.answers[0].parent.parent)
        return found

    def _judge(self, judge: Judge, who: Who, answers: list[Columns]) -> list[str]:
        verdict = judge.judge(who, answers)
        self._add(verdict)
        return verdict.examples

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
        remarks = [_SEALED] * (about.seed_is_for == "test") + self.remarks
        drawn = Bootstrap(bootstrap.RESAMPLES, bootstrap.LEVEL, bootstrap.SEED)
        split = self._scene.split.name
        return Results(about, split, drawn, self.rows, self.curves, self.failures, self.timings, remarks)


def _silence(task: str, scene: Scene) -> Columns:
    """An answer without rows."""
    return checked(ANSWERS[task].empty_table(), task, scene.public, False)
