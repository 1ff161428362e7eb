"""One field for everything that has a name or a number: what is meant is told by its form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.errors import BadAddress, GlassTumblerError, NotATestNetwork
from glasstumbler.house import House
from glasstumbler.store import listing
from glasstumbler.store.records import Records
from glasstumbler.web.pages.site import Site, path

LONGEST: Final = 200
_MOST = 20
_HASH = re.compile(r"(?:0x)?([0-9a-f]{64})")
_NUMBER = re.compile(r"[0-9]{1,15}")
_NAME = re.compile(r"[A-Za-z0-9_-]{2,64}")
_LIGHTNING = "msat"


class Hit(NamedTuple):
    what: str
    name: str
    where: str


def routes(site: Site) -> list[BaseRoute]:
    async def search(request: Request) -> Response:
        asked = request.query_params.get("q", "").strip()[:LONGEST]
        hits = await site.in_thread(find, site.house, asked) if asked else []
        if len(hits) == 1:
            return site.moved(hits[0].where)
        why = await site.in_thread(_foreign, site.house, asked) if asked and not hits else None
        return site.page(request, "search.html", query=asked, hits=hits, why=why)

    return [site.route("/search", search)]


def find(house: House, asked: str) -> list[Hit]:
    """All that this may mean, so many at most, each once."""
    hits = {hit.where: hit for finder in _FINDERS for hit in finder(house, asked)}
    return list(hits.values())[:_MOST]


def _orders(house: House, asked: str) -> Iterator[Hit]:
    if _NAME.fullmatch(asked):
        starts = dict.fromkeys((asked, asked.upper()))
        for order in house.store.read(lambda r: [o for start in starts for o in listing.orders_named(r, start)]):
            yield Hit(f"order at {order.service}", order.id, path("orders", order.service, order.id))


def _numbers(house: House, asked: str) -> Iterator[Hit]:
    if _NUMBER.fullmatch(asked):
        wanted = int(asked)
        if house.store.read(lambda records: listing.entry(records, wanted)) is not None:
            yield Hit("entry of the ledger", str(wanted), path("ledger", wanted))
        for coin, chain in house.chains.items():
            if chain.block_hash(wanted) is not None:
                yield Hit(f"{coin} block", str(wanted), path("chains", coin, "block", wanted))


def _hashes(house: House, asked: str) -> Iterator[Hit]:
    form = _HASH.fullmatch(asked.lower())
    if form is None:
        return
    for coin, chain in house.chains.items():
        name = f"0x{form[1]}" if chain.format.one_to_one else form[1]
        if chain.place(name) is not None:
            yield Hit(f"{coin} transaction", name, path("chains", coin, "tx", name))
        try:
            chain.block(name)
        except GlassTumblerError:
            continue
        yield Hit(f"{coin} block", name, path("chains", coin, "block", name))
    yield from house.store.read(lambda records: _paid(records, form[1]))


def _paid(records: Records, payment_hash: str) -> list[Hit]:
    payments = records.payments_in(_LIGHTNING, [payment_hash])
    orders = records.orders_by_number({each.order for payment in payments for each in payment.carried})
    return [
        Hit(f"Lightning payment of an order at {order.service}", payment_hash, path("orders", order.service, order.id))
        for order in orders.values()
    ]


def _addresses(house: House, asked: str) -> Iterator[Hit]:
    for coin, chain in house.chains.items():
        try:
            name = chain.format.address(chain.format.key(asked))
        except (BadAddress, NotATestNetwork, ValueError):
            continue
        yield Hit(f"{coin} address", name, path("chains", coin, "address", name))


def _foreign(house: House, asked: str) -> str | None:
    """Why an address of another network is not found here."""
    for chain in house.chains.values():
        try:
            chain.format.key(asked)
        except NotATestNetwork as error:
            return str(error)
        except (BadAddress, ValueError):
            continue
    return None


_FINDERS: tuple[Callable[[House, str], Iterator[Hit]], ...] = (_orders, _addresses, _hashes, _numbers)
