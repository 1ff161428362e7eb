"""Requests -> orders: one service as its clients meet it.

A request is read by the dialect, checked (key, maintenance, rate limit), done, and written by the dialect; every
error leaves in the dialect's own shape.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import msgspec

from glasstumbler import log, payment_url
from glasstumbler import swap as swaps
from glasstumbler.behaviour import Behaviours
from glasstumbler.chains.base import Chain
from glasstumbler.clock import Clock
from glasstumbler.dialects.base import Dialect, Request, Response, Result
from glasstumbler.engine import commands as ask
from glasstumbler.engine import desk, plan
from glasstumbler.engine.ledger import Entry
from glasstumbler.engine.order import Order, OutputState, State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.engine.policy import SwapPolicy
from glasstumbler.errors import (
    BadAddress,
    GlassTumblerError,
    KeyBlocked,
    KeyMissing,
    Maintenance,
    Malformed,
    NoRoute,
    NotATestNetwork,
    OutOfFunds,
    Unavailable,
    UnknownOrder,
    WrongState,
)
from glasstumbler.limits import Limiter
from glasstumbler.metrics import Metrics
from glasstumbler.money import text
from glasstumbler.opening import Opener
from glasstumbler.recent import Recent, Wrong, wrong_of
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records
from glasstumbler.vault import Vault, key_row

UNREAD = "-"
"""In place of an endpoint's name, for a request that was not read as one."""
_ON_ITS_WAY = frozenset((PaymentState.SENT, PaymentState.MINED, PaymentState.SETTLED))


class Lightning(Protocol):
    """The Lightning network as a payer sees it."""

    def check_route(self, invoice: str, payer: str) -> ask.Route:
        """Routes and their chance of success; InvoiceUsed if the invoice was paid before."""
        ...


class Rates(Protocol):
    def rate(self, swap: SwapPolicy) -> int:
        """Sat for 1 XMR, now."""
        ...


class Surroundings(NamedTuple):
    """What all services share."""

    store: Store
    chains: Mapping[str, Chain]
    lightning: Lightning | None
    rates: Rates
    clock: Clock
    vault: Vault
    behaviours: Behaviours
    metrics: Metrics
    recent: Recent


class Refusal(NamedTuple):
    """An error, and how the service writes it."""

    error: GlassTumblerError
    response: Response


class _Dearest(random.Random):
    """Draws the most that it may: a rehearsal tells the most that an order can cost, and uses up no chance."""

    def randint(self, a: int, b: int) -> int:
        return b


