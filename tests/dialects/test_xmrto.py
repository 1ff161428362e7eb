"""XMR.to v2 and v3: the exchanges that document 5 prints, on regtest and stagenet."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from glasstumbler.dialects.base import Response
from glasstumbler.dialects.settings import XmrtoSettings
from glasstumbler.dialects.xmrto import Xmrto
from glasstumbler.engine.commands import (
    AcceptPartial,
    AskParameters,
    Call,
    CheckPrice,
    CheckRoute,
    Command,
    FindOrder,
    OpenSwap,
    Parameters,
    Price,
    Route,
    Sent,
)
from glasstumbler.engine.order import State, Swap, Terms
from glasstumbler.errors import (
    BadInvoice,
    Malformed,
)
from tests.dialects.orders import PAYOUT, SUBADDRESS, TXID, get, post, swap, view

XMRTO = Xmrto()
V2, V3 = "/api/v2/xmr2btc/", "/api/v3/xmr2btc/"
UUID = {"uuid": "xmrto-VkT2yM"}
INVOICE = "lnbcrt1" + "p" * 300


def read(request: Any) -> Call:
    call = XMRTO.read(request)
    assert isinstance(call, Call)
    return call


def written(endpoint: str, result: Any, status: int = 200, service: Xmrto = XMRTO) -> str:
    reply = service.write(Call(Command(), endpoint=endpoint), result, None)
    assert (reply.status, reply.headers) == (status, (("content-type", "application/json"),))
    return reply.body.decode()


# Parameters and prices

PARAMETERS = Parameters("0.017666", 200_000, 2_000_000_000, True, 10_000_000, 15_000, 770_000)


@pytest.mark.parametrize("base", [V2, V3])
def test_parameters_are_asked(base: str) -> None:
    call = read(get(base + "order_parameter_query/"))
    assert (call.command, call.limit, call.private, call.key) == (AskParameters(), "order_parameter_query", False, None)


def test_parameters() -> None:
    assert written("v3/order_parameter_query", PARAMETERS) == (
        '{"price":"0.017666","upper_limit":"20","lower_limit":"0.002","ln_upper_limit":"0.0077",'
        '"ln_lower_limit":"0.00015","zero_conf_enabled":true,"zero_conf_max_amount":"0.1"}'
    )
    assert written("v2/order_parameter_query", PARAMETERS) == (
        '{"price":0.017666,"upper_limit":20,"lower_limit":0.002,"zero_conf_enabled":true,"zero_conf_max_amount":0.1}'
    )


@pytest.mark.parametrize(
    ("base", "body", "command"),
    [
        (V3, '{"amount": 0.15, "amount_currency": "BTC"}', CheckPrice(Decimal("0.15"), "BTC", "amount")),
        (V3, '{"amount": 10, "amount_currency": "XMR"}', CheckPrice(10, "XMR", "amount")),
        (V3, '{"amount": "1e-05", "amount_currency": "btc"}', CheckPrice("1e-05", "BTC", "amount")),
        (V2, '{"btc_amount": "0.15"}', CheckPrice("0.15", "BTC", "btc_amount")),
        (V2, '{"xmr_amount": 10.5}', CheckPrice(Decimal("10.5"), "XMR", "xmr_amount")),
    ],
)
def test_price_is_asked(base: str, body: str, command: CheckPrice) -> None:
    call = read(post(base + "order_check_price/", body))
    assert (call.command, call.limit) == (command, "order_check_price")


def test_price() -> None:
    assert written("v3/order_check_price", Price(15_000_000, 21_418_500_000_000, "0.00700329", 1)) == (
        '{"btc_amount":"0.15","incoming_amount_total":"21.4185","incoming_num_confirmations_remaining":1,'
        '"incoming_price_btc":"0.00700329"}'
    )
    assert written("v2/order_check_price", Price(7_012_640, 10 * 10**12, "0.00701264", 0)) == (
        '{"btc_amount":0.0701264,"xmr_amount_total":10,"xmr_num_confirmations_remaining":0,"xmr_price_btc":0.00701264}'
    )


# Creation


@pytest.mark.parametrize(
    ("path", "body", "command"),
    [
        (
            V3 + "order_create/",
            {"btc_dest_address": PAYOUT, "amount": 0.1, "amount_currency": "BTC"},
            OpenSwap(Decimal("0.1"), "BTC", address=PAYOUT, amount_field="amount"),
        ),
        (
            V3 + "order_create/",
            {"btc_dest_address": PAYOUT, "amount": "1", "amount_currency": "Xmr"},
            OpenSwap("1", "XMR", address=PAYOUT, amount_field="amount"),
        ),
        (
            V2 + "order_create/",
            {"btc_dest_address": PAYOUT, "btc_amount": 1},
            OpenSwap(1, "BTC", address=PAYOUT, amount_field="btc_amount"),
        ),
        (
            V2 + "order_create/",
            {"btc_dest_address": PAYOUT, "xmr_amount": "2.5"},
            OpenSwap("2.5", "XMR", address=PAYOUT, amount_field="xmr_amount"),
        ),
        (
            V2 + "order_create_pp/",
            {"pp_url": "bitcoin:?r=http://x"},
            OpenSwap(payment_url="bitcoin:?r=http://x", address_field="pp_url", amount_field="pp_url"),
        ),
        (
            V3 + "order_create_ln/",
            {"ln_invoice": INVOICE},
            OpenSwap(invoice=INVOICE, address_field="ln_invoice", amount_field="ln_invoice"),
        ),
    ],
)
def test_creation_is_asked(path: str, body: Any, command: OpenSwap) -> None:
    call = read(post(path, body, {"content-type": "application/json; charset=utf-8"}))
    assert call == Call(command, limit=path.split("/")[4], endpoint=path.split("/")[2] + "/" + path.split("/")[4])


def test_creation_answers_to_be_created_whatever_has_happened_since() -> None:
    assert written("v3/order_create", view(swap(State.AWAITING)), 201) == (
        f'{{"state":"TO_BE_CREATED","btc_amount":"0.1","btc_dest_address":"{PAYOUT}","uses_lightning":false,'
        '"uuid":"xmrto-XCZEsu"}'
    )
    assert written("v2/order_create", view(swap(State.AWAITING)), 201) == (
        f'{{"state":"TO_BE_CREATED","btc_amount":0.1,"btc_dest_address":"{PAYOUT}","uuid":"xmrto-XCZEsu"}}'
    )


def test_creation_by_url_and_invoice() -> None:
    by_url = swap(swap=Swap(price="0.01", amount=10_000, payment_url="http://127.0.0.1/i"))
    assert json.loads(written("v3/order_create_pp", view(by_url), 201))["pp_url"] == "http://127.0.0.1/i"
    by_invoice = swap(swap=Swap(price="0.01", amount=100_001, amount_msat=100_000_500, invoice=INVOICE))
    fields = json.loads(written("v3/order_create_ln", view(by_invoice), 201))
    assert (fields["btc_dest_address"], fields["uses_lightning"], fields["btc_amount"]) == (
        INVOICE,
        True,
        "0.001000005",
    )


# Status

V3_KEYS = [
    *("incoming_price_btc", "uuid", "state", "state_str", "btc_amount", "btc_amount_partial", "btc_dest_address"),
    *("receiving_subaddress", "created_at", "expires_at", "seconds_till_timeout", "incoming_amount_total"),
    *("remaining_amount_incoming", "incoming_num_confirmations_remaining", "recommended_mixin"),
    *("btc_num_confirmations_threshold", "payments", "uses_lightning"),
]


def status(order: Any, *sent: Sent, version: str = "v3", **seen: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(written(f"{version}/order_status_query", view(order, *sent, **seen)))
    return fields


@pytest.mark.parametrize("base", [V2, V3])
def test_status_is_asked(base: str) -> None:
    call = read(post(base + "order_status_query/", UUID))
    assert (call.command, call.limit) == (FindOrder("xmrto-VkT2yM"), "order_status_query")
    assert read(post(base + "order_partial_payment/", UUID)).command == AcceptPartial("xmrto-VkT2yM")


def test_status_v3() -> None:
    fields = status(swap(), later=43)
    assert list(fields) == V3_KEYS
    assert fields == {
        "incoming_price_btc": "0.01760396",
        "uuid": "xmrto-XCZEsu",
        "state": "UNPAID",
        "state_str": "UNPAID",
        "btc_amount": "0.1",
        "btc_amount_partial": "0",
        "btc_dest_address": PAYOUT,
        "receiving_subaddress": SUBADDRESS,
        "created_at": "2022-05-05T08:56:05Z",
        "expires_at": "2022-05-05T09:11:05Z",
        "seconds_till_timeout": 857,
        "incoming_amount_total": "5.6805402",
        "remaining_amount_incoming": "5.6805402",
        "incoming_num_confirmations_remaining": -1,
        "recommended_mixin": 16,
        "btc_num_confirmations_threshold": 144,
        "payments": [],
        "uses_lightning": False,
    }


def test_status_v2() -> None:
    fields = status(swap(), version="v2")
    assert fields == {
        "xmr_price_btc": 0.01760396,
        "uuid": "xmrto-XCZEsu",
        "state": "UNPAID",
        "btc_amount": 0.1,
        "btc_amount_partial": 0,
        "btc_dest_address": PAYOUT,
        "xmr_required_amount": 5.6805402,
        "xmr_receiving_address": SUBADDRESS,
        "xmr_receiving_integrated_address": "5J",
        "xmr_required_payment_id_long": "00" * 32,
        "xmr_required_payment_id_short": "3efc91e28f0b969f",
        "xmr_receiving_subaddress": SUBADDRESS,
        "created_at": "2022-05-05T08:56:05Z",
        "expires_at": "2022-05-05T09:11:05Z",
        "seconds_till_timeout": 900,
        "xmr_amount_total": 5.6805402,
        "xmr_amount_remaining": 5.6805402,
        "xmr_num_confirmations_remaining": -1,
        "xmr_recommended_mixin": 16,
        "btc_num_confirmations_before_purge": 144,
        "btc_num_confirmations_threshold": 144,
        "btc_num_confirmations": 0,
        "btc_transaction_id": "",
    }
    without = status(swap(extra=None), version="v2")
    assert without["xmr_required_payment_id_long"] == ""


def test_few_fields_before_there_is_an_address() -> None:
    fields = status(swap(State.CREATED))
    assert list(fields) == ["state", "btc_amount", "btc_dest_address", "uuid", "uses_lightning"]
    assert fields["state"] == "TO_BE_CREATED"
    assert list(status(swap(State.CREATED), version="v2")) == ["state", "btc_amount", "btc_dest_address", "uuid"]


def test_state_str_is_a_setting() -> None:
    plain = Xmrto(XmrtoSettings(state_str=False))
    assert "state_str" not in json.loads(written("v3/order_status_query", view(swap()), service=plain))


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.AWAITING, "UNPAID"),
        (State.UNDERPAID, "UNDERPAID"),
        (State.CONFIRMING, "PAID_UNCONFIRMED"),
        (State.WAITING, "PAID"),
        (State.PAYING, "PAID"),
        (State.COMPLETED, "BTC_SENT"),
        (State.EXPIRED, "TIMED_OUT"),
        (State.REJECTED, "REJECTED"),
        (State.FAILED, "PAYMENT_FAILED"),
    ],
)
def test_states(state: State, word: str) -> None:
    assert status(swap(state))["state"] == word
    assert status(swap(state), version="v2")["state"] == word


def test_an_underpayment() -> None:
    fields = status(swap(State.UNDERPAID, seen=10**12), later=2000)
    assert fields["btc_amount_partial"] == "0.01760396"
    assert fields["remaining_amount_incoming"] == "4.6805402"
    assert fields["incoming_num_confirmations_remaining"] == -1
    assert fields["seconds_till_timeout"] == 0


@pytest.mark.parametrize(("needed", "seen", "missing"), [(1, 0, 1), (1, 1, 0), (1, 9, 0), (3, 1, 2), (0, 0, 0)])
def test_confirmations_count_down(needed: int, seen: int, missing: int) -> None:
    order = swap(State.CONFIRMING, seen=5_680_540_200_000, terms=Terms(quote=5_680_540_200_000, confirmations=needed))
    fields = status(order, confirmations=seen)
    assert fields["incoming_num_confirmations_remaining"] == missing
    assert (fields["remaining_amount_incoming"], fields["btc_amount_partial"]) == ("0", "0.1")


@pytest.mark.parametrize(("depth", "shown"), [(0, 0), (3, 3), (144, 144), (500, 144)])
def test_payments(depth: int, shown: int) -> None:
    order = swap(State.PAYING, seen=5_680_540_200_000)
    sent = Sent(0, 10_000_000, TXID, depth)
    assert status(order, sent)["payments"] == [
        {"method": "On Chain", "amount": "0.1", "num_confirmations": shown, "tx_id": TXID}
    ]
    assert status(order, sent)["state"] == "BTC_SENT"
    v2 = status(order, sent, version="v2")
    assert (v2["btc_transaction_id"], v2["btc_num_confirmations"]) == (TXID, shown)


def test_lightning_payment() -> None:
    bought = Swap(price="0.01", amount=100_001, amount_msat=100_000_500, invoice=INVOICE)
    order = swap(State.COMPLETED, swap=bought, payout_coin="msat")
    payment = status(order, Sent(0, 100_000_500, TXID, 0, True, "ab" * 32))["payments"][0]
    assert payment == {
        "method": "Lightning Network",
        "amount": "0.001000005",
        "num_confirmations": 0,
        "tx_id": TXID,
        "preimage": "ab" * 32,
    }


def test_partial_payment_answers_the_new_status() -> None:
    fields = json.loads(written("v3/order_partial_payment", view(swap(State.WAITING))))
    assert (fields["uuid"], fields["state"]) == ("xmrto-XCZEsu", "PAID")


@pytest.mark.parametrize("state", list(State))
def test_no_success_holds_the_key_error(state: State) -> None:
    for version in ("v2", "v3"):
        assert "error" not in status(swap(state), version=version)


# Lightning routes


def test_route() -> None:
    call = read(get(V3 + "order_ln_check_route/", ("ln_invoice", INVOICE)))
    assert (call.command, call.limit) == (CheckRoute(INVOICE), "order_ln_check_route")
    body = '{"num_routes":3,"success_probability":0.97}'
    assert written("v3/order_ln_check_route", Route(3, 0.97)) == body


@pytest.mark.parametrize("query", [[], [("ln_invoice", "")], [("ln_invoice", "x" * 5000)], [("invoice", INVOICE)]])
def test_bad_route_queries(query: list[tuple[str, str]]) -> None:
    with pytest.raises(BadInvoice):
        XMRTO.read(get(V3 + "order_ln_check_route/", *query))


# Pages


@pytest.mark.parametrize("data", ["bcrt1q", "é", "x" * 512])
def test_picture(data: str) -> None:
    reply = XMRTO.read(get(V3 + "gen_qrcode/", ("data", data)))
    assert isinstance(reply, Response)
    assert (reply.status, reply.headers) == (200, (("content-type", "image/png"),))
    assert reply.body.startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("query", [[], [("data", "")], [("data", "x" * 513)], [("data", "\ud800")]])
def test_bad_pictures(query: list[tuple[str, str]]) -> None:
    with pytest.raises(Malformed, match="data"):
        XMRTO.read(get(V3 + "gen_qrcode/", *query))


def test_page_is_escaped() -> None:
    call = read(get("/nojs/status/xmrto-XCZEsu"))
    assert call.command == FindOrder("xmrto-XCZEsu")
    order = swap(swap=Swap(price="0.01", amount=1, invoice="<script>alert(1)</script>"))
    reply = XMRTO.write(call, view(order), None)
    assert dict(reply.headers)["content-type"] == "text/html; charset=utf-8"
    assert b"<script>" not in reply.body
    assert b"&lt;script&gt;" in reply.body


# Slashes


@pytest.mark.parametrize(
    ("request_", "status", "location"),
    [
        (get(V3 + "order_parameter_query"), 301, "order_parameter_query/"),
        (get(V2 + "order_parameter_query"), 301, "order_parameter_query/"),
        (get(V3 + "order_ln_check_route", ("ln_invoice", "a b&")), 301, "order_ln_check_route/?ln_invoice=a+b%26"),
        (get(V3 + "gen_qrcode", ("data", "x")), 301, "gen_qrcode/?data=x"),
        (post(V3 + "order_create", {}), 308, "order_create/"),
        (post(V2 + "order_status_query", UUID), 308, "order_status_query/"),
    ],
)
def test_slashless_paths_redirect(request_: Any, status: int, location: str) -> None:
    assert XMRTO.read(request_) == Response(status, (("location", location),), b"")
