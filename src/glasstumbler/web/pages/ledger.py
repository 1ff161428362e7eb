"""The record as people read it: its entries, and each with its postings, its documents and its place in the chain."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.engine.ledger import LAB, Posting
from glasstumbler.errors import UnknownEndpoint
from glasstumbler.store import listing
from glasstumbler.store.records import Records
from glasstumbler.web.pages.chains import number
from glasstumbler.web.pages.site import Site

_PAGE = 50
_DOCUMENTS = 200
_LONGEST = 64


def routes(site: Site) -> list[BaseRoute]:
    async def ledger(request: Request) -> Response:
        service = _known(site, request.query_params.get("service", ""))
        order = request.query_params.get("order", "").strip()[:_LONGEST]
        before = number(request, "before", listing.END)
        values = await site.house.store.read_soon(lambda records: _entries(records, service, order, before))
        values |= {"service": service, "order": order, "newest": before == listing.END}
        return site.page(request, "ledger.html", section="ledger", lab=LAB, services=[*site.house.services], **values)

    async def entry(request: Request) -> Response:
        given = request.path_params["number"]
        wanted = int(given) if given.isascii() and given.isdigit() and len(given) <= 15 else 0
        values = await site.house.store.read_soon(lambda records: _entry(records, wanted))
        if values is None:
            raise UnknownEndpoint("The ledger has no entry of that number.")
        return site.page(request, "entry.html", section="ledger", lab=LAB, **values)

    return [site.route("/ledger", ledger), site.route("/ledger/{number}", entry)]


def _known(site: Site, given: str) -> str:
    return given if given in (*site.house.services, LAB) else ""


def _entries(records: Records, service: str, order: str, before: int) -> dict[str, Any]:
    """`order`: by its name; of the service, or of any."""
    named = [each for each in listing.orders_named(records, order) if each.id == order] if order else []
    mine = next((each for each in named if service in ("", each.service)), None)
    if order and mine is None:
        found = []
    else:
        of = None if mine is None else mine.number
        found = listing.entries(records, of, (service or None) if mine is None else None, before, _PAGE + 1)
    shown = found[:_PAGE]
    orders = records.orders_by_number({each.entry.order for each in shown if each.entry.order is not None})
    return {
        "entries": [(each, orders.get(each.entry.order or 0), sums(each.entry.postings)) for each in shown],
        "more": shown[-1].number if len(found) > _PAGE else None,
        "unknown": bool(order) and mine is None,
    }


def sums(postings: Iterable[Posting]) -> list[tuple[str, int]]:
    """How much moved in each coin: what was added to accounts, which is what was taken from others."""
    by_coin = groupby(sorted(postings, key=attrgetter("coin")), attrgetter("coin"))
    return [(coin, sum(each.amount for each in mine if each.amount > 0)) for coin, mine in by_coin]


def _entry(records: Records, wanted: int) -> dict[str, Any] | None:
    found = listing.linked(records, wanted)
    if found is None:
        return None
    entry, last = found.numbered.entry, records.head()[0]
    named = {int(key) for table, key, _ in entry.docs[:_DOCUMENTS] if table == "order" and key.isdigit()}
    named |= {int(each.account.partition(":")[2]) for each in entry.postings if each.account.startswith("order:")}
    orders = records.orders_by_number(named | ({entry.order} if entry.order is not None else set()))
    by_coin = groupby(sorted(entry.postings, key=attrgetter("coin")), attrgetter("coin"))
    return {
        "found": found,
        "entry": entry,
        "orders": orders,
        "order": orders.get(entry.order or 0),
        "postings": [(coin, list(mine)) for coin, mine in by_coin],
        "documents": entry.docs[:_DOCUMENTS],
        "detail": sorted((entry.detail or {}).items()),
        "last": last,
    }
