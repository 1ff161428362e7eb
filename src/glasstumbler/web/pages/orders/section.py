"""Orders: the list, each order's page with the lab's hands on it, and the form that makes one."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.engine.order import Order, State
from glasstumbler.errors import Malformed, UnknownOrder
from glasstumbler.service import Service
from glasstumbler.store import listing
from glasstumbler.store.records import Records
from glasstumbler.vault import key_row
from glasstumbler.web.pages.orders import forms, replies, view
from glasstumbler.web.pages.orders.events import Streams
from glasstumbler.web.pages.orders.hands import DEPTH_MOST, Hands, LastActs
from glasstumbler.web.pages.orders.ordering import Ordering
from glasstumbler.web.pages.site import HEADERS, Site, form, path

_PAGE = 50
_REFRESH_SECONDS = 5
"""Without scripts a page that still changes asks for itself so often."""


def routes(site: Site) -> list[BaseRoute]:
    orders = Orders(site)
    return [*Ordering(site).routes(), *orders.routes()]


class Live(NamedTuple):
    """What changes on an order's page, as HTML, and a digest of it."""

    html: str
    mark: str
    page: view.Page


class Orders:
    def __init__(self, site: Site) -> None:
        self._site, self._house = site, site.house
        self._hands, self._acts = Hands(site.house, site.lab), LastActs()
        self._streams = Streams(site)

    def routes(self) -> list[BaseRoute]:
        route = self._site.route
        return [
            route("/orders", self.list),
            route("/orders/{slug}/{order}", self.order),
            route("/orders/{slug}/{order}/do", self.do, "POST"),
            route("/orders/{slug}/{order}/events", self.events),
            route("/orders/{slug}/{order}/letter", self.letter),
        ]

    async def list(self, request: Request) -> Response:
        """A page at a time, newest first."""
        query = request.query_params
        service = _one_of(query.get("service", ""), list(self._house.services), "service")
        state = _one_of(query.get("state", ""), [each.value for each in State], "state")
        before = _number(query.get("before", ""))
        found = await self._house.store.read_soon(
            lambda records: listing.orders(records, service, state, before, _PAGE + 1)
        )
        older = found[_PAGE - 1].number if len(found) > _PAGE else None
        return self._site.page(
            request, "orders.html", section="orders", orders=found[:_PAGE], older=older, chosen=service, state=state,
            services=list(self._house.services), states=[each.value for each in State], newest=before == listing.END,
        )  # fmt: skip

    async def order(self, request: Request) -> Response:
        live = await self._live(request)
        return self._site.page(
            request, "order_page.html", section="orders", live=live, page=live.page, slug=live.page.order.service,
            refresh=_REFRESH_SECONDS,
        )  # fmt: skip

    async def events(self, request: Request) -> Response:
        await self._find(request)

        async def now() -> Live:
            return await self._live(request)

        return self._streams.open(now)

    async def do(self, request: Request) -> Response:
        order = await self._find(request)
        given = await form(request)
        self._acts.note(order, await self._hands.do(given.get("act", ""), order, given.get("depth", "1")))
        return self._site.moved(path("orders", order.service, order.id))

    async def letter(self, request: Request) -> Response:
        """The letter of guarantee as the file that `glasstumbler verify-letter` takes."""
        order = await self._find(request)
        if order.letter is None:
            raise UnknownOrder("this service writes no letters")
        named = {"content-disposition": f'attachment; filename="letter-{order.id}.txt"'}
        return Response(order.letter, 200, HEADERS | named, "text/plain; charset=utf-8")

    # -- an order -----------------------------------------------------------------------------------------------------

    def _service(self, request: Request) -> Service:
        slug = request.path_params["slug"]
        if slug not in self._house.services:
            raise UnknownOrder("No service of this laboratory is called that.")
        return self._house.services[slug]

    async def _find(self, request: Request) -> Order:
        slug, name = self._service(request).slug, request.path_params["order"]
        found = await self._house.store.read_soon(lambda records: records.order(slug, name))
        if found is None:
            raise UnknownOrder("There is no such order.")
        return found

    async def _live(self, request: Request) -> Live:
        service, name = self._service(request), request.path_params["order"]

        def read(records: Records) -> view.Page:
            order = records.order(service.slug, name)
            if order is None:
                raise UnknownOrder("There is no such order.")
            height, _ = records.cursor(order.coin) or (-1, "")
            deposits = records.deposits_of(order.number)
            return view.page(service.view(records, order), deposits, {order.coin: height}, service.policy.fee_rule)

        page = await self._house.store.read_soon(read)
        order = page.order
        values = await self._told(request, service, order)
        values |= {"act": self._acts.of(order), "qr": _qr(page.pay.uri) if page.pay.open else ""}
        values |= {"page": page, "order": order, "slug": service.slug, "depths": range(1, DEPTH_MOST + 1)}
        html = self._site.render(request, "order_live.html", **values)
        return Live(html, sha256(html.encode()).hexdigest()[:16], page)

    async def _told(self, request: Request, service: Service, order: Order) -> dict[str, Any]:
        """What the service itself says of the order when its customer asks."""
        key = self._house.vault.first_key(service.slug)
        asked = forms.status_request(service.slug, order.id, key)
        answer = await service.tell(asked)
        mine = not order.account or order.account == key_row(service.slug, key, 0).id
        base = f"{request.url.scheme}://{request.url.netloc}/{service.slug}"
        return {"told": replies.shown(answer), "curl": forms.curl(asked, base), "mine": mine}


@lru_cache(maxsize=256)
def _qr(text: str) -> str:
    """A picture as a data: URL; dark on light in any theme, as cameras want it."""
    import segno  # only who asks for a picture waits for it

    return segno.make_qr(text, error="m").svg_data_uri(scale=4, border=3, dark="#000", light="#fff")


def _one_of(given: str, known: list[str], field: str) -> str | None:
    if given and given not in known:
        raise Malformed(f"must be one of {', '.join(known)}", field)
    return given or None


def _number(given: str) -> int:
    if not given:
        return listing.END
    if not (given.isascii() and given.isdecimal() and len(given) <= 18):
        raise Malformed("must be a whole number", "before")
    return int(given)
