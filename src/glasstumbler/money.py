"""Money: integers of base units, each with its coin. No float ever holds money.

Text at the edges is a plain decimal ("0.001"); JSON numbers are read as `Decimal` and written digit by digit.
"""

from __future__ import annotations

import re
from decimal import MAX_PREC, Decimal, InvalidOperation, localcontext
from typing import Final

PLACES: Final[dict[str, int]] = {"btc": 8, "bch": 8, "ltc": 8, "eth": 18, "xmr": 12, "msat": 11}
"""Decimal places of each coin's base unit; `msat` is the Lightning unit, 10**-11 BTC."""

PPM: Final = 1_000_000
MSAT_PER_SAT: Final = 1000

_MOST_DIGITS = 40
_PLAIN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,18}))?")


def parse(value: str | int | Decimal, coin: str) -> int:
    """Base units of a decimal text, integer or Decimal; ValueError says what is wrong with it.

    Zero and negative values parse: limits are the caller's. Exponents are read ("1e-3") where they are exact.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError("not a decimal number")
    if isinstance(value, str) and (plain := _PLAIN.fullmatch(value)) is not None:
        whole, fraction = plain.groups("")
        if len(fraction) <= PLACES[coin]:
            return int(whole + fraction.ljust(PLACES[coin], "0"))  # nearly every amount: no need of Decimal
    if isinstance(value, str) and (len(value) > _MOST_DIGITS or not value.isascii() or "_" in value):
        raise ValueError("not a decimal number")
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except (InvalidOperation, ValueError):
        raise ValueError("not a decimal number") from None
    if not number.is_finite():
        raise ValueError("not a finite number")
    if number and not -_MOST_DIGITS < number.adjusted() < _MOST_DIGITS:
        raise ValueError("out of any range")
    with localcontext() as context:
        context.prec = MAX_PREC  # a JSON number may have any number of digits, and none of them is rounded away
        units = number.scaleb(PLACES[coin])
        if units != units.to_integral_value():
            raise ValueError(f"more than {PLACES[coin]} decimal places")
        return int(units)


def text(units: int, coin: str) -> str:
    """Plain decimal without exponent or trailing zeros: 316000 btc -> "0.00316", 10**8 -> "1", 0 -> "0"."""
    places = PLACES[coin]
    sign, digits = ("-", str(-units)) if units < 0 else ("", str(units))
    if len(digits) <= places:
        digits = "0" * (places + 1 - len(digits)) + digits
    whole, fraction = digits[:-places], digits[-places:].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def percent(units: int, ppm: int) -> int:
    """`ppm` parts per million of an amount, rounded half up."""
    return (units * ppm * 2 + PPM) // (2 * PPM)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)
