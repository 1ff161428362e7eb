"""`glasstumbler score --engine spark`. What needs pyspark is loaded once it is known to be there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from glasstumbler.lab.results import Results
from glasstumbler.lab.spark.session import need, spark
from glasstumbler.lab.tasks import Dataset


def score(
    folder: Path,
    methods: Sequence[str],
    tasks: Sequence[str],
    master: str,
    show: Callable[[str, int, int], None] | None = None,
) -> Results:
    """As engine.score, on a Spark of its own, which starts once all else is right. SparkError, in one line, for what is
    wrong with it, MethodError and DatasetError as in scoring/run.py."""
    need(master)
    from glasstumbler.lab.spark import engine

    wanted, dataset = engine.chosen(methods, tasks), Dataset(folder)
    with spark(master, dataset=folder) as session:
        return engine.score(session, dataset, wanted, show)
