"""The glass: an order's coins as a picture, whose value and which coins side by side."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler import log
from glasstumbler.engine.order import Order, State
from glasstumbler.errors import UnknownOrder
from glasstumbler.lab import truth
from glasstumbler.store import listing
from glasstumbler.store.records import Records
from glasstumbler.web.pages import flow, ways
from glasstumbler.web.pages.said import Job, Said
from glasstumbler.web.pages.site import Site, path

_NEWEST: Final = 30
_MOST_HOPS: Final = 200
"""That the page looks back for each payout, so that it comes at once; the lab API's answer goes further."""
BACK: Final = (3, 6, 9)
"""Columns of the coins' picture that may be asked for."""


def routes(site: Site) -> list[BaseRoute]:
    said = Said(site.house, site.stopping.is_set)
    working: set[asyncio.Task[None]] = set()

    async def choose(request: Request) -> Response:
        orders = await site.house.store.read_soon(_newest)
        return site.page(request, "glass_choose.html", section="orders", orders=orders)

    async def glass(request: Request) -> Response:
        order, found = await site.in_thread(look, site, *_order(request))
        back = _back(request.query_params.get("back", ""))
        return site.page(
            request, "glass.html", section="orders", job=said.of(*_order(request)), **view(order, found, back)
        )

    async def methods(request: Request) -> Response:
        """Where asking stands; as a part of the page for its script, else the page."""
        slug, name = _order(request)
        if request.method == "POST":
            await site.in_thread(look, site, slug, name)
            job = await site.in_thread(said.begin, slug, name)
            if job is not None:
                task = asyncio.create_task(_worked(site, said, job, slug, name))
                working.add(task)
                task.add_done_callback(working.discard)
        if "hx-request" not in request.headers:
            return site.moved(f"{path('glass', slug, name)}#methods")
        return site.page(request, "glass_methods.html", slug=slug, name=name, job=said.of(slug, name))

    return [
        site.route("/glass", choose),
        site.route("/glass/{slug}/{id}", glass),
        site.route("/glass/{slug}/{id}/methods", methods, "GET", "POST"),
    ]


async def _worked(site: Site, said: Said, job: Job, slug: str, name: str) -> None:
    try:
        await site.in_thread(said.work, job, slug, name)
    except Exception:
        log.exception("unexpected", path=path("glass", slug, name, "methods"))


def _order(request: Request) -> tuple[str, str]:
    return request.path_params["slug"], request.path_params["id"]


def _newest(records: Records) -> list[Order]:
    return listing.orders(records, state=State.COMPLETED.value, limit=_NEWEST)


def look(site: Site, slug: str, name: str) -> tuple[Order, dict[str, Any]]:
    """The order with both truths. UnknownOrder if there is none."""
    with site.house.store.snapshot() as records:
        order = records.order(slug, name)
        if order is None:
            raise UnknownOrder(f"{slug} has no order of this name.")
        return order, truth.order_truth(records, order, _MOST_HOPS)


def _back(asked: str) -> int:
    return int(asked) if asked in map(str, BACK) else BACK[0]


def view(order: Order, found: dict[str, Any], back: int) -> dict[str, Any]:
    """What the template lays out."""
    value, coins = ways.beneficial(found), ways.custody(found)
    return {
        "flow": flow,
        "order": order,
        "truth": found,
        "value": flow.draw(value.nodes, value.edges, ways.count),
        "coins": flow.draw(coins.nodes, coins.edges, ways.count, columns=back),
        "lessons": ways.lessons(found),
        "observed": ways.observed(found),
        "missing": ways.missing(found),
        "back": back,
        "further": next((each for each in BACK if each > back), None),
    }
