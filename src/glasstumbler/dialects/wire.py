"""JSON at the edge: read strictly, written digit by digit.

Numbers with a point or an exponent are read as Decimal and Decimals are written as plain decimals, so that no float
ever holds money. Every reader takes the field's path for the error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from glasstumbler import money
from glasstumbler.dialects.base import Request, Response
from glasstumbler.errors import BadAmount, Malformed, Overloaded, TooLarge, TooManyRequests, WrongMethod

BODY_MAX = 64 * 1024
DEPTH_MAX = 32
TEXT_MAX = 256
NOT_JSON = "Invalid JSON data."
RETRY_AFTER = 5
"""Seconds that an overloaded service asks for."""

_SHOWN = 48
_CONTENT_TYPE = re.compile(r'application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?;?', re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def clip(name: str) -> str:
    """A name of the client's, short and printable enough for an error's text."""
    name = _CONTROL.sub("?", name)
    return name if len(name) <= _SHOWN else name[:_SHOWN] + "..."


def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object (RFC 8259): UTF-8, no key twice, no NaN, no lone surrogate, not nested too deeply.

    TooLarge over 64 KiB, Malformed otherwise. A Content-Type may be absent; present, it must be JSON in UTF-8.
    """
    kind = request.headers.get("content-type", "").strip()
    if kind and not _CONTENT_TYPE.fullmatch(kind):
        raise Malformed("the content type must be application/json in UTF-8")
    if len(request.body) > BODY_MAX:
        raise TooLarge(f"the body is over {BODY_MAX} bytes")
    _check_depth(request.body)
    try:
        value = json.loads(
            request.body.decode(),
            parse_float=exact,
            parse_constant=_not_a_number,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError):
        raise Malformed(NOT_JSON) from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def _check_depth(body: bytes) -> None:
    if body.count(b"{") + body.count(b"[") <= DEPTH_MAX:
        return
    depth = 0
    for token in _BRACKETS.findall(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token, 0)
        if depth > DEPTH_MAX:
            raise Malformed(f"nested deeper than {DEPTH_MAX}")


def exact(digits: str) -> Decimal:
    """A JSON number with a point or an exponent, without a float."""
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent beyond Decimal's own range: no amount, whatever reads it
        return Decimal("Infinity")


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise Malformed("given twice", clip(name))
        fields[name] = value
    return fields


def known(fields: dict[str, Any], names: Collection[str], path: str = "") -> None:
    """Malformed for the first field that is not among `names`."""
    for name in fields:
        if name not in names:
            raise Malformed("unknown field", path + clip(name))


def need(fields: dict[str, Any], name: str, path: str = "") -> Any:
    """A required field; Malformed if it is missing."""
    if name not in fields:
        raise Malformed("missing", path + name)
    return fields[name]


def text(value: Any, field: str, most: int = TEXT_MAX) -> str:
    """A string of at most `most` characters, without control characters; Malformed otherwise."""
    if not isinstance(value, str):
        raise Malformed("must be a string", field)
    if len(value) > most:
        raise Malformed(f"longer than {most} characters", field)
    if _CONTROL.search(value):
        raise Malformed("holds control characters", field)
    return value


def whole(value: Any, field: str) -> int:
    """A whole number, as a JSON number or a string of digits; Malformed otherwise."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 18 and value % 1 == 0:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Malformed("must be a whole number", field)


def amount(value: Any, field: str, coin: str) -> str | int | Decimal:
    """An amount as the client wrote it, number or numeric string; BadAmount if it is none, negative, or finer than
    the coin's base unit."""
    try:
        if money.parse(value, coin) < 0:
            raise ValueError("negative")
    except ValueError as error:
        raise BadAmount(str(error), field, coin) from None
    return value  # type: ignore[no-any-return]  # money.parse takes nothing else


def scaled(value: Any, places: int) -> int:
    """A number or numeric string times 10**places, exactly; ValueError says what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError("must be a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("must be a number")
    number = Decimal(value)
    if not number.is_finite() or number.adjusted() > 9 or len(number.as_tuple().digits) > 20:
        raise ValueError("out of any range")
    if (units := number.scaleb(places)) % 1:
        raise ValueError(f"more than {places} decimal places")
    return int(units)


def decimal(units: int, coin: str) -> Decimal:
    """An amount for a reply: written as a JSON number by `encode`."""
    return Decimal(money.text(units, coin))


def encode(value: Any) -> bytes:
    """JSON without blanks, keys in their order; Decimals become numbers without exponent."""
    return msgspec.json.encode(_spelled(value))


def _spelled(value: Any) -> Any:
    if isinstance(value, Decimal):
        return msgspec.Raw(format(value, "f").encode())
    if isinstance(value, dict):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spelled(inner) for inner in value]
    return value


def reply(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status, (("content-type", "application/json"), *headers), encode(value))


def error_headers(error: Exception) -> tuple[tuple[str, str], ...]:
    """Headers that HTTP itself wants beside an error (RFC 9110): Allow, Retry-After."""
    if isinstance(error, WrongMethod):
        return (("allow", ", ".join(error.allowed)),)
    if isinstance(error, TooManyRequests):
        return (("retry-after", str(error.retry_after)),)
    if isinstance(error, Overloaded):
        return (("retry-after", str(RETRY_AFTER)),)
    return ()
