"""Drives one laboratory through a stretch of a scenario on its virtual clock: orders, deposits, blocks, time.

Between two blocks the driver stops at every minute in which somebody does something. All that it knows of the run so
far is its `State`, which is small and can be kept; the rest is the scenario, the seed, and what the laboratory keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final

import msgspec

from glasstumbler.engine.order import State as OrderState
from glasstumbler.errors import NoFunds, Rejection, SettingsError, Unavailable
from glasstumbler.house import House
from glasstumbler.lab.background import Signing
from glasstumbler.lab.door import Door, Mix, Opened, Swap
from glasstumbler.lab.population import WHOLE, Funding, Population
from glasstumbler.lab.scenario import Coins, Scenario, Services
from glasstumbler.store.records import Records

TICK: Final = 60
_SLUGS: Final = Services.__struct_fields__
_COINS: Final = Coins.__struct_fields__
_SWAP, _CODES, _EQUAL = "xmrto", "bestmixer", ("coinjoin", "whir")
_HOUR: Final = 3600
_LIGHTNING_EXPIRY: Final = 30 * 24 * _HOUR
_PATIENCE: Final = 7 * 24 * _HOUR
_BUSY = (OrderState.CONFIRMING, OrderState.WAITING, OrderState.PAYING)
_ROUND: Final = {"eth": 10**10, "xmr": 10**4}
"""Base units that customers round amounts to; one elsewhere."""


class Due(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Something that a customer will do. `serial` tells apart what is due together."""

    when: int
    serial: int
    what: str
    """pay or partial."""
    order: int
    name: str
    """Of the order, as its service knows it."""
    address: str
    coin: str
    amount: int


class State(msgspec.Struct):
    """Of a run, between two blocks."""

    elapsed: int = 0
    """Seconds from the beginning."""
    placed: int = 0
    """Orders that were."""
    blocks: int = 0
    serial: int = 0
    due: list[Due] = []
    codes: dict[str, str] = {}
    """Of each customer."""
    homes: dict[str, str] = {}
    """Where each customer was paid first, by customer and coin."""
    quiet: int | None = None
    """When the last customer had done the last thing."""
    refused: int = 0
    """Orders that a service could not take."""
    unpaid: int = 0
    """Deposits for which nobody had coins."""


