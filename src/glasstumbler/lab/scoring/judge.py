"""What all judges share: whom they judge, and how figures become rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from glasstumbler.lab.public import Flags, Ints
from glasstumbler.lab.results import Curve, Role, Row
from glasstumbler.lab.scoring.bootstrap import Floats, Measure, Score, score_of, summed
from glasstumbler.lab.scoring.checked import Columns


class Who(NamedTuple):
    name: str
    role: Role
    calibrated: bool


class Verdict(NamedTuple):
    rows: list[Row]
    curves: list[Curve]
    examples: list[str]
    """Where it was most surely wrong, for people."""
    parts: Floats | None = None
    """Of links: what each order adds (linking.Judged)."""


class Judge(Protocol):
    task: str

    def judge(self, who: Who, answers: Iterable[Columns], left_out: str = "") -> Verdict:
        """`answers`: one, and in T5 one for each case; they are gone through once. `left_out`: only this service's
        orders, and no curves."""
        ...


class Part(NamedTuple):
    """Some of what is scored."""

    service: str
    volume: int
    chosen: Flags


def parts(service_of: Ints, services: list[str], volume_of: Ints) -> Iterator[Part]:
    """All; each service and each volume, where there are several."""
    yield Part("", 0, np.ones(len(service_of), np.bool_))
    there = np.unique(service_of)
    if len(there) > 1:
        yield from (Part(services[one], 0, service_of == one) for one in there.tolist())
    volumes = np.unique(volume_of)
    if len(volumes) > 1:
        yield from (Part("", one, volume_of == one) for one in volumes.tolist())


def row(task: str, who: Who, measure: str, score: Score, n: int, part: Part | None = None, left_out: str = "") -> Row:
    service, volume = (part.service, part.volume) if part is not None else ("", 0)
    return Row(task, who.name, who.role, measure, *score, n, service, volume, left_out)


def measured(
    task: str, who: Who, measures: Mapping[str, Measure], units: Floats, part: Part | None = None, left_out: str = ""
) -> list[Row]:
    """A row for each measure; none if there are no units."""
    if not len(units):
        return []
    sums = summed(units)
    return [row(task, who, name, score_of(sums, one), len(units), part, left_out) for name, one in measures.items()]
