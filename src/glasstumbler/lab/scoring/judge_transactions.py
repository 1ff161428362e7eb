"""Judges of transactions: T5 (where did the coins go?) and T7 (who paid whom within one?)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from glasstumbler.lab import tasks
from glasstumbler.lab.public import Ints
from glasstumbler.lab.results import Curve, Row
from glasstumbler.lab.scoring import linking, tainting
from glasstumbler.lab.scoring.bootstrap import Floats, scored
from glasstumbler.lab.scoring.checked import Columns
from glasstumbler.lab.scoring.judge import Verdict, Who, measured, parts, row
from glasstumbler.lab.scoring.judge_links import EXAMPLES
from glasstumbler.lab.scoring.linking import ratio
from glasstumbler.lab.scoring.ranking import areas, ranking
from glasstumbler.lab.scoring.scene import Scene

_SURE: Final = 1 - 1e-9


class _True(NamedTuple):
    """Of one case on one chain."""

    outputs: Ints
    """That are true in either way, ascending, but the seeds."""
    parts: Floats
    """[truth, output], by tainting.TRUTHS."""
    seeds: Ints
    scale: float
    """What a whole coin counts."""


class TaintJudge:
    """T5, against both truths. Chance flags every output of the services' transactions that is later than the seeds."""

    task = "T5"

    def __init__(self, scene: Scene, chosen: list[int]) -> None:
        self._scene, self.cases = scene, chosen
        rows = np.array(chosen, np.int64)
        self._service, self._volume = scene.service_of[rows], scene.volume_of[rows]
        self._truth = [self._true(case) for case in chosen]

    def _true(self, case: int) -> dict[int, _True]:
        """By coin."""
        scene, truth = self._scene, pl.DataFrame(tasks.truth(self._scene.dataset, "T5", [case])).sort("output")
        seeds = tasks.told(scene.dataset, "T5", scene.split, [case]).seeds
        found = {}
        for coin, name in enumerate(scene.coins):
            mine = truth.filter(pl.col("coin") == name)
            taken = np.array([output for where, output in seeds if where == name], np.int64)
            if len(mine) or len(taken):
                outputs = mine["output"].to_numpy()
                parts = np.stack([mine[name].to_numpy() for name in tainting.TRUTHS])
                whole = (scene.worth[coin][outputs] * parts[1]).sum() or scene.worth[coin][taken].sum() or 1.0
                others = ~np.isin(outputs, taken)
                found[coin] = _True(outputs[others], np.ascontiguousarray(parts[:, others]), taken, 1 / whole)
        return found

    def everything(self) -> Iterator[Columns]:
        """What chance answers."""
        return map(self._later, self._truth)

    def _later(self, truth: dict[int, _True]) -> Columns:
        coins, outputs = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for coin, known in truth.items():
            graph = self._scene.graphs[coin]
            start = graph.first_output[graph.tx_of_output[known.seeds].min() + 1] if len(known.seeds) else 0
            outputs.append(start + np.flatnonzero(self._scene.of_services[coin][start:]))
            coins.append(np.full(len(outputs[-1]), coin))
        every = np.concatenate(outputs)
        return {"coin": np.concatenate(coins), "output": every, "tainted": np.ones(len(every))}

    def judge(self, who: Who, answers: Iterable[Columns], left_out: str = "") -> Verdict:
        """Looks at one answer after another, and keeps none."""
        cases = np.array([self._case(*both) for both in zip(self._truth, answers, strict=True)])
        rows: list[Row] = []
        for place, truth in enumerate(tainting.TRUTHS):
            for part in parts(self._service, self._scene.services, self._volume):
                measures = {f"{name}, {truth}": one for name, one in tainting.MEASURES.items()}
                rows += measured("T5", who, measures, cases[part.chosen, place], part)
        return Verdict(rows, [], self._examples(cases[:, 1]))

    def _case(self, truth: dict[int, _True], answer: Columns) -> Floats:
        """[truth, part]"""
        found = np.zeros((len(tainting.TRUTHS), 5))
        for coin, known in truth.items():
            mine = (answer["coin"] == coin) & ~np.isin(answer["output"], known.seeds)
            flagged, tainted = answer["output"][mine].astype(np.int64), answer["tainted"][mine]
            if (np.diff(flagged) < 0).any():
                order = np.argsort(flagged)
                flagged, tainted = flagged[order], tainted[order]
            worth, looked = self._scene.worth[coin], self._scene.of_services[coin]
            one = tainting.case(worth, looked, known.outputs, known.parts, flagged, tainted)
            one[:, : tainting.FLAGGED_OUTPUTS] *= known.scale
            found += one
        return found

    def _examples(self, beneficial: Floats) -> list[str]:
        found = []
        orders = self._scene.dataset.orders
        for case, (_, flagged, _, outputs, right) in zip(self.cases, beneficial, strict=True):
            line = orders.row(case, named=True)
            said = f"order {line['order_id']} of {line['service']}: {outputs:.0f} outputs of services flagged"
            found.append((flagged, right, f"{said}, {right:.0f} of them the order's own payouts"))
        missed = sorted(found, key=lambda one: (one[1], -one[0]))
        return [text for _, _, text in missed[:EXAMPLES]]