class Service:
    def __init__(self, opener: Opener, dialect: Dialect, around: Surroundings, limited: bool = True) -> None:
        self.slug, self.policy, self.dialect = opener.service, opener.policy, dialect
        self._opener, self._around = opener, around
        self._store, self._chains, self._clock = around.store, around.chains, around.clock
        self._limiter = Limiter(dialect.limits if limited else {}, around.clock)

    @property
    def keyed(self) -> bool:
        """Whether its clients need a key."""
        return any(endpoint.private for endpoint in self.dialect.endpoints.values())

    async def handle(self, request: Request) -> Response:
        started = perf_counter()
        endpoint, response, wrong = await self._handle(request)
        seconds = perf_counter() - started
        self._around.metrics.request(self.slug, endpoint, response.status, seconds)
        self._around.recent.note(self.slug, endpoint, request, response, wrong, started, seconds)
        return response

    def refuse(self, error: GlassTumblerError, request: Request) -> Response:
        """What stands in the way of the request before it is read."""
        response = self.dialect.refuse(error, request)
        self._around.metrics.request(self.slug, UNREAD, response.status, 0)
        self._around.recent.note(self.slug, UNREAD, request, response, wrong_of(error), perf_counter(), 0)
        return response

    async def _handle(self, request: Request) -> tuple[str, Response, Wrong | None]:
        """The endpoint's name, the answer, and what was wrong."""
        endpoint = UNREAD
        try:
            self._around.behaviours.answer(self.slug)
            call = self.dialect.read(request)
            if isinstance(call, Response):
                return endpoint, call, None
            endpoint = call.endpoint
            account = await self._admit(call)
            self._limiter.take(call.limit, request.peer)
            result = await self.answer(call.command, account.id if account else "")
            return endpoint, self.dialect.write(call, result, account), None
        except GlassTumblerError as error:
            return endpoint, self.dialect.refuse(error, request), wrong_of(error)
        except Exception:
            self._around.metrics.error(self.slug)
            log.exception("unexpected", service=self.slug, method=request.method, path=request.path)
            fault = GlassTumblerError("internal error")
            return endpoint, self.dialect.refuse(fault, request), wrong_of(fault)

    async def rehearse(self, request: Request) -> desk.Draft | Refusal:
        """What a request to open an order would come to, without opening it: the draft, or the refusal that the
        request itself would meet. The documented rate limits do not count it."""
        try:
            call = self.dialect.read(request)
            if isinstance(call, Response) or type(call.command) not in _PLANNERS:
                raise Malformed("this request opens no order")
            await self._admit(call)
            return await _PLANNERS[type(call.command)](self, call.command, _Dearest())
        except GlassTumblerError as error:
            return Refusal(error, self.dialect.refuse(error, request))

    async def tell(self, request: Request) -> Response:
        """The answer to a request that only asks, for the laboratory's own pages: the documented rate limits do not
        count it, and an answer that the lab asked for is kept for a client."""
        try:
            call = self.dialect.read(request)
            if isinstance(call, Response):
                return call
            if type(call.command) not in _QUESTIONS:
                raise Malformed("this request changes something")
            account = await self._admit(call)
            return self.dialect.write(call, await self.answer(call.command, account.id if account else ""), account)
        except GlassTumblerError as error:
            return self.dialect.refuse(error, request)

    async def answer(self, command: ask.Command, account: str) -> Result:
        """Do what is asked, without any wire format."""
        result: Result = await _HANDLERS[type(command)](self, command, account)
        return result

    # -- who asks -------------------------------------------------------------------------------------------------

    async def _admit(self, call: ask.Call) -> ask.Account | None:
        """Whose request it is; Maintenance, KeyMissing or KeyBlocked if it is not taken."""
        closed = self._around.behaviours.of(self.slug).maintenance
        if closed and not self.dialect.endpoints[call.endpoint].in_maintenance:
            raise Maintenance("the service is under maintenance")
        if not call.private:
            return None
        if not call.key:
            raise KeyMissing("the API key is missing")
        wanted = key_row(self.slug, call.key, 0)
        row = await self._store.read_soon(lambda records: records.key(self.slug, wanted.key_hash))
        if row is None:
            raise KeyMissing("the API key is not known")
        if row.blocked:
            raise KeyBlocked("the account is blocked")
        return self._around.vault.account(row)

    # -- orders ---------------------------------------------------------------------------------------------------

    async def open_mix(self, command: ask.OpenMix, account: str) -> ask.OrderView:
        return await self._open(await self._plan_mix(command, self._opener.chance), account)

    async def _plan_mix(self, command: ask.OpenMix, chance: random.Random) -> desk.Draft:
        if not self.policy.coins:
            raise Unavailable("none of this service's coins runs here ([lab] chains)")
        chain = self._chains.get(command.coin)
        key_of = chain.format.key if chain is not None else _no_chain
        least = (await self._least_fees(command.code)).get(command.coin, 0) if self.policy.choose_fee else 0
        dust = chain.format.dust if chain is not None else 0
        return desk.plan_mix(command, self.policy, key_of, least, dust, chance)

    async def open_swap(self, command: ask.OpenSwap, account: str) -> ask.OrderView:
        return await self._open(await self._plan_swap(command, self._opener.chance), account)

    async def _plan_swap(self, command: ask.OpenSwap, chance: random.Random) -> desk.Draft:
        if missing := {"btc", "xmr"} - self._chains.keys():
            raise Unavailable(f"the swap needs {' and '.join(sorted(missing))}, not run here ([lab] chains)")
        rate = self._rate()
        if command.invoice is not None:
            return await self._plan_lightning(command.invoice, rate)
        form = self._chains["btc"].format
        if command.payment_url is not None:
            url, address, sat = payment_url.resolve(command.payment_url, form, self._clock.now())
            command = msgspec.structs.replace(command, address=address, amount=text(sat, "btc"), payment_url=url)
        draft = swaps.plan_on_chain(command, self._swap, rate, form)
        await self._check_funds(draft.swap.amount if draft.swap else 0)
        return draft

    async def _plan_lightning(self, given: str, rate: int) -> desk.Draft:
        invoice = swaps.read_invoice(given, self._clock.now())
        draft = swaps.plan_lightning(invoice, given, self._swap, rate)
        route = await self._route(given)
        if route.routes == 0 or route.probability * 1_000_000 < self._swap.min_probability_ppm:
            raise NoRoute("the payment is unlikely to succeed", "ln_invoice")
        await self._store.read_soon(partial(self._opener.check_invoice, invoice.payment_hash))
        return draft

    async def _open(self, draft: desk.Draft, account: str) -> ask.OrderView:
        now = self._clock.now()
        order = await self._store.write_soon(partial(self._opener.open, draft, account, now))
        return ask.OrderView(order, now)

    async def _check_funds(self, sat: int) -> None:
        """The swap pays from its own coins: more than they are cannot be promised."""
        most = self.policy.max_inputs
        ready = await self._store.read_soon(lambda records: records.ready_coins(self.slug, "btc", most))
        if sum(coin.amount for coin in ready) <= sat:
            raise OutOfFunds("the service has not enough coins for this order")

    async def find_order(self, command: ask.FindOrder, account: str) -> ask.OrderView:
        return await self._store.read_soon(lambda records: self.view(records, self._mine(records, command.id, account)))

    def _mine(self, records: Records, name: str, account: str) -> Order:
        order = records.order(self.slug, name)
        if order is None or order.account != account:
            raise UnknownOrder("no such order")
        return order

    async def list_orders(self, command: ask.ListOrders, account: str) -> ask.Page:
        def read(records: Records) -> ask.Page:
            orders = records.orders_of(self.slug, account, command.limit, command.offset)
            views = tuple(self.view(records, order) for order in orders)
            return ask.Page(views, records.count_orders(self.slug, account), command.limit, command.offset)

        return await self._store.read_soon(read)

    async def accept_partial(self, command: ask.AcceptPartial, account: str) -> ask.OrderView:
        now = self._clock.now()

        def unit(records: Records) -> ask.OrderView:
            order = self._mine(records, command.id, account)
            self._check_partial(order)
            desk.accept_partial(order, now, self.policy.fee_rule)
            records.save_order(order)
            records.append(Entry("partial accepted", now, self.slug, order.number))
            return self.view(records, order)

        return await self._store.write_soon(unit)

    def _check_partial(self, order: Order) -> None:
        swap = order.swap
        if swap is None or order.state is not State.UNDERPAID or swap.invoice is not None:
            raise WrongState("only an underpaid order on chain takes a partial payment", "uuid")
        least = self._chains["btc"].format.dust
        if plan.partial(order, plan.sat_per_xmr(swap.price)) < least:
            raise WrongState("what was paid buys less than can be sent", "uuid")

    def view(self, records: Records, order: Order) -> ask.OrderView:
        """An order with what its chains said of it as far as the record has followed them."""
        now = self._clock.now()
        numbers = {output.payment for output in order.outputs if output.payment is not None}
        payments = records.payments(numbers) if numbers else {}
        sent = tuple(self._sent(records, order, payments))
        return ask.OrderView(order, now, sent, self._confirmations(records, order))

    def _sent(self, records: Records, order: Order, payments: Mapping[int, Payment]) -> list[ask.Sent]:
        found: list[ask.Sent] = []
        for index, output in enumerate(order.outputs):
            payment = payments.get(output.payment or 0)
            if payment is None or payment.state not in _ON_ITS_WAY:
                continue
            if output.state is OutputState.CLAIMED:
                output.state = OutputState.SENT
            lightning = payment.coin not in self._chains
            depth = 0 if payment.height is None else _height(records, payment.coin) - payment.height + 1
            amount = output.amount or 0
            found.append(ask.Sent(index, amount, payment.txid, depth, lightning, payment.preimage))
        return found

    def _confirmations(self, records: Records, order: Order) -> int:
        if not order.seen or order.seen < plan.needed(order):
            return -1
        live = [d for d in records.deposits_of(order.number) if d.state is not desk.DepositState.GONE]
        tip = _height(records, order.coin)
        return min((0 if d.height is None else tip - d.height + 1 for d in live), default=-1)

    # -- questions ------------------------------------------------------------------------------------------------

    @property
    def _swap(self) -> SwapPolicy:
        if self.policy.swap is None:
            raise Malformed("this service swaps nothing")
        return self.policy.swap

    def _rate(self) -> int:
        return self._around.rates.rate(self._swap)

    async def _route(self, invoice: str) -> ask.Route:
        if self._around.lightning is None:
            raise NoRoute("there is no Lightning network here", "ln_invoice")
        # In a thread: another process may hold the network, and that process may have just died.
        return await asyncio.to_thread(self._around.lightning.check_route, invoice, self.slug)

    async def _least_fees(self, code: str | None) -> dict[str, int]:
        """The lowest service fee in each coin, ppm; a code's volume takes its discount off."""
        volume: dict[str, int] = {}
        if code is not None:
            known = await self._store.read_soon(lambda records: records.code(self.slug, code))
            if known is None:
                raise Malformed("no such code", "bm_code")
            volume = known.volume
        return {
            coin: plan.least_fee(policy, volume.get(coin, 0), coin, self.policy.code_tiers)
            for coin, policy in self.policy.coins.items()
        }

    async def check_price(self, command: ask.CheckPrice, account: str) -> ask.Price:
        rate, swap = self._rate(), self._swap
        sat, piconero = swaps.quote(command.amount, command.currency, command.amount_field, swap, rate)
        swaps.check_bounds(sat, swap.lower, swap.upper, command.amount_field)
        return ask.Price(sat, piconero, text(rate, "btc"), plan.confirmations_for(sat, swap))

    async def check_route(self, command: ask.CheckRoute, account: str) -> ask.Route:
        swaps.read_invoice(command.invoice, self._clock.now())
        return await self._route(command.invoice)

    async def parameters(self, command: ask.AskParameters, account: str) -> ask.Parameters:
        swap = self._swap
        return ask.Parameters(
            price=text(self._rate(), "btc"),
            lower=swap.lower,
            upper=swap.upper,
            zero_conf=swap.zero_conf,
            zero_conf_max=swap.zero_conf_max,
            ln_lower=swap.ln_lower,
            ln_upper=swap.ln_upper,
        )

    async def status(self, command: ask.AskStatus, account: str) -> ask.Now:
        return ask.Now(self._clock.now())

    async def check_address(self, command: ask.CheckAddress, account: str) -> bool:
        try:
            self._chains[command.coin].format.key(command.address)
        except (BadAddress, NotATestNetwork):
            return False
        return True

    async def code_info(self, command: ask.AskCode, account: str) -> ask.Fees:
        return ask.Fees(await self._least_fees(command.code))

    async def fee_info(self, command: ask.AskFees, account: str) -> ask.Fees:
        return ask.Fees({coin: policy.per_output for coin, policy in self.policy.coins.items()})


