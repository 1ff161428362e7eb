"""`glasstumbler score --engine spark`. What needs pyspark is loaded once it is known to be there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from glasstumbler.lab.results import Results
from glasstumbler.lab.spark.session import spark


def score(
    folder: Path,
    methods: Sequence[str],
    tasks: Sequence[str],
    master: str,
    show: Callable[[str, int, int], None] | None = None,
) -> Results:
    """As engine.score, on a Spark of its own. SparkError, in one line, for what is wrong with that."""
    with spark(master) as session:
        from glasstumbler.lab.spark import engine

        return engine.score(session, folder, methods, tasks, show)
