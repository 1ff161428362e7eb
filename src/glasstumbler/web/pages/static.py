"""Files that pages use, each under a URL with the digest of what it holds, so that browsers may keep it for good."""

from __future__ import annotations

import gzip
import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from glasstumbler.web.safety import PLAIN

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
_FOR_GOOD: Final = "public, max-age=31536000, immutable"


class File(NamedTuple):
    url: str
    kind: str
    raw: bytes
    packed: bytes


class Static:
    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        _gather(resources.files("glasstumbler.web.pages") / "static", "", self._files)

    def url(self, name: str) -> str:
        return self._files[name].url

    async def answer(self, request: Request) -> Response:
        """One file; gzipped where the browser takes that. Nothing secret is in them, so nobody is asked for a token."""
        file = self._files.get(request.path_params["name"])
        if file is None or not file.url.startswith(f"/static/{request.path_params['mark']}/"):
            return Response("no such file\n", 404, media_type="text/plain")
        headers = {"cache-control": _FOR_GOOD, "vary": "accept-encoding"}
        headers |= {name.decode(): value.decode() for name, value in PLAIN}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.packed, 200, {**headers, "content-encoding": "gzip"}, file.kind)
        return Response(file.raw, 200, headers, file.kind)


def _gather(folder: Traversable, under: str, into: dict[str, File]) -> None:
    for entry in folder.iterdir():
        name = f"{under}{entry.name}"
        if entry.is_dir():
            _gather(entry, f"{name}/", into)
        elif (kind := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
            raw = entry.read_bytes()
            mark = hashlib.sha256(raw).hexdigest()[:12]
            into[name] = File(f"/static/{mark}/{name}", kind, raw, gzip.compress(raw, mtime=0))
