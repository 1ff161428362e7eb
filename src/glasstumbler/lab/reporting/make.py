"""`glasstumbler report`: a dataset and its scores become a page and its figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from glasstumbler.errors import DatasetError, ResultsError, StoreError
from glasstumbler.lab import results as scores
from glasstumbler.lab.methods.page import TASKS
from glasstumbler.lab.reporting import board, charts, flow, orders, page, traced
from glasstumbler.lab.reporting.canvas import Figure
from glasstumbler.lab.reporting.page import Content, Section
from glasstumbler.lab.results import Results
from glasstumbler.lab.tasks import Dataset, Split, by_period, by_time, untaught, without

Progress = Callable[[str, int, int], None]


class Made(NamedTuple):
    page: Path
    figures: tuple[Path, ...]


def report(folder: Path, scored: Path, out: Path, figures: Path | None, progress: Progress | None = None) -> Made:
    """DatasetError, ResultsError, StoreError say in one line what is wrong, before anything is written."""
    found = scores.read(scored)
    check(folder, found)
    dataset = Dataset(folder)
    for place in (out.parent, figures):
        if place is not None:
            _make(place)  # before the methods are asked, which takes long on a large dataset
    content = gather(dataset, found, progress)
    files = {out: page.render(content).encode()}
    if figures is not None:
        for figure in content.all_figures():
            files[figures / f"{figure.name}.svg"] = figure.file().encode()
            files[figures / f"{figure.name}.png"] = figure.png()
    _write(files)
    return Made(out, tuple(path for path in files if path != out))


def check(folder: Path, found: Results) -> None:
    """That the scores are of this dataset, by the hash of its manifest, and can be shown."""
    path = folder / "manifest.json"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise DatasetError(f"{folder} is no dataset: it has no manifest.json") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    if digest != found.dataset.manifest_sha256:
        raise ResultsError(
            f"the scores are of another dataset ({found.dataset.scenario}, seed {found.dataset.seed}, manifest"
            f" {found.dataset.manifest_sha256[:12]}); {folder} has manifest {digest[:12]}: score it, or name the other"
        )
    unknown = {row.task for row in found.rows} | {curve.task for curve in found.curves}
    unknown -= set(TASKS)
    if unknown:
        raise ResultsError(f"the scores speak of tasks that do not exist: {', '.join(sorted(unknown))}")
    if any(not len(curve.x) == len(curve.y) == len(curve.n) for curve in found.curves):
        raise ResultsError("a curve of the scores has points that lack a part: score anew")


def gather(dataset: Dataset, found: Results, progress: Progress | None = None) -> Content:
    """All that the page shows."""
    sections = [_section(found, each) for each in board.boards(found)]
    delays, fees = orders.delays(dataset), orders.fees(dataset)
    asked = 0

    def tell(method: str) -> None:
        nonlocal asked
        asked += 1
        if progress is not None:
            progress(f"asking {method}", asked, traced.askable(found))

    shown = traced.trace(dataset, found, split_of(dataset, found.split), tell)
    drawn = {
        "delays": orders.delay_figure(delays),
        "fees": orders.fee_figure(fees),
        "traced": None if shown is None else flow.figure(shown),
    }
    return Content(found, dataset.manifest, sections, delays, fees, shown, _drawn(drawn))


def split_of(dataset: Dataset, name: str) -> Split:
    """By what its results call it: Split.name."""
    kind, _, rest = name.partition(" ")
    if kind == "without":
        return without(dataset, rest)
    splits: dict[str, Callable[[Dataset], Split]] = {"seed": untaught, "time": by_time}
    return splits.get(kind, by_period)(dataset)


def _section(found: Results, each: board.Board) -> Section:
    volumes, services, left = board.by_volume(found, each), board.by_service(found, each), board.left_out(found, each)
    drawn = {
        "scores": charts.scores(each),
        "precision-recall": charts.curves(each, "precision-recall", found.curves),
        "calibration": charts.curves(each, "calibration", found.curves),
        "volumes": charts.volumes(each, volumes),
        "services": charts.per_service(each, services),
        "untaught": charts.untaught(each, left, services),
    }
    return Section(each, volumes, services, left, _drawn(drawn))


def _drawn(figures: dict[str, Figure | None]) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}") from None


def _write(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        try:
            path.write_bytes(content)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from None
