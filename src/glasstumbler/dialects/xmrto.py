"""The swap XMR.to, API versions 2 and 3 side by side (document 5).

Endpoints end in a slash; without it they redirect. There is no key: knowing an order's uuid is all the access
control there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from glasstumbler.dialects import wire, xmrto_fields, xmrto_pages
from glasstumbler.dialects.base import Endpoint, Request, Response, Result, by_kind, route
from glasstumbler.dialects.settings import XmrtoSettings
from glasstumbler.engine.commands import (
    AcceptPartial,
    Account,
    AskParameters,
    Call,
    CheckPrice,
    CheckRoute,
    FindOrder,
    OpenSwap,
    OrderView,
    Parameters,
    Price,
    Route,
)
from glasstumbler.errors import (
    BadAddress,
    BadAmount,
    BadCurrency,
    BadInvoice,
    BadPaymentRequest,
    BadPaymentUrl,
    ChainError,
    Forced,
    GlassTumblerError,
    InvoiceExpired,
    InvoiceUsed,
    KeyBlocked,
    KeyMissing,
    Malformed,
    NoFunds,
    NoRoute,
    NotATestNetwork,
    OutOfBounds,
    OutOfFunds,
    PaymentFailed,
    Rejection,
    TooLarge,
    TooManyRequests,
    UnknownEndpoint,
    UnknownOrder,
    WrongMethod,
)

UUID = re.compile(r"xmrto-[A-Za-z0-9]{6}")
CURRENCIES = {"BTC": "btc", "XMR": "xmr"}
_INVOICE_MAX = 4096
_URL_MAX = 2048

LIMITS: dict[str, tuple[int, int]] = {
    "order_parameter_query": (3, 1),
    "order_create": (4, 60),
    "order_create_pp": (4, 60),
    "order_create_ln": (4, 60),
    "order_ln_check_route": (1, 3),
    "order_status_query": (3, 1),
    "order_check_price": (1, 3),
    "order_partial_payment": (4, 60),
}
"""Requests in seconds; those of the Lightning and partial-payment calls are ours."""

CATALOGUE: dict[str, tuple[int, str]] = {
    "001": (503, "internal services not available"),
    "002": (400, "malformed bitcoin address"),
    "003": (400, "invalid bitcoin amount"),
    "004": (400, "bitcoin amount out of bounds"),
    "005": (400, "unexpected validation error"),
    "006": (404, "requested order not found"),
    "007": (503, "third party service not available"),
    "008": (503, "insufficient funds available"),
    "009": (400, "invalid request"),
    "010": (400, "payment protocol failed"),
    "011": (400, "malformed payment protocol url"),
    "012": (403, "too many requests"),
    "013": (403, "access forbidden"),
    "014": (403, "service not available in your region"),
    "015": (400, "invalid monero amount"),
    "016": (400, "invalid currency"),
    "017": (400, "malformed lightning invoice"),
    "018": (400, "lightning payment unlikely to succeed"),
    "019": (400, "invoice preimage already known"),
    "020": (400, "invoice expired"),
}
"""HTTP status and message by code; clients compare the messages letter by letter."""

ERRORS: dict[type[GlassTumblerError], str] = {
    GlassTumblerError: "001",
    ChainError: "007",
    PaymentFailed: "018",
    NoFunds: "008",
    OutOfFunds: "008",
    NotATestNetwork: "002",
    Rejection: "009",
    BadAddress: "002",
    BadAmount: "003",
    OutOfBounds: "004",
    BadCurrency: "016",
    BadInvoice: "017",
    NoRoute: "018",
    InvoiceUsed: "019",
    InvoiceExpired: "020",
    BadPaymentUrl: "011",
    BadPaymentRequest: "010",
    UnknownOrder: "006",
    TooManyRequests: "012",
    KeyMissing: "013",
    KeyBlocked: "013",
}
_STATUS: dict[type[GlassTumblerError], int | None] = {GlassTumblerError: None, UnknownEndpoint: 404, WrongMethod: 405}
"""Where HTTP has its own status for a 009."""
_CREATING = "/order_create"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_REASON_MAX = 300


class Xmrto:
    """The service."""

    contract = "xmrto"

    def __init__(self, settings: XmrtoSettings | None = None) -> None:
        self.settings = settings or XmrtoSettings()
        self.limits: Mapping[str, tuple[int, int]] = LIMITS
        self.answers: Collection[str] | None = frozenset(f"XMRTO-ERROR-{code}" for code in CATALOGUE)
        self.endpoints: Mapping[str, Endpoint[Xmrto]] = {
            name: row
            for name, row in ENDPOINTS.items()
            if name != "v3/order_create_pp" or self.settings.create_pp_in_v3
        }

    def read(self, request: Request) -> Call | Response:
        if (redirect := self._redirect(request)) is not None:
            return redirect
        row, argument = route(self.endpoints.values(), request)
        call = row.read(self, request, argument)
        if isinstance(call, Response):
            return call
        return call._replace(limit=row.limit, endpoint=row.name)

    def _redirect(self, request: Request) -> Response | None:
        """To the same path with a slash, if that exists. The location is relative: it holds under any mount."""
        slashed = request.path + "/"
        if not any(row.path == slashed for row in self.endpoints.values()):
            return None
        location = slashed.rsplit("/", 2)[1] + "/"
        if request.query:
            location += "?" + urlencode(request.query, errors="replace")
        status = 301 if request.method in ("GET", "HEAD") else 308  # 308 keeps method and body (RFC 9110)
        return Response(status, (("location", location),), b"")

    def write(self, call: Call, result: Result, account: Account | None) -> Response:
        return self.endpoints[call.endpoint].write(self, call, result, account)

    def refuse(self, error: GlassTumblerError, request: Request) -> Response:
        code = _code(error, request)
        status, message = CATALOGUE[code]
        # The message is fixed by clients; the header says what was wrong, and with which field.
        reason = _UNPRINTABLE.sub("?", str(error))[:_REASON_MAX]
        return wire.reply(
            {"error": f"XMRTO-ERROR-{code}", "error_msg": message},
            by_kind(_STATUS, error) or status,
            (*wire.error_headers(error), ("x-glasstumbler-reason", reason)),
        )


def _code(error: GlassTumblerError, request: Request) -> str:
    if isinstance(error, Forced):
        code = error.code[-3:]
        return code if code in CATALOGUE else ERRORS[GlassTumblerError]
    if isinstance(error, BadAmount) and error.currency == "xmr":
        return "015"
    if isinstance(error, (Malformed, TooLarge)) and _CREATING in request.path:
        return "005"  # 009 is not among the documented errors of creation
    return by_kind(ERRORS, error)


# Reading


def _version(path: str) -> str:
    return path.split("/")[2]


def _read_parameters(dialect: Xmrto, request: Request, argument: str) -> Call:
    return Call(AskParameters())


def _amount(fields: dict[str, Any], version: str) -> tuple[Any, str, str]:
    """Amount as written, its currency, and the field it stood in."""
    if version == "v3":
        currency = wire.need(fields, "amount_currency")
        if not isinstance(currency, str) or currency.upper() not in CURRENCIES:
            raise BadCurrency("must be BTC or XMR", "amount_currency")
        name, currency = "amount", currency.upper()
    else:
        given = [name for name in xmrto_fields.AMOUNT_NAMES if name in fields]
        if len(given) != 1:
            raise Malformed("exactly one of btc_amount and xmr_amount is needed")
        name, currency = given[0], xmrto_fields.AMOUNT_NAMES[given[0]]
    return wire.amount(wire.need(fields, name), name, CURRENCIES[currency]), currency, name


_AMOUNT_FIELDS = {"v2": tuple(xmrto_fields.AMOUNT_NAMES), "v3": ("amount", "amount_currency")}


def _read_create(dialect: Xmrto, request: Request, argument: str) -> Call:
    version = _version(request.path)
    fields = wire.read_object(request)
    wire.known(fields, ("btc_dest_address", *_AMOUNT_FIELDS[version]))
    address = wire.need(fields, "btc_dest_address")
    if not isinstance(address, str) or not 0 < len(address) <= wire.TEXT_MAX:
        raise BadAddress("not an address", "btc_dest_address")
    amount, currency, name = _amount(fields, version)
    return Call(OpenSwap(amount, currency, address=address, amount_field=name))


def _one_text(request: Request, name: str, most: int, kind: type[GlassTumblerError]) -> str:
    """The only field of a body, a string of at most `most` characters."""
    fields = wire.read_object(request)
    wire.known(fields, (name,))
    value = wire.need(fields, name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise kind("not a string of sensible length", name)
    return value


def _read_create_pp(dialect: Xmrto, request: Request, argument: str) -> Call:
    url = _one_text(request, "pp_url", _URL_MAX, BadPaymentUrl)
    return Call(OpenSwap(payment_url=url, address_field="pp_url", amount_field="pp_url"))


def _read_create_ln(dialect: Xmrto, request: Request, argument: str) -> Call:
    invoice = _one_text(request, "ln_invoice", _INVOICE_MAX, BadInvoice)
    return Call(OpenSwap(invoice=invoice, address_field="ln_invoice", amount_field="ln_invoice"))


def _read_route(dialect: Xmrto, request: Request, argument: str) -> Call:
    invoice = dict(request.query).get("ln_invoice", "")
    if not 0 < len(invoice) <= _INVOICE_MAX:
        raise BadInvoice("not an invoice", "ln_invoice")
    return Call(CheckRoute(invoice))


def _uuid(request: Request) -> str:
    uuid = _one_text(request, "uuid", wire.TEXT_MAX, Malformed)
    return _known_form(uuid)


def _known_form(uuid: str) -> str:
    if not UUID.fullmatch(uuid):
        raise UnknownOrder("no order has such a uuid", "uuid")
    return uuid


def _read_order_status(dialect: Xmrto, request: Request, argument: str) -> Call:
    return Call(FindOrder(_uuid(request)))


def _read_partial(dialect: Xmrto, request: Request, argument: str) -> Call:
    return Call(AcceptPartial(_uuid(request)))


def _read_price(dialect: Xmrto, request: Request, argument: str) -> Call:
    version = _version(request.path)
    fields = wire.read_object(request)
    wire.known(fields, _AMOUNT_FIELDS[version])
    amount, currency, name = _amount(fields, version)
    return Call(CheckPrice(amount, currency, amount_field=name))


def _read_picture(dialect: Xmrto, request: Request, argument: str) -> Response:
    return xmrto_pages.picture(dict(request.query).get("data", ""), dialect.settings.qr_characters_max)


def _read_page(dialect: Xmrto, request: Request, uuid: str) -> Call:
    return Call(FindOrder(_known_form(uuid.removesuffix("/"))))


# Writing


def _of(call: Call) -> str:
    return call.endpoint.partition("/")[0]


def _write_parameters(dialect: Xmrto, call: Call, result: Parameters, account: Account | None) -> Response:
    return wire.reply(xmrto_fields.parameters(_of(call), result))


def _write_created(dialect: Xmrto, call: Call, result: OrderView, account: Account | None) -> Response:
    return wire.reply(xmrto_fields.created(_of(call), result), 201)


def _write_created_pp(dialect: Xmrto, call: Call, result: OrderView, account: Account | None) -> Response:
    return wire.reply(xmrto_fields.created(_of(call), result, xmrto_fields.CREATED_PP), 201)


def _write_route(dialect: Xmrto, call: Call, result: Route, account: Account | None) -> Response:
    return wire.reply({"num_routes": result.routes, "success_probability": result.probability})


def _write_order_status(dialect: Xmrto, call: Call, result: OrderView, account: Account | None) -> Response:
    return wire.reply(xmrto_fields.status(_of(call), result, dialect.settings))


def _write_price(dialect: Xmrto, call: Call, result: Price, account: Account | None) -> Response:
    return wire.reply(xmrto_fields.price(_of(call), result))


def _write_page(dialect: Xmrto, call: Call, result: OrderView, account: Account | None) -> Response:
    return xmrto_pages.status_page(xmrto_fields.status("v3", result, dialect.settings))


def _unwritten(dialect: Xmrto, call: Call, result: Result, account: Account | None) -> Response:
    raise ValueError(f"{call.endpoint} is answered as it is read")


_Read = Callable[[Xmrto, Request, str], Call | Response]
_Write = Callable[[Xmrto, Call, Any, Account | None], Response]
_BOTH, _V3 = ("v2", "v3"), ("v3",)
_CALLS: tuple[tuple[str, str, tuple[str, ...], _Read, _Write], ...] = (
    ("GET", "order_parameter_query", _BOTH, _read_parameters, _write_parameters),
    ("POST", "order_create", _BOTH, _read_create, _write_created),
    ("POST", "order_create_pp", _BOTH, _read_create_pp, _write_created_pp),
    ("POST", "order_create_ln", _V3, _read_create_ln, _write_created),
    ("GET", "order_ln_check_route", _V3, _read_route, _write_route),
    ("POST", "order_status_query", _BOTH, _read_order_status, _write_order_status),
    ("POST", "order_check_price", _BOTH, _read_price, _write_price),
    # Nothing is documented of the reply, and a client takes an empty one for a failure: so it is the new status.
    ("POST", "order_partial_payment", _BOTH, _read_partial, _write_order_status),
    ("GET", "gen_qrcode", _BOTH, _read_picture, _unwritten),
)
_IN_MAINTENANCE = ("order_status_query", "gen_qrcode")
_ROWS: tuple[Endpoint[Xmrto], ...] = (
    *(
        Endpoint(
            f"{version}/{name}",
            method,
            f"/api/{version}/xmr2btc/{name}/",
            read,
            write,
            limit=name if name in LIMITS else None,
            in_maintenance=name in _IN_MAINTENANCE,
        )
        for method, name, versions, read, write in _CALLS
        for version in versions
    ),
    Endpoint("nojs/status", "GET", "/nojs/status/{uuid}", _read_page, _write_page, in_maintenance=True),
)
ENDPOINTS: Mapping[str, Endpoint[Xmrto]] = {row.name: row for row in _ROWS}
