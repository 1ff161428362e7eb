"""The hub: every service under its slug, the lab API, and a page that says where everything is."""

from __future__ import annotations

from importlib import resources

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from glasstumbler.house import House
from glasstumbler.web.asgi import ServiceApp
from glasstumbler.web.lab_api import LabApi
from glasstumbler.web.safety import SafeAnswers

_INDEX = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Glass Tumbler - TEST NETWORKS ONLY</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}</style>
<h1>Glass Tumbler</h1><p><strong>TEST NETWORKS ONLY.</strong> Five documented coin services on private chains; every
link is recorded.</p><ul>{services}</ul><p>The laboratory: <a href="/lab/v1/chains">/lab/v1/chains</a></p></html>"""


_ROOT_SERVER = "servers:\n  - url: /\n"


def hub(house: House) -> Starlette:
    services = [Mount(f"/{slug}", app=ServiceApp(service)) for slug, service in house.services.items()]
    items = "".join(
        f'<li>{slug}: <code>/{slug}</code>, <a href="/openapi/{slug}.yaml">contract</a></li>' for slug in house.services
    )
    index = _INDEX.format(services=items)

    async def home(request: Request) -> Response:
        return HTMLResponse(index)

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
            Route("/", home),
            Route("/openapi/{slug}.yaml", contract),
            Mount("/lab/v1", app=LabApi(house).app()),
            *services,
        ],
        middleware=[Middleware(SafeAnswers)],
    )
