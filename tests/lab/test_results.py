"""results.json and results.csv: what is written is read again, and what is no such file is named in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from glasstumbler.errors import ResultsError, StoreError
from glasstumbler.lab import results
from glasstumbler.lab.results import Bootstrap, Curve, DatasetInfo, Failure, Results, Row, Timing

DATASET = DatasetInfo("five-services", 7, "signed", 300, "train", "ab" * 32)
WHOLE = Results(
    DATASET,
    "time 0.5",
    Bootstrap(1000, 0.95, 1),
    [
        Row("T2", "demixing", "method", "hit@1", 0.25, 0.125, 0.5, n=80, volume=10),
        Row("T5", "taint-fifo", "method", "precision", None, n=3, service="whir", left_out="whir"),
    ],
    [Curve("T2", "demixing", "method", "calibration", [0.1, 0.9], [0.0, 1.0], [10, 20])],
    [Failure("own", "own: it took more than 10 s")],
    [Timing("demixing", "T2", 1.5, 300.0)],
    ["taint after a custodial swap must fail"],
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path, _ = results.write(WHOLE, tmp_path / "new" / "folder")
    assert results.read(path) == WHOLE
    assert json.loads(path.read_text())["caveat"] == results.CAVEAT


def test_csv_has_a_line_for_each_row(tmp_path: Path) -> None:
    _, path = results.write(WHOLE, tmp_path)
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["measure"], line["value"], line["low"], line["service"]) for line in lines] == [
        ("hit@1", "0.25", "0.125", ""),
        ("precision", "", "", "whir"),
    ]
    assert {line["caveat"] for line in lines} == {results.CAVEAT}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"format": 2}', "is of format 2; this program reads format 1: score anew"),
        ("{}", "missing required field `format`"),
        ("{", "truncated"),
        ("\xff", "is no results.json"),
        ('{"format": 1, "rows": 3}', "is no results.json"),
    ],
)
def test_what_is_no_results_file_is_said_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ResultsError, match=why) as caught:
        results.read(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="glasstumbler score"):
        results.read(tmp_path / "results.json")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write scores"):
        results.write(WHOLE, tmp_path / "file" / "scores")
