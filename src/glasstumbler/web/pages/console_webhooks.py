"""Webhooks: who is told of what happens, and how the deliveries went."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from glasstumbler.errors import GlassTumblerError
from glasstumbler.web.lab_api import status_of
from glasstumbler.web.pages.site import Site, form_items
from glasstumbler.webhooks import ENDPOINTS_MOST, TYPES

_SHOWN: Final = 50


def routes(site: Site) -> list[BaseRoute]:
    pages = Hooks(site)
    return [
        site.route("/console/webhooks", pages.listed),
        site.route("/console/webhooks/add", pages.add, "POST"),
        site.route("/console/webhooks/{id}/delete", pages.delete, "POST"),
        site.route("/console/webhooks/{id}/test", pages.test, "POST"),
    ]


class Hooks:
    def __init__(self, site: Site) -> None:
        self._site, self._webhooks = site, site.lab.webhooks

    async def listed(self, request: Request) -> Response:
        return await self._show(request)

    async def _show(self, request: Request, wrong: str = "", url: str = "", status: int = 200) -> Response:
        def look() -> tuple[list[tuple[object, str]], list[object]]:
            book = self._webhooks.book
            endpoints = [(each, self._webhooks.secret(each)) for each in book.all()]
            return list(endpoints), list(book.deliveries(_SHOWN))

        endpoints, deliveries = await self._site.in_thread(look)
        return self._site.page(
            request, "console_webhooks.html", status, section="console", endpoints=endpoints, deliveries=deliveries,
            kinds=list(TYPES.values()), most=ENDPOINTS_MOST, wrong=wrong, url=url,
            said=_DONE.get(parse_qs(request.url.query).get("done", [""])[0], ""),
        )  # fmt: skip

    async def add(self, request: Request) -> Response:
        items = await form_items(request)
        url = next((text.strip() for name, text in items if name == "url"), "")
        try:
            await self._site.in_thread(self._webhooks.add, url, [text for name, text in items if name == "event"])
        except GlassTumblerError as error:
            return await self._show(request, str(error), url, status_of(error))
        return self._site.moved("/console/webhooks?done=add")

    async def delete(self, request: Request) -> Response:
        endpoint = await self._site.in_thread(self._webhooks.find, request.path_params["id"])
        await self._site.in_thread(self._webhooks.book.remove, endpoint.id)
        return self._site.moved("/console/webhooks?done=delete")

    async def test(self, request: Request) -> Response:
        endpoint = await self._site.in_thread(self._webhooks.find, request.path_params["id"])
        done = await self._site.in_thread(self._webhooks.test, endpoint)
        if done.why:
            return await self._show(request, f"The test did not arrive at {endpoint.url}: {done.why}")
        return self._site.moved("/console/webhooks?done=test")


_DONE: Final = {
    "add": "It is told of everything from now on.",
    "delete": "It is told of nothing any more.",
    "test": "The test arrived.",
}