class Driver:
    def __init__(
        self,
        house: House,
        door: Door,
        scenario: Scenario,
        people: Population,
        economies: Mapping[str, Signing],
        state: State,
    ) -> None:
        """`economies` by coin; where there is none the faucet pays."""
        self.house, self.state, self._door = house, state, door
        self._scenario, self._people, self._economies = scenario, people, economies
        self._zero = house.clock.now() - state.elapsed

    def block(self) -> None:
        """All that happens until the next block, and the block."""
        goal = (self.state.blocks + 1) * self._scenario.block_seconds
        while (minute := self._next_minute()) <= goal:
            self._pass(minute)
            self._act(minute)
        self._pass(goal)
        self._mine(goal)

    def done(self) -> bool:
        """Everybody has done what they will, and what is funded is paid and mined; or that takes too long: a service
        that has no coins left keeps its orders waiting."""
        if self.state.placed < len(self._people) or self.state.due:
            return False
        if self.state.quiet is None:
            self.state.quiet = self.state.elapsed
        if self.state.elapsed - self.state.quiet > _PATIENCE:
            return True
        if any(chain.mempool() for chain in self.house.chains.values()):
            return False
        return not self.house.store.read(_busy)

    # -- time -----------------------------------------------------------------------------------------------------

    def _next_minute(self) -> int:
        times = [self.state.due[0].when] if self.state.due else []
        if self.state.placed < len(self._people):
            times.append(int(self._people.when[self.state.placed]))
        when = min(times, default=1 << 62)
        return max(-(-when // TICK) * TICK, self.state.elapsed)

    def _pass(self, until: int) -> None:
        if until > self.state.elapsed:
            self.house.advance(until - self.state.elapsed)
            self.state.elapsed = until

    def _act(self, minute: int) -> None:
        while self.state.placed < len(self._people) and self._people.when[self.state.placed] <= minute:
            self._place(self.state.placed)
            self.state.placed += 1
        while self.state.due and self.state.due[0].when <= minute:
            self._do(heappop(self.state.due))
        self.house.turn()

    def _mine(self, elapsed: int) -> None:
        number = self.state.blocks = self.state.blocks + 1
        for coin, economy in self._economies.items():
            economy.step(number, elapsed)
            if self._reorganises(number):
                self.house.chains[coin].reorg(self._scenario.reorgs.depth)
        for coin, chain in self.house.chains.items():
            chain.mine(1)
            if coin in self._economies:
                self._economies[coin].mined()
        self.house.turn()

    def _reorganises(self, block: int) -> bool:
        reorgs = self._scenario.reorgs
        return bool(reorgs.every_blocks) and block % reorgs.every_blocks == 0 and block > reorgs.depth

    # -- orders ---------------------------------------------------------------------------------------------------

    def _place(self, number: int) -> None:
        slug = _SLUGS[self._people.service[number]]
        try:
            opened = self._swap(number) if slug == _SWAP else self._mix(number, slug)
        except Unavailable:
            self.state.refused += 1
            return
        except Rejection as error:
            raise SettingsError(f"{slug} refuses order {number} of this scenario: {error}") from None
        coin = "xmr" if slug == _SWAP else self._coin(number, slug)
        if opened.code is not None:
            self.state.codes[self._customer(number)] = opened.code
        amount = int(self._people.amount[number]) if opened.quote is None else opened.quote
        self._plan_deposits(number, slug, coin, opened, amount)

    def _mix(self, number: int, slug: str) -> Opened:
        people = self._people
        count, coin = int(people.payouts[number]), self._coin(number, slug)
        exact = bool(people.exact[number]) or slug not in (_CODES, *_EQUAL)
        shares = [int(share) for share in people.shares[number, :count]]
        step, whole = _ROUND.get(coin, 1), int(people.amount[number])
        hours = int(people.delay_hours[number])
        own = slug == _CODES  # each of its payouts has a delay of its own
        return self._door.mix(
            Mix(
                slug,
                coin,
                self._addresses(number, coin, count),
                tuple(whole * share // WHOLE // step * step for share in shares) if exact else (),
                tuple(shares) if own and not exact else (),
                tuple(hours * _HOUR * (n + 1) // count // TICK * TICK if own else hours * _HOUR for n in range(count)),
                int(people.fee_ppm[number]) if own else None,
                self.state.codes.get(self._customer(number)) if own and people.code[number] else None,
            )
        )

    def _swap(self, number: int) -> Opened:
        sat = int(self._people.amount[number])
        if not self._people.lightning[number]:
            (address,) = self._addresses(number, "btc", 1)
            return self._door.swap(Swap(_SWAP, sat, address, None))
        assert self.house.lightning is not None  # the scenario was checked
        invoice = self.house.lightning.invoice(sat * 1000, _LIGHTNING_EXPIRY)
        return self._door.swap(Swap(_SWAP, sat, None, invoice))

    def _coin(self, number: int, slug: str) -> str:
        return _COINS[self._people.coin[number]] if slug == _CODES else "btc"

    def _customer(self, number: int) -> str:
        return str(int(self._people.customer[number]))

    def _addresses(self, number: int, coin: str, count: int) -> tuple[str, ...]:
        economy, owner = self._economies.get(coin), int(self._people.customer[number])
        fresh = [
            economy.fresh_address(owner) if economy else self.house.chains[coin].fresh_address() for _ in range(count)
        ]
        home = self.state.homes.setdefault(f"{owner}:{coin}", fresh[0])
        if self._people.reuse[number]:
            fresh[0] = home
        return tuple(fresh)

    # -- deposits -------------------------------------------------------------------------------------------------

    def _plan_deposits(self, number: int, slug: str, coin: str, opened: Opened, amount: int) -> None:
        people = self._people
        funding, wait = Funding(people.funding[number]), int(people.wait[number])
        amount = -(-amount * int(people.part[number]) // WHOLE)
        when = self.state.elapsed + wait
        if funding is Funding.LATE:
            when += self.house.policies[slug].expiry
        pieces = int(people.pieces[number]) if funding is Funding.SEVERAL else 1
        for piece in range(pieces):
            part = amount // pieces + (amount % pieces if piece == pieces - 1 else 0)
            # All before the wait is over, so that a short-lived order is not late.
            self._plan("pay", number, opened, coin, part, when - wait * (pieces - 1 - piece) // (2 * pieces))
        if funding is Funding.SHORT and slug == _SWAP and people.partial[number] and not people.lightning[number]:
            self._plan("partial", number, opened, coin, 0, when + TICK)

    def _plan(self, what: str, number: int, opened: Opened, coin: str, amount: int, when: int) -> None:
        self.state.serial += 1
        due = Due(when, self.state.serial, what, number, opened.id, opened.address, coin, amount)
        heappush(self.state.due, due)

    def _do(self, due: Due) -> None:
        if due.what == "partial":
            self.house.turn()
            try:
                self._door.accept_partial(_SWAP, due.name)
            except Rejection:
                self.state.refused += 1  # it has expired, or nothing came
            return
        economy = self._economies.get(due.coin)
        if economy is not None:
            owner = int(self._people.customer[due.order])
            if economy.pay(owner, due.address, due.amount, self.state.blocks, due.serial) is not None:
                return
        try:
            self.house.chains[due.coin].pay(due.address, due.amount)
        except NoFunds:
            self.state.unpaid += 1


def _busy(records: Records) -> bool:
    return any(state in _BUSY for (_, state), number in records.order_states().items() if number)
