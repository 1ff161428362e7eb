"""Scores on a real standalone cluster: a master and two workers, here on the loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.errors import SparkError
from glasstumbler.lab.scoring.run import score as local_score
from glasstumbler.lab.spark.cluster import Executors, _looking, reached
from glasstumbler.lab.spark.engine import score
from glasstumbler.lab.spark.session import spark
from glasstumbler.lab.tasks import Dataset
from tests.lab.standalone import Standalone, standalone
from tests.lab.test_spark import SMALL, compare

pytestmark = pytest.mark.timeout(900)
SETTINGS = {
    **SMALL,
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": SMALL["spark.driver.extraJavaOptions"],
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with standalone(tmp_path_factory.mktemp("cluster"), 2) as found:
        yield found


def test_rows_are_the_local_ones_on_a_cluster(cluster: Standalone, folder: Path) -> None:
    methods = ["null", "demixing"]  # what the others do on a cluster is the same: jobs, and files between them
    with spark(cluster.master, SETTINGS, folder) as session:
        results = score(session, Dataset(folder), methods)
        context = session.session.sparkContext
        assert context.uiWebUrl is None
        assert context.getConf().get("spark.driver.host") == "127.0.0.1"
        assert len(str(context._jsc.sc().getExecutorIds().mkString(" ")).split()) == 2
    compare(results.rows, local_score(folder, methods).results.rows)


def test_an_executor_that_does_not_see_the_dataset(cluster: Standalone, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "manifest.json", tmp_path)
    with spark(cluster.master, SETTINGS) as session:
        executors = Executors(session.session.sparkContext, session.scratch, tmp_path, 60)
        executors.look()
        executors.close()
        executors = Executors(session.session.sparkContext, session.scratch, tmp_path, 60)
        (tmp_path / "manifest.json").unlink()
        with pytest.raises(
            SparkError, match=rf"^the worker on \S+ does not see {tmp_path}/manifest.json: all machines"
        ):
            executors.look()
        executors.close()


def test_a_cluster_that_has_no_room(cluster: Standalone) -> None:
    asked = {**SETTINGS, "spark.executor.memory": "64g"}
    wanted = pytest.raises(SparkError, match=r"gave no executor in 2 s: .*SPARK_EXECUTOR_MEMORY")
    with wanted, spark(cluster.master, asked, patience=2):
        pass


def test_workers_that_go_away(tmp_path: Path) -> None:
    """Spark itself would wait for others without end."""
    wanted = pytest.raises(SparkError, match="the cluster lost all executors")
    with standalone(tmp_path, 1) as found, wanted, spark(found.master, SETTINGS, patience=40) as session:
        for worker in found.workers:
            worker.terminate()
            worker.wait(60)
        session.session.sparkContext.parallelize(range(2), 2).sum()


def test_a_worker_with_another_version(tmp_path: Path) -> None:
    ((_, _, wrong),) = _looking(tmp_path, {}, "0.0.0")([])
    assert wrong.startswith("has glasstumbler ") and wrong.endswith(" and not 0.0.0")


@pytest.mark.parametrize("port", [None, "99999", "0"])
def test_nobody_listens(port: str | None) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        master = f"spark://127.0.0.1:{port or bound.getsockname()[1]}"
        with pytest.raises(SparkError, match=rf"^--master {master}: nobody answers there \("):
            reached(master)


@pytest.mark.parametrize("master", ["spark://127.0.0.1:0", "yarn", "k8s://127.0.0.1:443"])
def test_the_command_says_so_in_one_line(master: str, folder: Path) -> None:
    command = [sys.executable, "-m", "glasstumbler", "score", str(folder), "--engine", "spark", "--master", master]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = ended.stderr.strip().splitlines()
    assert ended.returncode == 1 and len(said) == 1 and master in said[0]
