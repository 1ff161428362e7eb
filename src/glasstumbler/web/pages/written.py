"""JSON for people: a line for each field, and every number with the digits that it came with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

_encode = msgspec.json.Encoder().encode


def pretty(body: bytes, change: Callable[[Any], Any] = lambda value: value) -> str | None:
    """None if it is no JSON. `change` sees the value first; numbers in it are msgspec.Raw."""
    try:
        value = json.loads(body, parse_float=_digits, parse_int=_digits, parse_constant=_not_json)
        return msgspec.json.format(_encode(change(value)), indent=2).decode()
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError):
        return None


def _digits(written: str) -> msgspec.Raw:
    return msgspec.Raw(written.encode())


def _not_json(name: str) -> NoReturn:
    raise ValueError(name)
