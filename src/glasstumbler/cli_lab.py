"""The commands of the lab: datasets made, given away, scored. What they need is loaded when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from glasstumbler.terminal import progress, say


def simulate(
    scenario: Annotated[str, Parameter(help="A TOML file, or the name of a ready scenario.")],
    /,
    *,
    orders: Annotated[int, Parameter(help="How many.")],
    out: Annotated[Path, Parameter(help="Folder for the dataset; a run that was broken off goes on there.")],
    seed: Annotated[int, Parameter(help="Same seed, same bytes.")] = 1,
    mode: Annotated[Literal["signed"], Parameter(help="signed: every transaction is one that nodes take.")] = "signed",
) -> int:
    """Drive customers of the services through a scenario, without HTTP, and write the dataset with its answer key."""
    from glasstumbler.lab.scenario import load
    from glasstumbler.lab.simulate import simulate as run

    with progress() as show:
        done = run(Path(scenario).stem, load(scenario), orders, seed, out, show)
    say(f"{out}: {done.orders} orders in {done.blocks} blocks, {done.seconds / 86_400:.1f} days")
    if done.refused or done.unpaid:
        say(f"{done.refused} orders refused by their service, {done.unpaid} deposits for which nobody had coins")
    say(f"manifest {done.manifest}")
    return 0


def export(
    dataset: Annotated[Path, Parameter(help="Folder of a dataset.")],
    /,
    *,
    form: Annotated[str, Parameter(name="--as", help="elliptic, amlworld, tagpack or blk; docs/exports.md.")],
    out: Annotated[Path, Parameter(help="A new folder.")],
) -> int:
    """Write a dataset in a shape that other people's tools read."""
    from glasstumbler.lab.exports.formats import export as write

    for path in write(dataset, form, out):
        say(f"{path} {path.stat().st_size:,} bytes")
    return 0


def report(
    dataset: Annotated[Path, Parameter(help="Folder of a dataset.")],
    /,
    *,
    scores: Annotated[Path, Parameter(help="The results.json that `score` wrote of it.")],
    out: Annotated[Path, Parameter(help="The page: one HTML file, whole in itself.")] = Path("report.html"),
    figures: Annotated[Path | None, Parameter(help="Folder for every figure as SVG and PNG.")] = None,
) -> int:
    """Show the scores of a dataset as one page: tables, curves, volumes, delays and fees, one order traced."""
    from glasstumbler.lab.reporting.make import report as make

    with progress() as show:
        done = make(dataset, scores, out, figures, show)
    say(f"{done.page} {done.page.stat().st_size:,} bytes")
    if figures is not None:
        say(f"{figures}: {len(done.figures)} files")
    return 0
