"""What every store offers, whatever database stands behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from glasstumbler.store.records import Records

T = TypeVar("T")
Unit = Callable[[Records], T]
"""A unit of work: a function of `Records` and of nothing that it changes itself. It may be run again."""


class Store(Protocol):
    """Every method but `close` raises StoreError when the database fails or cannot be reached."""

    on_group: Callable[[int], None]
    """Hears how many units each commit has; nobody listens at first."""

    @property
    def shared(self) -> bool:
        """Whether several processes may serve and work on it side by side."""
        ...

    def write(self, unit: Unit[T]) -> T:
        """Run a unit of work and wait until it is on disk. For threads, not for the event loop."""
        ...

    def write_soon(self, unit: Unit[T]) -> Awaitable[T]:
        """The same for the event loop."""
        ...

    def read(self, unit: Unit[T]) -> T:
        """Run a function of `Records` that writes nothing; it sees what is committed. For threads."""
        ...

    async def read_soon(self, unit: Unit[T]) -> T:
        """The same for the event loop, which a slow database does not hold up."""
        ...

    def snapshot(self) -> AbstractContextManager[Records]:
        """One consistent view over many reads."""
        ...

    def waiting(self) -> int:
        """Units that wait for the writer."""
        ...

    def hold(self, name: str, wait: bool = False) -> AbstractContextManager[bool]:
        """True if this process, and in it this thread, now alone has the task of this name; False if another has it
        (with `wait`, it is waited for). Given up at the end of the block, and when the process dies or stands still.
        StoreError at the end of the block if it was lost on the way: another may then have worked beside us, which
        units of work bear, since each looks at the record anew."""
        ...

    def close(self) -> None:
        """Finish what was put in, then close."""
        ...
