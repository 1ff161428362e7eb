"""What clients asked of the services last, and what was wrong with it. Of this process, in memory; not the record."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.errors import UnknownOrder
from glasstumbler.recent import KEPT, Exchange
from glasstumbler.web.pages.explained import Seen, seen
from glasstumbler.web.pages.site import Site

_PAGE: Final = 50
STATUSES: Final = {"": None, "wrong": 0, "2xx": 2, "3xx": 3, "4xx": 4, "5xx": 5}


def routes(site: Site) -> list[BaseRoute]:
    def keys() -> list[str]:
        return [site.house.vault.first_key(slug) for slug, each in site.house.services.items() if each.keyed]

    def shown(exchange: Exchange) -> Seen:
        return seen(exchange, site.house.services[exchange.service].dialect.endpoints.values(), keys())

    async def requests(request: Request) -> Response:
        service, status = request.query_params.get("service", ""), request.query_params.get("status", "")
        service = service if service in site.house.services else ""
        found = site.house.recent.newest(service or None, STATUSES.get(status), _PAGE)
        values: dict[str, Any] = {
            "rows": [shown(each) for each in found],
            "service": service,
            "chosen": status if status in STATUSES else "",
            "statuses": list(STATUSES)[1:],
            "kept": KEPT,
            "services": list(site.house.services),
            "last": site.house.recent.last,
        }
        return site.page(request, "console_requests.html", section="console", **values)

    async def exchange(request: Request) -> Response:
        number = request.path_params["number"]
        found = site.house.recent.numbered(number)
        if found is None:
            raise UnknownOrder(f"request {number} is not kept any more; the last {KEPT} are")
        return site.page(request, "console_exchange.html", section="console", each=shown(found))

    return [
        site.route("/console/requests", requests),
        site.route("/console/requests/{number:int}", exchange),
    ]
