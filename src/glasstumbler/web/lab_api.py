"""The laboratory's hands over HTTP: mine, pay, reorganise, let time pass, misbehave, and look at both truths.

Every call that changes something returns only when the laboratory has come to rest again. On loopback there is no
password; from anywhere else, or under another host name, the lab token is wanted.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from time import perf_counter
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from glasstumbler import log, payment_url
from glasstumbler.behaviour import Behaviour
from glasstumbler.chains import bip70
from glasstumbler.chains.base import LabChain
from glasstumbler.dialects import wire
from glasstumbler.errors import (
    BadAddress,
    BadAmount,
    ChainError,
    GlassTumblerError,
    KeyMissing,
    Malformed,
    NodeAway,
    NoFunds,
    NotATestNetwork,
    OutOfBounds,
    Overloaded,
    Rejection,
    StoreError,
    TooLarge,
    UnknownEndpoint,
    UnknownOrder,
)
from glasstumbler.house import House
from glasstumbler.lab import truth
from glasstumbler.money import parse, text
from glasstumbler.web.asgi import BODY_MOST, Gate, read_body
from glasstumbler.web.health import Health
from glasstumbler.web.safety import check_caller, check_head
from glasstumbler.webhook_book import Endpoint
from glasstumbler.webhooks import Webhooks

YEAR = 366 * 24 * 3600
_MOST_AT_ONCE, _THREADS = 64, 16
"""Calls of the lab API that are taken, and that are worked on at once."""
Amount = str | int | Decimal
T = TypeVar("T")
_NAMED = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
Text = Annotated[str, msgspec.Meta(max_length=8192)]


class Pay(msgspec.Struct, forbid_unknown_fields=True):
    address: Text
    amount: Any
    """Decimal text or number, read without a float."""


class Mine(msgspec.Struct, forbid_unknown_fields=True):
    blocks: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class Reorg(msgspec.Struct, forbid_unknown_fields=True):
    depth: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


class Address(msgspec.Struct, forbid_unknown_fields=True):
    kind: Text | None = None


class Invoice(msgspec.Struct, forbid_unknown_fields=True):
    amount: Any
    expiry: Annotated[int, msgspec.Meta(ge=1, le=YEAR)] = 3600


class Price(msgspec.Struct, forbid_unknown_fields=True):
    xmr_btc: Any


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Annotated[int, msgspec.Meta(ge=0, le=10 * YEAR)]


class Hook(msgspec.Struct, forbid_unknown_fields=True):
    url: Text
    events: Annotated[list[Text], msgspec.Meta(max_length=64)] = []
    """Kinds of events; none: all."""


class LabApi:
    """The routes under /lab/v1."""

    def __init__(self, house: House, health: Health, webhooks: Webhooks) -> None:
        self._house, self._health, self.webhooks = house, health, webhooks
        self._gate = Gate(_MOST_AT_ONCE)
        self._pool = ThreadPoolExecutor(_THREADS, "lab")
        self._hurried = False

    def hurry(self) -> None:
        """The servers stop: what takes many steps ends after the next one."""
        self._hurried = True

    def close(self) -> None:
        """Wait for what is under way: a chain must not be closed under it. What has not begun is not done any more."""
        self._pool.shutdown(cancel_futures=True)

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments))

    def app(self) -> Starlette:
        table: list[tuple[str, str, Callable[[Request], Awaitable[Any]]]] = [
            ("GET", "/status", self._health.status),
            ("GET", "/chains", self.chains),
            ("POST", "/chains/{coin}/pay", self.pay),
            ("POST", "/chains/{coin}/mine", self.mine),
            ("POST", "/chains/{coin}/reorg", self.reorg),
            ("POST", "/chains/{coin}/address", self.address),
            ("POST", "/lightning/invoice", self.invoice),
            ("GET", "/bip70", self.payment_request),
            ("POST", "/price", self.price),
            ("POST", "/services/{slug}/behave", self.behave),
            ("POST", "/clock/advance", self.advance),
            ("GET", "/orders/{service}/{order}", self.order),
            ("GET", "/webhooks", self.list_webhooks),
            ("POST", "/webhooks", self.add_webhook),
            ("DELETE", "/webhooks/{id}", self.remove_webhook),
            ("POST", "/webhooks/{id}/test", self.test_webhook),
        ]
        routes = [Route(path, self.guarded(act), methods=[method]) for method, path, act in table]
        handlers = {404: _not_found, 405: _wrong_method}
        return Starlette(routes=routes, exception_handlers=handlers)

    def guarded(self, act: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
        name = act.__name__

        async def endpoint(request: Request) -> Response:
            started = perf_counter()
            response = await self._answer(act, request)
            self._house.metrics.request("lab", name, response.status_code, perf_counter() - started)
            return response

        return endpoint

    async def _answer(self, act: Callable[[Request], Awaitable[Any]], request: Request) -> Response:
        try:
            self._admit(request)
            with self._gate.enter():
                done = await act(request)
            return done if isinstance(done, Response) else _json(done)
        except GlassTumblerError as error:
            return _refuse(error)
        except Exception:
            self._house.metrics.error("lab")
            log.exception("unexpected", path=request.url.path)
            return _refuse(GlassTumblerError("internal error; the log has more"))

    def _admit(self, request: Request) -> None:
        """Whoever has the token; without it, loopback by loopback's own name."""
        check_head(request.scope.get("raw_path", b""), request.scope["query_string"], request.scope["headers"])
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.encode(), self._house.vault.lab_token.encode())
        if scheme.lower() == "bearer" and right:
            return
        peer = request.client.host if request.client else ""
        check_caller(peer, request.method, request.scope["scheme"], request.headers)

    # -- chains ---------------------------------------------------------------------------------------------------

    async def chains(self, request: Request) -> list[dict[str, object]]:
        return await self.in_thread(self.list_chains)

    def list_chains(self) -> list[dict[str, object]]:
        found = [_chain(chain) for chain in self._house.chains.values()]
        network = self._house.lightning
        if network is not None:
            found.append(
                {
                    "coin": "lightning",
                    "network": network.network,
                    "height": None,
                    "node": network.node,
                    "model": network.model,
                }
            )
        return found

    async def pay(self, request: Request) -> dict[str, str]:
        wanted, chain = await _body(request, Pay), self._chain(request)
        amount = _amount(wanted.amount, chain.coin)
        _check_address(chain, wanted.address)
        return {"txid": await self.act(lambda: chain.pay(wanted.address, amount))}

    async def mine(self, request: Request) -> dict[str, int]:
        wanted = await _body(request, Mine)
        return {"height": await self.mine_blocks(request.path_params["coin"], wanted.blocks)}

    async def mine_blocks(self, coin: str, blocks: int) -> int:
        """The height then."""
        chain = self.chain(coin)

        def work() -> int:
            for _ in range(blocks):  # what one block sets off may be in the next
                if self._hurried:
                    raise ChainError("the laboratory is stopping")
                chain.mine(1)
                self._house.turn()
            return chain.tip()[0]

        return await self.in_thread(work)

    async def reorg(self, request: Request) -> dict[str, int]:
        wanted = await _body(request, Reorg)
        return {"height": await self.reorganise(request.path_params["coin"], wanted.depth)}

    async def reorganise(self, coin: str, depth: int) -> int:
        """The height then."""
        chain = self.chain(coin)
        return await self.act(lambda: _reorganise(chain, depth))

    async def address(self, request: Request) -> dict[str, str]:
        wanted, chain = await _body(request, Address), self._chain(request)
        if wanted.kind is not None and wanted.kind not in chain.format.kinds:
            raise Malformed(f"{chain.coin} knows the kinds {', '.join(chain.format.kinds)}", "kind")
        return {"address": await self.in_thread(chain.fresh_address, wanted.kind)}

    async def invoice(self, request: Request) -> dict[str, str]:
        wanted, network = await _body(request, Invoice), self._house.lightning
        if network is None:
            raise UnknownEndpoint("no Lightning network runs here")
        amount = _amount(wanted.amount, "msat")
        return {"ln_invoice": await self.in_thread(network.invoice, amount, wanted.expiry)}

    async def payment_request(self, request: Request) -> Response:
        """The fixture that payment-protocol URLs may point at (BIP 70)."""
        chain = self._house.chains.get("btc")
        if chain is None:
            raise UnknownEndpoint("no chain of btc runs here")
        raw = payment_url.serve(dict(request.query_params), chain.format, self._house.clock.now())
        return Response(raw, media_type=bip70.MEDIA_TYPE)

    def _chain(self, request: Request) -> LabChain:
        return self.chain(request.path_params["coin"])

    def chain(self, coin: str) -> LabChain:
        if coin not in self._house.chains:
            raise UnknownEndpoint(f"no chain of {coin!r} runs here; these do: {', '.join(self._house.chains)}")
        return self._house.chains[coin]

    async def act(self, hand: Callable[[], T]) -> T:
        """Do it, then let everything that follows from it happen."""

        def work() -> T:
            done = hand()
            self._house.turn()
            return done

        return await self.in_thread(work)

    # -- services -------------------------------------------------------------------------------------------------

    async def price(self, request: Request) -> dict[str, str | None]:
        """null lets the price follow its walk again."""
        rate = await self.set_price(await _body(request, Price))
        return {"xmr_btc": None if rate is None else text(rate, "btc")}

    async def set_price(self, wanted: Price) -> int | None:
        rate = None if wanted.xmr_btc is None else _amount(wanted.xmr_btc, "btc", "xmr_btc")
        await self.in_thread(self._house.set_price, rate)
        return rate

    async def behave(self, request: Request) -> Behaviour:
        return await self.set_behaviour(request.path_params["slug"], await _body(request, Behaviour))

    async def set_behaviour(self, slug: str, wanted: Behaviour) -> Behaviour:
        """What is set then."""
        if slug not in self._house.services:
            raise UnknownEndpoint(f"no service is called {slug!r}; these are: {', '.join(self._house.services)}")
        self._check_answer(slug, wanted.answer)
        if wanted.answer is not None and wanted.times == 0:
            wanted.times = 1
        await self.in_thread(self._house.behave, slug, wanted)
        return self._house.behaviours.of(slug)

    def _check_answer(self, slug: str, answer: str | int | None) -> None:
        known = self._house.services[slug].dialect.answers
        if answer is not None and known is not None and str(answer) not in known:
            raise Malformed(f"{slug} answers {', '.join(sorted(known))}", "answer")

    async def advance(self, request: Request) -> dict[str, int]:
        seconds = (await _body(request, Advance)).seconds
        return {"now": await self.in_thread(self._house.advance, seconds)}

    async def order(self, request: Request) -> dict[str, Any]:
        slug, name = request.path_params["service"], request.path_params["order"]

        def look() -> dict[str, Any]:
            with self._house.store.snapshot() as records:
                order = records.order(slug, name)
                if order is None:
                    raise UnknownOrder("no such order", "order")
                return truth.order_truth(records, order)

        return await self.in_thread(look)

    # -- webhooks -------------------------------------------------------------------------------------------------

    async def list_webhooks(self, request: Request) -> list[dict[str, Any]]:
        return await self.in_thread(lambda: [self._hook(each) for each in self.webhooks.book.all()])

    async def add_webhook(self, request: Request) -> dict[str, Any]:
        wanted = await _body(request, Hook)
        return self._hook(await self.in_thread(self.webhooks.add, wanted.url, wanted.events))

    async def remove_webhook(self, request: Request) -> dict[str, Any]:
        endpoint = await self.in_thread(self.webhooks.find, request.path_params["id"])
        await self.in_thread(self.webhooks.book.remove, endpoint.id)
        return {"id": endpoint.id, "deleted": True}

    async def test_webhook(self, request: Request) -> dict[str, Any]:
        endpoint = await self.in_thread(self.webhooks.find, request.path_params["id"])
        done = await self.in_thread(self.webhooks.test, endpoint)
        return {"arrived": not done.why, "status": done.status, "why": done.why or None, "message": done.message}

    def _hook(self, endpoint: Endpoint) -> dict[str, Any]:
        shown = endpoint._asdict() | {"secret": self.webhooks.secret(endpoint), "why": endpoint.why or None}
        return {name: shown[name] for name in ("id", "url", "events", "secret", "state", "cursor", "attempts", "why")}


