"""Payment-protocol URLs: which ones the laboratory answers, and with what.

Nothing is fetched. A URL counts only if it points at the laboratory's own fixture on loopback, GET /lab/v1/bip70, and
what that would serve is made here from the URL's own query; every other URL is refused (error 011).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from glasstumbler.chains import bip70
from glasstumbler.chains.base import Format, Output
from glasstumbler.errors import BadAddress, BadPaymentRequest, BadPaymentUrl, NotATestNetwork
from glasstumbler.money import parse

FIXTURE = "/lab/v1/bip70"
_KNOWN = frozenset(("address", "amount", "expires", "memo", "network"))


def corrected(given: str) -> str:
    """The URL of the payment request itself; `bitcoin:?r=URL` is unwrapped. BadPaymentUrl if it is not ours."""
    try:
        given.encode()  # JSON can spell half a character, which no URL and no payment request can hold
        parts = urlsplit(given.strip())
        if parts.scheme.lower() == "bitcoin":
            given = dict(parse_qsl(parts.query)).get("r", "")
            parts = urlsplit(given)
        host = parts.hostname or ""
    except ValueError:
        raise BadPaymentUrl("not a URL", "pp_url") from None
    if parts.scheme.lower() not in ("http", "https") or not _is_here(host) or parts.path.rstrip("/") != FIXTURE:
        raise BadPaymentUrl(
            f"only the laboratory's own {FIXTURE} on loopback is answered; nothing is fetched", "pp_url"
        )
    return given


def serve(query: Mapping[str, str], form: Format, now: int) -> bytes:
    """The payment request that a query asks for: address, amount (BTC), and optionally expires, memo, network.
    BadPaymentRequest if the query does not make one."""
    if unknown := sorted(set(query) - _KNOWN):
        raise BadPaymentRequest(f"unknown parameter {unknown[0]!r}", "pp_url")
    try:
        key = form.key(query.get("address", ""))
        amount = parse(query.get("amount", ""), form.coin)
        expires = int(query.get("expires", "0"))
    except (BadAddress, NotATestNetwork, ValueError) as error:
        raise BadPaymentRequest(str(error), "pp_url") from None
    if amount <= 0 or not 0 <= expires < 1 << 40:
        raise BadPaymentRequest("amount and expires must not be negative", "pp_url")
    memo, network = query.get("memo", ""), query.get("network", bip70.NETWORK)
    return bip70.encode(bip70.PaymentRequest((Output(key, amount),), now, expires, memo, network))


def resolve(given: str, form: Format, now: int) -> tuple[str, str, int]:
    """(corrected URL, address, sat) of a payment-protocol URL."""
    url = corrected(given)
    request = bip70.decode(serve(dict(parse_qsl(urlsplit(url).query)), form, now))
    if request.expires and now >= request.expires:
        raise BadPaymentRequest("the payment request has expired", "pp_url")
    if len(request.outputs) != 1:
        raise BadPaymentRequest("a payment request with one output is wanted", "pp_url")
    return url, form.address(request.outputs[0].key), request.outputs[0].amount


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
