"""How pages say things: amounts, times, long names. Filters of the templates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from glasstumbler.clock import iso_z
from glasstumbler.money import text

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))
LIGHTNING = "msat"
_SHORT = 19


def money(units: int, coin: str) -> str:
    """Base units as people write them: 0.5 BTC. Lightning amounts are BTC."""
    return f"{text(units, coin)} {ticker(coin)}"


def ticker(coin: str) -> str:
    return "BTC" if coin in (LIGHTNING, "lightning") else coin.upper()


def when(seconds: int | None) -> str:
    """Epoch seconds as the laboratory's date and time, UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: int) -> str:
    """A length of time in its two largest units: 1 h 30 min."""
    if abs(seconds) < 60:
        return f"{seconds} s"
    left, parts = abs(seconds), []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return ("-" if seconds < 0 else "") + " ".join(parts[:2])


def short(name: str) -> str:
    """A long name by its ends."""
    return name if len(name) <= _SHORT else f"{name[:9]}…{name[-8:]}"


def grouped(number: int) -> str:
    return f"{number:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "money": money,
    "ticker": ticker,
    "when": when,
    "iso": iso_z,
    "span": span,
    "short": short,
    "grouped": grouped,
    "plural": plural,
}
