"""What `glasstumbler score` found out: results.json and results.csv, which reports and other engines read and write.

results.json   Results, whole
results.csv    its rows, one a line, columns as in Row, and the caveat
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final, Literal

import msgspec

from glasstumbler.errors import ResultsError, StoreError

FORMAT: Final = 1
"""Of the file: raised when a field changes its meaning."""
CAVEAT: Final = (
    "These scores hold for the stated policies of the services on a synthetic chain;"
    " they say nothing of any live service."
)
"""Stands beside all scores, wherever they are shown."""
Role = Literal["chance", "method", "ceiling", "own"]
"""`own`: a method that the user brought."""
CurveKind = Literal["precision-recall", "calibration"]


class DatasetInfo(msgspec.Struct, frozen=True):
    """What was scored on."""

    scenario: str
    seed: int
    mode: str
    """signed or fast; empty: the dataset does not say."""
    orders: int
    seed_is_for: str
    """train, validation or test; empty: the dataset does not say."""
    manifest_sha256: str


class Bootstrap(msgspec.Struct, frozen=True):
    """How the intervals came about."""

    resamples: int
    level: float
    """0.95: of 100 such intervals about 95 hold the true value."""
    seed: int


class Row(msgspec.Struct, frozen=True):
    """One figure."""

    task: str
    """T1 to T8."""
    method: str
    """Its name in the registry; of the user's own as its class says; `chance` or `ceiling` where no method stands for
    it."""
    role: Role
    measure: str
    """Such as hit@1; docs/scores.md has them all."""
    value: float | None
    """None: it is not defined, as a precision where nothing was found."""
    low: float | None = None
    """Lower end of the interval; None: it was not resampled."""
    high: float | None = None
    n: int = 0
    """Orders, addresses, outputs or pairs that it stands on."""
    service: str = ""
    """Empty: all."""
    volume: int = 0
    """Orders a day; 0: all."""
    left_out: str = ""
    """The service that taught nothing, and that this is scored on; empty: all taught."""


class Curve(msgspec.Struct, frozen=True):
    """Points of a picture, from left to right."""

    task: str
    method: str
    role: Role
    kind: CurveKind
    x: list[float]
    """Recall; of a calibration the mean of the probabilities that were claimed."""
    y: list[float]
    """Precision; of a calibration the share that was true."""
    n: list[int]
    """Answers that each point stands on."""


class Failure(msgspec.Struct, frozen=True):
    """A method that gave no scores, and why, in one line."""

    method: str
    what: str


class Timing(msgspec.Struct, frozen=True):
    """One run of a method, learning and answering, without the reading of the dataset. T5: the mean over the cases."""

    method: str
    task: str
    seconds: float
    peak_mb: float
    """The most memory that its process held, 2**20 bytes."""


class Results(msgspec.Struct, frozen=True):
    """The whole of results.json."""

    dataset: DatasetInfo
    split: str
    """Which orders taught: Split.name."""
    bootstrap: Bootstrap
    rows: list[Row]
    curves: list[Curve] = []
    failures: list[Failure] = []
    timings: list[Timing] = []
    remarks: list[str] = []
    """What a reader must know, such as where a method fails and is right to."""
    caveat: str = CAVEAT
    format: int = FORMAT


def read(path: Path) -> Results:
    """ResultsError in one line if the file is missing, no results.json, damaged or of another version."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        raise ResultsError(f"there is no {path}: `glasstumbler score DATASET` makes one") from None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from None
    try:
        seen = msgspec.json.decode(found, type=_Format).format
        if seen != FORMAT:
            raise ResultsError(f"{path} is of format {seen}; this program reads format {FORMAT}: score anew")
        return msgspec.json.decode(found, type=Results)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path} is no results.json of this program: {error}") from None


class _Format(msgspec.Struct):
    format: int


def write(results: Results, folder: Path) -> tuple[Path, Path]:
    """results.json and results.csv in `folder`, which is made if it is not there. StoreError if it cannot be."""
    as_json, as_csv = folder / "results.json", folder / "results.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        as_json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
        as_csv.write_text(csv_text(results), encoding="utf-8", newline="")
    except OSError as error:
        raise StoreError(f"cannot write scores to {folder}: {error.strerror}") from None
    return as_json, as_csv


def csv_text(results: Results) -> str:
    """A header and a line a row; what is None is empty."""
    out = io.StringIO()
    columns = [field.name for field in msgspec.structs.fields(Row)]
    lines = csv.writer(out)
    lines.writerow([*columns, "caveat"])
    lines.writerows([*msgspec.structs.astuple(row), results.caveat] for row in results.rows)
    return out.getvalue()
