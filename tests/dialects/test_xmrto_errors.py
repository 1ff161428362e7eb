"""XMR.to v2 and v3: what is refused, and how."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glasstumbler.dialects.settings import XmrtoSettings
from glasstumbler.dialects.xmrto import CATALOGUE, LIMITS, Xmrto
from glasstumbler.engine.commands import (
    Call,
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
    KeyMissing,
    Maintenance,
    Malformed,
    NoFunds,
    NoRoute,
    NotATestNetwork,
    OutOfBounds,
    OutOfFunds,
    Overloaded,
    Rejection,
    TooLarge,
    TooManyRequests,
    UnknownEndpoint,
    UnknownOrder,
    WrongMethod,
    WrongState,
)
from tests.dialects.orders import PAYOUT, get, post

XMRTO = Xmrto()
V2, V3 = "/api/v2/xmr2btc/", "/api/v3/xmr2btc/"
UUID = {"uuid": "xmrto-VkT2yM"}

DEST = {"btc_dest_address": PAYOUT}
V3_CREATE = DEST | {"amount": 0.1, "amount_currency": "BTC"}
BAD: list[tuple[str, Any, type[Rejection], str]] = [
    (V3 + "order_create/", "{", Malformed, "005"),
    (V3 + "order_create/", [], Malformed, "005"),
    (V3 + "order_create/", {}, Malformed, "005"),
    (V3 + "order_create/", V3_CREATE | {"x": 1}, Malformed, "005"),
    (V3 + "order_create/", DEST | {"btc_amount": 0.1}, Malformed, "005"),
    (V3 + "order_create/", DEST | {"amount": 0.1}, Malformed, "005"),
    (V3 + "order_create/", DEST | {"amount_currency": "BTC"}, Malformed, "005"),
    (V3 + "order_create/", V3_CREATE | {"btc_dest_address": ""}, BadAddress, "002"),
    (V3 + "order_create/", V3_CREATE | {"btc_dest_address": None}, BadAddress, "002"),
    (V3 + "order_create/", V3_CREATE | {"btc_dest_address": "x" * 257}, BadAddress, "002"),
    (V3 + "order_create/", V3_CREATE | {"amount": "abc"}, BadAmount, "003"),
    (V3 + "order_create/", V3_CREATE | {"amount": None}, BadAmount, "003"),
    (V3 + "order_create/", V3_CREATE | {"amount": -1}, BadAmount, "003"),
    (V3 + "order_create/", V3_CREATE | {"amount": "0.000000001"}, BadAmount, "003"),
    (V3 + "order_create/", json.dumps(V3_CREATE).replace("0.1", "1e400"), BadAmount, "003"),
    (V3 + "order_create/", json.dumps(V3_CREATE).replace("0.1", "NaN"), Malformed, "005"),
    (V3 + "order_create/", V3_CREATE | {"amount": "abc", "amount_currency": "XMR"}, BadAmount, "015"),
    (V3 + "order_create/", V3_CREATE | {"amount_currency": "EUR"}, BadCurrency, "016"),
    (V3 + "order_create/", V3_CREATE | {"amount_currency": None}, BadCurrency, "016"),
    (V2 + "order_create/", DEST, Malformed, "005"),
    (V2 + "order_create/", DEST | {"btc_amount": 1, "xmr_amount": 1}, Malformed, "005"),
    (V2 + "order_create/", V3_CREATE, Malformed, "005"),
    (V2 + "order_create/", DEST | {"btc_amount": True}, BadAmount, "003"),
    (V2 + "order_create/", DEST | {"xmr_amount": "x"}, BadAmount, "015"),
    (V3 + "order_create_pp/", {}, Malformed, "005"),
    (V3 + "order_create_pp/", {"pp_url": 5}, BadPaymentUrl, "011"),
    (V3 + "order_create_pp/", {"pp_url": "x" * 2049}, BadPaymentUrl, "011"),
    (V3 + "order_create_pp/", {"pp_url ": "x"}, Malformed, "005"),
    (V3 + "order_create_ln/", {"ln_invoice": None}, BadInvoice, "017"),
    (V3 + "order_create_ln/", {"ln_invoice": "x" * 4097}, BadInvoice, "017"),
    (V3 + "order_check_price/", {}, Malformed, "009"),
    (V3 + "order_check_price/", "nonsense", Malformed, "009"),
    (V3 + "order_check_price/", {"amount": "x", "amount_currency": "BTC"}, BadAmount, "003"),
    (V3 + "order_check_price/", {"amount": 1, "amount_currency": "x"}, BadCurrency, "016"),
    (V2 + "order_check_price/", {"amount": 1, "amount_currency": "BTC"}, Malformed, "009"),
    (V3 + "order_status_query/", {}, Malformed, "009"),
    (V3 + "order_status_query/", {"uuid": 5}, Malformed, "009"),
    (V3 + "order_status_query/", {"uuid": ""}, Malformed, "009"),
    (V3 + "order_status_query/", UUID | {"x": 1}, Malformed, "009"),
    (V3 + "order_status_query/", {"uuid": "xmrto-VkT2y"}, UnknownOrder, "006"),
    (V3 + "order_status_query/", {"uuid": "xmrto-VkT2yM\n"}, UnknownOrder, "006"),
    (V3 + "order_partial_payment/", {}, Malformed, "009"),
]


@pytest.mark.parametrize(("path", "body", "kind", "code"), BAD, ids=[f"{row[0][5:7]}{row[1]}"[:60] for row in BAD])
def test_bad_requests(path: str, body: Any, kind: type[Rejection], code: str) -> None:
    request = post(path, body)
    with pytest.raises(kind) as caught:
        XMRTO.read(request)
    reply = XMRTO.refuse(caught.value, request)
    status, message = CATALOGUE[code]
    assert reply.status == status
    assert json.loads(reply.body) == {"error": f"XMRTO-ERROR-{code}", "error_msg": message}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Maintenance("x"), 503, "001"),
        (Overloaded("x"), 503, "001"),
        (GlassTumblerError("x"), 503, "001"),
        (ChainError("x"), 503, "007"),
        (OutOfFunds("x"), 503, "008"),
        (NoFunds("x"), 503, "008"),
        (NotATestNetwork("address", "a", "b"), 400, "002"),
        (OutOfBounds("x"), 400, "004"),
        (BadPaymentRequest("x"), 400, "010"),
        (BadPaymentUrl("x"), 400, "011"),
        (UnknownOrder("x"), 404, "006"),
        (UnknownEndpoint("x"), 404, "009"),
        (WrongMethod("x", ("POST",)), 405, "009"),
        (WrongState("x"), 400, "009"),
        (TooLarge("x"), 400, "009"),
        (TooManyRequests("x", 7), 403, "012"),
        (KeyMissing("x"), 403, "013"),
        (NoRoute("x"), 400, "018"),
        (InvoiceUsed("x"), 400, "019"),
        (InvoiceExpired("x"), 400, "020"),
        (Forced("XMRTO-ERROR-014"), 403, "014"),
        (Forced("XMRTO-ERROR-010"), 400, "010"),
        (Forced("nonsense"), 503, "001"),
    ],
    ids=repr,
)
def test_errors(error: GlassTumblerError, status: int, code: str) -> None:
    reply = XMRTO.refuse(error, get("/"))
    assert (reply.status, json.loads(reply.body)["error"]) == (status, f"XMRTO-ERROR-{code}")


@pytest.mark.parametrize("code", list(CATALOGUE))
def test_every_code_can_be_forced(code: str) -> None:
    reply = XMRTO.refuse(Forced(f"XMRTO-ERROR-{code}"), get("/"))
    status, message = CATALOGUE[code]
    assert (reply.status, json.loads(reply.body)["error_msg"]) == (status, message)


def test_headers_of_errors() -> None:
    def headers(error: GlassTumblerError) -> dict[str, str]:
        return dict(XMRTO.refuse(error, get("/")).headers)

    assert headers(TooManyRequests("slow", 7))["retry-after"] == "7"
    assert headers(Overloaded("x"))["retry-after"] == "5"
    assert headers(WrongMethod("x", ("POST",)))["allow"] == "POST"
    reason = headers(BadAddress("saw a\r\nSet-Cookie: é" + "x" * 500, "btc_dest_address"))["x-glasstumbler-reason"]
    assert reason.startswith("btc_dest_address: saw a??Set-Cookie: ?xxx")
    assert len(reason) == 300


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (get(V3 + "order_create/"), WrongMethod),
        (post(V3 + "order_parameter_query/", {}), WrongMethod),
        (post(V2 + "order_create_ln/", {}), UnknownEndpoint),
        (get("/api/v1/xmr2btc/order_parameter_query/"), UnknownEndpoint),
        (get("/nojs/status/nonsense"), UnknownOrder),
        (get("/nojs/status/"), UnknownOrder),
    ],
)
def test_unknown_endpoints_and_methods(request_: Any, kind: type[Rejection]) -> None:
    with pytest.raises(kind):
        XMRTO.read(request_)


def test_create_pp_leaves_v3_by_a_setting() -> None:
    old = Xmrto(XmrtoSettings(create_pp_in_v3=False))
    with pytest.raises(UnknownEndpoint):
        old.read(post(V3 + "order_create_pp/", {"pp_url": "x"}))
    assert isinstance(old.read(post(V2 + "order_create_pp/", {"pp_url": "x"})), Call)


def test_what_answers_in_maintenance() -> None:
    answering = {name for name, row in XMRTO.endpoints.items() if row.in_maintenance}
    queries = {f"{version}/{name}" for version in ("v2", "v3") for name in ("order_status_query", "gen_qrcode")}
    assert answering == queries | {"nojs/status"}


def test_documented_limits() -> None:
    assert LIMITS["order_parameter_query"] == LIMITS["order_status_query"] == (3, 1)
    assert LIMITS["order_create"] == LIMITS["order_create_pp"] == (4, 60)
    assert LIMITS["order_check_price"] == (1, 3)
    assert {row.limit for row in XMRTO.endpoints.values()} - {None} == set(LIMITS)
