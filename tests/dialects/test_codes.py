"""BestMixer: the exchanges that document 1 prints, on regtest, and what is refused."""

from __future__ import annotations

import json
from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest

from glasstumbler.dialects.codes import Codes
from glasstumbler.dialects.settings import CodesSettings
from glasstumbler.engine.commands import AskCode, AskFees, Call, Command, Fees, FindOrder, OpenMix, Sent, Wish
from glasstumbler.engine.order import OutputState, PlannedOutput, State, Terms
from glasstumbler.errors import (
    BadAmount,
    BadCurrency,
    BadDelay,
    BadFee,
    BadShares,
    Forced,
    GlassTumblerError,
    KeyBlocked,
    KeyMissing,
    Maintenance,
    Malformed,
    NotATestNetwork,
    Overloaded,
    Rejection,
    TooLarge,
    UnknownEndpoint,
    UnknownOrder,
    WrongMethod,
)
from tests.dialects.orders import CREATED, DEPOSIT, OTHER, PAYOUT, TXID, code_order, get, post, view

CODES = Codes()
KEY, CODE = "A1B2C3D4E5", "ZX81QW90KL"
SHARES: list[dict[str, Any]] = [
    {"address": DEPOSIT, "percent": 5.5, "delay": 33},
    {"address": PAYOUT, "percent": 4.5, "delay": 0},
    {"address": OTHER, "percent": 90, "delay": 121},
]
AMOUNTS = [{"address": s["address"], "amount": 0.1, "delay": s["delay"]} for s in SHARES]
CREATE = {"api_key": KEY, "bm_code": CODE, "coin": "btc", "fee": 1.0001, "output": SHARES}
FIXED = CREATE | {"output": AMOUNTS}


def call_of(group: str, body: Any) -> Call:
    call = CODES.read(post(f"/api/ext/{group}", body))
    assert isinstance(call, Call)
    assert (call.private, call.endpoint) == (True, group)
    return call


def opened(body: Any, group: str = "order/create") -> OpenMix:
    command = call_of(group, body).command
    assert isinstance(command, OpenMix)
    return command


def written(group: str, result: Any, codes: Codes = CODES) -> str:
    reply = codes.write(Call(Command(), endpoint=group), result, None)
    assert (reply.status, reply.headers) == (200, (("content-type", "application/json"),))
    return reply.body.decode()


def test_code_info() -> None:
    assert call_of("code/info", {"api_key": KEY, "bm_code": CODE})[:2] == (AskCode(CODE), KEY)
    result = Fees({"eth": 10_000, "ltc": 30_000, "bch": 30_000, "btc": 10_000})
    body = '{"error":null,"data":{"min_service_fee":{"btc":1.0000,"bch":3.0000,"ltc":3.0000}}}'
    assert written("code/info", result) == body


def test_fee_info() -> None:
    assert call_of("fee/info", {"api_key": KEY})[:2] == (AskFees(), KEY)
    result = Fees({"eth": 2 * 10**15, "btc": 20_000, "bch": 1_000, "ltc": 100_000})
    fees = '{"btc":"0.0002","bch":"0.00001","ltc":"0.001","eth":"0.002"}'
    assert written("fee/info", result) == f'{{"error":null,"data":{{"fee_per_address":{fees}}}}}'


def test_create() -> None:
    wishes = (
        Wish(DEPOSIT, share=55, delay=33 * 60, field="output[0]"),
        Wish(PAYOUT, share=45, delay=0, field="output[1]"),
        Wish(OTHER, share=900, delay=121 * 60, field="output[2]"),
    )
    assert opened(CREATE) == OpenMix("btc", wishes, fixed=False, fee_ppm=10_001, code=CODE)
    letter = "VEVTVCBORVRXT1JL"
    assert b64decode(letter) == b"TEST NETWORK"
    assert written("order/create", view(code_order())) == (
        f'{{"error":null,"data":{{"order_id":"K7M2P9Q4R1","input_address":"{DEPOSIT}","min_amount":0.005,'
        f'"max_amount":123.456,"bm_code":"{CODE}","letter_of_guarantee":"{letter}"}}}}'
    )


