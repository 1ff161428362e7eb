"""`glasstumbler score --engine spark`: the methods that stand here and their scores, for chains that no memory holds.

Rows are those of the local engine, with the same intervals; what floating-point numbers add up to may differ in the
last places, since they are added up in another order. There are no ceilings and no curves here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Final

import msgspec
import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as fn

from glasstumbler.errors import MethodError
from glasstumbler.lab import schemas, tasks
from glasstumbler.lab.methods.lessons import Lessons
from glasstumbler.lab.methods.page import TASKS
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.results import Bootstrap, DatasetInfo, Results, Role, Row, Timing
from glasstumbler.lab.scoring import bootstrap, cast, clustering, linking, tainting
from glasstumbler.lab.scoring.bootstrap import Floats, Measure, scored
from glasstumbler.lab.spark import owners, ranks
from glasstumbler.lab.spark.cases import Cases
from glasstumbler.lab.spark.chains import Chains, chains, table
from glasstumbler.lab.spark.chance import chance
from glasstumbler.lab.spark.cospend import cospend
from glasstumbler.lab.spark.demixing import demixing, lessons_of
from glasstumbler.lab.spark.flows import Flows, Known, flows, known, owned
from glasstumbler.lab.spark.orders import Asked, Division, divisions
from glasstumbler.lab.spark.session import Spark
from glasstumbler.lab.spark.taint import RULES, Waves, taint, waves
from glasstumbler.lab.spark.units import grouped
from glasstumbler.lab.tasks import Dataset

Show = Callable[[str, int, int], None]
REMARK: Final = "Scored with Spark: only the methods that stand there, without ceilings, curves and error cards."
_LINK: Final = ("deposit", "payout")


def chosen(methods: Sequence[str], only: Sequence[str]) -> list[str]:
    """`methods`: of ENGINE; empty: all. `only`: tasks; empty: all. What is chance of a method's task is there with it.
    MethodError for what does not stand here."""
    asked = [name for name in methods or ENGINE if name in ENGINE and METHODS[name].task in (only or TASKS)]
    beside = {cast.CHANCE.get(METHODS[name].task) for name in asked}
    strange = [name for name in methods if name not in ENGINE]
    if strange or not asked:
        what = f"the method {strange[0]!r}" if strange else f"nothing for {', '.join(only)}"
        raise MethodError(f"Spark has {'not ' if strange else ''}{what}; it has {', '.join(ENGINE)}")
    return [name for name in ENGINE if name in {*asked, *beside}]


def score(spark: Spark, dataset: Dataset, wanted: Sequence[str], show: Show | None = None) -> Results:
    """`wanted`: what `chosen` gave."""
    board = Board(spark, dataset)
    rows: list[Row] = []
    timings: list[Timing] = []
    for done, name in enumerate(wanted):
        if show is not None:
            show(f"{METHODS[name].task} {name}", done, len(wanted))
        started = time.perf_counter()
        rows += ENGINE[name](board)
        timings.append(Timing(name, METHODS[name].task, time.perf_counter() - started, spark.peak_mb()))
    return _results(board, rows, timings)


class Board:
    """A dataset, and what several methods need of it."""

    def __init__(self, spark: Spark, dataset: Dataset) -> None:
        self.spark, self.dataset, self.split = spark, dataset, tasks.by_period(dataset)
        self.followed: list[str] = []
        """Methods of T5 that had their turn: chance stands before the first."""

    @cached_property
    def chains(self) -> Chains:
        return chains(self.spark, self.dataset.folder / "observer")

    @cached_property
    def addresses(self) -> DataFrame:
        return table(self.spark, self.dataset.folder / "observer", "address", schemas.ADDRESS)

    @cached_property
    def own(self) -> DataFrame:
        """service, address."""
        wallets = table(self.spark, self.dataset.folder / "answers", "wallet_truth", schemas.WALLET_TRUTH)
        return self.spark.lay(owned(self.chains, wallets, self.addresses), self.spark.room("own"))

    @cached_property
    def flows(self) -> Flows:
        return flows(self.spark, self.chains, self.own)

    @cached_property
    def known(self) -> Known:
        """What the training orders teach."""
        return known(self.spark, self.chains, self.flows, [tasks.taught(self.dataset, self.split)])[0]

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """(service, coin) that services deal in."""
        dealt = self.dataset.answers("service_policy").select("service", "coin").unique()
        return sorted(pair for pair in dealt.iter_rows() if pair[1] in self.chains.coins)

    @cached_property
    def others(self) -> Known:
        """What a service's flows are answered by if all orders teach but its own."""
        services = [one.service for one in self.asked.divisions if one.service]
        taught = [tasks.taught(self.dataset, tasks.without(self.dataset, service)) for service in services]
        found: dict[tuple[str, str], Lessons] = {}
        for service, lessons in zip(services, known(self.spark, self.chains, self.flows, taught), strict=True):
            found |= lessons_of([pair for pair in self.pairs if pair[0] == service], lessons)
        return found

    @cached_property
    def asked(self) -> Asked:
        return Asked(self.spark, self.chains, self.dataset, self.split)

    @cached_property
    def cases(self) -> Cases:
        rows = np.array(tainting.cases(self.dataset), np.int64)
        return Cases(self.spark, self.chains, self.dataset, rows)

    @cached_property
    def waves(self) -> Waves:
        return waves(self.spark, self.chains)

    def packed(self, links: DataFrame) -> DataFrame:
        """deposit, payout, score of ANSWERS["T2"]."""
        columns = [self.chains.packed(fn.col(f"{side}_coin"), fn.col(f"{side}_output")).alias(side) for side in _LINK]
        return self.spark.lay(links.select(*columns, "score"), self.spark.room("links"))