def _chain(chain: LabChain) -> dict[str, object]:
    """While its node is away, `height` is null and `away` says why."""
    height, away = None, {}
    try:
        height = chain.tip()[0]
    except NodeAway as error:
        away = {"away": str(error)}
    return {
        "coin": chain.coin,
        "network": chain.network,
        "height": height,
        "node": chain.node,
        "model": chain.model,
        **away,
    }


def _reorganise(chain: LabChain, depth: int) -> int:
    if depth >= chain.tip()[0]:
        raise OutOfBounds("deeper than the chain", "depth")
    return chain.reorg(depth)


def _check_address(chain: LabChain, address: str) -> None:
    try:
        chain.format.key(address)
    except (BadAddress, NotATestNetwork) as error:
        why = error.text if isinstance(error, BadAddress) else str(error)
        raise BadAddress(why, "address") from None


async def whole_body(request: Request) -> bytes:
    """Within bounds; TooLarge, or Malformed if the client went away in the middle."""
    try:
        raw = await read_body(request.receive, BODY_MOST)
    except ClientDisconnect:
        raise Malformed("half a request asks for nothing") from None
    if raw is None:
        raise TooLarge(f"the body is larger than {BODY_MOST} bytes")
    return raw


async def _body(request: Request, kind: type[T]) -> T:
    raw = await whole_body(request)
    try:
        fields = msgspec.json.Decoder(float_hook=wire.exact).decode(raw or b"{}")
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _malformed(str(error)) from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise Malformed(f"not JSON: {error}") from None


