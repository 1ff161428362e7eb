"""The bearer-key mixers BtcMix, CoinJoin and whir (documents 2, 3 and 4): one API in three brandings.

Replies keep the documents' key order, since the signature covers the values in that order. Keys without a value are
left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from glasstumbler import clock, money
from glasstumbler.dialects import php, wire
from glasstumbler.dialects.base import Endpoint, Request, Response, Result, by_kind, route
from glasstumbler.dialects.settings import BearerSettings
from glasstumbler.engine.commands import (
    Account,
    AskStatus,
    Call,
    CheckAddress,
    FindOrder,
    ListOrders,
    Now,
    OpenMix,
    OrderView,
    Page,
    Wish,
)
from glasstumbler.engine.order import PlannedOutput, State
from glasstumbler.errors import (
    BadDelay,
    Forced,
    GlassTumblerError,
    KeyBlocked,
    KeyMissing,
    Malformed,
    NotATestNetwork,
    Rejection,
    TooManyRequests,
    UnknownEndpoint,
    UnknownOrder,
    WrongMethod,
)

ID = re.compile(r"[A-Z0-9]{16}")
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,128})", re.IGNORECASE)  # RFC 6750 section 2.1
_OFFSET_MAX = 10**9
_HOUR = 3600


class Branding(NamedTuple):
    """In what the three documents differ."""

    contract: str
    detail: tuple[str, ...]
    """Keys of a transaction's detail, in order: refCode stands in two places."""
    result_as_text: bool
    """validateAddress answers "true" rather than true."""
    limit_as_text: bool
    """A limit given in the query comes back as a string; the default stays a number."""
    bare_lists: bool
    """Payouts may be a list of addresses without amounts."""


CREATE = (
    *("id", "status", "depositAddress", "depositAmount", "payouts", "fee", "delay"),
    *("refCode", "updated", "created"),
)
LIST = ("id", "status", "depositAddress", "depositAmount", "payouts", "fee", "delay", "updated", "created")
_DETAIL = ("id", "status", "depositAddress", "depositAmount", "depositTxid", "payouts", "txid", "fee", "delay")

BRANDINGS: Mapping[str, Branding] = MappingProxyType(
    {
        "btcmix": Branding("btcmix", (*_DETAIL, "updated", "created", "refCode"), False, False, False),
        "coinjoin": Branding("coinjoin", (*_DETAIL, "refCode", "updated", "created"), True, True, True),
        "whir": Branding("whir", (*_DETAIL, "refCode", "updated", "created"), True, True, True),
    }
)

STATUS: dict[State, str] = {
    State.CREATED: "pending",
    State.AWAITING: "pending",
    State.UNDERPAID: "pending",
    State.CONFIRMING: "confirming",
    State.WAITING: "confirming",  # the delay runs: paying out has not begun
    State.PAYING: "processing",
    State.COMPLETED: "complete",
    State.EXPIRED: "expired",
    State.REJECTED: "expired",
    State.FAILED: "processing",  # the documents have no word for it, and the payout is still owed
}
_QUOTED = frozenset({State.CREATED, State.AWAITING, State.UNDERPAID})
"""States in which depositAmount is what is asked for, a number; later it is what came, a string."""

BAD_REQUEST = 400
ERRORS: dict[type[GlassTumblerError], tuple[int, str | None]] = {
    GlassTumblerError: (503, "Service temporarily unavailable."),
    Rejection: (BAD_REQUEST, None),
    NotATestNetwork: (BAD_REQUEST, None),
    TooManyRequests: (503, "Service temporarily unavailable."),
    KeyMissing: (401, "Missing or invalid API key."),
    KeyBlocked: (403, "Account blocked or API access denied."),
    UnknownEndpoint: (404, "Endpoint not found."),
    UnknownOrder: (404, "Transaction not found."),
    WrongMethod: (405, "Method not allowed."),
}
"""Status and description; None: the error's own text."""
FORCED = {400: "Bad request."} | {status: text for status, text in ERRORS.values() if text and status != 404}
FORCED[404] = "Endpoint not found."


