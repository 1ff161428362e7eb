"""What every page has: templates, the headers, who may come in, errors as pages, work in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from glasstumbler import __version__, log
from glasstumbler.errors import GlassTumblerError, KeyMissing, Malformed, UnknownEndpoint
from glasstumbler.explorer.follow import Explorer
from glasstumbler.house import House
from glasstumbler.services import ABOUT
from glasstumbler.web.lab_api import LabApi, status_of, whole_body
from glasstumbler.web.pages import access, words
from glasstumbler.web.pages.static import Static
from glasstumbler.web.safety import PLAIN

if TYPE_CHECKING:
    from jinja2 import Environment

T = TypeVar("T")
Act = Callable[[Request], Awaitable[Response]]

_THREADS: Final = 8
_FIELDS_MOST: Final = 200
HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    **{name.decode(): value.decode() for name, value in PLAIN},
    "referrer-policy": "same-origin",  # else a form comes with Origin: null
}
"""Of every page. Nothing is fetched from elsewhere and nothing runs but our own files. No URL goes elsewhere."""


class Site:
    """The pages of one house. `lab` lends its hands (`act`): they mine, pay and let time pass."""

    def __init__(self, house: House, lab: LabApi) -> None:
        self.house, self.lab = house, lab
        self.static = Static()
        self.stopping = asyncio.Event()
        """Set when the servers stop: whatever streams ends."""
        self.explorer = Explorer(house.folder, house.vault.fingerprint, house.chains, house.store)
        self._pool = ThreadPoolExecutor(_THREADS, "pages")

    @cached_property
    def _templates(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # only who looks at a page waits for it

        made = Environment(
            loader=PackageLoader("glasstumbler.web.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= words.FILTERS
        made.globals |= {"asset": self.static.url, "about": ABOUT, "version": __version__, "path": path}
        return made

    # -- answers ------------------------------------------------------------------------------------------------------

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A template as a page. `section` among the values marks the place in the menu."""
        return Response(self.render(request, template, **values), status, HEADERS, "text/html; charset=utf-8")

    def render(self, request: Request, template: str, **values: Any) -> str:
        own = {"section": "", "now": self.house.clock.now(), "here": request.url.path, "query": ""}
        return self._templates.get_template(template).render({**own, **values})

    def moved(self, where: str) -> Response:
        """After a form was taken (POST, redirect, GET)."""
        return RedirectResponse(where, 303, HEADERS)

    def problem(self, request: Request, error: GlassTumblerError) -> Response:
        """An error as a page: what is wrong, and where to go on."""
        status = status_of(error)
        headline = _HEADLINES.get(status, "That does not work")
        return self.page(request, "problem.html", status, headline=headline, why=str(error))

    # -- work ---------------------------------------------------------------------------------------------------------

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments))

    def hurry(self) -> None:
        """The servers stop."""
        self.stopping.set()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.explorer.close()

    # -- routes -------------------------------------------------------------------------------------------------------

    def route(self, where: str, act: Act, *methods: str) -> Route:
        """A page behind the door: see access.check."""
        return Route(where, self.guarded(act), methods=list(methods) or ["GET"])

    def guarded(self, act: Act) -> Act:
        name = act.__name__

        async def endpoint(request: Request) -> Response:
            started = perf_counter()
            response = await self._answer(act, request)
            self.house.metrics.request("pages", name, response.status_code, perf_counter() - started)
            return response

        return endpoint

    async def _answer(self, act: Act, request: Request) -> Response:
        try:
            access.check(request, self.house.vault.lab_token)
            return await act(request)
        except KeyMissing as error:
            return self._ask_token(request, str(error))
        except GlassTumblerError as error:
            return self.problem(request, error)
        except Exception:
            self.house.metrics.error("pages")
            log.exception("unexpected", path=request.url.path)
            return self.problem(request, GlassTumblerError("internal error; the log has more"))

    def _ask_token(self, request: Request, why: str) -> Response:
        if request.method in ("GET", "HEAD"):
            return self.page(request, "login.html", 401, why=why, onward=str(request.url.path), wrong=False)
        return self.problem(request, KeyMissing(why))

    def shared_routes(self) -> list[BaseRoute]:
        return [
            Route("/login", self._login, methods=["POST"]),
            Mount("/static", routes=[Route("/{mark}/{name:path}", self.static.answer)]),
        ]

    async def _login(self, request: Request) -> Response:
        """Shows the token once; the browser keeps a cookie that other sites cannot use."""
        try:
            access.check_origin(request)
        except KeyMissing as error:
            return self.problem(request, error)
        fields = await form(request)
        onward, token = access.local(fields.get("onward", "/")), self.house.vault.lab_token
        if not access.is_token(fields.get("token", ""), token):
            return self.page(request, "login.html", 401, why="", onward=onward, wrong=True)
        response = self.moved(onward)
        secure = request.url.scheme == "https"
        response.set_cookie(access.COOKIE, access.ticket(token), httponly=True, samesite="strict", secure=secure)
        return response

    async def missing(self, request: Request, error: Exception) -> Response:
        return self.problem(request, UnknownEndpoint("There is no such page."))


_HEADLINES = {401: "The lab token is wanted", 404: "Not here", 500: "Something broke", 503: "Not now"}


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form (urlencoded), the last of each name. Bounded as every body is (TooLarge)."""
    return dict(await form_items(request))


async def form_items(request: Request) -> list[tuple[str, str]]:
    """The same with repeated names, in order."""
    raw = await whole_body(request)
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MOST)
    except ValueError:
        raise Malformed("not a form as browsers send it") from None


def path(*parts: object) -> str:
    """A path whose parts may hold anything: path("orders", "whir", "a/b") is /orders/whir/a%2Fb."""
    return "/" + "/".join(quote(str(part), safe="") for part in parts)
