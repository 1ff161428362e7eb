"""The code mixer BestMixer (document 1): five POST calls with the key in the body, one envelope for every reply.

The envelope is {"error": null, "data": {...}}; a failure is {"error": "text", "data": []} under HTTP status 200, as the
original's clients expect.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from glasstumbler import money
from glasstumbler.dialects import wire
from glasstumbler.dialects.base import Endpoint, Request, Response, Result, by_kind, route
from glasstumbler.dialects.settings import CodesSettings
from glasstumbler.engine.commands import (
    Account,
    AskCode,
    AskFees,
    Call,
    Fees,
    FindOrder,
    OpenMix,
    OrderView,
    Wish,
)
from glasstumbler.engine.order import Order, OutputState, PlannedOutput, State
from glasstumbler.errors import (
    BadCurrency,
    BadDelay,
    BadFee,
    BadShares,
    Forced,
    GlassTumblerError,
    KeyBlocked,
    KeyMissing,
    Malformed,
    NotATestNetwork,
    Overloaded,
    Rejection,
    UnknownEndpoint,
    WrongMethod,
)

CODE = re.compile(r"[A-Za-z0-9]{10}")
"""Shape of api_key, bm_code and order_id."""
COINS = ("btc", "bch", "ltc", "eth")
_MINUTE = 60
_CREATE = ("api_key", "bm_code", "coin", "fee", "output")

ORDER_STATUS: dict[State, str] = {
    State.CREATED: "Awaiting",
    State.AWAITING: "Awaiting",
    State.UNDERPAID: "Awaiting",
    State.CONFIRMING: "Confirming",
    State.WAITING: "Processing",
    State.PAYING: "Processing",
    State.COMPLETED: "Completed",
    State.EXPIRED: "Expired",
    State.REJECTED: "Expired",
    State.FAILED: "Failed",
}
"""Only "Awaiting" is documented; the others are ours in the same style."""
OUTPUT_STATUS: dict[OutputState, str] = {
    OutputState.PENDING: "Pending",
    OutputState.CLAIMED: "Pending",  # signed, not yet broadcast
    OutputState.SENT: "Sent",
    OutputState.CONFIRMED: "Confirmed",
    OutputState.FAILED: "Failed",
}
"""Only "Pending" is documented."""

OK = 200
ERRORS: dict[type[GlassTumblerError], tuple[int, str | None]] = {
    GlassTumblerError: (OK, "Service is temporarily unavailable"),
    Rejection: (OK, None),
    NotATestNetwork: (OK, None),
    KeyMissing: (OK, "Invalid api_key"),
    KeyBlocked: (OK, "api_key is blocked"),
    UnknownEndpoint: (404, "Unknown endpoint"),
    WrongMethod: (405, "Method not allowed"),
    Overloaded: (503, "Service is overloaded"),
}
"""HTTP status and text; None: the error's own text."""


class Codes:
    """The service."""

    contract = "bestmixer"

    def __init__(self, settings: CodesSettings | None = None) -> None:
        self.settings = settings or CodesSettings()
        self.limits: Mapping[str, tuple[int, int]] = {}
        self.endpoints = ENDPOINTS
        self.answers: Collection[str] | None = None

    def read(self, request: Request) -> Call | Response:
        row, argument = route(self.endpoints.values(), request)
        call = row.read(self, request, argument)
        if isinstance(call, Response):
            return call
        return call._replace(private=row.private, limit=row.limit, endpoint=row.name)

    def write(self, call: Call, result: Result, account: Account | None) -> Response:
        return self.endpoints[call.endpoint].write(self, call, result, account)

    def refuse(self, error: GlassTumblerError, request: Request) -> Response:
        status, text = by_kind(ERRORS, error)
        if isinstance(error, Forced):
            text = error.code
        envelope = {"error": text or str(error), "data": []}
        return wire.reply(envelope, status, wire.error_headers(error))


def _data(data: dict[str, Any]) -> Response:
    return wire.reply({"error": None, "data": data})


