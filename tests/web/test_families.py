"""No family of pages is forgotten where browsers look at all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from starlette.routing import BaseRoute, Mount, Route

from glasstumbler.web.health import Health
from glasstumbler.web.lab_api import LabApi
from glasstumbler.web.pages import sections
from glasstumbler.web.pages.site import Site
from glasstumbler.webhooks import Webhooks
from tests.laboratory import Laboratory
from tests.web.families import FAMILIES, NO_SAMPLES


def test_every_route_has_a_sample_or_a_reason() -> None:
    with closing(Laboratory("btc")) as lab, closing(Webhooks(lab.house)) as webhooks:
        site = Site(lab.house, LabApi(lab.house, Health(lab.house, turning=False), webhooks))
        with closing(site):
            shown = set(_shown(sections.routes(site)))
    assert shown == {*FAMILIES, *NO_SAMPLES}


def _shown(routes: list[BaseRoute], before: str = "") -> Iterator[str]:
    """Whatever answers GET."""
    for route in routes:
        if isinstance(route, Mount):
            yield from _shown(list(route.routes), before + route.path)
        elif isinstance(route, Route) and "GET" in (route.methods or ()):
            yield before + route.path
