"""The hub: every service under its slug, the lab API, and the pages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from glasstumbler.dialects.wire import RETRY_AFTER
from glasstumbler.house import House
from glasstumbler.web.asgi import Closed, ServiceApp
from glasstumbler.web.health import Health, healthz, starting
from glasstumbler.web.lab_api import LabApi
from glasstumbler.web.pages import sections
from glasstumbler.web.pages.site import Site
from glasstumbler.web.safety import SafeAnswers

STARTING = "the laboratory is starting"

_ROOT_SERVER = "servers:\n  - url: /\n"


def hub(house: House, services: Mapping[str, ServiceApp], lab: LabApi, health: Health, site: Site) -> Starlette:
    mounted = [Mount(f"/{slug}", app=app) for slug, app in services.items()]

    async def contract(request: Request) -> Response:
        slug = request.path_params["slug"]
        if slug not in house.services:
            return PlainTextResponse("no such contract\n", 404)
        name = f"{house.services[slug].dialect.contract.removesuffix('.yaml')}.yaml"
        raw = (resources.files("glasstumbler.dialects") / "openapi" / name).read_text()
        raw = raw.replace(_ROOT_SERVER, f"servers:\n  - url: /{slug}\n", 1)  # on the hub it stands under its slug
        return Response(raw, media_type="application/yaml")

    return Starlette(
        routes=[
            Route("/openapi/{slug}.yaml", contract),
            Route("/healthz", healthz),
            Route("/readyz", health.readyz),
            Route("/metrics", lab.guarded(health.metrics)),
            Mount("/lab/v1", app=lab.app()),
            *mounted,
            *sections.routes(site),
        ],
        exception_handlers={404: site.missing},
        middleware=[Middleware(SafeAnswers)],
    )


def starting_hub(services: Mapping[str, Closed]) -> Starlette:
    """Before the house is open."""

    async def not_yet(request: Request) -> Response:
        headers = {"retry-after": str(RETRY_AFTER)}
        return JSONResponse({"error": "Overloaded", "message": STARTING, "field": None}, 503, headers)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", starting),
            *(Mount(f"/{slug}", app=app) for slug, app in services.items()),
            Route("/{rest:path}", not_yet, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(SafeAnswers)],
    )
