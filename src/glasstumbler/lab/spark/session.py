"""A Spark session on this machine: quiet, on the loopback, in a scratch folder that goes away with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from glasstumbler.errors import SparkError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MASTERS: Final = re.compile(r"local|local\[([1-9][0-9]*|\*)\]")
_PATIENCE: Final = 20
"""Seconds in which Java is expected to end by itself."""
_LOOPBACK: Final = "127.0.0.1"
_SETTINGS: Final = {
    "spark.app.name": "glasstumbler",
    "spark.driver.bindAddress": _LOOPBACK,
    "spark.driver.host": _LOOPBACK,
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    # Frames here are cut off by files after each step; a plan is never so long that its text is worth keeping.
    "spark.sql.ui.retainedExecutions": "1",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.hadoop.parquet.block.size": str(16 << 20),  # a writer holds so much, and there is one a thread
}


class Spark(NamedTuple):
    session: SparkSession
    scratch: Path
    """For what a job lays down between its steps."""

    def room(self, name: str) -> Path:
        """A new folder for one frame."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))

    def lay(self, frame: DataFrame, room: Path, *by: str) -> DataFrame:
        """Written to the room and read back: the plan behind it is cut off, and memory need not hold it. One folder for
        each value of the columns `by`."""
        frame.write.mode("append").partitionBy(*by).parquet(str(room))
        return self.session.read.schema(frame.schema).parquet(str(room))


@contextmanager
def spark(master: str = "local[2]", settings: dict[str, str] | None = None) -> Iterator[Spark]:
    """`settings`: Spark's own, beside those of this file. SparkError, in one line: the master is none, pyspark or Java
    is missing, Spark does not start, a job fails. Java and the scratch folder are gone afterwards, whatever happens."""
    if not MASTERS.fullmatch(master):
        raise SparkError(f"--master {master!r} is none that is known here: local, local[2] or local[*] (threads)")
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
    except ImportError:
        raise SparkError("pyspark is not installed: pip install 'glasstumbler[spark]'") from None
    _need_java()
    scratch = Path(tempfile.mkdtemp(prefix="glasstumbler-spark-"))
    log = scratch / "java.log"
    try:
        with _started(master, scratch, log, settings or {}) as session:
            yield Spark(session, scratch)
    except (PySparkException, Py4JError) as error:
        raise SparkError(f"Spark: {_cause(str(error), log)}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _need_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        where = f"in JAVA_HOME ({home})" if home else "here"
        raise SparkError(f"Spark needs Java 17 or later and there is none {where} (Debian: openjdk-17-jre-headless)")


@contextmanager
def _started(master: str, scratch: Path, log: Path, settings: dict[str, str]) -> Iterator[SparkSession]:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    conf = SparkConf(loadDefaults=False)
    places = {"spark.local.dir": str(scratch), "spark.sql.warehouse.dir": str(scratch / "warehouse")}
    for name, value in {**_SETTINGS, **places, "spark.master": master, **settings}.items():
        conf.set(name, value)
    gateway: Any = None
    with _environment(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP=_LOOPBACK), log.open("wb") as out:
        try:
            start: Any = launch_gateway
            gateway = start(conf, {"stdout": out, "stderr": subprocess.STDOUT})
            context = SparkContext(conf=conf, gateway=gateway)
            try:
                yield SparkSession(context)
            finally:
                context.stop()
        finally:
            SparkContext._gateway = SparkContext._jvm = None  # else the next session asks a Java that has gone
            if gateway is not None:
                _end(gateway)


def _end(gateway: Any) -> None:
    gateway.shutdown()
    gateway.proc.stdin.close()  # Java ends when nobody is there to talk to it
    try:
        gateway.proc.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_CAUSE: Final = re.compile(
    r"^(?:Caused by: |Exception in thread .*? )?([\w.$]+(?:Error|Exception)): (.*)$", re.MULTILINE
)


def _cause(error: str, log: Path) -> str:
    """The innermost of Java's causes; else what Java said last; else the first line of the error."""
    found = _CAUSE.findall(error)
    if found:
        kind, text = found[-1]
        return f"{text} ({kind.rpartition('.')[2]})"
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    errors = [line for line in said if "rror" in line or "xception" in line]
    return (errors or said or [error.strip().splitlines()[0]])[-1].strip()
