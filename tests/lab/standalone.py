"""A standalone cluster of Spark on the loopback, of pyspark's own jars: a master and workers, processes that are ended
by their number."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pyspark

_SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
_LOOPBACK = "127.0.0.1"
_WHERE = ["--host", _LOOPBACK, "--port", "0", "--webui-port", "0"]
_SMALL = {
    "SPARK_LOCAL_IP": _LOOPBACK,  # its pages bind this
    "SPARK_DAEMON_MEMORY": "256m",
    "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dspark.master.rest.enabled=false",
}
STARTS = 120
"""Seconds in which each of them does."""


class Standalone(NamedTuple):
    master: str
    """spark://HOST:PORT."""
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def standalone(scratch: Path, workers: int) -> Iterator[Standalone]:
    """Workers of one core and 600 MB each."""
    with ExitStack() as stack:
        log = scratch / "master.log"
        master = stack.enter_context(_process(log, "master.Master", *_WHERE))
        url = _said(log, master, r"Starting Spark master at (spark://\S+)")
        each = []
        for number in range(workers):
            room = scratch / f"worker{number}"
            small = ["--cores", "1", "--memory", "600m", "--work-dir", str(room)]
            log = scratch / f"worker{number}.log"
            worker = stack.enter_context(_process(log, "worker.Worker", *_WHERE, *small, url))
            each.append(worker)
            _said(log, worker, "(Successfully registered with master)")
        yield Standalone(url, each)


@contextmanager
def _process(log: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(_SPARK_CLASS), f"org.apache.spark.deploy.{name}", *arguments]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=os.environ | _SMALL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _said(log: Path, process: subprocess.Popen[bytes], wanted: str) -> str:
    deadline = time.monotonic() + STARTS
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(wanted, log.read_text())
        if found:
            return found.group(1)
        time.sleep(0.1)
    raise AssertionError(f"{process.args} did not start: {log.read_text()[-2000:]}")
