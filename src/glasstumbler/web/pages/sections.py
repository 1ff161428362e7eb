"""The sections of the site, in the order of its menu."""

from __future__ import annotations

from starlette.routing import BaseRoute

from glasstumbler.web.pages import chains, console, glass, home, ledger, reader, search, services
from glasstumbler.web.pages.orders import section as orders
from glasstumbler.web.pages.site import Site

_SECTIONS = (home, services, orders, glass, chains, search, ledger, console, reader)


def routes(site: Site) -> list[BaseRoute]:
    return [*site.shared_routes(), *(route for section in _SECTIONS for route in section.routes(site))]
