"""Judges of addresses: T1 (whose are they?) and T4 (which are one owner's?)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from glasstumbler.lab import tasks
from glasstumbler.lab.public import Flags, Ints
from glasstumbler.lab.results import Curve, Row
from glasstumbler.lab.scoring import clustering, linking
from glasstumbler.lab.scoring.bootstrap import Floats, Score
from glasstumbler.lab.scoring.checked import Columns
from glasstumbler.lab.scoring.judge import Part, Verdict, Who, measured, row
from glasstumbler.lab.scoring.judge_links import EXAMPLES
from glasstumbler.lab.scoring.ranking import RATES, UNNAMED, Falling, areas, curve, falling, ranking_of
from glasstumbler.lab.scoring.scene import Scene


def _places(scene: Scene, answer: Columns) -> Ints:
    found: Ints = scene.first_address[answer["coin"].astype(np.int64)] + answer["address"].astype(np.int64)
    return found


def _numbers(scene: Scene, table: pl.DataFrame) -> Ints:
    place = table["coin"].replace_strict(list(scene.coins), list(range(len(scene.coins))), return_dtype=pl.Int64)
    found: Ints = scene.first_address[place.to_numpy()] + table["address"].to_numpy()
    return found


class RoleJudge:
    """T1. Every address that a chain shows is a service's or not; tagged ones are given away, so not asked for."""

    task = "T1"

    def __init__(self, scene: Scene) -> None:
        self._scene, self._roles = scene, _frame(tasks.truth(scene.dataset, "T1"))
        count = int(scene.first_address[-1])
        self._service = np.full(count, -1)
        self._service[_numbers(scene, self._roles)] = np.searchsorted(scene.services, self._roles["service"].to_numpy())
        self._asked = np.ones(count, np.bool_)
        self._asked[_numbers(scene, _frame(scene.public.tags))] = False

    def judge(self, who: Who, answers: Iterable[Columns], left_out: str = "") -> Verdict:
        (answer,) = answers
        score = np.full(len(self._service), UNNAMED)
        score[_places(self._scene, answer)] = answer["score"]
        order, sought = falling(score), self._service >= 0
        rows = self._rows(who, order, sought, Part("", 0, self._asked))
        services = np.unique(self._service[self._asked & sought]).tolist()
        for one in services if len(services) > 1 else []:
            chosen = self._asked & ((self._service == one) | ~sought)
            rows += self._rows(who, order, sought, Part(self._scene.services[one], 0, chosen))
        named = self._asked & (score > UNNAMED)
        found = curve(score[named], sought[named], int((sought & self._asked).sum()))
        drawn = Curve("T1", who.name, who.role, "precision-recall", *(column.tolist() for column in found))
        return Verdict(rows, [drawn] if len(found.recall) else [], self._examples(score, named & ~sought))

    def _rows(self, who: Who, order: Falling, sought: Flags, part: Part) -> list[Row]:
        many = int(part.chosen.sum())
        found = areas(ranking_of(order, part.chosen, sought), many)
        scores = {"PR-AUC": found.average_precision}
        scores |= {f"precision at {rate:.1%} false": one for rate, one in zip(RATES, found.precision_at, strict=True)}
        return [row("T1", who, name, one, many, part) for name, one in scores.items() if one.value is not None]

    def _examples(self, score: Floats, wrong: Flags) -> list[str]:
        surest = linking.surest(np.arange(len(score)), score, wrong, EXAMPLES)
        places = [self._place(int(one)) for one in surest]
        roles = self._roles_of([address for _, address in places])
        return [
            f"{self._name(*place)} at {score[one]:.3g}: it is no service's{roles.get(place, '')}"
            for one, place in zip(surest, places, strict=True)
        ]

    def _place(self, number: int) -> tuple[int, int]:
        """Coin and address."""
        coin = int(np.searchsorted(self._scene.first_address, number, "right")) - 1
        return coin, number - int(self._scene.first_address[coin])

    def _name(self, coin: int, address: int) -> str:
        graph = self._scene.graphs[coin]
        return f"{graph.coin} {graph.names[address].as_py()}"

    def _roles_of(self, addresses: list[int]) -> dict[tuple[int, int], str]:
        """By coin and address; of the background economy."""
        known = self._scene.dataset.more("answers/owner", pc.field("address").isin(addresses)) if addresses else None
        lines = known.reverse().select("coin", "address", "role").iter_rows() if known is not None else ()
        return {
            (self._scene.coins.index(coin), address): f", but that of: {role}"
            for coin, address, role in lines
            if coin in self._scene.coins
        }


class ClusterJudge:
    """T4."""

    task = "T4"

    def __init__(self, scene: Scene) -> None:
        self._scene, truth = scene, _frame(tasks.truth(scene.dataset, "T4")).unique(["coin", "address"], keep="first")
        truth = truth.sort("coin", "address")
        self._owner = clustering.dense(truth["cluster"].to_numpy())
        self._place = _numbers(scene, truth)
        service = np.full(int(scene.first_address[-1]), -1)
        roles = _frame(tasks.truth(scene.dataset, "T1"))
        service[_numbers(scene, roles)] = np.searchsorted(scene.services, roles["service"].to_numpy())
        self._service = service[self._place]

    def judge(self, who: Who, answers: Iterable[Columns], left_out: str = "") -> Verdict:
        (answer,) = answers
        cluster = self._clusters(answer)
        found = clustering.agreement(self._owner, cluster)
        units = clustering.by_owner(found.parts, self._owner)
        rows = measured("T4", who, clustering.MEASURES, units)
        rows = [_of(one, len(self._owner)) for one in rows]
        counts = {"over-merges": found.over_merged, "owners in one cluster": found.most_owners}
        rows += [
            row("T4", who, name, Score(float(many), None, None), len(self._owner)) for name, many in counts.items()
        ]
        few = {name: clustering.MEASURES[name] for name in clustering.OF_A_SERVICE}
        for one in np.unique(self._service[self._service >= 0]).tolist():
            chosen = self._service == one
            rows += measured("T4", who, few, found.parts[chosen], Part(self._scene.services[one], 0, chosen))
        return Verdict(rows, [], self._examples(cluster, found.owners))

    def _clusters(self, answer: Columns) -> Ints:
        """By address that has a known owner; what is not named is alone."""
        number = clustering.dense(answer["cluster"]) * len(self._scene.coins) + answer["coin"].astype(np.int64)
        every = np.arange(int(self._scene.first_address[-1])) + number.max(initial=-1) + 1
        every[_places(self._scene, answer)] = number
        return clustering.dense(every[self._place])

    def _examples(self, cluster: Ints, owners: Ints) -> list[str]:
        worst = np.argsort(-owners, kind="stable")[:EXAMPLES]
        sizes = np.bincount(cluster)
        return [
            f"one cluster of {sizes[one]:,} addresses holds {owners[one]:,} owners' ({self._whose(cluster == one)})"
            for one in worst
            if owners[one] > 1
        ]

    def _whose(self, chosen: Flags) -> str:
        services = np.unique(self._service[chosen])
        names = [self._scene.services[one] for one in services.tolist() if one >= 0]
        return "among them " + ", ".join(names) if names else "none of them a service"


def _of(one: Row, addresses: int) -> Row:
    return Row(one.task, one.method, one.role, one.measure, one.value, one.low, one.high, addresses)


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(table)
