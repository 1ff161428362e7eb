"""A record in memory, for runs that serve nobody and leave only their dataset behind. No database stands behind it.

Entries are made, digested and chained by the same code as everywhere (`Records`). Documents are kept as objects and
handed out as they are, so whoever changes one must save it: that is what units of work do in any case. What a unit has
changed cannot be taken back. A unit that fails after it has changed the record therefore ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from glasstumbler.errors import StoreError
from glasstumbler.store.base import Unit
from glasstumbler.store.memory_records import KeepEntry, MemoryRecords
from glasstumbler.store.records import Records

T = TypeVar("T")
_HELD = nullcontext(True)


class MemoryStore:
    """`keep` takes the entries in place of the memory."""

    shared = False

    def __init__(self, keep: KeepEntry | None = None) -> None:
        self.on_group: Callable[[int], None] = lambda units: None
        self.records = MemoryRecords(keep)
        self._broken: BaseException | None = None

    def write(self, unit: Unit[T]) -> T:
        if self._broken is not None:
            raise StoreError(f"the record in memory ended with: {self._broken}")
        before = self.records.written
        try:
            result = unit(self.records)
            self.records.finish()
        except BaseException as error:
            if self.records.written != before:
                self._broken = error
                raise StoreError(f"the record in memory cannot take back what failed: {error}") from error
            raise
        return result

    async def write_soon(self, unit: Unit[T]) -> T:
        return self.write(unit)

    def read(self, unit: Unit[T]) -> T:
        return unit(self.records)

    async def read_soon(self, unit: Unit[T]) -> T:
        return unit(self.records)

    @contextmanager
    def snapshot(self) -> Iterator[Records]:
        yield self.records

    def waiting(self) -> int:
        return 0

    def hold(self, name: str, wait: bool = False) -> AbstractContextManager[bool]:
        """One thread has it to itself."""
        return _HELD

    def close(self) -> None:
        pass
