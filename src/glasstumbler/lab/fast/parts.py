"""The services' parts of a simulation, in processes side by side, each kept in its folder as soon as it is done."""

from __future__ import annotations

import gc
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from glasstumbler import errors
from glasstumbler.errors import GlassTumblerError, StoreError
from glasstumbler.lab.fast import left, shard
from glasstumbler.lab.scenario import Scenario

RECORD: Final = "record.jsonl.zst"
_LOOK: Final = 0.2
"""Seconds between two looks at how far they are."""
Placed = Callable[[int], None]
"""Hears how many orders all services together have placed."""
_shared: Any = None
"""In a process of the pool: how many orders each service has placed."""


def make(
    slugs: Sequence[str], scenario: Scenario, orders: int, seed: int, folder: Path, processes: int, placed: Placed
) -> None:
    """Those that are not there yet. `slugs`: the longest first."""
    missing = [slug for slug in slugs if not (folder / slug).exists()]
    if processes == 1 or len(missing) < 2:
        for slug in missing:
            _make(slug, scenario, orders, seed, folder, placed)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    counts = context.Array("q", len(missing), lock=False)
    with ProcessPoolExecutor(min(processes, len(missing)), context, _begin, (counts,)) as pool:
        work = [pool.submit(_work, n, slug, scenario, orders, seed, folder) for n, slug in enumerate(missing)]
        try:
            _follow(work, lambda: placed(sum(counts)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.kill()  # what it has not kept is begun again
            raise


def _follow(work: list[Future[tuple[str, str] | None]], look: Callable[[], None]) -> None:
    waiting = set(work)
    while waiting:
        done, waiting = wait(waiting, timeout=_LOOK)
        look()
        for each in done:
            try:
                failure = each.result()
            except BrokenProcessPool:
                raise StoreError(
                    "a process of the simulation was ended from outside, perhaps for want of memory: the same command "
                    "goes on with what is there; fewer --processes take less at once"
                ) from None
            if failure is not None:
                kind, text = failure
                raise getattr(errors, kind)(text)


def _begin(counts: Any) -> None:
    global _shared  # the pool gives a process nothing else to keep it in
    _shared = counts
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others


def _work(number: int, slug: str, scenario: Scenario, orders: int, seed: int, folder: Path) -> tuple[str, str] | None:
    """(class, text) of an error that is told in one line: not all of them can be sent as they are."""

    def placed(count: int) -> None:
        _shared[number] = count

    try:
        _make(slug, scenario, orders, seed, folder, placed)
    except GlassTumblerError as error:
        plain = isinstance(error, errors.SettingsError | errors.StoreError)
        return type(error).__name__ if plain else "GlassTumblerError", str(error)
    return None


def _make(slug: str, scenario: Scenario, orders: int, seed: int, folder: Path, placed: Placed) -> None:
    part = folder / f"{slug}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    collected = gc.isenabled()
    gc.disable()  # documents have no circles, and there are millions of them
    try:
        with pa.CompressedOutputStream(str(part / RECORD), "zstd") as record:

            def keep(raw: bytes) -> None:
                record.write(raw + b"\n")

            with shard.opened(slug, scenario, seed, keep) as house:
                driven = shard.drive(slug, scenario, orders, seed, house, placed)
                left.save(shard.leave(driven, slug), part)
    finally:
        if collected:
            gc.enable()
    part.rename(folder / slug)
