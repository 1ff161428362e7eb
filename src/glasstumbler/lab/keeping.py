"""What a simulation keeps, so that a run that was broken off goes on: a copy of its laboratory at the last checkpoint.

    RUN/live       the laboratory's folder; whatever befell it, it is thrown away when a run goes on
    RUN/kept-N     the same as it stood after stretch N, and what the driver knew (state.json, COIN.npz)

Every stretch of a run begins by opening a folder, whether the run was broken off or not. So a run that goes on does
what it would have done.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.lab.driver import State
from glasstumbler.lab.population import Ints
from glasstumbler.lock import exclusive
from glasstumbler.vault import sync

_PARTS = "run.json"
"""Where a run whose parts are kept one by one says which it is."""


class Economy(msgspec.Struct, frozen=True):
    """Of one chain: where the economy's coins are, whom services pay where, what no block has yet."""

    outpoints: list[tuple[str, int]]
    awaited: list[tuple[int, int]]
    own: list[str]


class Kept(msgspec.Struct):
    """What the driver knows."""

    run: dict[str, Any]
    """Which run it is: scenario, orders, seed, version."""
    stretch: int = 0
    """How many have been."""
    state: State = msgspec.field(default_factory=State)
    economies: dict[str, Economy] = {}


class Keeping:
    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self._folder, self._run = folder, dict(run)
        self.live = folder / "live"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """One process at a time works on a folder."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = exclusive(self._folder / "lock")
        except OSError as error:
            raise StoreError(f"cannot write to {self._folder}: {error.strerror}") from None
        if file is None:
            raise StoreError(f"another `glasstumbler simulate` works on {self._folder.parent}")
        with file:
            yield

    def resume(self) -> tuple[Kept, dict[str, dict[str, Ints]]]:
        """The last checkpoint with its laboratory in `live`, or a beginning. SettingsError if another run began it."""
        self._check_parts()
        shutil.rmtree(self.live, ignore_errors=True)
        found = self._checkpoints()
        if not found:
            self.live.mkdir()
            return Kept(self._run), {}
        kept = msgspec.json.decode((found[-1] / "state.json").read_bytes(), type=Kept)
        self.check(kept.run)
        shutil.copytree(found[-1] / "laboratory", self.live)
        return kept, {coin: _arrays(found[-1] / f"{coin}.npz") for coin in kept.economies}

    def check(self, run: Mapping[str, Any]) -> None:
        """SettingsError if this one was begun by another run."""
        if changed := ", ".join(sorted(key for key in {*run, *self._run} if run.get(key) != self._run.get(key))):
            raise SettingsError(
                f"{self._folder.parent} holds another run that was broken off (its {changed} differ): go on with that "
                "one, or use another folder"
            )

    def resume_parts(self) -> None:
        """Go on with what is there of a run whose parts are kept one by one, or begin it."""
        if self._checkpoints():
            self.check(msgspec.json.decode((self._checkpoints()[-1] / "state.json").read_bytes(), type=Kept).run)
        self._check_parts()
        (self._folder / _PARTS).write_bytes(msgspec.json.encode(self._run))

    def _check_parts(self) -> None:
        path = self._folder / _PARTS
        if path.exists():
            self.check(msgspec.json.decode(path.read_bytes()))

    def keep(self, kept: Kept, economies: Mapping[str, Mapping[str, Ints]]) -> None:
        """A checkpoint, whole or not at all. `live` is closed."""
        old, part = self._checkpoints(), self._folder / "part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            shutil.copytree(self.live, part / "laboratory")
            for coin, arrays in economies.items():
                np.savez(part / f"{coin}.npz", allow_pickle=False, **arrays)
            (part / "state.json").write_bytes(msgspec.json.encode(kept))
            for path in part.rglob("*"):
                sync(path)
            part.rename(self._folder / f"kept-{kept.stretch:06}")
            sync(self._folder)
        except OSError as error:
            raise StoreError(f"cannot keep a checkpoint in {self._folder}: {error.strerror}") from None
        for path in old:
            shutil.rmtree(path)

    def clear(self) -> None:
        """The dataset stands: nothing more is needed."""
        shutil.rmtree(self._folder)

    def _checkpoints(self) -> list[Path]:
        return sorted(self._folder.glob("kept-*"))


def _arrays(path: Path) -> dict[str, Ints]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
