"""The customers: what they asked for, what they were promised, and the coins of their own that they pay with.

What they know comes from replies only, so that a promise can be held against the chains without asking the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from glasstumbler.chains.base import LabChain, Outpoint, Output, Signed, Spend
from glasstumbler.chains.keys import KeyRing
from glasstumbler.engine.commands import Command, OpenMix, OpenSwap, OrderView, Wish
from glasstumbler.engine.order import Order
from glasstumbler.errors import TransactionRefused
from glasstumbler.ground import Chains
from glasstumbler.house import House
from glasstumbler.money import text

T = TypeVar("T")
DAY = 24 * 3_600
_LEAST = {"btc": 1_000_000, "ltc": 6_000_000, "bch": 2_000_000, "eth": 10**17}
"""Of an exact payout of the code mixer."""
_PURSE = {"btc": 4 * 10**8, "ltc": 4 * 10**8, "bch": 4 * 10**8}
"""One coin of a customer's own."""
_COINS = 8


class Promise(NamedTuple):
    """An order that was acknowledged. `amounts`: base units of each payout that was asked for exactly."""

    service: str
    id: str
    coin: str
    address: str
    need: int
    targets: tuple[str, ...]
    amounts: tuple[int | None, ...]


class Request(NamedTuple):
    service: str
    command: Command
    targets: tuple[str, ...]
    amounts: tuple[int | None, ...]


class Paid(NamedTuple):
    """A deposit from a customer's own coin, which can be taken back for as long as no block has it."""

    coin: str
    purse: int
    rate: int
    outputs: tuple[Output, ...]
    txid: str


class People:
    def __init__(self, chains: Chains) -> None:
        self._chains = chains
        self.promises: list[Promise] = []
        self.codes: list[str] = [""]
        self.paid: list[Paid] = []
        self._purses = {coin: _Purse(chain) for coin, chain in chains.onchain.items() if coin in _PURSE}

    # -- asking ---------------------------------------------------------------------------------------------------

    def write(self, drawn: Sequence[Any]) -> Request:
        """A request as it was drawn, with addresses of the customer's own."""
        kind, *rest = drawn
        made: Request = getattr(self, f"_{kind}")(*rest)
        return made

    def _bearer(self, slug: str, amounts: list[int] | int, hours: int, ref: str | None) -> Request:
        exact = isinstance(amounts, list)
        wanted: list[int | None] = [*amounts] if isinstance(amounts, list) else [None] * amounts
        wishes = [
            Wish(self._address("btc"), amount=None if units is None else text(units, "btc"), delay=hours * 3_600)
            for units in wanted
        ]
        command = OpenMix("btc", tuple(wishes), fixed=exact, ref=ref, equal_split=not exact)
        return _request(slug, command, wishes, wanted)

    def _codes(self, coin: str, shares: Sequence[int], fixed: bool, minutes: int, code: int) -> Request:
        wanted: list[int | None] = [_LEAST[coin] if fixed else None for _ in shares]
        wishes = [
            Wish(
                self._address(coin),
                share=None if fixed else share,
                amount=text(_LEAST[coin], coin) if fixed else None,
                delay=minutes * 60 * (number + 1),
            )
            for number, share in enumerate(shares)
        ]
        name = self.codes[code % len(self.codes)] or None
        return _request("bestmixer", OpenMix(coin, tuple(wishes), fixed, 45_000, name), wishes, wanted)

    def _swap(self, sat: int) -> Request:
        address = self._address("btc")
        return Request("xmrto", OpenSwap(text(sat, "btc"), address=address), (address,), (sat,))

    def _lightning(self, sat: int) -> Request:
        assert self._chains.lightning is not None
        invoice = self._chains.lightning.invoice(sat * 1000, 365 * DAY)
        return Request("xmrto", OpenSwap(invoice=invoice), (invoice,), (sat * 1000,))

    def _address(self, coin: str) -> str:
        return self._chains.onchain[coin].fresh_address()

    async def ask(self, house: House, requests: Sequence[Request]) -> list[BaseException]:
        """All at once; what was refused or failed. Whatever is acknowledged is a promise from then on."""

        async def one(request: Request) -> None:
            view = await house.services[request.service].answer(request.command, "somebody")
            assert isinstance(view, OrderView)
            self._note(view.order, request)

        return await gathered([one(request) for request in requests])

    def _note(self, order: Order, request: Request) -> None:
        need = order.terms.quote if order.terms.quote is not None else order.terms.minimum
        self.promises.append(
            Promise(order.service, order.id, order.coin, order.address, need, request.targets, request.amounts)
        )
        if order.code and order.code not in self.codes:
            self.codes.append(order.code)

    # -- paying ---------------------------------------------------------------------------------------------------

    def pay(self, promise: Promise, amount: int, own: bool) -> str:
        """From the faucet, or from a coin of the customer's own. The txid."""
        chain = self._chains.onchain[promise.coin]
        if not own or promise.coin not in self._purses:
            return chain.pay(promise.address, amount)
        purse = self._purses[promise.coin]
        number = len(self.paid) % _COINS
        outputs = (Output(chain.format.key(promise.address), amount),)
        return self._send(Paid(promise.coin, number, 5, outputs, ""), purse)

    def replace(self, last: Paid, outputs: Sequence[Output]) -> str:
        """The same coin again, with a higher fee."""
        again = last._replace(rate=last.rate * 2 + 3, outputs=tuple(outputs))
        return self._send(again, self._purses[last.coin])

    def elsewhere(self, last: Paid) -> list[Output]:
        """To the customer's own other address: the deposit is taken back."""
        chain = self._chains.onchain[last.coin]
        return [Output(chain.format.key(chain.fresh_address()), output.amount) for output in last.outputs]

    def _send(self, paid: Paid, purse: _Purse) -> str:
        """TransactionRefused if the coin is spent for good."""
        signed = purse.sign(paid.purse, paid.outputs, paid.rate)
        self.paid.append(paid._replace(txid=signed.txid))
        return self._chains.onchain[paid.coin].broadcast(signed.raw)