def _malformed(said: str) -> Malformed:
    """msgspec names a missing or unknown field in its text, any other in the place that it gives."""
    why, _, where = said.partition(" - at ")
    if (named := _NAMED.fullmatch(why)) is not None:
        return Malformed("missing" if named[1] == "missing required" else "unknown field", wire.clip(named[2]))
    return Malformed(why, wire.clip(where.strip("`$.")))


def _amount(value: Amount, coin: str, field: str = "amount") -> int:
    try:
        units = parse(value, coin)
    except ValueError as error:
        raise BadAmount(str(error), field, coin) from None
    if units <= 0:
        raise BadAmount("the amount must be above 0", field, coin)
    return units


_STATUS: dict[type[GlassTumblerError], int] = {
    GlassTumblerError: 500,
    Rejection: 400,
    NotATestNetwork: 400,
    StoreError: 503,
    ChainError: 409,
    NodeAway: 503,
    NoFunds: 409,
    TooLarge: 413,
    KeyMissing: 401,
    UnknownEndpoint: 404,
    UnknownOrder: 404,
    Overloaded: 503,
}


def status_of(error: GlassTumblerError) -> int:
    """The HTTP status that says what kind of error it is."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def _refuse(error: GlassTumblerError) -> Response:
    status = status_of(error)
    field = error.field if isinstance(error, Rejection) else ""
    said = {"error": type(error).__name__, "message": str(error), "field": field or None}
    return _json(said, status, dict(wire.error_headers(error)))


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(wire.encode(value), status, headers, media_type="application/json")


async def _not_found(request: Request, error: Exception) -> Response:
    return _refuse(UnknownEndpoint("the laboratory has no such call"))


async def _wrong_method(request: Request, error: Exception) -> Response:
    allowed = getattr(error, "headers", None) or {}
    response = _json({"error": "WrongMethod", "message": "this call takes another method", "field": None}, 405)
    response.headers.update(allowed)
    return response
