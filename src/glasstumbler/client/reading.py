"""What all dialects' calls share: amounts and bodies of requests, JSON and refusals of replies.

A reader raises ValueError (or what msgspec raises) for what is no reply of its service; `Call.read` makes a BadReply
of it. Numbers are read as Decimal, never as float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import msgspec

from glasstumbler.client import errors
from glasstumbler.client.calls import Reply, Request

Amount = Decimal | str | int
"""Whole coins: a Decimal, its text, or an integer. A float is refused: it holds no exact amount."""
T = TypeVar("T")
_JSON = (("content-type", "application/json"), ("accept", "application/json"))
_DEEPEST = 100
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|$)|[\[\]{}]', re.DOTALL)
_STEP = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_DIGITS = 40
"""More than any amount has; Decimal itself would take numbers that fill the memory when written out."""
_FIELD = re.compile(r"([A-Za-z_]\w*(?:[.\[][^\s:]*)?): ")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

SERVER_AT_FAULT = 500
BY_STATUS: Mapping[int, type[errors.Refused]] = {
    401: errors.AccessDenied,
    403: errors.AccessDenied,
    404: errors.NotFound,
    409: errors.Refused,
    503: errors.Unavailable,
}


# -- requests ---------------------------------------------------------------------------------------------------------


def post(path: str, body: object, headers: tuple[tuple[str, str], ...] = ()) -> Request:
    return Request("POST", path, headers=(*_JSON, *headers), body=msgspec.json.encode(body))


def get(path: str, query: Mapping[str, object] | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Request:
    """What is None in the query is left out."""
    given = tuple((name, str(value)) for name, value in (query or {}).items() if value is not None)
    return Request("GET", path, given, headers)


def text(amount: Amount) -> str:
    """A plain decimal without exponent. ValueError for what is no number, TypeError for a float."""
    if isinstance(amount, bool) or not isinstance(amount, (Decimal, str, int)):
        raise TypeError(f"an amount is a Decimal, a str or an int, not {type(amount).__name__}")
    try:
        number = Decimal(amount)
    except InvalidOperation:
        raise ValueError(f"not an amount: {amount!r}") from None
    if not number.is_finite() or abs(number.adjusted()) > _DIGITS:
        raise ValueError(f"not an amount: {amount!r}")
    return format(number, "f")


def number(amount: Amount) -> msgspec.Raw:
    """The same as a JSON number."""
    return msgspec.Raw(text(amount).encode())


# -- replies ----------------------------------------------------------------------------------------------------------


def decoded(reply: Reply) -> Any:
    """The JSON, keys in their order, numbers with a point or an exponent as Decimal. ValueError also where it is nested
    deeper than any reply: a process may have raised Python's own limit, behind which the stack ends."""
    if reply.body.count(b"[") + reply.body.count(b"{") > _DEEPEST and _depth(reply.body) > _DEEPEST:
        raise ValueError("nested too deeply")
    return _DECODER.decode(reply.body)


def _depth(raw: bytes) -> int:
    deepest = depth = 0
    for found in _TOKEN.finditer(raw):
        depth += _STEP.get(found[0], 0)
        deepest = max(deepest, depth)
    return deepest


def typed(value: Any, kind: type[T], strict: bool = True) -> T:
    """`strict` False reads a number or a boolean out of its text too."""
    found = msgspec.convert(value, kind, strict=strict)
    _check_amounts(found)
    return found


def _check_amounts(value: Any) -> None:
    if isinstance(value, Decimal):
        if not value.is_finite() or (value.is_signed() and value) or abs(value.adjusted()) > _DIGITS:
            raise ValueError(f"no amount: {value!s:.40}")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _check_amounts(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            _check_amounts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_amounts(inner)


def refused(
    kind: type[errors.Refused] | None,
    reply: Reply,
    code: str,
    message: str,
    reason: str = "",
    field: str | None = None,
) -> errors.Refused:
    """The service's error. `kind` None: what the HTTP status says; `field` None: the one that the text begins with."""
    if kind is None:
        default = errors.Unavailable if reply.status >= SERVER_AT_FAULT else errors.InvalidRequest
        kind = BY_STATUS.get(reply.status, default)
    if field is None:
        named = _FIELD.match(reason or message)
        field = named[1] if named else ""
    wait = reply.headers.get("retry-after", "")
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) < _DIGITS else None
    return kind(reply.status, code, message, reason, field, seconds)