# -- T2 ---------------------------------------------------------------------------------------------------------------


def _linked(name: str, answer: Callable[[Board, bool], DataFrame], board: Board) -> Iterator[Row]:
    """`answer`: ANSWERS["T2"]; where its last argument is true, of each service by what only the others teach."""
    asked = board.asked
    if not len(asked.rows):
        return
    links = board.packed(answer(board, False))
    parts, strays = _order_parts(board, links), asked.strays(board.chains, links)
    for division, units in zip(asked.divisions, asked.units(parts, asked.divisions, strays), strict=True):
        yield from _ranked(name, division, units)
    services = [one for one in asked.divisions if one.service]
    if services:
        parts = _order_parts(board, board.packed(answer(board, True)))
        for division, units in zip(services, asked.units(parts, services), strict=True):
            yield from _ranked(name, division, units, division.service)


def _chance(board: Board, left_out: bool) -> DataFrame:
    """The others teach a service nothing."""
    return chance(board.spark, board.chains, board.flows, {} if left_out else board.known)


def _demixing(board: Board, left_out: bool) -> DataFrame:
    return demixing(board.chains, board.flows, board.others if left_out else lessons_of(board.pairs, board.known))


def _order_parts(board: Board, links: DataFrame) -> DataFrame:
    parts = ranks.order_parts(links, board.asked.deposits, board.asked.truth, board.asked.orders)
    return board.spark.lay(parts, board.spark.room("parts"))


def _ranked(name: str, division: Division, units: Floats, left_out: str = "") -> Iterator[Row]:
    measures = {**linking.RANKS, **(linking.CLAIMS if METHODS[name].calibrated else {})}
    orders = int(units[:, linking.ORDERS].sum())
    role: Role = "chance" if name in cast.CHANCE.values() else "method"
    for row in _rows("T2", name, role, measures, units, orders):
        yield msgspec.structs.replace(row, service=division.service, volume=division.volume, left_out=left_out)


def _rows(
    task: str, name: str, role: Role, measures: Mapping[str, Measure], units: Floats, count: int, service: str = ""
) -> Iterator[Row]:
    """None if there are no units."""
    for measure, one in measures.items() if len(units) else ():
        yield Row(task, name, role, measure, *scored(units, one), count, service)


# -- T4 ---------------------------------------------------------------------------------------------------------------


