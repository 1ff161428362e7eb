"""The five services: their policies in plain words, what they hold and owe, and what they turned over."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.engine.order import State
from glasstumbler.errors import UnknownEndpoint
from glasstumbler.explorer.tally import Turnover
from glasstumbler.store.records import Records
from glasstumbler.web.pages import service_views
from glasstumbler.web.pages.site import Site

_OPEN = (State.AWAITING, State.UNDERPAID, State.CONFIRMING, State.WAITING, State.PAYING)
_COUNT_MOST = 10_000
_DAYS = 90
"""That charts go back."""
_DAY = 86_400


def routes(site: Site) -> list[BaseRoute]:
    pages = _Pages(site)
    return [site.route("/services", pages.services), site.route("/services/{slug}", pages.service)]


class _Pages:
    def __init__(self, site: Site) -> None:
        self._site, self._house = site, site.house

    async def services(self, request: Request) -> Response:
        found = await self._site.in_thread(self._all)
        return self._site.page(request, "services.html", section="services", **found)

    async def service(self, request: Request) -> Response:
        slug = request.path_params["slug"]
        if slug not in self._house.services:
            raise UnknownEndpoint(f"no service is called {slug!r}; there are {', '.join(self._house.services)}")
        values = await self._site.in_thread(self._one, slug)
        return self._site.page(request, "service.html", section="services", slug=slug, **values)

    def _all(self) -> dict[str, Any]:
        with self._site.explorer.turnover() as turnover:
            found = [
                {
                    "slug": slug,
                    "coins": list(service.policy.coins),
                    "made": sum(turnover.counts(slug, "made").values()),
                    "open": sum(count for _, count, _ in self._house.store.read(partial(_open, slug))),
                    "balances": [(coin, sum_) for account, coin, sum_ in turnover.balances(slug) if account in _HELD],
                }
                for slug, service in self._house.services.items()
            ]
            return {"services": found, "behind": self._behind(turnover)}

    def _one(self, slug: str) -> dict[str, Any]:
        policy = self._house.services[slug].policy
        today = self._house.clock.now() // _DAY
        since = today - _DAYS + 1
        read = self._house.store.read
        with self._site.explorer.turnover() as turnover:
            return {
                "words": service_views.words(policy),
                "coins": service_views.coins(policy),
                "balances": service_views.balances(turnover.balances(slug)),
                "open": read(partial(_open, slug)),
                "most": _COUNT_MOST,
                "totals": {what: sum(turnover.counts(slug, what).values()) for what in ("made", "expired", "failed")},
                "charts": _charts(turnover, slug, list(policy.coins), since, today),
                "behind": self._behind(turnover),
            }

    def _behind(self, turnover: Turnover) -> int:
        """Entries that are not counted yet."""
        return self._house.store.read(lambda records: records.head()[0]) - turnover.last


_HELD = frozenset(("coins", "channel"))


def _open(slug: str, records: Records) -> list[tuple[str, int, bool]]:
    """(state, number, whether there are more) of orders that are not done; counted so far at most."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM orders WHERE service = ? AND state = ? LIMIT ?) AS few"
    found = [(state.value, int(next(records.rows(sql, (slug, state.value, _COUNT_MOST)))[0])) for state in _OPEN]
    return [(state, number, number == _COUNT_MOST) for state, number in found if number]


def _charts(turnover: Turnover, slug: str, coins: list[str], since: int, today: int) -> list[service_views.Chart]:
    made = turnover.counts(slug, "made", since)
    charts = [service_views.orders_by_day(made, since, today)]
    charts += [service_views.volume(coin, turnover.days(slug, coin, since), since, today) for coin in coins]
    charts.append(service_views.delays(turnover.counts(slug, "delay")))
    charts.append(service_views.fees(turnover.counts(slug, "fee")))
    return [chart for chart in charts if chart.rows]