class MappingJudge:
    """T7: pairs of an input and an output of transactions that several known owners signed. What is not named has the
    score 0. Transactions are resampled."""

    task = "T7"

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        truth = pl.DataFrame(tasks.truth(scene.dataset, "T7")).sort("coin", "tx", "place", "vout")
        self._truth = truth.with_columns(
            pl.col("coin").replace_strict(list(scene.coins), list(range(len(scene.coins))), return_dtype=pl.Int64)
        )
        self._same = truth["score"].to_numpy() == 1
        self._tx = truth.select(pl.struct("coin", "tx").rank("dense")).to_series().to_numpy().astype(np.int64) - 1

    def __bool__(self) -> bool:
        return bool(self._same.any()) and not bool(self._same.all())

    def judge(self, who: Who, answers: Iterable[Columns], left_out: str = "") -> Verdict:
        keys = ["coin", "tx", "place", "vout"]
        (columns,) = answers
        answer = pl.DataFrame({name: np.asarray(column) for name, column in columns.items()})
        answer = answer.select(*(pl.col(name).cast(self._truth.schema[name]) for name in keys), said="score")
        said = self._truth.join(answer, on=keys, how="left", maintain_order="left")["said"].fill_null(0.0).to_numpy()
        txs = int(self._tx.max()) + 1
        found = areas(ranking(said, self._same, self._tx, txs), txs)
        sure = said >= _SURE
        each = (self._same, self._same & sure, sure, np.ones(len(said)), (said - self._same) ** 2)
        units = np.stack([np.bincount(self._tx, column, txs) for column in each], 1).astype(np.float64)
        rows = [row("T7", who, "AUC", found.roc, len(said))]
        rows.append(row("T7", who, "deducible share", scored(units, ratio(1, 0)), len(said)))
        if sure.any():
            rows.append(row("T7", who, "precision of the sure", scored(units, ratio(1, 2)), len(said)))
        curves = []
        if who.calibrated:
            rows.append(row("T7", who, "Brier", scored(units, ratio(4, 3)), len(said)))
            bins = linking.calibration(said, self._same.astype(np.int64))
            curves.append(Curve("T7", who.name, who.role, "calibration", *(one.tolist() for one in bins)))
        return Verdict(rows, curves, self._examples(said))

    def _examples(self, said: Floats) -> list[str]:
        off = np.abs(said - self._same)
        worst = np.argsort(-off, kind="stable")
        _, first = np.unique(self._tx[worst], return_index=True)
        found = []
        for place in (one for one in worst[np.sort(first)[:EXAMPLES]] if off[one] > 0):
            coin, tx, at, vout, same = self._truth.row(int(place))
            output = int(self._scene.first_output[coin] + self._scene.graphs[coin].first_output[tx] + vout)
            owner = "one owner's" if same else "of different owners"
            found.append(f"input {at} and {self._scene.name_of(output)} at {said[place]:.3g}: they are {owner}")
        return found
