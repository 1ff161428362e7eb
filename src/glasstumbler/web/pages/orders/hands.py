"""The lab's hands on an order: pay it, pay too little, mine, skip an hour, reorganise. Each says what it did."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from glasstumbler.chains.base import LabChain
from glasstumbler.engine import plan
from glasstumbler.engine.order import Order
from glasstumbler.errors import ChainError, GlassTumblerError, Malformed, OutOfBounds
from glasstumbler.house import House
from glasstumbler.web.lab_api import LabApi
from glasstumbler.web.pages.orders import forms, replies
from glasstumbler.web.pages.words import money, ticker

HOUR: Final = 3600
DEPTH_MOST: Final = 6
_DEPTHS: Final = {str(depth): depth for depth in range(1, DEPTH_MOST + 1)}
_REMEMBERED: Final = 512


class Act(NamedTuple):
    """The last thing that was done to an order from its page."""

    text: str
    good: bool


class LastActs:
    """By order, the newest of them: what a page says after the form that it came from."""

    def __init__(self) -> None:
        self._acts: OrderedDict[tuple[str, str], Act] = OrderedDict()

    def note(self, order: Order, act: Act) -> None:
        self._acts[order.service, order.id] = act
        self._acts.move_to_end((order.service, order.id))
        while len(self._acts) > _REMEMBERED:
            self._acts.popitem(last=False)

    def of(self, order: Order) -> Act | None:
        return self._acts.get((order.service, order.id))


class Hands:
    def __init__(self, house: House, lab: LabApi) -> None:
        self._house, self._lab = house, lab

    async def do(self, name: str, order: Order, depth: str) -> Act:
        """Malformed for an act that there is none of; what stands in the way of one is told in the Act."""
        if name not in _ACTS:
            raise Malformed(f"the lab does one of: {', '.join(_ACTS)}", "act")
        try:
            return Act(await _ACTS[name](self, order, depth), True)
        except GlassTumblerError as error:
            return Act(str(error), False)

    async def _pay(self, order: Order, depth: str) -> str:
        return await self._send(order, _missing(order))

    async def _pay_short(self, order: Order, depth: str) -> str:
        return await self._send(order, short_of(order, self._chain(order.coin).format.dust))

    async def _send(self, order: Order, units: int) -> str:
        if units <= 0:
            raise OutOfBounds("nothing is missing any more")
        await self._lab.act(lambda: self._chain(order.coin).pay(order.address, units))
        return f"The lab sent {money(units, order.coin)} to the deposit address."

    async def _mine(self, order: Order, depth: str) -> str:
        said = []
        for coin in dict.fromkeys(coin for coin in (order.coin, order.payout_coin) if coin in self._house.chains):
            chain = self._chain(coin)
            await self._lab.act(lambda chain=chain: chain.mine(1))  # type: ignore[misc]
            said.append(f"{ticker(coin)} is at block {chain.tip()[0]}")
        return f"Mined: {' and '.join(said)}."

    async def _skip(self, order: Order, depth: str) -> str:
        await self._lab.in_thread(self._house.advance, HOUR)
        return "An hour has passed in the laboratory."

    async def _reorganise(self, order: Order, depth: str) -> str:
        if depth not in _DEPTHS:
            raise OutOfBounds(f"a reorganisation goes from 1 to {DEPTH_MOST} blocks deep")
        chain, blocks = self._chain(order.coin), _DEPTHS[depth]

        def hand() -> int:
            if blocks >= chain.tip()[0]:
                raise OutOfBounds("deeper than the chain")
            return chain.reorg(blocks)

        height = await self._lab.act(hand)
        replaced = "The last block was" if blocks == 1 else f"The last {blocks} blocks were"
        return f"{replaced} replaced by empty ones; {ticker(order.coin)} is at block {height}."

    async def _partial(self, order: Order, depth: str) -> str:
        answer = await self._house.services[order.service].handle(forms.partial_request(order.id))
        if answer.status >= 400:
            raise ChainError(f"the service refuses: {replies.code(answer)}")
        await self._lab.in_thread(self._house.turn)
        return "What was paid is accepted; the order is now for what it buys."

    def _chain(self, coin: str) -> LabChain:
        if coin not in self._house.chains:
            raise ChainError(f"no chain of {coin} runs here")
        return self._house.chains[coin]


def _missing(order: Order) -> int:
    return max(plan.needed(order) - order.seen, 0)


def short_of(order: Order, dust: int) -> int:
    """About half of what is missing, and never all of it."""
    missing = _missing(order)
    return missing // 2 if missing // 2 >= dust else max(missing - 1, 0)


_Hand = Callable[[Hands, Order, str], Awaitable[str]]
_ACTS: Final[Mapping[str, _Hand]] = {
    "pay": Hands._pay,
    "short": Hands._pay_short,
    "mine": Hands._mine,
    "hour": Hands._skip,
    "reorg": Hands._reorganise,
    "partial": Hands._partial,
}
