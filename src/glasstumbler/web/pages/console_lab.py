"""Time and mischief: what the lab API does, as forms, with the state that is set beside each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.behaviour import Behaviour
from glasstumbler.errors import GlassTumblerError, Malformed
from glasstumbler.money import text
from glasstumbler.web.lab_api import Advance, Mine, Price, Reorg, status_of
from glasstumbler.web.pages.site import Site, form

UNITS: Final = {"minutes": 60, "hours": 3600, "days": 86400}


def routes(site: Site) -> list[BaseRoute]:
    pages = Mischief(site)
    return [
        site.route("/console/lab", pages.panel),
        site.route("/console/lab/clock", pages.clock, "POST"),
        site.route("/console/lab/mine", pages.mine, "POST"),
        site.route("/console/lab/reorg", pages.reorg, "POST"),
        site.route("/console/lab/price", pages.price, "POST"),
        site.route("/console/lab/behave", pages.behave, "POST"),
    ]


class Mischief:
    def __init__(self, site: Site) -> None:
        self._site, self._house, self._lab = site, site.house, site.lab

    async def panel(self, request: Request) -> Response:
        return await self._show(request)

    async def _show(self, request: Request, wrong: str = "", status: int = 200) -> Response:
        chains = await self._site.in_thread(self._lab.list_chains)
        rate = self._house.rates.fixed
        values = {
            "chains": [chain for chain in chains if chain["coin"] != "lightning"],
            "behaviours": {slug: self._house.behaviours.of(slug) for slug in self._house.services},
            "answers": {slug: _answers(each.dialect.answers) for slug, each in self._house.services.items()},
            "price": None if rate is None else text(rate, "btc"),
            "units": UNITS,
            "wrong": wrong,
            "said": request.query_params.get("done", "")[:1] and _DONE.get(request.query_params["done"], ""),
        }
        return self._site.page(request, "console_lab.html", status, section="console", **values)

    async def _do(self, request: Request, done: str, work: Any) -> Response:
        """Then back to the panel, with what was wrong if something was."""
        try:
            await work(await form(request))
        except GlassTumblerError as error:
            return await self._show(request, str(error), status_of(error))
        return self._site.moved(f"/console/lab?done={done}")

    async def clock(self, request: Request) -> Response:
        async def work(fields: Mapping[str, str]) -> None:
            seconds = _until(fields["until"], self._house.clock.now()) if fields.get("until") else _span(fields)
            wanted = _checked(Advance, {"seconds": seconds}, "span")
            await self._lab.in_thread(self._house.advance, wanted.seconds)

        return await self._do(request, "clock", work)

    async def mine(self, request: Request) -> Response:
        async def work(fields: Mapping[str, str]) -> None:
            wanted = _checked(Mine, {"blocks": _whole(fields.get("blocks", ""), "blocks")}, "blocks")
            await self._lab.mine_blocks(fields.get("coin", ""), wanted.blocks)

        return await self._do(request, "mine", work)

    async def reorg(self, request: Request) -> Response:
        async def work(fields: Mapping[str, str]) -> None:
            wanted = _checked(Reorg, {"depth": _whole(fields.get("depth", ""), "depth")}, "depth")
            await self._lab.reorganise(fields.get("coin", ""), wanted.depth)

        return await self._do(request, "reorg", work)

    async def price(self, request: Request) -> Response:
        async def work(fields: Mapping[str, str]) -> None:
            await self._lab.set_price(Price(fields.get("xmr_btc", "").strip() or None))

        return await self._do(request, "price", work)

    async def behave(self, request: Request) -> Response:
        async def work(fields: Mapping[str, str]) -> None:
            wanted = {
                "maintenance": "maintenance" in fields,
                "answer": fields.get("answer", "").strip() or None,
                "times": _whole(fields.get("times", "") or "0", "times"),
                "payout": fields.get("payout") or None,
            }
            await self._lab.set_behaviour(fields.get("service", ""), _checked(Behaviour, wanted, "behaviour"))

        return await self._do(request, "behave", work)


_DONE: Final = {
    "clock": "Time has passed, and what was due has happened.",
    "mine": "The blocks are mined, and what followed from them has happened.",
    "reorg": "The chain has been reorganised.",
    "price": "The price is set.",
    "behave": "The service does so from now on.",
}


def _answers(known: Any) -> list[str] | None:
    return None if known is None else sorted(known)


def _whole(given: str, field: str) -> int:
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise Malformed("a whole number is wanted", field)
    return int(given)


def _span(fields: Mapping[str, str]) -> int:
    unit = UNITS.get(fields.get("unit", ""))
    if unit is None:
        raise Malformed(f"one of {', '.join(UNITS)}", "unit")
    return _whole(fields.get("span", ""), "span") * unit


def _until(given: str, now: int) -> int:
    """Seconds until a date and time (UTC) of the laboratory's clock, which runs forwards only."""
    try:
        goal = int(datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        raise Malformed("a date and time is wanted, as 2026-01-31T12:00", "until") from None
    if goal < now:
        raise Malformed("this time has passed; the clock runs forwards only", "until")
    return goal - now


def _checked(kind: Any, fields: dict[str, Any], field: str) -> Any:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise Malformed(str(error).partition(" - at ")[0], field) from None