def test_create_fixed() -> None:
    command = opened(FIXED, "order/create_fixed")
    assert command.fixed
    assert [(wish.amount, wish.share, wish.field) for wish in command.outputs] == [
        (Decimal("0.1"), None, f"output[{index}]") for index in range(3)
    ]
    order = code_order(fixed=True, terms=Terms(fee_ppm=10_001, quote=30_915_986))
    assert written("order/create_fixed", view(order)) == (
        f'{{"error":null,"data":{{"order_id":"K7M2P9Q4R1","input_address":"{DEPOSIT}","exactly_amount":0.30915986,'
        f'"bm_code":"{CODE}","letter_of_guarantee":"VEVTVCBORVRXT1JL"}}}}'
    )


def test_info() -> None:
    assert call_of("order/info", {"api_key": KEY, "order_id": "K7M2P9Q4R1"}).command == FindOrder("K7M2P9Q4R1")
    outputs = ",".join(
        f'{{"address":"{address}","percent":{percent},"delay":{delay},"delay_countdown":0,"amount":0,"status":"Pending"}}'
        for address, percent, delay in ((DEPOSIT, "5.5", 33), (PAYOUT, "4.5", 0), (OTHER, "90", 121))
    )
    assert written("order/info", view(code_order())) == (
        f'{{"error":null,"data":{{"status":"Awaiting","input_address":"{DEPOSIT}","received":0,"coin":"btc","fixed":0,'
        f'"min_amount":0.005,"max_amount":123.456,"service_fee":"1.0001","fee_per_address":"0.0002",'
        f'"output":[{outputs}]}}}}'
    )


def info(order: Any, *sent: Sent, later: int = 0, codes: Codes = CODES) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(written("order/info", view(order, *sent, later=later), codes))["data"]
    return data


def test_info_of_a_fixed_order() -> None:
    outputs = [PlannedOutput(DEPOSIT, wanted=10_000_000, delay=60)]
    data = info(code_order(fixed=True, outputs=outputs, terms=Terms(fee_ppm=10_001, quote=10_303_324)))
    assert (data["fixed"], data["exactly_amount"]) == (1, 0.10303324)
    assert not {"min_amount", "max_amount"} & set(data)
    assert list(data["output"][0]) == ["address", "delay", "delay_countdown", "amount", "status"]
    assert data["output"][0]["amount"] == 0.1


def test_info_amounts_as_strings_for_an_old_client() -> None:
    data = info(code_order(), codes=Codes(CodesSettings(info_amounts="string")))
    assert (data["min_amount"], data["max_amount"]) == ("0.005", "123.456")
    assert info(code_order(terms=Terms(minimum=1)))["max_amount"] is None


def test_countdown_runs_from_the_confirmation_to_the_payout() -> None:
    order = code_order(State.WAITING, seen=10**8)
    for output in order.outputs:
        output.amount, output.due = 1000, CREATED + output.delay
    assert [item["delay_countdown"] for item in info(order)["output"]] == [33, 0, 121]
    assert [item["delay_countdown"] for item in info(order, later=61)["output"]] == [32, 0, 120]
    order.outputs[0].state = OutputState.CLAIMED
    assert [item["delay_countdown"] for item in info(order, later=61)["output"]] == [0, 0, 120]
    assert info(order)["received"] == 1


def test_output_statuses() -> None:
    order = code_order(State.PAYING)
    states = (OutputState.CLAIMED, OutputState.CLAIMED, OutputState.CONFIRMED)
    for output, state in zip(order.outputs, states, strict=True):
        output.state = state
    words = [item["status"] for item in info(order, Sent(1, 1000, TXID, 0))["output"]]
    assert words == ["Pending", "Sent", "Confirmed"]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.CREATED, "Awaiting"),
        (State.AWAITING, "Awaiting"),
        (State.UNDERPAID, "Awaiting"),
        (State.CONFIRMING, "Confirming"),
        (State.WAITING, "Processing"),
        (State.PAYING, "Processing"),
        (State.COMPLETED, "Completed"),
        (State.EXPIRED, "Expired"),
        (State.REJECTED, "Expired"),
        (State.FAILED, "Failed"),
    ],
)
def test_order_statuses(state: State, word: str) -> None:
    assert info(code_order(state))["status"] == word


