"""The bearer services' signature: PHP's text of a reply, under HMAC-SHA256 (documents 2 to 4, section "Signature").

The message is what PHP's implode makes of the reply's values, in the reply's order, `signature` left out: a nested map
becomes its keys, then its values, all joined by commas. PHP holds a number with a point as a double and writes it with
14 significant digits (ini `precision`, the default), below 0.0001 and from 10**14 on in its own exponent form.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_DIGITS = 14


def sign(fields: Mapping[str, Any], secret: str) -> str:
    """Signature of a reply: base64 of the raw digest, 44 characters."""
    digest = hmac.digest(secret.encode(), message(fields).encode(), hashlib.sha256)
    return b64encode(digest).decode()


def message(fields: Mapping[str, Any]) -> str:
    """The signed text. A key that is absent contributes nothing; None contributes an empty slot."""
    return "|".join(text(value) for name, value in fields.items() if name != "signature")


def text(value: Any) -> str:
    """What implode makes of one value: str, int, Decimal, bool, None, or a map or list of those."""
    if isinstance(value, list):
        value = dict(enumerate(value))  # to PHP a list is a map from its indices
    if isinstance(value, Mapping):
        return ",".join(map(text, value)) + "," + ",".join(map(text, value.values()))
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    return number(value) if isinstance(value, Decimal) else str(value)


def number(value: Decimal) -> str:
    """PHP's text of a number with a point: 0.00316, 1.0E-5, 1.0E+14, 20."""
    # The value becomes a double here because PHP's does, and the fifteenth digit must round as PHP's; nothing but
    # this text is made from it.
    mantissa, _, exponent_text = f"{float(value):.{_DIGITS - 1}e}".partition("e")
    exponent = int(exponent_text)
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    digits = digits.replace(".", "").rstrip("0") or "0"
    return sign + (_positional(digits, exponent) if -5 < exponent < _DIGITS else _scientific(digits, exponent))


def _positional(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def _scientific(digits: str, exponent: int) -> str:
    return f"{digits[0]}.{digits[1:] or '0'}E{exponent:+d}"
