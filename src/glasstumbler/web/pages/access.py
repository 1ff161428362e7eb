"""Who may open the pages: loopback by loopback's own name, or a browser that has shown the lab token once.

The cookie holds a digest of the token, not the token; a page of another origin can neither read it nor send it along.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from glasstumbler.errors import KeyMissing
from glasstumbler.web.safety import check_caller, check_head

COOKIE: Final = "glasstumbler"
_PURPOSE: Final = b"glass tumbler pages"


def ticket(token: str) -> str:
    """What the cookie holds."""
    return hmac.new(token.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def check(request: Request, token: str) -> None:
    """KeyMissing if the token is wanted; TooLarge for a head beyond bounds."""
    check_head(request.scope.get("raw_path", b""), request.scope["query_string"], request.scope["headers"])
    if _same(request.cookies.get(COOKIE, ""), ticket(token)):
        check_origin(request)
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _same(given, token):
        return
    peer = request.client.host if request.client else ""
    check_caller(peer, request.method, request.scope["scheme"], request.headers)


def check_origin(request: Request) -> None:
    """A page of elsewhere may link here and nothing more."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    site = request.headers.get("sec-fetch-site", "none")
    looks = request.method in ("GET", "HEAD")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    if foreign or (site not in ("same-origin", "none") and not looks):
        raise KeyMissing("a page of another origin may not do this")


def is_token(given: str, token: str) -> bool:
    return _same(given, token)


def local(path: str) -> str:
    """Where to go on after signing in: a path of this site, else the first page."""
    parts = urlsplit(path)
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return path if safe and path.isprintable() else "/"


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
