"""What every dialect is: a pure translation between HTTP messages and the words of engine/commands.py.

A dialect has no socket, no clock and no store. `read` turns a request into a Call, or answers by itself where no
order is concerned (a redirect, a picture). `write` renders a result, `refuse` renders an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from glasstumbler.engine.commands import Account, Call, Fees, Now, OrderView, Page, Parameters, Price, Route
from glasstumbler.errors import GlassTumblerError, UnknownEndpoint, WrongMethod

Result = OrderView | Page | Price | Route | Parameters | Now | Fees | bool
"""What the desk may hand back; which one belongs to which command stands in engine/commands.py."""


class Request(NamedTuple):
    """`path` stands within the service ("/api/status"), percent-escapes decoded once; header names in lower case."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    peer: str


class Response(NamedTuple):
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


D = TypeVar("D")
T = TypeVar("T")


class Endpoint(NamedTuple, Generic[D]):
    """One row of a dialect's table. `path` may end in one `{name}`, which takes the rest of the path."""

    name: str
    method: str
    path: str
    read: Callable[[D, Request, str], Call | Response]
    """The dialect, the request and what `{name}` stood for."""
    write: Callable[[D, Call, Any, Account | None], Response]
    private: bool = False
    limit: str | None = None
    in_maintenance: bool = False
    """True: still answers while the service is under maintenance."""

    def match(self, path: str) -> str | None:
        """What `{name}` stands for ("" where the template has none), or None if this is another path."""
        prefix, brace, _ = self.path.partition("{")
        if brace:
            return path[len(prefix) :] if path.startswith(prefix) else None
        return "" if path == self.path else None


class Dialect(Protocol):
    """One service's API."""

    contract: str
    """Name of its OpenAPI file in dialects/openapi/."""
    limits: Mapping[str, tuple[int, int]]
    """Rate limits by name: so many requests in so many seconds."""
    endpoints: Mapping[str, Endpoint[Any]]
    """By name, which is what `Call.endpoint` carries."""
    answers: Collection[str] | None
    """Error codes that the laboratory may ask for; None: any text, where no document lists them."""

    def read(self, request: Request) -> Call | Response:
        """What is asked, or an answer that needs nobody. Raises a Rejection."""
        ...

    def write(self, call: Call, result: Result, account: Account | None) -> Response:
        """The reply to a call that `read` made. `account` signs where the service signs."""
        ...

    def refuse(self, error: GlassTumblerError, request: Request) -> Response:
        """Any error in the service's own shape."""
        ...


def route(rows: Iterable[Endpoint[D]], request: Request) -> tuple[Endpoint[D], str]:
    """The row that a request is for, and what its `{name}` stands for. HEAD is GET without a body (RFC 9110).

    UnknownEndpoint, or WrongMethod where the path exists (with the methods that it takes).
    """
    method = "GET" if request.method == "HEAD" else request.method
    allowed: list[str] = []
    for row in rows:
        if (argument := row.match(request.path)) is None:
            continue
        if row.method == method:
            return row, argument
        allowed.append(row.method)
    if allowed:
        raise WrongMethod("this endpoint does not take that method", tuple(allowed))
    raise UnknownEndpoint("no such endpoint")


def by_kind(table: Mapping[type[GlassTumblerError], T], error: GlassTumblerError) -> T:
    """The entry of the error's nearest ancestor in the tree; every table has GlassTumblerError itself."""
    return next(table[kind] for kind in type(error).__mro__ if kind in table)
