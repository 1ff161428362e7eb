"""What is missing or wrong is one clear line, and nothing stays behind."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from glasstumbler.errors import SparkError
from glasstumbler.lab.spark.session import spark
from tests.lab.test_spark import SMALL

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    "master",
    [
        "",
        "local[0]",
        "local[two]",
        "local[2] x",
        "yarn",
        "k8s://here:443",
        "spark://",
        "spark://a:1,b:2",
        "spark://a b:1",
    ],
)
def test_a_master_that_is_none(master: str) -> None:
    with pytest.raises(SparkError, match="is none that is known here: local, local"), spark(master):
        pass


def test_without_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyspark", "pyspark.errors", "py4j", "py4j.protocol"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SparkError, match=r"pip install 'glasstumbler\[spark\]'"), spark():
        pass


@pytest.mark.parametrize("home", [None, "nowhere"])
def test_without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str | None) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / home))
    with (
        pytest.raises(SparkError, match=r"Spark needs Java 17 or later and there is none .* openjdk-17"),
        spark(),
    ):
        pass


def test_a_java_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho Error: this is no Java >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkError, match=r"^Spark: .*no Java$"), spark():
        pass


def test_a_job_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(SparkError) as raised, spark("local[1]", SMALL) as session:
        session.session.sql("SELECT raise_error('by and by')").collect()
    assert "by and by" in str(raised.value) and "\n" not in str(raised.value)
    assert not list(tmp_path.glob("glasstumbler-spark-*"))
    assert not Path(f"/proc/{session.java}").exists()
