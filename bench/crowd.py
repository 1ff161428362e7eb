"""A house on a disk and a crowd of orders in it: what the order and block benchmarks share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import machine
from glasstumbler.chains.base import Output
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.engine.commands import OpenMix, Wish
from glasstumbler.engine.order import Order
from glasstumbler.house import House
from glasstumbler.vault import Vault

SERVICE, CUSTOMER = "btcmix", "customer"
TOGETHER = 500
"""Orders that are asked for at once."""
HOUR = 3600


@contextmanager
def house() -> Iterator[House]:
    """A started house with the btc chain, its record and its chain in a folder on the disk, on a virtual clock."""
    with TemporaryDirectory(prefix="bench-", dir=machine.disk()) as folder:
        tables = {"lab": {"rate_limits": "off", "chains": ["btc"]}}
        made = House(Path(folder), Vault.of_folder(Path(folder)), VirtualClock(), 1, tables)
        try:
            made.start()
            yield made
        finally:
            made.close()


def chain(of: House) -> UtxoChain:
    found = of.chains["btc"]
    assert isinstance(found, UtxoChain)
    return found


class Crowd:
    """Customers who ask for three payouts each, to addresses that nobody else uses."""

    def __init__(self, of: House) -> None:
        self._service = of.services[SERVICE]
        self._ring, self._chance, self._next = KeyRing(bytes(32)), random.Random(1), 0

    def open(self, wanted: list[OpenMix]) -> list[Order]:
        """Orders, `TOGETHER` asked for at a time, each acknowledged once it is on the disk."""
        return asyncio.run(self._ask(wanted))

    async def _ask(self, commands: list[OpenMix]) -> list[Order]:
        orders: list[Order] = []
        for first in range(0, len(commands), TOGETHER):
            asked = [self._service.open_mix(command, CUSTOMER) for command in commands[first : first + TOGETHER]]
            orders += [view.order for view in await asyncio.gather(*asked)]
        return orders

    def wishes(self, number: int) -> list[OpenMix]:
        """What so many customers ask for: their own work, which is not measured."""
        return [self._wish() for _ in range(number)]

    def _wish(self) -> OpenMix:
        wishes = tuple(Wish(self._address(), amount=self._amount(), delay=HOUR) for _ in range(3))
        return OpenMix("btc", wishes, fixed=True)

    def _amount(self) -> str:
        return f"0.00{self._chance.randrange(100_000, 999_999)}"

    def _address(self) -> str:
        self._next += 1
        form = FORMATS["btc"]
        return form.address(form.own_key("p2wpkh", self._ring.secret("btc", "customers", "lab", self._next)))


def deposits(orders: list[Order]) -> list[Output]:
    """What each order asks for, at its address."""
    form = FORMATS["btc"]
    return [Output(form.key(order.address), order.terms.quote or 0) for order in orders]
