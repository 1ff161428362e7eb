"""What was wrong with a request, in a sentence, and how to mend it. And what may be shown of it: never a whole key."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from glasstumbler import errors as kinds
from glasstumbler.dialects.base import Endpoint
from glasstumbler.recent import CLIP, Exchange, Wrong
from glasstumbler.service import UNREAD
from glasstumbler.web.pages.written import pretty

_KEYS: Final = ("api_key", "secret_key")
_SECRET_HEADERS: Final = ("authorization", "cookie", "proxy-authorization", "x-api-key")
_QUOTED: Final = re.compile(r'("(?:api|secret)_key"\s*:\s*")([^"]*)')
_SHOWN, _LEAST = 4, 8

MEND: Final[Mapping[type[kinds.GlassTumblerError], str]] = {
    kinds.GlassTumblerError: "The fault is the laboratory's; what it printed while it served says more.",
    kinds.StoreError: "The record cannot be written just now; send the request again.",
    kinds.ChainError: "A chain's node has failed; /lab/v1/status says which. Send the request again.",
    kinds.NotATestNetwork: "Only the private test chains are taken here. Ask the laboratory for an address of one.",
    kinds.Rejection: "Compare the request with the operation's fields on this service's console page.",
    kinds.Malformed: "Compare the request with the operation's fields on this service's console page.",
    kinds.BadAddress: "Ask the laboratory for a test address: POST /lab/v1/chains/{coin}/address.",
    kinds.BadAmount: "An amount is a decimal of whole coins, above 0, with no more places than the coin has.",
    kinds.OutOfBounds: "The service's limits stand on its page; choose an amount between them.",
    kinds.BadCurrency: "The currencies that are taken stand with the operation's fields.",
    kinds.BadShares: "The percentages of all outputs add to 100, in tenths of a percent.",
    kinds.BadDelay: "The range of delays stands with the operation's fields.",
    kinds.BadFee: "The least fee is what code/info answers; the range stands on the service's page.",
    kinds.BadInvoice: "Ask the laboratory for an invoice: POST /lab/v1/lightning/invoice.",
    kinds.InvoiceExpired: "The laboratory's clock is past it; ask for another: POST /lab/v1/lightning/invoice.",
    kinds.InvoiceUsed: "An invoice is paid once; ask for a new one: POST /lab/v1/lightning/invoice.",
    kinds.NoRoute: "Choose a smaller amount; order_ln_check_route says how likely a payment is.",
    kinds.BadPaymentUrl: "Only the laboratory's own GET /lab/v1/bip70 on loopback is answered.",
    kinds.BadPaymentRequest: "The query of /lab/v1/bip70 takes address, amount, expires, memo and network.",
    kinds.WrongState: "Look at the order's state first; this call is for one state only.",
    kinds.UnknownOrder: "Use the id that the create call answered, with the key that made the order.",
    kinds.UnknownEndpoint: "Compare the path with those on this service's console page, the last slash included.",
    kinds.WrongMethod: "The answer's header Allow says which method the path takes.",
    kinds.TooLarge: "Send less: a body has 64 KiB at most, a URL 8 KiB.",
    kinds.KeyMissing: "The key stands on this service's console page.",
    kinds.KeyBlocked: "This key was blocked for good. Make another on this service's console page.",
    kinds.TooManyRequests: "Wait as long as the answer's header Retry-After says. The limits are the documented ones.",
    kinds.Unavailable: "The fault is the service's; send the request again later.",
    kinds.Maintenance: "The laboratory was told to hold this service in maintenance; Time and mischief ends it.",
    kinds.Overloaded: "Wait as long as the answer's header Retry-After says, then send it again.",
    kinds.OutOfFunds: "The service's own coins do not cover the order; choose a smaller amount.",
    kinds.Forced: "The laboratory was told to answer so; Time and mischief takes it back.",
}
_WHERE_KEYS_GO: Final = {"bestmixer": "Send it as the field api_key.", "": "Send it as Authorization: Bearer KEY."}


class Explained(NamedTuple):
    error: str
    """Name of the error in the house's tree."""
    text: str
    field: str
    mend: str


def explain(service: str, wrong: Wrong) -> Explained:
    """In the words that pages show."""
    mend = next(MEND[parent] for parent in wrong.kind.__mro__ if parent in MEND)
    if issubclass(wrong.kind, kinds.KeyMissing):
        mend += f" {_WHERE_KEYS_GO.get(service, _WHERE_KEYS_GO[''])}"
    return Explained(wrong.kind.__name__, wrong.text, wrong.field, mend)


class Seen(NamedTuple):
    """An exchange as it may be shown."""

    number: int
    service: str
    endpoint: str
    """The operation that it was for, or ""."""
    method: str
    target: str
    status: int
    at: float
    milliseconds: float
    wrong: Explained | None
    headers: tuple[tuple[str, str], ...]
    body: str
    answer_headers: tuple[tuple[str, str], ...]
    answer: str


def seen(exchange: Exchange, endpoints: Iterable[Endpoint[Any]], keys: Collection[str]) -> Seen:
    """`endpoints` are the service's; `keys` are texts that are never shown whole, wherever they stand."""
    request, response = exchange.request, exchange.response
    query = "&".join(f"{name}={value}" for name, value in request.query)
    kind = dict(response.headers).get("content-type", "")
    return Seen(
        number=exchange.number,
        service=exchange.service,
        endpoint=_matched(exchange, endpoints),
        method=request.method,
        target=hidden(f"{request.path}?{query}" if query else request.path, keys),
        status=response.status,
        at=exchange.at,
        milliseconds=exchange.seconds * 1000,
        wrong=explain(exchange.service, exchange.wrong) if exchange.wrong else None,
        headers=tuple((name, _header(name, value, keys)) for name, value in request.headers.items()),
        body=_body(request.body, keys),
        answer_headers=response.headers,
        answer=f"({kind})" if kind.startswith("image/") else _body(response.body, keys),
    )


def _matched(exchange: Exchange, endpoints: Iterable[Endpoint[Any]]) -> str:
    """Also where the request was refused before it was read; "" if path and method are nobody's."""
    if exchange.endpoint != UNREAD:
        return exchange.endpoint
    request = exchange.request
    found = (each.name for each in endpoints if each.method == request.method and each.match(request.path) is not None)
    return next(found, "")


def _body(raw: bytes, keys: Collection[str]) -> str:
    text = pretty(raw, _without_keys)
    if text is None:
        text = _QUOTED.sub(lambda found: found[1] + last(found[2]), raw.decode("utf-8", "replace"))
    shown = hidden(text, keys)
    return f"{shown}\n(the first {CLIP} bytes)" if len(raw) == CLIP else shown


def _without_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _masked(inner) if name in _KEYS else _without_keys(inner) for name, inner in value.items()}
    return [_without_keys(inner) for inner in value] if isinstance(value, list) else value


def _masked(value: Any) -> str:
    return last(value) if isinstance(value, str) else "…"


def _header(name: str, value: str, keys: Collection[str]) -> str:
    if name not in _SECRET_HEADERS:
        return hidden(value, keys)
    scheme, blank, secret = value.rpartition(" ")
    return f"{scheme}{blank}{last(secret)}"


def hidden(text: str, keys: Collection[str]) -> str:
    for key in keys:
        text = text.replace(key, last(key))
    return text


def last(key: str) -> str:
    """A key by its last characters; a short one not at all."""
    return f"…{key[-_SHOWN:]}" if len(key) >= _LEAST else "…"