# What clients really send


@pytest.mark.parametrize(("fee", "ppm"), [(1, 10_000), ("1.2345", 12_345), (0.5001, 5_001), ("5", 50_000)])
def test_fee_is_a_number_or_a_numeric_string(fee: Any, ppm: int) -> None:
    assert opened(CREATE | {"fee": fee}).fee_ppm == ppm


@pytest.mark.parametrize("code", ["", None])
def test_an_empty_code_is_none(code: str | None) -> None:
    assert opened(CREATE | {"bm_code": code}).code is None
    assert opened({name: value for name, value in CREATE.items() if name != "bm_code"}).code is None


def test_numeric_strings_in_outputs() -> None:
    wish = opened(CREATE | {"output": [{"address": PAYOUT, "percent": "100", "delay": "4320"}]}).outputs[0]
    assert (wish.share, wish.delay) == (1000, 259200)


# What is refused


def shares(**changes: Any) -> dict[str, Any]:
    return CREATE | {"output": [SHARES[0] | changes]}


def amounts(**changes: Any) -> dict[str, Any]:
    return FIXED | {"output": [AMOUNTS[0] | changes]}


BAD: list[tuple[Any, type[Rejection], str]] = [
    ("{", Malformed, "Invalid JSON data."),
    ("[]", Malformed, "the body must be a JSON object"),
    ({}, KeyMissing, "Invalid api_key"),
    (CREATE | {"api_key": None}, KeyMissing, "Invalid api_key"),
    (CREATE | {"api_key": 1234567890}, KeyMissing, "Invalid api_key"),
    (CREATE | {"api_key": "short"}, KeyMissing, "Invalid api_key"),
    (CREATE | {"extra": 1}, Malformed, "extra: unknown field"),
    ({"api_key": KEY}, Malformed, "coin: missing"),
    (CREATE | {"coin": "xmr"}, BadCurrency, "coin: must be one of btc, bch, ltc, eth"),
    (CREATE | {"coin": "BTC"}, BadCurrency, "coin: must be one of btc, bch, ltc, eth"),
    (CREATE | {"coin": 1}, Malformed, "coin: must be a string"),
    (CREATE | {"fee": None}, BadFee, "fee: must be a number"),
    (CREATE | {"fee": True}, BadFee, "fee: must be a number"),
    (CREATE | {"fee": "NaN"}, BadFee, "fee: must be a number"),
    (CREATE | {"fee": "1_0"}, BadFee, "fee: must be a number"),
    (CREATE | {"fee": 1.00001}, BadFee, "fee: more than 4 decimal places"),
    (json.dumps(CREATE).replace("1.0001", "1e400"), BadFee, "fee: out of any range"),
    (json.dumps(CREATE).replace("1.0001", "NaN"), Malformed, "Invalid JSON data."),
    (CREATE | {"bm_code": "no"}, Malformed, "bm_code: must be 10 letters and digits"),
    (CREATE | {"bm_code": 5}, Malformed, "bm_code: must be 10 letters and digits"),
    (CREATE | {"output": []}, Malformed, "output: must be an array of output objects"),
    (CREATE | {"output": {}}, Malformed, "output: must be an array of output objects"),
    (CREATE | {"output": ["m"]}, Malformed, "output[0]: must be an object"),
    (shares(address=None), Malformed, "output[0].address: must be a string"),
    (shares(address="x" * 300), Malformed, "output[0].address: longer than 256 characters"),
    (shares(percent=5.55), BadShares, "output[0].percent: more than 1 decimal places"),
    (shares(percent="half"), BadShares, "output[0].percent: must be a number"),
    (shares(percent=None), BadShares, "output[0].percent: must be a number"),
    (shares(delay=4321), BadDelay, "output[0].delay: must be from 0 to 4320 minutes"),
    (shares(delay=-1), BadDelay, "output[0].delay: must be from 0 to 4320 minutes"),
    (shares(delay=1.5), Malformed, "output[0].delay: must be a whole number"),
    (shares(delay=None), Malformed, "output[0].delay: must be a whole number"),
    (shares(amount=0.1), Malformed, "output[0].amount: unknown field"),
    (CREATE | {"output": [{"address": PAYOUT, "delay": 0}]}, Malformed, "output[0].percent: missing"),
]
BAD_FIXED: list[tuple[Any, type[Rejection], str]] = [
    (CREATE, Malformed, "output[0].percent: unknown field"),
    (amounts(amount=None), BadAmount, "output[0].amount: not a decimal number"),
    (amounts(amount=-0.1), BadAmount, "output[0].amount: negative"),
    (amounts(amount="0.123456789"), BadAmount, "output[0].amount: more than 8 decimal places"),
    (json.dumps(amounts(amount=7)).replace(": 7,", ": 1e400,"), BadAmount, "output[0].amount: out of any range"),
    (FIXED | {"output": [{"address": PAYOUT, "delay": 0}]}, Malformed, "output[0].amount: missing"),
]


