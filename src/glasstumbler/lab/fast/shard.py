"""One service's part of a fast simulation: the same house, driver and engine as everywhere, with this service only.

Services share nothing but the clock and the blocks, so each can run by itself. What it needs of the others is known
beforehand: when all orders come (population.py), and where a customer was to be paid first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import numpy as np

from glasstumbler import services
from glasstumbler.chains.base import LabChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.lightning import LightningNetwork
from glasstumbler.clock import VirtualClock
from glasstumbler.engine import commands as ask
from glasstumbler.errors import RecordError
from glasstumbler.ground import Chains, Lightning
from glasstumbler.house import House
from glasstumbler.lab.door import Direct, Opened
from glasstumbler.lab.driver import TICK, Driver, State
from glasstumbler.lab.fast import left
from glasstumbler.lab.fast import people as places
from glasstumbler.lab.fast.chain import UnsignedChain, UnsignedWallet, key_of
from glasstumbler.lab.population import Ints, Population, population
from glasstumbler.lab.scenario import Scenario, Services
from glasstumbler.lab.simulate import chance_of, stretch_end, tables_of, vault_of
from glasstumbler.store.memory import MemoryStore
from glasstumbler.store.memory_records import KeepEntry, MemoryRecords
from glasstumbler.store.records import Records

BEFORE: Final = 3
"""Height of the last block before the driver's first: services and people have their first coins by then."""
_SLUGS: Final = Services.__struct_fields__
Tell = Callable[[int], None]
"""Hears how many orders were placed so far."""


class Stepped(Direct):
    """Nothing waits in memory, so an answer is there when it is asked for, without an event loop. Only the way through
    the Lightning network is looked for in a thread."""

    def _ask(self, service: str, command: ask.Command) -> Any:
        if isinstance(command, ask.OpenSwap) and command.invoice is not None:
            return super()._ask(service, command)
        answer = self._house.services[service].answer(command, self._accounts[service])
        try:
            answer.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("an answer waited")


class Shard(Driver):
    """`mine`: numbers, among all orders, of those of this service."""

    def __init__(self, house: House, scenario: Scenario, people: Population, mine: Ints, seed: int) -> None:
        own = Population(**{name: getattr(people, name)[mine] for name in Population._fields})
        super().__init__(house, Stepped(house), scenario, own, {}, State())
        self._all, self._which, self._seed, self._stretch = people, mine, seed, 0
        self.opened = [-1]
        """By number of an order in this house, from 1: its number among all."""
        self._stretch_end = stretch_end(0, 0)
        self._coin_of = places.payout_coins(own)
        self._payloads, self._homes = self._payout_payloads(mine), self._home_payloads(places.homes(people)[mine])

    def run(self, tell: Tell) -> None:
        """Until everything is done and in a block."""
        while not self.done() or any(chain.mempool() for chain in self.house.chains.values()):
            self.block()
            self._follow_stretches()
            tell(self.state.placed)

    def _plan_deposits(self, number: int, slug: str, coin: str, opened: Opened, amount: int) -> None:
        self.opened.append(int(self._which[number]))
        super()._plan_deposits(number, slug, coin, opened, amount)

    def _follow_stretches(self) -> None:
        """A signed run begins a new stretch here, with randomness of its own."""
        until = self.state.blocks * self._scenario.block_seconds // TICK * TICK
        placed = int(np.searchsorted(self._all.when, until, "right"))
        if placed >= self._stretch_end[0] or self.state.blocks >= self._stretch_end[1]:
            self._stretch += 1
            self._stretch_end = stretch_end(placed, self.state.blocks)
            self.house.reseed(chance_of(self._seed, self._stretch))

    def _addresses(self, number: int, coin: str, count: int) -> tuple[str, ...]:
        form = self.house.chains[coin].format
        kind = form.kinds[int(self._people.customer[number]) % len(form.kinds)]
        payloads = [self._payloads[number, place].tobytes() for place in range(count)]
        if self._people.reuse[number]:
            payloads[0] = self._homes[number].tobytes()
        return tuple([form.address(key_of(kind, payload)) for payload in payloads])

    def _payout_payloads(self, mine: Ints) -> places.Payloads:
        """(orders, PAYOUTS, bytes)"""
        numbers = mine[:, None] * places.PAYOUTS + np.arange(places.PAYOUTS)[None, :]
        return self._by_coin(numbers).reshape(len(mine), places.PAYOUTS, 8 * places.WORDS)

    def _home_payloads(self, numbers: Ints) -> places.Payloads:
        return self._by_coin(numbers[:, None])

    def _by_coin(self, numbers: Ints) -> places.Payloads:
        """Payloads of rows of numbers, each row's in the coin of its order's payouts."""
        found = np.zeros((numbers.size, 8 * places.WORDS), np.uint8)
        each = np.repeat(self._coin_of, numbers.shape[1])
        for index, coin in enumerate(places.COINS):
            here = each == index
            found[here] = places.payloads(numbers.ravel()[here], coin, self._seed)
        return found