def _height(records: Records, coin: str) -> int:
    """Of the last block that the record has taken in."""
    return (records.cursor(coin) or (-1, ""))[0]


def _no_chain(address: str) -> bytes:
    raise BadAddress("no chain of this coin runs here")


_Planner = Callable[[Service, Any, random.Random], Awaitable[desk.Draft]]
_PLANNERS: Mapping[type[ask.Command], _Planner] = {
    ask.OpenMix: Service._plan_mix,
    ask.OpenSwap: Service._plan_swap,
}
_QUESTIONS = frozenset((ask.FindOrder, ask.ListOrders, ask.CheckPrice, ask.AskParameters, ask.AskStatus, ask.AskFees))
_HANDLERS: Mapping[type[ask.Command], Callable[[Service, Any, str], Awaitable[Any]]] = {
    ask.OpenMix: Service.open_mix,
    ask.OpenSwap: Service.open_swap,
    ask.FindOrder: Service.find_order,
    ask.ListOrders: Service.list_orders,
    ask.AcceptPartial: Service.accept_partial,
    ask.CheckPrice: Service.check_price,
    ask.CheckRoute: Service.check_route,
    ask.AskParameters: Service.parameters,
    ask.AskStatus: Service.status,
    ask.CheckAddress: Service.check_address,
    ask.AskCode: Service.code_info,
    ask.AskFees: Service.fee_info,
}
