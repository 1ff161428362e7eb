"""The services' parts of a simulation, in processes side by side, each kept in its folder as soon as it is done."""

from __future__ import annotations

import gc
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final, NamedTuple

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


def make(
    slugs: Sequence[str], scenario: Scenario, orders: int, seed: int, folder: Path, processes: int, placed: Placed
) -> None:
    """Those that are not there yet. `slugs`: the longest first."""
    missing = [slug for slug in slugs if not (folder / slug).exists()]
    if processes == 1 or len(missing) < 2:
        for slug in missing:
            with _uncollected():
                _make(slug, scenario, orders, seed, folder, placed)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    counts = context.Array("q", len(missing), lock=False)
    waiting = [(counts, n, slug, scenario, orders, seed, folder) for n, slug in enumerate(missing)]
    running: dict[int, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                _start(context, waiting.pop(0), running)
            for ended in wait(list(running), _LOOK):
                assert isinstance(ended, int)
                _judge(running.pop(ended))
            placed(sum(counts))
    except BaseException:
        for each in running.values():
            each.process.kill()  # what it has not kept is begun again
            each.process.join()
        raise


class _Running(NamedTuple):
    process: Any
    told: Any
    """Where it says why it failed, if in one line."""


def _start(context: Any, task: tuple[Any, ...], running: dict[int, _Running]) -> None:
    """A process for each part, which gives its memory back when it ends."""
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, *task))
    process.start()
    theirs.close()
    running[process.sentinel] = _Running(process, ours)


def _judge(ended: _Running) -> None:
    ended.process.join()
    with ended.told as told:
        if told.poll():
            with suppress(EOFError):
                kind, text = told.recv()
                raise getattr(errors, kind)(text)
    if ended.process.exitcode:
        raise StoreError(
            f"a process of the simulation ended with code {ended.process.exitcode}, perhaps for want of memory: the "
            "same command goes on with what is there; fewer --processes take less at once"
        )


def _work(
    told: Any, counts: Any, number: int, slug: str, scenario: Scenario, orders: int, seed: int, folder: Path
) -> None:
    """An error of ours is told as (class, text): not all of them can be sent as they are."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    gc.disable()  # for good: to look through all that the system is about to take back would be for nothing
    first = multiprocessing.parent_process()

    def placed(count: int) -> None:
        counts[number] = count
        if first is not None and not first.is_alive():
            raise SystemExit(1)  # nobody is there any more to go on with it

    try:
        _make(slug, scenario, orders, seed, folder, placed)
    except GlassTumblerError as error:
        plain = isinstance(error, errors.SettingsError | errors.StoreError)
        told.send((type(error).__name__ if plain else "GlassTumblerError", str(error)))


def _make(slug: str, scenario: Scenario, orders: int, seed: int, folder: Path, placed: Placed) -> None:
    part = folder / f"{slug}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    with pa.CompressedOutputStream(str(part / RECORD), "zstd") as record:

        def keep(raw: bytes) -> None:
            record.write(raw + b"\n")

        with shard.opened(slug, scenario, seed, keep) as house:
            driven = shard.drive(slug, scenario, orders, seed, house, placed)
            left.save(shard.leave(driven, slug), part)
    part.rename(folder / slug)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Documents have no circles, and there are millions of them; the house itself is one."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()
        gc.collect()
