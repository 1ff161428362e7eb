"""The laboratory's own app over a store that keeps nothing: what the store costs is what is missing here.

Everything else is the same: the request is read and checked, a key derived, the order composed, the reply signed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from glasstumbler.engine.ledger import Entry
from glasstumbler.engine.order import Order
from glasstumbler.store.records import KeyRow, Watched


class NoRecords:
    """What opening an order asks of `Records`; it takes everything and remembers the account only."""

    def __init__(self, key: KeyRow) -> None:
        self._key = key
        self._numbers = itertools.count(1)

    def key(self, service: str, key_hash: bytes) -> KeyRow | None:
        return self._key if key_hash == self._key.key_hash else None

    def next(self, name: str) -> int:
        return next(self._numbers)

    def has_order(self, service: str, name: str) -> bool:
        return False

    def watch(self, watched: Watched) -> None:
        pass

    def add_order(self, order: Order) -> None:
        pass

    def append(self, entry: Entry) -> int:
        return 1


class NoStore:
    def __init__(self, key: KeyRow) -> None:
        self._records = NoRecords(key)

    async def read_soon(self, unit: Callable[[Any], Any]) -> Any:
        return unit(self._records)

    def write_soon(self, unit: Callable[[Any], Any]) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(unit(self._records))
        return future

    def waiting(self) -> int:
        return 0
