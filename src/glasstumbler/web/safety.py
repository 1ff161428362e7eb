"""What keeps browsers and oversized requests off: who may drive the laboratory, headers of answers, bounds of a head.

A browser on the same machine is loopback too, and runs what pages from elsewhere tell it. It says so, though: under
which name it came (Host), from whose page (Origin, Sec-Fetch-Site); no page can forge these.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final

from glasstumbler.errors import KeyMissing, TooLarge

URL_MOST: Final = 8 * 1024
"""Bytes of path and query; the longest documented ones carry a Lightning invoice."""
HEADERS_MOST: Final = 100
HEADERS_SIZE_MOST: Final = 16 * 1024
PARAMETERS_MOST: Final = 100

PLAIN: Final = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
"""Of every answer: nothing is run that was not sent as a program, and no URL with an order's name goes elsewhere."""
PAGE: Final = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
     b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
)  # fmt: skip
"""Of every HTML answer: pages here have styles of their own and nothing else."""

_LOCAL_NAMES: Final = frozenset(("localhost", "127.0.0.1", "[::1]", ""))
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_HERE: Final = ("same-origin", "none")
"""Sec-Fetch-Site of the laboratory's own pages, and of what somebody typed."""

Headers = Iterable[tuple[bytes, bytes]]


def check_caller(peer: str, method: str, scheme: str, headers: Mapping[str, str]) -> None:
    """Loopback by loopback's own name, and no page of elsewhere behind it; KeyMissing says that the token is wanted."""
    host = headers.get("host", "")
    if not is_loopback(peer) or _name(host) not in _LOCAL_NAMES:
        raise KeyMissing("the lab token is wanted: Authorization: Bearer ...")
    if any(name in headers for name in _FORWARDED):
        raise KeyMissing("a request through a proxy needs the lab token: Authorization: Bearer ...")
    origin = headers.get("origin")
    foreign = origin is not None and origin.lower() != f"{scheme}://{host}".lower()
    site = headers.get("sec-fetch-site", "none")
    if site not in _HERE and not (method == "GET" and headers.get("sec-fetch-mode") == "navigate"):
        foreign = True  # following a link to look is harmless
    if foreign:
        raise KeyMissing("a page of another origin needs the lab token: Authorization: Bearer ...")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def check_head(path: bytes, query: bytes, headers: Headers) -> None:
    """TooLarge if the URL or the headers are beyond what any client of these services sends."""
    if len(path) + len(query) > URL_MOST:
        raise TooLarge(f"the URL is longer than {URL_MOST} bytes")
    if query.count(b"&") >= PARAMETERS_MOST:
        raise TooLarge(f"the query has more than {PARAMETERS_MOST} parameters")
    sizes = [len(name) + len(value) for name, value in headers]
    if len(sizes) > HEADERS_MOST or sum(sizes) > HEADERS_SIZE_MOST:
        raise TooLarge(f"more than {HEADERS_MOST} headers, or more than {HEADERS_SIZE_MOST} bytes of them")


def safe(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers with those that every answer has."""
    html = any(name == b"content-type" and value.startswith(b"text/html") for name, value in headers)
    return [*headers, *PLAIN, *PAGE] if html else [*headers, *PLAIN]


class SafeAnswers:
    """ASGI middleware of the hub: its own answers get the headers; a service's answers have them already."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if PLAIN[0] not in headers:
                    message = {**message, "headers": safe(headers)}
            await send(message)

        await self._app(scope, receive, sending)