def check_refused(group: str, body: Any, kind: type[Rejection], said: str) -> None:
    request = post(f"/api/ext/{group}", body)
    with pytest.raises(kind) as caught:
        CODES.read(request)
    reply = CODES.refuse(caught.value, request)
    assert reply.status == 200
    assert json.loads(reply.body) == {"error": said, "data": []}


@pytest.mark.parametrize(("body", "kind", "said"), BAD, ids=[row[2] + str(index) for index, row in enumerate(BAD)])
def test_bad_orders(body: Any, kind: type[Rejection], said: str) -> None:
    check_refused("order/create", body, kind, said)


@pytest.mark.parametrize(("body", "kind", "said"), BAD_FIXED, ids=[row[2] for row in BAD_FIXED])
def test_bad_fixed_orders(body: Any, kind: type[Rejection], said: str) -> None:
    check_refused("order/create_fixed", body, kind, said)


@pytest.mark.parametrize("code", ["", None])
def test_code_info_needs_a_code(code: str | None) -> None:
    check_refused("code/info", {"api_key": KEY, "bm_code": code}, Malformed, "bm_code: missing")


@pytest.mark.parametrize(("given", "asked"), [("short", ""), ("x" * 200, ""), ("K7M2P9Q4R1", "K7M2P9Q4R1")])
def test_order_ids(given: str, asked: str) -> None:
    assert call_of("order/info", {"api_key": KEY, "order_id": given}).command == FindOrder(asked)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyMissing("x"), 200, "Invalid api_key"),
        (KeyBlocked("x"), 200, "api_key is blocked"),
        (UnknownOrder("no such order"), 200, "no such order"),
        (TooLarge("too big"), 200, "too big"),
        (NotATestNetwork("address", "a", "b"), 200, "address: saw a; allowed here: b (test networks only)"),
        (Maintenance("x"), 200, "Service is temporarily unavailable"),
        (GlassTumblerError("secret detail"), 200, "Service is temporarily unavailable"),
        (Forced("Order limit reached"), 200, "Order limit reached"),
        (Overloaded("x"), 503, "Service is overloaded"),
        (UnknownEndpoint("x"), 404, "Unknown endpoint"),
        (WrongMethod("x", ("POST",)), 405, "Method not allowed"),
    ],
    ids=repr,
)
def test_errors(error: GlassTumblerError, status: int, text: str) -> None:
    reply = CODES.refuse(error, get("/"))
    assert (reply.status, json.loads(reply.body)) == (status, {"error": text, "data": []})
    assert ("retry-after" in dict(reply.headers)) == isinstance(error, Overloaded)


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (get("/api/ext/fee/info"), WrongMethod),
        (post("/api/ext/fee/info/", {}), UnknownEndpoint),
        (post("/api/ext/fee", {}), UnknownEndpoint),
        (post("/", {}), UnknownEndpoint),
    ],
)
def test_unknown_endpoints_and_methods(request_: Any, kind: type[Rejection]) -> None:
    with pytest.raises(kind):
        CODES.read(request_)