def _cospend(board: Board) -> Iterator[Row]:
    """And chance, which says nothing: every address alone."""
    others = None
    if board.dataset.has("answers/owner"):
        others = table(board.spark, board.dataset.folder / "answers", "owner", schemas.OWNER)
    truth = board.spark.lay(owners.owners(board.chains, board.own, others), board.spark.room("owners"))
    found, _ = cospend(board.spark, board.chains, board.addresses)
    columns = [board.chains.packed(fn.col("coin"), fn.col(name)).alias(name) for name in ("address", "cluster")]
    clusters = board.spark.lay(found.select(*columns), board.spark.room("clusters"))
    yield from _agreed(board, "chance", "chance", truth, clusters.where("false"))
    yield from _agreed(board, "cospend", "method", truth, clusters)


def _agreed(board: Board, name: str, role: Role, truth: DataFrame, clusters: DataFrame) -> Iterator[Row]:
    sizes = {row["service"] or "": row["count"] for row in truth.groupBy("service").count().collect()}
    addresses = sum(sizes.values())
    if not addresses:
        return
    people = int(truth.agg(fn.max("owner")).collect()[0][0]) + 1
    found = owners.agreement(truth, clusters, addresses)
    parts = board.spark.lay(found.parts, board.spark.room("agreement"))
    whole = parts.withColumns({"of": fn.lit(""), "index": fn.col("owner").cast("long")})
    units = grouped(board.spark, whole, {"": people}, owners.PARTS)[""]
    yield from _rows("T4", name, role, clustering.MEASURES, units, addresses)
    yield from _merged(name, role, found.clusters, addresses)
    few = {measure: clustering.MEASURES[measure] for measure in clustering.OF_A_SERVICE}
    services = {service: count for service, count in sorted(sizes.items()) if service}
    each = grouped(board.spark, owners.by_service(parts), services, owners.PARTS)
    for service, units in each.items():
        yield from _rows("T4", name, role, few, units, services[service], service=service)


def _merged(name: str, role: Role, clusters: DataFrame, addresses: int) -> Iterator[Row]:
    several = fn.sum((fn.col("owners") > 1).cast("long"))
    counts = clusters.agg(several.alias("over-merges"), fn.max("owners").alias("owners in one cluster")).collect()[0]
    for measure, many in counts.asDict().items():
        yield Row("T4", name, role, measure, float(many), None, None, addresses)


# -- T5 ---------------------------------------------------------------------------------------------------------------


def _taint(name: str, board: Board) -> Iterator[Row]:
    cases = board.cases
    if not len(cases.rows):
        return
    if not board.followed:
        yield from _followed(board, "chance", "chance", cases.everything())
    board.followed.append(name)
    found = taint(board.spark, board.chains, board.waves, cases.seeds, name)
    output = board.chains.packed(fn.col("coin"), fn.col("output")).alias("output")
    yield from _followed(board, name, "method", found.select("case", output, "tainted"))


def _followed(board: Board, name: str, role: Role, answers: DataFrame) -> Iterator[Row]:
    for truth, parts in zip(tainting.TRUTHS, board.cases.parts(answers), strict=True):
        measures = {f"{measure}, {truth}": one for measure, one in tainting.MEASURES.items()}
        for division in divisions(board.dataset, board.cases.rows):
            units = parts[division.orders]
            for row in _rows("T5", name, role, measures, units, len(units), division.service):
                yield msgspec.structs.replace(row, volume=division.volume)


# -- all --------------------------------------------------------------------------------------------------------------

ENGINE: Final[Mapping[str, Callable[[Board], Iterator[Row]]]] = {
    "null": partial(_linked, "null", _chance),
    "demixing": partial(_linked, "demixing", _demixing),
    "cospend": _cospend,
    **{name: partial(_taint, name) for name in RULES},
}
"""What stands here, by its name in the registry."""


def _results(board: Board, rows: list[Row], timings: list[Timing]) -> Results:
    dataset = board.dataset
    manifest = dataset.manifest
    about = DatasetInfo(
        str(manifest.get("scenario", "")),
        int(manifest.get("seed", 0)),
        str(manifest.get("mode", "")),
        len(dataset.orders),
        str(manifest.get("seed_is_for", "")),
        hashlib.sha256((dataset.folder / "manifest.json").read_bytes()).hexdigest(),
    )
    drawn = Bootstrap(bootstrap.RESAMPLES, bootstrap.LEVEL, bootstrap.SEED)
    return Results(about, board.split.name, drawn, rows, timings=timings, remarks=[REMARK])
