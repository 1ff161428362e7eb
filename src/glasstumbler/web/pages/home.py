"""The first page: what is here, and where to begin."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.store import listing
from glasstumbler.store.records import Records
from glasstumbler.web.pages.site import Site

_NEWEST = 8


def routes(site: Site) -> list[BaseRoute]:
    async def home(request: Request) -> Response:
        chains = await site.in_thread(site.lab.list_chains)
        values = await site.house.store.read_soon(_read)
        services = [
            {"slug": slug, "coins": list(service.policy.coins), "keyed": service.keyed}
            for slug, service in site.house.services.items()
        ]
        return site.page(request, "home.html", chains=chains, services=services, **values)

    return [site.route("/", home)]


def _read(records: Records) -> dict[str, Any]:
    return {"orders": listing.orders(records, limit=_NEWEST)}