class Bearer:
    """One of the three services."""

    def __init__(self, branding: Branding, settings: BearerSettings | None = None) -> None:
        self.branding = branding
        self.settings = settings or BearerSettings()
        self.contract = branding.contract
        self.limits: Mapping[str, tuple[int, int]] = {}
        self.endpoints = ENDPOINTS
        self.answers: Collection[str] | None = frozenset(map(str, FORCED))

    def read(self, request: Request) -> Call | Response:
        row, argument = route(self.endpoints.values(), request)
        key = _key(request) if row.private else None  # before the body: who has no key learns nothing else
        call = row.read(self, request, argument)
        if isinstance(call, Response):
            return call
        return call._replace(key=key, private=row.private, limit=row.limit, endpoint=row.name)

    def write(self, call: Call, result: Result, account: Account | None) -> Response:
        return self.endpoints[call.endpoint].write(self, call, result, account)

    def refuse(self, error: GlassTumblerError, request: Request) -> Response:
        status, text = by_kind(ERRORS, error)
        if isinstance(error, Forced) and error.code.isdecimal() and int(error.code) in FORCED:
            status, text = int(error.code), FORCED[int(error.code)]
        headers = wire.error_headers(error)
        if status == 401:
            headers += (("www-authenticate", "Bearer"),)
        return wire.reply({"code": status, "description": text or str(error)}, status, headers)


def _key(request: Request) -> str:
    given = _BEARER.fullmatch(request.headers.get("authorization", "").strip())
    if given is None:
        raise KeyMissing("the header Authorization: Bearer API_KEY is missing")
    return given[1]


# Reading


def _read_status(dialect: Bearer, request: Request, argument: str) -> Call:
    return Call(AskStatus())


def _read_address(dialect: Bearer, request: Request, address: str) -> Call:
    return Call(CheckAddress(address[: wire.TEXT_MAX]))  # longer than any address, cut or not


def _read_detail(dialect: Bearer, request: Request, id_: str) -> Call:
    # No order has an empty id; the desk looks at the key first, then says so.
    return Call(FindOrder(id_ if ID.fullmatch(id_) else ""))


def _read_list(dialect: Bearer, request: Request, argument: str) -> Call:
    query = dict(request.query)
    limit = _page_number(query, "limit", dialect.settings.limit_default, 1, dialect.settings.limit_max)
    offset = _page_number(query, "offset", 0, 0, _OFFSET_MAX)
    return Call(ListOrders(limit, offset), echo=str(limit) if "limit" in query else "")


