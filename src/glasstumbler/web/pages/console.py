"""The console: each service's API from its contract, sent for real, with the same as a curl line; its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler import keys
from glasstumbler.dialects import wire
from glasstumbler.errors import UnknownEndpoint
from glasstumbler.recent import Exchange
from glasstumbler.service import Service
from glasstumbler.web.pages import console_lab, console_requests, console_webhooks, sending
from glasstumbler.web.pages.contracts import Operation, operation, operations
from glasstumbler.web.pages.explained import explain
from glasstumbler.web.pages.filled import Filler
from glasstumbler.web.pages.sending import Outgoing, curl, outgoing
from glasstumbler.web.pages.site import HEADERS, Site, form
from glasstumbler.web.pages.written import pretty

FRAGMENT: Final = "x-fragment"
"""Header by which the page's script asks for the result alone."""
_PARAMETER, _KEYS_MOST = "parameter.", 50


class Shown(NamedTuple):
    """An operation with its form filled in."""

    operation: Operation
    parameters: Mapping[str, str]
    key: str
    body: str
    line: str
    """The curl line; "" where the form cannot be sent as it stands."""


def routes(site: Site) -> list[BaseRoute]:
    pages = Console(site)
    return [
        site.route("/console", pages.index),
        *console_requests.routes(site),
        *console_webhooks.routes(site),
        *console_lab.routes(site),
        site.route("/console/{slug}", pages.service),
        site.route("/console/{slug}/keys", pages.make_key, "POST"),
        site.route("/console/{slug}/keys/block", pages.block_key, "POST"),
        site.route("/console/{slug}/{operation}", pages.send, "GET", "POST"),
    ]


class Console:
    def __init__(self, site: Site) -> None:
        self._site, self._house = site, site.house

    async def index(self, request: Request) -> Response:
        counts = {slug: len(operations(slug)) for slug in self._house.services}
        return self._site.page(request, "console.html", section="console", counts=counts)

    async def service(self, request: Request) -> Response:
        return await self._service_page(request)

    async def _service_page(self, request: Request, made: tuple[str, str] | None = None, said: str = "") -> Response:
        service = self._service(request)
        values = await self._site.in_thread(self._gather, service, hub_of(request))
        return self._site.page(request, "console_service.html", section="console", made=made, said=said, **values)

    def _gather(self, service: Service, hub: str) -> dict[str, Any]:
        filler = Filler(self._house, service.slug, hub)
        shown = [_shown(service.slug, each, filler, hub) for each in operations(service.dialect.contract)]
        return {
            "slug": service.slug,
            "shown": shown,
            "hub": hub,
            "ready": filler.has_order,
            **self._keys(service),
        }

    def _keys(self, service: Service) -> dict[str, Any]:
        """The first key, which follows from the folder's secret; of others the record has only a hash."""
        if not service.keyed:
            return {"first": None, "rows": []}
        key, slug = self._house.vault.first_key(service.slug), service.slug
        row = keys.find(self._house.store, slug, key)
        rows = [row for row in self._house.store.read(lambda records: records.keys()) if row.service == slug]
        first = {"key": key, "id": row.id, "secret": self._house.vault.account(row).secret, "blocked": row.blocked}
        return {"first": first, "rows": rows[-_KEYS_MOST:]}

    # -- sending ------------------------------------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        """POST sends; GET shows the one operation."""
        service = self._service(request)
        wanted = operation(service.dialect.contract, request.path_params["operation"])
        if wanted is None:
            raise UnknownEndpoint(f"{service.slug} has no operation of this name; its console page lists them")
        hub = hub_of(request)
        if request.method != "POST":
            filled = await self._site.in_thread(Filler, self._house, service.slug, hub)
            shown = await self._site.in_thread(_shown, service.slug, wanted, filled, hub)
            return self._one(request, service, shown)
        fields = await form(request)
        given = {each.name: fields.get(f"{_PARAMETER}{each.name}", "") for each in wanted.parameters}
        key, body = fields.get("key", ""), fields.get("body", "")
        out = outgoing(service.slug, wanted, given, key, body)
        result = await self._result(request, service, wanted, out, key, hub)
        if FRAGMENT in request.headers:
            return Response(self._site.render(request, "console_result.html", **result), 200, HEADERS, "text/html")
        return self._one(request, service, Shown(wanted, given, key, body, curl(hub, out)), **result)

    def _one(self, request: Request, service: Service, shown: Shown, **values: Any) -> Response:
        return self._site.page(
            request, "console_operation.html", section="console", slug=service.slug, each=shown, **values
        )

    async def _result(
        self, request: Request, service: Service, wanted: Operation, out: Outgoing, key: str, hub: str
    ) -> dict[str, Any]:
        before = self._house.recent.last
        peer = request.client.host if request.client else ""
        answer, took = await sending.send(request.app, hub, peer, out)
        reply = sending.read(answer, took, sending.check(self._house.vault, service.slug, key, answer))
        noted = self._noted(before, service.slug, out, answer.content)
        return {
            "reply": reply,
            "sent": curl(hub, out),
            "meaning": wanted.statuses.get(str(reply.status), "The contract has no such status for this operation."),
            "wrong": explain(service.slug, noted.wrong) if noted is not None and noted.wrong else None,
        }

    def _noted(self, before: int, slug: str, out: Outgoing, content: bytes) -> Exchange | None:
        """The log's own note of what was just sent: it knows what was wrong."""
        for each in self._house.recent.newest(slug):
            if each.number <= before:
                return None
            same = each.request.method == out.method and (out.body or b"").startswith(each.request.body)
            if same and content.startswith(each.response.body):
                return each
        return None

    # -- keys ---------------------------------------------------------------------------------------------------------

    async def make_key(self, request: Request) -> Response:
        """Shown on the answer, which is the only time."""
        service = self._keyed(request)
        house, now = self._house, self._house.clock.now()
        key, account = await self._site.in_thread(keys.make, house.store, house.vault, service.slug, now)
        return await self._service_page(request, (key, account.secret))

    async def block_key(self, request: Request) -> Response:
        service = self._keyed(request)
        key = (await form(request)).get("key", "").strip()
        now = self._house.clock.now()
        row = await self._site.in_thread(keys.block, self._house.store, service.slug, key, now)
        return await self._service_page(request, said=f"{row.id} is blocked. Its requests are refused from now on.")

    def _service(self, request: Request) -> Service:
        slug = request.path_params["slug"]
        if slug not in self._house.services:
            raise UnknownEndpoint(f"no service is called {slug!r}; these are: {', '.join(self._house.services)}")
        return self._house.services[slug]

    def _keyed(self, request: Request) -> Service:
        service = self._service(request)
        if not service.keyed:
            raise UnknownEndpoint(f"{service.slug} has no keys")
        return service


def hub_of(request: Request) -> str:
    """Where this browser found the hub: scheme, host and port."""
    return f"{request.url.scheme}://{request.url.netloc}"


def _shown(slug: str, each: Operation, filler: Filler, hub: str) -> Shown:
    parameters = filler.parameters(each)
    filled = filler.body(each)
    body = "" if filled is None else pretty(wire.encode(filled)) or ""
    return Shown(each, parameters, filler.key, body, curl(hub, outgoing(slug, each, parameters, filler.key, body)))