@contextmanager
def opened(slug: str, scenario: Scenario, seed: int, keep: KeepEntry | None = None) -> Iterator[House]:
    """A house with this service alone, on unsigned chains, begun and in the block before the driver's first."""
    clock, vault = VirtualClock(), vault_of(seed)
    ring, offered = KeyRing(vault.derive("lab seed")), services.SERVICES[slug].policy.coins
    chains: dict[str, LabChain] = {c: UnsignedChain(c, slug, clock) for c in scenario.chains if c in offered}
    lightning: Lightning | None = None
    if "lightning" in scenario.chains and "msat" in offered:
        chance = random.Random(vault.derive("lightning graph"))  # noqa: S311
        lightning = LightningNetwork(ring, clock, chance, [slug])
    tables = tables_of(scenario)
    tables[slug] = {**tables.get(slug, {}), "letters": False}
    house = House(
        None, vault, clock, chance_of(seed, 0), tables, MemoryStore(keep), Chains(chains, lightning),
        only=(slug,), wallet=UnsignedWallet,
    )  # fmt: skip
    with closing(house):
        house.start()
        for chain in house.chains.values():
            chain.mine(BEFORE - chain.tip()[0])
        house.turn()
        yield house


def drive(
    slug: str, scenario: Scenario, orders: int, seed: int, house: House, tell: Tell = lambda placed: None
) -> Shard:
    """The service's orders, from the first to the last payout."""
    people = population(scenario, orders, seed)
    mine = np.flatnonzero(people.service == _SLUGS.index(slug))
    shard = Shard(house, scenario, people, mine, seed)
    if len(mine):
        shard.run(tell)
    return shard


def leave(shard: Shard, slug: str) -> left.Left:
    """What the rest of the simulation has to know of it."""
    house, opened = shard.house, np.array(shard.opened, np.int64)
    with house.store.snapshot() as records:
        docs = left.documents(records, house.chains)
        _check_ledger(slug, records, docs)
        made = {coin: left.side(docs[coin], coin, chain.format, opened) for coin, chain in house.chains.items()}
        numbers = {coin: each for coin, (_, each) in made.items()}
        tables = left.tables(records, docs, numbers, opened)
        count, head = records.head()
        tags = {
            order.coin: (int(opened[order.number]), numbers[order.coin].key["deposit", order.number])
            for order in reversed(list(records.all_orders()))
            if order.credited
        }
    told = left.Told(slug, shard.state.blocks, shard.state.refused, count, head.hex(), tags)
    return left.Left(told, {coin: each for coin, (each, _) in made.items()}, tables)


def _check_ledger(slug: str, records: Records, docs: Mapping[str, left.Documents]) -> None:
    """RecordError unless the ledger's account `coins` is the sum of the wallet's unspent coins."""
    assert isinstance(records, MemoryRecords)
    for coin, found in docs.items():
        held = sum(each.amount for each in found.coins if each.booked and each.spent_by is None)
        if held != records.booked[coin]:
            raise RecordError(None, f"{slug} has {held} {coin} in coins; its ledger says {records.booked[coin]}")