def _page_number(query: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    number = wire.whole(query[name], name) if name in query else default
    if not least <= number <= most:
        raise Malformed(f"must be from {least} to {most}", name)
    return number


def _read_create(dialect: Bearer, request: Request, argument: str) -> Call:
    fields = wire.read_object(request)
    wire.known(fields, ("delay", "payouts", "refCode"))
    delay = _delay(wire.need(fields, "delay"), dialect.settings.delay_hours_max)
    payouts = wire.need(fields, "payouts")
    equal_split = isinstance(payouts, list) and dialect.branding.bare_lists and dialect.settings.bare_lists
    if not isinstance(payouts, dict) and not equal_split:
        raise Malformed("must map addresses to amounts", "payouts")
    if not payouts:
        raise Malformed("must name at least one address", "payouts")
    wishes = _bare(payouts, delay) if equal_split else _mapped(payouts, delay)
    ref = fields.get("refCode")
    if ref is not None:
        ref = wire.text(ref, "refCode", dialect.settings.ref_code_max) or None
    return Call(OpenMix("btc", wishes, fixed=not equal_split, ref=ref, equal_split=equal_split))


def _delay(value: Any, most: int) -> int:
    hours = wire.whole(value, "delay")
    if not 0 <= hours <= most:
        raise BadDelay(f"must be from 0 to {most} hours", "delay")
    return hours * _HOUR


def _mapped(payouts: dict[str, Any], delay: int) -> tuple[Wish, ...]:
    wishes = []
    for address, amount in payouts.items():
        field = f"payouts.{wire.clip(address)}"
        address = wire.text(address, field)
        wishes.append(Wish(address, amount=wire.amount(amount, field, "btc"), delay=delay, field=field))
    return tuple(wishes)


def _bare(payouts: list[Any], delay: int) -> tuple[Wish, ...]:
    return tuple(
        Wish(wire.text(address, f"payouts[{index}]"), delay=delay, field=f"payouts[{index}]")
        for index, address in enumerate(payouts)
    )


# Writing


def _deposit_amount(view: OrderView) -> object:
    order = view.order
    if order.state in _QUOTED:
        return None if order.terms.quote is None else wire.decimal(order.terms.quote, "btc")
    received = order.credited or order.seen
    return money.text(received, "btc") if received else None


def _fee(view: OrderView) -> object:
    order = view.order
    if order.terms.fee is not None:
        return wire.decimal(order.terms.fee, "btc")
    amounts = [output.amount for output in order.outputs]
    if not order.credited or None in amounts:
        return None  # an open amount: the fee is known once the money has come
    return wire.decimal(order.credited - sum(amount or 0 for amount in amounts), "btc")


def _payout(output: PlannedOutput) -> str:
    return money.text(output.wanted if output.wanted is not None else output.amount or 0, "btc")


def _delay_hours(view: OrderView) -> str:
    return str(max(output.delay for output in view.order.outputs) // _HOUR)


FIELDS: dict[str, Callable[[OrderView], object]] = {
    "id": lambda view: view.order.id,
    "status": lambda view: STATUS[view.order.state],
    "depositAddress": lambda view: view.order.address,
    "depositAmount": _deposit_amount,
    "depositTxid": lambda view: view.order.deposit_txid,
    "payouts": lambda view: {output.address: _payout(output) for output in view.order.outputs},
    "txid": lambda view: view.sent[0].txid if view.sent else None,
    "fee": _fee,
    "delay": _delay_hours,
    "refCode": lambda view: view.order.ref,
    "updated": lambda view: clock.iso_offset(view.order.updated),
    "created": lambda view: clock.iso_offset(view.order.created),
}
"""A transaction object's values; None leaves the key out."""


def _fields(view: OrderView, names: tuple[str, ...]) -> dict[str, object]:
    return {name: value for name in names if (value := FIELDS[name](view)) is not None}


def _signed(fields: dict[str, object], account: Account | None) -> Response:
    if account is None:
        raise ValueError("a signed reply needs the account's secret")
    return wire.reply(fields | {"signature": php.sign(fields, account.secret)})


def _write_status(dialect: Bearer, call: Call, result: Now, account: Account | None) -> Response:
    return wire.reply({"status": "ok", "timestamp": result.now, "datetime": clock.iso_offset(result.now)})


def _write_address(dialect: Bearer, call: Call, result: bool, account: Account | None) -> Response:
    return wire.reply({"result": str(result).lower() if dialect.branding.result_as_text else result})


def _write_created(dialect: Bearer, call: Call, result: OrderView, account: Account | None) -> Response:
    fields = _fields(result, CREATE)
    fields["payouts"] = dict.fromkeys(fields["payouts"], "0")  # type: ignore[call-overload]  # as all three show
    return _signed(fields, account)


def _write_list(dialect: Bearer, call: Call, result: Page, account: Account | None) -> Response:
    return wire.reply(
        {
            "transactions": [_fields(view, LIST) for view in result.orders],
            "totalTransactions": result.total,
            "limit": call.echo if call.echo and dialect.branding.limit_as_text else result.limit,
            "offset": result.offset,
        }
    )


def _write_detail(dialect: Bearer, call: Call, result: OrderView, account: Account | None) -> Response:
    return _signed(_fields(result, dialect.branding.detail), account)


_ROWS: tuple[Endpoint[Bearer], ...] = (
    Endpoint("status", "GET", "/api/status", _read_status, _write_status),
    Endpoint("validateAddress", "GET", "/api/validateAddress/{address}", _read_address, _write_address),
    Endpoint("createTransaction", "POST", "/api/createTransaction", _read_create, _write_created, private=True),
    Endpoint("transactions", "GET", "/api/transactions", _read_list, _write_list, private=True),
    Endpoint("transaction", "GET", "/api/transaction/{id}", _read_detail, _write_detail, private=True),
)
ENDPOINTS: Mapping[str, Endpoint[Bearer]] = {row.name: row for row in _ROWS}
