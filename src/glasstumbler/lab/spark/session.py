"""A Spark session: quiet, on one address of this machine, in a scratch folder that goes away with it.

In Java's threads on this machine, on the loopback; or on a cluster (cluster.py), on the address that leads there.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from glasstumbler.errors import SparkError
from glasstumbler.lab.spark.cluster import MASTER, PATIENCE, Executors, reached

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LOCAL: Final = re.compile(r"local|local\[([1-9][0-9]*|\*)\]")
_PATIENCE: Final = 20
"""Seconds in which Java is expected to end by itself."""
_LOOPBACK: Final = "127.0.0.1"
_SETTINGS: Final = {
    "spark.app.name": "glasstumbler",
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
    look: Callable[[], None] = lambda: None
    """On a cluster: whether what was laid down is seen by all."""

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
        self.look()
        return self.session.read.schema(frame.schema).parquet(str(room))


@contextmanager
def spark(
    master: str = "local[2]",
    settings: dict[str, str] | None = None,
    dataset: Path | None = None,
    patience: float = PATIENCE,
) -> Iterator[Spark]:
    """`settings`: Spark's own, beside those of this file. Of a cluster: `dataset`, the folder that it must see, and
    `patience`, seconds in which it gives an executor. SparkError, in one line: the master is none, pyspark or Java is
    missing, Spark does not start, a cluster does not see what it must, a job fails. Java and the scratch folder are
    gone afterwards, whatever happens."""
    address = need(master)
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    scratch = Path(tempfile.mkdtemp(prefix="glasstumbler-spark-"))
    log = scratch / "java.log"
    crew: list[Executors] = []
    try:
        with _started(master, address, scratch, log, settings or {}) as (session, java):
            if LOCAL.fullmatch(master):
                yield Spark(session, scratch, java)
            else:
                with closing(Executors(session.sparkContext, scratch, dataset, patience)) as executors:
                    crew.append(executors)
                    executors.look()
                    yield Spark(session, scratch, java, executors.look)
    except (PySparkException, Py4JError) as error:
        gone = any(executors.gone for executors in crew)
        raise SparkError(f"Spark: {'the cluster lost all executors' if gone else _cause(error, log)}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def need(master: str) -> str:
    """The address of this machine that Spark binds. SparkError if anything is missing that can be seen without starting
    it."""
    local = LOCAL.fullmatch(master)
    if not local and not MASTER.fullmatch(master):
        known = "local, local[2] or local[*] (threads), or spark://HOST:PORT (a standalone cluster)"
        raise SparkError(f"--master {master!r} is none that is known here: {known}")
    try:
        import pyspark.errors  # noqa: F401 - it brings py4j
    except ImportError:
        raise SparkError("pyspark is not installed: pip install 'glasstumbler[spark]'") from None
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        where = f"in JAVA_HOME ({home})" if home else "here"
        raise SparkError(f"Spark needs Java 17 or later and there is none {where} (Debian: openjdk-17-jre-headless)")
    return _LOOPBACK if local else reached(master)


@contextmanager
def _started(
    master: str, address: str, scratch: Path, log: Path, settings: dict[str, str]
) -> Iterator[tuple[SparkSession, int]]:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    conf = SparkConf(loadDefaults=False)
    places = {"spark.local.dir": str(scratch), "spark.sql.warehouse.dir": str(scratch / "warehouse")}
    bound = {"spark.master": master, "spark.driver.bindAddress": address, "spark.driver.host": address}
    for name, value in {**_SETTINGS, **places, **bound, **settings}.items():
        conf.set(name, value)
    gateway: Any = None
    interrupted = signal.getsignal(signal.SIGINT)
    with _environment(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP=address), log.open("wb") as out:
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
_KNOWN: Final = re.compile("OutOfMemoryError|No space left on device|All masters are unresponsive")
_ADVICE: Final = {
    "OutOfMemoryError": "Java ran out of memory: give it more with SPARK_DRIVER_MEMORY=4g (it has 1g)",
    "All masters are unresponsive": "no master of Spark answers: --master is the URL that its log names, and"
    " its Spark is of this pyspark's version and asks for no other secret",
    "No space left on device": "there is no room left for its files: set TMPDIR to a folder that has",
}


def _cause(error: Exception, log: Path) -> str:
    """What is known to happen; else the innermost of Java's causes; else what Java said last."""
    said = log.read_text(errors="replace") if log.exists() else ""
    try:
        text = str(error)
    except Exception:
        text = ""  # the error asks Java for its text, and Java has gone
    known = _KNOWN.search(said) or _KNOWN.search(text)
    if known:
        return _ADVICE[known.group()]
    found = _CAUSE.findall(text) or _CAUSE.findall(said)
    if found:
        kind, what = found[-1]
        return f"{what} ({kind.rpartition('.')[2]})"
    lines = [line.strip() for line in (*text.splitlines(), *said.splitlines()) if line.strip()]
    return ([line for line in lines if "Error" in line] or lines or [type(error).__name__])[-1]
