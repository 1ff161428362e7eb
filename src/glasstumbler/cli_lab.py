"""The commands of the lab: datasets made, given away, scored. What they need is loaded when they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from glasstumbler.cli_options import AsJson
from glasstumbler.errors import SettingsError
from glasstumbler.terminal import answer, progress


def simulate(
    scenario: Annotated[str, Parameter(help="A TOML file, or the name of a ready scenario.")],
    /,
    *,
    orders: Annotated[int, Parameter(help="How many.")],
    out: Annotated[Path, Parameter(help="Folder for the dataset; a run that was broken off goes on there.")],
    seed: Annotated[int, Parameter(help="Same seed, same bytes.")] = 1,
    mode: Annotated[
        Literal["signed", "fast"], Parameter(help="signed: nodes would take every transaction; fast: no signatures.")
    ] = "signed",
    processes: Annotated[int, Parameter(help="How many work side by side; fast mode only.")] = 1,
    as_json: AsJson = False,
) -> int:
    """Drive customers of the services through a scenario, without HTTP, and write the dataset with its answer key."""
    from glasstumbler.lab.fast.run import simulate as run_fast
    from glasstumbler.lab.scenario import load
    from glasstumbler.lab.simulate import simulate as run

    if mode == "signed" and processes != 1:
        raise SettingsError("--processes: only --mode fast works in several; a signed run is one laboratory")
    name, loaded = Path(scenario).stem, load(scenario)
    try:
        with progress() as show:
            if mode == "fast":
                done = run_fast(name, loaded, orders, seed, out, processes, show)
            else:
                done = run(name, loaded, orders, seed, out, show)
    except KeyboardInterrupt:
        print(f"glasstumbler: stopped; the same command goes on with what {out} keeps", file=sys.stderr)
        raise
    lines = [f"{out}: {done.orders} orders in {done.blocks} blocks, {done.seconds / 86_400:.1f} days"]
    if done.refused or done.unpaid:
        lines.append(
            f"{done.refused} orders refused by their service, {done.unpaid} deposits for which nobody had coins"
        )
    answer(as_json, {"dataset": out, **done._asdict()}, [*lines, f"manifest {done.manifest}"])
    return 0


def export(
    dataset: Annotated[Path, Parameter(help="Folder of a dataset.")],
    /,
    *,
    form: Annotated[str, Parameter(name="--as", help="elliptic, amlworld, tagpack or blk; docs/exports.md.")],
    out: Annotated[Path, Parameter(help="A new folder.")],
    as_json: AsJson = False,
) -> int:
    """Write a dataset in a shape that other people's tools read."""
    from glasstumbler.lab.exports.formats import export as write

    sizes = {path: path.stat().st_size for path in write(dataset, form, out)}
    files = [{"path": path, "bytes": size} for path, size in sizes.items()]
    answer(as_json, {"files": files}, (f"{path} {size:,} bytes" for path, size in sizes.items()))
    return 0


def report(
    dataset: Annotated[Path, Parameter(help="Folder of a dataset.")],
    /,
    *,
    scores: Annotated[Path | None, Parameter(help="The results.json of it; else where `score` wrote it.")] = None,
    out: Annotated[Path, Parameter(help="The page: one HTML file, whole in itself.")] = Path("report.html"),
    figures: Annotated[Path | None, Parameter(help="Folder for every figure as SVG and PNG.")] = None,
    as_json: AsJson = False,
) -> int:
    """Show the scores of a dataset as one page: tables, curves, volumes, delays and fees, one order traced."""
    from glasstumbler.lab.reporting.make import report as make

    with progress() as show:
        done = make(dataset, scores or _scores(dataset) / "results.json", out, figures, show)
    size = done.page.stat().st_size
    lines = [f"{done.page} {size:,} bytes"]
    if figures is not None:
        lines.append(f"{figures}: {len(done.figures)} files")
    answer(as_json, {"page": done.page, "bytes": size, "figures": done.figures}, lines)
    return 0


def score(
    dataset: Annotated[Path, Parameter(help="Folder of a dataset.")],
    /,
    *,
    method: Annotated[
        list[str] | None,
        Parameter(help="A method's name, or one of your own as my_module:MyMethod or path/to/file.py:MyMethod."),
    ] = None,
    task: Annotated[list[str] | None, Parameter(help="T1 to T8; else all.")] = None,
    out: Annotated[Path | None, Parameter(help="Folder for the scores; else beside the dataset.")] = None,
    seconds: Annotated[float, Parameter(help="That a method may take for one answer.")] = 900,
    memory: Annotated[float, Parameter(help="GiB that a method may hold, the dataset included.")] = 8,
    processes: Annotated[int, Parameter(help="How many methods answer side by side.")] = 2,
    engine: Annotated[
        Literal["local", "spark"], Parameter(help="spark: fewer methods, any size; docs/scale.md.")
    ] = "local",
    master: Annotated[
        str, Parameter(help="Of Spark: local[N] for N threads, local[*] for all; spark://HOST:PORT for a cluster.")
    ] = "local[2]",
    as_json: AsJson = False,
) -> int:
    """Hold methods against the answer key, beside chance and what was attainable. Exit code 1 if one of them failed."""
    from glasstumbler.lab import results
    from glasstumbler.lab.scoring import card, shown
    from glasstumbler.lab.scoring.crew import GIB, Limits
    from glasstumbler.lab.scoring.run import Scored
    from glasstumbler.lab.scoring.run import score as run
    from glasstumbler.lab.spark.run import score as on_spark

    if not seconds > 0 or not memory > 0:
        raise SettingsError("--seconds and --memory are more than 0")
    if not 1 <= processes <= 64:
        raise SettingsError("--processes goes from 1 to 64")
    folder = out or _scores(dataset)
    if folder.resolve() == dataset.resolve() or (folder / "manifest.json").exists():
        raise SettingsError(f"--out {folder} is a dataset: scores go elsewhere")
    with progress() as show:
        if engine == "spark":
            done = Scored(on_spark(dataset, method or (), task or (), master, show), [])
        else:
            done = run(dataset, method or (), task or (), Limits(seconds, int(memory * GIB)), show, processes)
    if not as_json:
        shown.show(done.results)
    files = results.write(done.results, folder)
    written = card.write(done.results, done.judged, folder / "cards")
    lines = [f"{files[0]} {files[1].name}" + (f" cards/ ({len(written)} files)" if written else "")]
    lines += [f"failed: {failure.method}: {failure.what}" for failure in done.results.failures]
    answer(as_json, {"files": [*files, *written], "results": done.results}, lines)
    return 1 if done.results.failures else 0


def torture(
    *,
    seed: Annotated[int, Parameter(help="The first seed; the same one is the same run.")] = 0,
    seeds: Annotated[int, Parameter(help="So many seeds, one after another.")] = 1,
    steps: Annotated[int, Parameter(help="Of each seed's run.")] = 60,
    as_json: AsJson = False,
) -> int:
    """Drive a laboratory through crashes, failing disks, lying nodes and reorganisations. Exit code 1 at the first
    seed that breaks one of the four promises, with the shortest run that still does."""
    from glasstumbler.torture.run import torture as live

    if seeds < 1 or steps < 1:
        raise SettingsError("--seeds and --steps are at least 1")
    for number in range(seed, seed + seeds):
        done = live(number, steps)
        answer(as_json, done.document(), done.lines())
        if done.failure is not None:
            return 1
    return 0


def _scores(dataset: Path) -> Path:
    """Beside the dataset, never in it."""
    return dataset.resolve().with_name(f"{dataset.resolve().name}-scores")
