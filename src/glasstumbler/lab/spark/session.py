"""A Spark session on this machine: quiet, on the loopback, in a scratch folder that goes away with it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    "spark.sql.autoBroadcastJoinThreshold": "4m",  # of files; in memory it is several times that
    "spark.hadoop.parquet.block.size": str(16 << 20),  # a writer holds so much, and there is one a thread
}


class Spark(NamedTuple):
    session: SparkSession
    scratch: Path
    """For what a job lays down between its steps."""
    java: int
    """Its process."""

    def peak_mb(self) -> float:
        """The most memory that Java has held, 2**20 bytes; 0 where there is no /proc."""
        try:
            lines = Path(f"/proc/{self.java}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)

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
    need(master)
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    scratch = Path(tempfile.mkdtemp(prefix="glasstumbler-spark-"))
    log = scratch / "java.log"
    try:
        with _started(master, scratch, log, settings or {}) as (session, java):
            yield Spark(session, scratch, java)
    except (PySparkException, Py4JError) as error:
        raise SparkError(f"Spark: {_cause(error, log)}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def need(master: str) -> None:
    """SparkError if anything is missing that can be seen without starting it."""
    if not MASTERS.fullmatch(master):
        raise SparkError(f"--master {master!r} is none that is known here: local, local[2] or local[*] (threads)")
    try:
        import pyspark.errors  # noqa: F401 - it brings py4j
    except ImportError:
        raise SparkError("pyspark is not installed: pip install 'glasstumbler[spark]'") from None
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        where = f"in JAVA_HOME ({home})" if home else "here"
        raise SparkError(f"Spark needs Java 17 or later and there is none {where} (Debian: openjdk-17-jre-headless)")


@contextmanager
def _started(master: str, scratch: Path, log: Path, settings: dict[str, str]) -> Iterator[tuple[SparkSession, int]]:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    conf = SparkConf(loadDefaults=False)
    places = {"spark.local.dir": str(scratch), "spark.sql.warehouse.dir": str(scratch / "warehouse")}
    for name, value in {**_SETTINGS, **places, "spark.master": master, **settings}.items():
        conf.set(name, value)
    gateway: Any = None
    interrupted = signal.getsignal(signal.SIGINT)
    with _environment(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP=_LOOPBACK), log.open("wb") as out:
        try:
            start: Any = launch_gateway
            gateway = start(conf, {"stdout": out, "stderr": subprocess.STDOUT})
            context = SparkContext(conf=conf, gateway=gateway)
            try:
                yield SparkSession(context), gateway.proc.pid
            finally:
                with suppress(Exception):  # Java may have gone already, and why is told by what it was doing
                    context.stop()
        finally:
            SparkContext._gateway = SparkContext._jvm = None  # else the next session asks a Java that has gone
            with suppress(ValueError):  # not the main thread: then nothing was changed
                signal.signal(signal.SIGINT, interrupted)  # pyspark's own asks that Java too
            if gateway is not None:
                _end(gateway)


def _end(gateway: Any) -> None:
    with suppress(Exception):
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


_CAUSE: Final = re.compile(r"^(?:Caused by: )?([\w.$]+(?:Error|Exception)): (.*)$", re.MULTILINE)
_FULL: Final = re.compile("OutOfMemoryError|No space left on device")
_ADVICE: Final = {
    "OutOfMemoryError": "Java ran out of memory: give it more with SPARK_DRIVER_MEMORY=4g (it has 1g)",
    "No space left on device": "there is no room left for its files: set TMPDIR to a folder that has",
}


def _cause(error: Exception, log: Path) -> str:
    """What is known to happen; else the innermost of Java's causes; else what Java said last."""
    said = log.read_text(errors="replace") if log.exists() else ""
    try:
        text = str(error)
    except Exception:
        text = ""  # the error asks Java for its text, and Java has gone
    known = _FULL.search(said) or _FULL.search(text)
    if known:
        return _ADVICE[known.group()]
    found = _CAUSE.findall(text) or _CAUSE.findall(said)
    if found:
        kind, what = found[-1]
        return f"{what} ({kind.rpartition('.')[2]})"
    lines = [line.strip() for line in (*text.splitlines(), *said.splitlines()) if line.strip()]
    return ([line for line in lines if "Error" in line] or lines or [type(error).__name__])[-1]