# Reading


def _keyed(request: Request, known: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The body's fields and its API key; the key's shape is looked at first."""
    fields = wire.read_object(request)
    key = fields.get("api_key")
    if not isinstance(key, str) or not CODE.fullmatch(key):
        raise KeyMissing("api_key must be 10 letters and digits")
    wire.known(fields, known)
    return fields, key


def _code(fields: dict[str, Any], required: bool) -> str | None:
    code = fields.get("bm_code")
    if code is None or code == "":
        if required:
            raise Malformed("missing", "bm_code")
        return None
    if not isinstance(code, str) or not CODE.fullmatch(code):
        raise Malformed("must be 10 letters and digits", "bm_code")
    return code


def _read_code_info(dialect: Codes, request: Request, argument: str) -> Call:
    fields, key = _keyed(request, ("api_key", "bm_code"))
    return Call(AskCode(_code(fields, required=True) or ""), key)


def _read_fee_info(dialect: Codes, request: Request, argument: str) -> Call:
    _, key = _keyed(request, ("api_key",))
    return Call(AskFees(), key)


def _read_info(dialect: Codes, request: Request, argument: str) -> Call:
    fields, key = _keyed(request, ("api_key", "order_id"))
    order_id = wire.text(wire.need(fields, "order_id"), "order_id")
    # No order has an empty id; the desk looks at the key first, then says so.
    return Call(FindOrder(order_id if CODE.fullmatch(order_id) else ""), key)


def _read_create(dialect: Codes, request: Request, argument: str) -> Call:
    return _read_order(dialect, request, fixed=False)


def _read_create_fixed(dialect: Codes, request: Request, argument: str) -> Call:
    return _read_order(dialect, request, fixed=True)


def _read_order(dialect: Codes, request: Request, fixed: bool) -> Call:
    fields, key = _keyed(request, _CREATE)
    coin = wire.text(wire.need(fields, "coin"), "coin")
    if coin not in COINS:
        raise BadCurrency(f"must be one of {', '.join(COINS)}", "coin")
    fee = _fee(wire.need(fields, "fee"))
    outputs = wire.need(fields, "output")
    if not isinstance(outputs, list) or not outputs:
        raise Malformed("must be an array of output objects", "output")
    most = dialect.settings.delay_minutes_max
    wishes = tuple(_wish(output, f"output[{index}]", coin, fixed, most) for index, output in enumerate(outputs))
    code = _code(fields, required=False)
    return Call(OpenMix(coin, wishes, fixed=fixed, fee_ppm=fee, code=code), key)


def _fee(value: Any) -> int:
    """Parts per million of a percentage with up to four decimals, a number or a numeric string."""
    try:
        return wire.scaled(value, 4)
    except ValueError as error:
        raise BadFee(str(error), "fee") from None


def _wish(output: Any, field: str, coin: str, fixed: bool, delay_max: int) -> Wish:
    part = "amount" if fixed else "percent"
    if not isinstance(output, dict):
        raise Malformed("must be an object", field)
    path = field + "."
    wire.known(output, ("address", part, "delay"), path)
    address = wire.text(wire.need(output, "address", path), path + "address")
    value = wire.need(output, part, path)
    delay = wire.whole(wire.need(output, "delay", path), path + "delay")
    if not 0 <= delay <= delay_max:
        raise BadDelay(f"must be from 0 to {delay_max} minutes", path + "delay")
    if fixed:
        amount = wire.amount(value, path + part, coin)
        return Wish(address, amount=amount, delay=delay * _MINUTE, field=field)
    return Wish(address, share=_share(value, path + part), delay=delay * _MINUTE, field=field)


def _share(value: Any, field: str) -> int:
    """Per mille of a percentage with up to one decimal."""
    try:
        return wire.scaled(value, 1)
    except ValueError as error:
        raise BadShares(str(error), field) from None


# Writing


def _percent(ppm: int) -> str:
    """10001 -> "1.0001"."""
    return f"{ppm // 10_000}.{ppm % 10_000:04d}"


def _limit(units: int | None, coin: str) -> Decimal | None:
    return None if units is None else wire.decimal(units, coin)


def _bargain(order: Order) -> dict[str, Any]:
    """What to send: one exact amount for a fixed order, two limits otherwise."""
    if order.fixed:
        return {"exactly_amount": _limit(order.terms.quote, order.coin)}
    return {
        "min_amount": _limit(order.terms.minimum, order.coin),
        "max_amount": _limit(order.terms.maximum, order.coin),
    }


def _write_code_info(dialect: Codes, call: Call, result: Fees, account: Account | None) -> Response:
    coins = [coin for coin in dialect.settings.code_info_coins if coin in result.by_coin]
    return _data({"min_service_fee": {coin: Decimal(_percent(result.by_coin[coin])) for coin in coins}})


def _write_fee_info(dialect: Codes, call: Call, result: Fees, account: Account | None) -> Response:
    coins = [coin for coin in dialect.settings.fee_info_coins if coin in result.by_coin]
    return _data({"fee_per_address": {coin: money.text(result.by_coin[coin], coin) for coin in coins}})


def _write_created(dialect: Codes, call: Call, result: OrderView, account: Account | None) -> Response:
    order = result.order
    return _data(
        {
            "order_id": order.id,
            "input_address": order.address,
            **_bargain(order),
            "bm_code": order.code,
            "letter_of_guarantee": b64encode((order.letter or "").encode()).decode(),
        }
    )


def _write_info(dialect: Codes, call: Call, result: OrderView, account: Account | None) -> Response:
    order = result.order
    bargain = _bargain(order)
    if dialect.settings.info_amounts == "string":
        bargain = {name: None if value is None else format(value, "f") for name, value in bargain.items()}
    return _data(
        {
            "status": ORDER_STATUS[order.state],
            "input_address": order.address,
            "received": wire.decimal(order.seen, order.coin),
            "coin": order.coin,
            "fixed": int(order.fixed),
            **bargain,
            "service_fee": _percent(order.terms.fee_ppm),
            "fee_per_address": money.text(order.terms.per_output, order.coin),
            "output": [_output(result, index, output) for index, output in enumerate(order.outputs)],
        }
    )


def _output(view: OrderView, index: int, output: PlannedOutput) -> dict[str, Any]:
    sent = any(payment.output == index for payment in view.sent)
    known = output.wanted if view.order.fixed else output.amount
    share = {} if output.share is None else {"percent": Decimal(output.share).scaleb(-1).normalize()}
    state = OutputState.SENT if sent and output.state is OutputState.CLAIMED else output.state
    return {
        "address": output.address,
        **share,
        "delay": output.delay // _MINUTE,
        "delay_countdown": _countdown(output, view.now),
        "amount": wire.decimal(known or 0, view.order.coin),
        "status": OUTPUT_STATUS[state],
    }


def _countdown(output: PlannedOutput, now: int) -> int:
    """Whole minutes until the payout is due; 0 before the deposit is confirmed and once the payout is under way."""
    if output.due is None or output.state is not OutputState.PENDING:
        return 0
    return max(money.ceil_div(output.due - now, _MINUTE), 0)


_ROWS: tuple[Endpoint[Codes], ...] = (
    Endpoint("code/info", "POST", "/api/ext/code/info", _read_code_info, _write_code_info, private=True),
    Endpoint("fee/info", "POST", "/api/ext/fee/info", _read_fee_info, _write_fee_info, private=True),
    Endpoint("order/create", "POST", "/api/ext/order/create", _read_create, _write_created, private=True),
    Endpoint(
        "order/create_fixed", "POST", "/api/ext/order/create_fixed", _read_create_fixed, _write_created, private=True
    ),
    Endpoint("order/info", "POST", "/api/ext/order/info", _read_info, _write_info, private=True),
)
ENDPOINTS: Mapping[str, Endpoint[Codes]] = {row.name: row for row in _ROWS}