class _Purse:
    """Some coins of a customer's on one chain. Each is spent in one way or another, never two of them together."""

    def __init__(self, chain: LabChain) -> None:
        self._form = chain.format
        self._secret = KeyRing(b"a customer's seed").secret(chain.coin, "lab", "lab", 0)
        self._key = self._form.own_key("p2pkh", self._secret)
        txid = chain.pay_many([Output(self._key, _PURSE[chain.coin])] * _COINS)
        self._spends = [
            Spend(Outpoint(txid, vout), _PURSE[chain.coin], "p2pkh", self._secret) for vout in range(_COINS)
        ]

    def sign(self, number: int, outputs: Sequence[Output], rate: int) -> Signed:
        spend = self._spends[number]
        fee = self._form.fee(["p2pkh"], [*(output.key for output in outputs), self._key], rate)
        change = spend.amount - sum(output.amount for output in outputs) - fee
        if change < self._form.dust:
            raise TransactionRefused("funds", "the coin is too small")
        return self._form.sign([spend], [*outputs, Output(self._key, change)])


def _request(service: str, command: Command, wishes: Sequence[Wish], wanted: Sequence[int | None]) -> Request:
    return Request(service, command, tuple(wish.address for wish in wishes), tuple(wanted))


class _Here(ThreadPoolExecutor):
    """What a service hands to another thread is done in this one: only the thread that has its turn may move."""

    def submit(self, call: Callable[..., T], /, *args: Any, **named: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(call(*args, **named))
        except BaseException as error:
            done.set_exception(error)
        return done


async def gathered(tasks: Sequence[Coroutine[Any, Any, None]]) -> list[BaseException]:
    """What went wrong in tasks that run at once; every one of them is waited for."""
    asyncio.get_running_loop().set_default_executor(_Here())
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
