"""Rows that go to disk in the middle of a sort give the same results.

Java needs more memory to start than any small dataset has, so a small test cannot have less memory than data. Here
Spark is told to lay a sort's rows down after every few, which takes the same way through its sorters, and its own
counters say that it did. With less memory than data: `python -m bench lab_spark` (docs/scale.md).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glasstumbler.lab.methods.base import Told
from glasstumbler.lab.methods.taint import Haircut
from glasstumbler.lab.public import Public
from glasstumbler.lab.spark.chains import chains
from glasstumbler.lab.spark.session import spark
from glasstumbler.lab.spark.taint import taint, waves
from tests.lab import random_chains, small_chains
from tests.lab.small_chains import NO_TAGS
from tests.lab.test_spark import SMALL, sorted_rows

pytestmark = pytest.mark.timeout(300)
EVERY = "50"
"""Rows of a sort that stay in memory."""


def test_taint_is_the_local_one_where_rows_go_to_disk(tmp_path: Path) -> None:
    observer, log = tmp_path / "observer", tmp_path / "log"
    observer.mkdir()
    log.mkdir()
    small_chains.public(observer, {"btc": random_chains.drawn(3, 300)})
    settings = {
        **{**SMALL, "spark.sql.autoBroadcastJoinThreshold": "-1"},
        "spark.shuffle.spill.numElementsForceSpillThreshold": EVERY,
        **{"spark.eventLog.enabled": "true", "spark.eventLog.compress": "false", "spark.eventLog.dir": str(log)},
    }
    seeds = [("btc", 0), ("btc", 5)]
    with spark("local[1]", settings) as session:
        read = chains(session, observer)
        found = taint(session, read, waves(session, read), [seeds], "taint-haircut").toArrow()
    haircut, public = Haircut(), Public(observer)
    haircut.fit(public, Told(NO_TAGS, seeds=tuple(seeds)))
    assert sorted_rows(found.drop_columns(["case"])) == sorted_rows(haircut.predict(public))
    assert spilled(log) > 0


def spilled(log: Path) -> int:
    """Bytes on disk, of all tasks, as Spark's own log of events counts them."""
    lines = (line for path in log.rglob("*") if path.is_file() for line in path.read_text().splitlines())
    ended = (json.loads(line).get("Task Metrics") or {} for line in lines if '"SparkListenerTaskEnd"' in line)
    return sum(metrics.get("Disk Bytes Spilled", 0) for metrics in ended)
