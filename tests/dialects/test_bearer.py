"""BtcMix, CoinJoin and whir: the exchanges that documents 2 to 4 print, on regtest, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from glasstumbler.dialects import php
from glasstumbler.dialects.base import Response
from glasstumbler.dialects.bearer import BRANDINGS, Bearer
from glasstumbler.dialects.settings import BearerSettings
from glasstumbler.engine.commands import (
    AskStatus,
    Call,
    CheckAddress,
    FindOrder,
    ListOrders,
    Now,
    OpenMix,
    Page,
    Sent,
    Wish,
)
from glasstumbler.engine.order import OutputState, PlannedOutput, State, Terms
from glasstumbler.errors import (
    BadAddress,
    BadAmount,
    BadDelay,
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
from tests.dialects.orders import ACCOUNT, BEARER, DEPOSIT, KEY, PAYOUT, TXID, get, mix, post, view

BTCMIX, COINJOIN, WHIR = (Bearer(BRANDINGS[slug]) for slug in ("btcmix", "coinjoin", "whir"))
ALL = pytest.mark.parametrize("service", [BTCMIX, COINJOIN, WHIR], ids=lambda service: service.contract)
ADDRESSES = ("mr9if7VDsVfEZ1qUo2u3trv6rU9eH7Yx4u", "mia3h2FdYvR2LbDR1to9u6TC62hiTbDKM9")
CREATE = {"delay": "1", "payouts": dict(zip(ADDRESSES, ("0.001", "0.002"), strict=True)), "refCode": "qljncygz"}
CREATE_CALL = Call(FindOrder("x"), endpoint="createTransaction")


def read(service: Bearer, request: Any) -> Call:
    call = service.read(request)
    assert isinstance(call, Call)
    return call


def created(service: Bearer, body: Any) -> OpenMix:
    command = read(service, post("/api/createTransaction", body, BEARER)).command
    assert isinstance(command, OpenMix)
    return command


def written(service: Bearer, endpoint: str, result: Any, **call: Any) -> str:
    reply = service.write(Call(FindOrder("x"), endpoint=endpoint, **call), result, ACCOUNT)
    assert (reply.status, reply.headers) == (200, (("content-type", "application/json"),))
    return reply.body.decode()


@ALL
def test_status(service: Bearer) -> None:
    assert read(service, get("/api/status")) == Call(AskStatus(), endpoint="status")
    body = '{"status":"ok","timestamp":1649143742,"datetime":"2022-04-05T07:29:02+00:00"}'
    assert written(service, "status", Now(1649143742)) == body


@pytest.mark.parametrize(
    ("service", "valid", "invalid"),
    [(BTCMIX, "true", "false"), (COINJOIN, '"true"', '"false"'), (WHIR, '"true"', '"false"')],
)
def test_validate_address(service: Bearer, valid: str, invalid: str) -> None:
    call = read(service, get("/api/validateAddress/n3PdePLBgEeTYk4nAhcbehsnjvr1i3LyYS"))
    assert call.command == CheckAddress("n3PdePLBgEeTYk4nAhcbehsnjvr1i3LyYS")
    assert not call.private
    assert written(service, "validateAddress", True) == f'{{"result":{valid}}}'
    assert written(service, "validateAddress", False) == f'{{"result":{invalid}}}'


@pytest.mark.parametrize("address", ["", "a/b", "é\x00", "x" * 5000, " "])
def test_validate_address_is_never_an_error(address: str) -> None:
    assert isinstance(read(BTCMIX, get(f"/api/validateAddress/{address}")).command, CheckAddress)


@ALL
def test_create_reads_the_documented_request(service: Bearer) -> None:
    call = read(service, post("/api/createTransaction", CREATE, BEARER))
    wishes = tuple(
        Wish(address, amount=amount, delay=3600, field=f"payouts.{address}")
        for address, amount in CREATE["payouts"].items()  # type: ignore[attr-defined]
    )
    command = OpenMix("btc", wishes, fixed=True, ref="qljncygz")
    assert call == Call(command, KEY, private=True, endpoint="createTransaction")


@pytest.mark.parametrize("service", [COINJOIN, WHIR])
def test_bare_list_is_an_open_amount(service: Bearer) -> None:
    command = created(service, CREATE | {"payouts": list(ADDRESSES)})
    assert (command.equal_split, command.fixed) == (True, False)
    assert [(wish.address, wish.amount, wish.field) for wish in command.outputs] == [
        (ADDRESSES[0], None, "payouts[0]"),
        (ADDRESSES[1], None, "payouts[1]"),
    ]


def test_bare_list_is_refused_by_btcmix_and_by_the_setting() -> None:
    for service in (BTCMIX, Bearer(BRANDINGS["whir"], BearerSettings(bare_lists=False))):
        with pytest.raises(Malformed, match="payouts: must map addresses to amounts"):
            created(service, CREATE | {"payouts": list(ADDRESSES)})


@pytest.mark.parametrize(("delay", "seconds"), [('"0"', 0), ("1", 3600), ('"72"', 259200), ("2.0", 7200)])
def test_delays(delay: str, seconds: int) -> None:
    body = f'{{"delay": {delay}, "payouts": {{"{PAYOUT}": 0.001}}}}'
    assert {wish.delay for wish in created(BTCMIX, body).outputs} == {seconds}


@pytest.mark.parametrize("ref", ["", None])
def test_an_empty_ref_code_is_none(ref: str | None) -> None:
    assert created(BTCMIX, CREATE | {"refCode": ref}).ref is None


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CREATE.items() if key != name}


BAD_BODIES: list[tuple[Any, type[Rejection], str]] = [
    ('{"delay": "1", "payouts": [“a"]}', Malformed, "Invalid JSON data."),
    ("", Malformed, "Invalid JSON data."),
    ("[]", Malformed, "the body must be a JSON object"),
    (CREATE | {"extra": 1}, Malformed, "extra: unknown field"),
    (without("delay"), Malformed, "delay: missing"),
    (without("payouts"), Malformed, "payouts: missing"),
    (CREATE | {"delay": None}, Malformed, "delay: must be a whole number"),
    (CREATE | {"delay": "x"}, Malformed, "delay: must be a whole number"),
    (CREATE | {"delay": 1.5}, Malformed, "delay: must be a whole number"),
    (CREATE | {"delay": True}, Malformed, "delay: must be a whole number"),
    (CREATE | {"delay": -1}, BadDelay, "delay: must be from 0 to 72 hours"),
    (CREATE | {"delay": "73"}, BadDelay, "delay: must be from 0 to 72 hours"),
    (CREATE | {"payouts": {}}, Malformed, "payouts: must name at least one address"),
    (CREATE | {"payouts": "m"}, Malformed, "payouts: must map addresses to amounts"),
    (CREATE | {"payouts": None}, Malformed, "payouts: must map addresses to amounts"),
    (CREATE | {"payouts": {"m": None}}, BadAmount, "payouts.m: not a decimal number"),
    (CREATE | {"payouts": {"m": "x"}}, BadAmount, "payouts.m: not a decimal number"),
    (CREATE | {"payouts": {"m": "-0.1"}}, BadAmount, "payouts.m: negative"),
    (CREATE | {"payouts": {"m": "0.000000001"}}, BadAmount, "payouts.m: more than 8 decimal places"),
    (CREATE | {"payouts": {"m": ["0.1"]}}, BadAmount, "payouts.m: not a decimal number"),
    ('{"delay":1,"payouts":{"m":NaN}}', Malformed, "Invalid JSON data."),
    ('{"delay":1,"payouts":{"m":1e400}}', BadAmount, "payouts.m: out of any range"),
    ('{"delay":1,"payouts":{"m":"1","m":"2"}}', Malformed, "m: given twice"),
    (CREATE | {"payouts": {"m" * 300: "1"}}, Malformed, f"payouts.{'m' * 48}...: longer than 256 characters"),
    (CREATE | {"refCode": 5}, Malformed, "refCode: must be a string"),
    (CREATE | {"refCode": "x" * 65}, Malformed, "refCode: longer than 64 characters"),
    (CREATE | {"refCode": "a\nb"}, Malformed, "refCode: holds control characters"),
]


@pytest.mark.parametrize(("body", "kind", "said"), BAD_BODIES, ids=[str(row[0])[:50] for row in BAD_BODIES])
def test_bad_bodies(body: Any, kind: type[Rejection], said: str) -> None:
    request = post("/api/createTransaction", body, BEARER)
    with pytest.raises(kind) as caught:
        BTCMIX.read(request)
    reply = BTCMIX.refuse(caught.value, request)
    assert reply.status == 400
    assert json.loads(reply.body) == {"code": 400, "description": said}


@pytest.mark.parametrize("payouts", [[], [1], [None], [["m"]], ["x" * 300]])
def test_bad_lists(payouts: list[Any]) -> None:
    with pytest.raises(Malformed, match="payouts"):
        created(WHIR, CREATE | {"payouts": payouts})


def test_wrong_content_type() -> None:
    with pytest.raises(Malformed, match="content type"):
        BTCMIX.read(post("/api/createTransaction", CREATE, BEARER | {"content-type": "text/plain"}))
    assert (
        created(WHIR, CREATE)
        == read(
            WHIR, post("/api/createTransaction", CREATE, BEARER | {"content-type": "application/json; charset = utf-8"})
        ).command
    )


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b", "Bearer é"])
@pytest.mark.parametrize("path", ["/api/createTransaction", "/api/transactions", "/api/transaction/Q96G3MSNW8MPQRTX"])
def test_private_endpoints_want_a_key_before_anything_else(path: str, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    request = post(path, "not JSON", headers) if path.endswith("createTransaction") else get(path, headers=headers)
    with pytest.raises(KeyMissing) as caught:
        BTCMIX.read(request)
    reply = BTCMIX.refuse(caught.value, request)
    assert (reply.status, dict(reply.headers)["www-authenticate"]) == (401, "Bearer")
    assert json.loads(reply.body) == {"code": 401, "description": "Missing or invalid API key."}


def test_the_scheme_is_read_in_any_case() -> None:
    assert read(BTCMIX, get("/api/transactions", headers={"authorization": f"bearer  {KEY}"})).key == KEY


# Replies


@ALL
def test_created_reply(service: Bearer) -> None:
    body = written(service, "createTransaction", view(mix()))
    fields = json.loads(body)
    signature = fields.pop("signature")
    assert body == (
        f'{{"id":"JEVG1TKFP4L95EDX","status":"pending","depositAddress":"{DEPOSIT}","depositAmount":0.00316,'
        f'"payouts":{{"{ADDRESSES[0]}":"0","{ADDRESSES[1]}":"0"}},"fee":0.00016,"delay":"1","refCode":"qljncygz",'
        f'"updated":"2022-05-05T08:56:05+00:00","created":"2022-05-05T08:56:05+00:00","signature":"{signature}"}}'
    )
    text = f"JEVG1TKFP4L95EDX|pending|{DEPOSIT}|0.00316|{','.join(ADDRESSES)},0,0|0.00016|1|qljncygz|"
    assert php.message(json.loads(body, parse_float=Decimal)).startswith(text)
    assert signature == php.sign(json.loads(body, parse_float=Decimal), ACCOUNT.secret)


def test_created_reply_signs_the_published_vector() -> None:
    order = mix(address="tb1qmc2vcq6a427v6t83z8rnyg9ldf5k5p5uj2x4xv")
    fields = json.loads(written(BTCMIX, "createTransaction", view(order)))
    assert fields["signature"] == "B049tTVqvyGF/kgZ/RX+gzBs6Xey57H+pBDWcFTxzwc="
    order.terms = Terms(quote=10**8, fee=1000)
    body = written(BTCMIX, "createTransaction", view(order))
    assert '"depositAmount":1,' in body
    assert '"fee":0.00001,' in body
    assert json.loads(body)["signature"] == "gy34EY3sDn309xJydcAhcLjHlEffTQ2QoB0Y66HF/qg="


def complete(**changes: Any) -> Any:
    outputs = [PlannedOutput("mfuAKvSsAMrC7gjbEEb521uc1myeF9BSsc", wanted=600_000, state=OutputState.CONFIRMED)]
    order = mix(
        State.COMPLETED,
        id="Q96G3MSNW8MPQRTX",
        outputs=outputs,
        terms=Terms(quote=622_440, fee=22_440),
        seen=622_440,
        credited=622_440,
        deposit_txid="80bb6cda5036ce277598d949d2e4b3771c56b31ba77b757bf9753a370f16c99f",
        **changes,
    )
    return view(order, Sent(0, 600_000, TXID, 1))


DETAIL = [
    *("id", "status", "depositAddress", "depositAmount", "depositTxid", "payouts", "txid", "fee", "delay"),
]


@pytest.mark.parametrize(
    ("service", "tail"),
    [
        (BTCMIX, ["updated", "created", "refCode", "signature"]),
        (COINJOIN, ["refCode", "updated", "created", "signature"]),
        (WHIR, ["refCode", "updated", "created", "signature"]),
    ],
)
def test_detail_reply(service: Bearer, tail: list[str]) -> None:
    fields = json.loads(written(service, "transaction", complete()), parse_float=Decimal)
    assert list(fields) == DETAIL + tail
    assert fields["status"] == "complete"
    assert fields["depositAmount"] == "0.0062244"
    assert fields["payouts"] == {"mfuAKvSsAMrC7gjbEEb521uc1myeF9BSsc": "0.006"}
    assert fields["txid"] == TXID
    assert fields["fee"] == Decimal("0.0002244")
    assert fields["delay"] == "0"
    assert fields["signature"] == php.sign(fields, ACCOUNT.secret)
    assert "refCode" not in json.loads(written(service, "transaction", complete(ref=None)))


def test_detail_of_a_fresh_order_leaves_out_what_is_not_there() -> None:
    fields = json.loads(written(BTCMIX, "transaction", view(mix())), parse_float=Decimal)
    assert not {"depositTxid", "txid"} & set(fields)
    assert fields["depositAmount"] == Decimal("0.00316")
    assert fields["payouts"] == {ADDRESSES[0]: "0.001", ADDRESSES[1]: "0.002"}


def listed(order: Any) -> Any:
    return json.loads(written(BTCMIX, "transactions", Page((view(order),), 1, 30, 0)))["transactions"][0]


def test_list_item() -> None:
    fields = listed(mix())
    assert list(fields) == [
        *("id", "status", "depositAddress", "depositAmount", "payouts", "fee", "delay", "updated", "created")
    ]
    assert fields["depositAmount"] == 0.00316
    assert fields["payouts"] == {ADDRESSES[0]: "0.001", ADDRESSES[1]: "0.002"}


@pytest.mark.parametrize(
    ("state", "word", "amount"),
    [
        (State.CREATED, "pending", 0.00316),
        (State.AWAITING, "pending", 0.00316),
        (State.UNDERPAID, "pending", 0.00316),
        (State.CONFIRMING, "confirming", "0.003"),
        (State.WAITING, "confirming", "0.003"),
        (State.PAYING, "processing", "0.003"),
        (State.COMPLETED, "complete", "0.003"),
        (State.EXPIRED, "expired", "0.003"),
        (State.REJECTED, "expired", "0.003"),
        (State.FAILED, "processing", "0.003"),
    ],
)
def test_states(state: State, word: str, amount: float | str) -> None:
    fields = listed(mix(state, seen=300_000))
    assert (fields["status"], fields["depositAmount"]) == (word, amount)


def test_an_expired_order_without_deposit_has_no_deposit_amount() -> None:
    assert "depositAmount" not in listed(mix(State.EXPIRED))


def test_every_state_has_a_word() -> None:
    assert all(listed(mix(state))["status"] for state in State)


def test_open_amount() -> None:
    outputs = [PlannedOutput(DEPOSIT), PlannedOutput(PAYOUT)]
    order = mix(outputs=outputs, terms=Terms(fee_ppm=30_000), ref=None, fixed=False)
    fresh = json.loads(written(WHIR, "createTransaction", view(order)))
    assert not {"depositAmount", "fee"} & set(fresh)
    assert fresh["payouts"] == {DEPOSIT: "0", PAYOUT: "0"}
    assert json.loads(written(WHIR, "transaction", view(order)))["payouts"] == {DEPOSIT: "0", PAYOUT: "0"}
    order.state, order.seen, order.credited = State.WAITING, 1_000_000, 1_000_000
    outputs[0].amount = outputs[1].amount = 480_000
    paid = json.loads(written(WHIR, "transaction", view(order)), parse_float=Decimal)
    assert (paid["depositAmount"], paid["fee"]) == ("0.01", Decimal("0.0004"))
    assert paid["payouts"] == {DEPOSIT: "0.0048", PAYOUT: "0.0048"}


# Lists


@pytest.mark.parametrize(
    ("service", "query", "limit"),
    [(BTCMIX, True, "2"), (COINJOIN, True, '"2"'), (WHIR, True, '"2"'), (BTCMIX, False, "30"), (WHIR, False, "30")],
)
def test_list_reply(service: Bearer, query: bool, limit: str) -> None:
    asked = [("limit", "2"), ("offset", "0")] if query else []
    call = read(service, get("/api/transactions", *asked, headers=BEARER))
    assert call.command == (ListOrders(2, 0) if query else ListOrders(30, 0))
    reply = service.write(call, Page((), 27, 2 if query else 30, 0), ACCOUNT)
    assert reply.body.decode() == f'{{"transactions":[],"totalTransactions":27,"limit":{limit},"offset":0}}'


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", v) for v in ("0", "-1", "1001", "x", "", "1.5", "9" * 30)]
    + [("offset", v) for v in ("-1", "x", "9" * 12)],
)
def test_bad_pages(name: str, value: str) -> None:
    with pytest.raises(Malformed, match=name):
        BTCMIX.read(get("/api/transactions", (name, value), headers=BEARER))


@pytest.mark.parametrize(
    ("given", "asked"),
    [("Q96G3MSNW8MPQRTX", "Q96G3MSNW8MPQRTX"), ("q96g3msnw8mpqrtx", ""), ("", ""), ("x" * 999, ""), ("a/b", "")],
)
def test_detail_reads_ids(given: str, asked: str) -> None:
    assert read(BTCMIX, get(f"/api/transaction/{given}", headers=BEARER)).command == FindOrder(asked)


# Errors


@pytest.mark.parametrize(
    ("error", "status", "description"),
    [
        (KeyBlocked("x"), 403, "Account blocked or API access denied."),
        (UnknownEndpoint("x"), 404, "Endpoint not found."),
        (UnknownOrder("x"), 404, "Transaction not found."),
        (WrongMethod("x", ("GET",)), 405, "Method not allowed."),
        (TooLarge("too big"), 400, "too big"),
        (BadAddress("not an address", "payouts.m"), 400, "payouts.m: not an address"),
        (NotATestNetwork("address", "a", "b"), 400, "address: saw a; allowed here: b (test networks only)"),
        (Maintenance("x"), 503, "Service temporarily unavailable."),
        (Overloaded("x"), 503, "Service temporarily unavailable."),
        (GlassTumblerError("secret detail"), 503, "Service temporarily unavailable."),
        (Forced("401"), 401, "Missing or invalid API key."),
        (Forced("400"), 400, "Bad request."),
        (Forced("403"), 403, "Account blocked or API access denied."),
        (Forced("404"), 404, "Endpoint not found."),
        (Forced("503"), 503, "Service temporarily unavailable."),
        (Forced("teapot"), 503, "Service temporarily unavailable."),
    ],
    ids=repr,
)
def test_errors(error: GlassTumblerError, status: int, description: str) -> None:
    reply = BTCMIX.refuse(error, get("/api/status"))
    assert reply.status == status
    assert reply.body.decode() == json.dumps({"code": status, "description": description}, separators=(",", ":"))


def test_headers_of_errors() -> None:
    def headers(error: GlassTumblerError) -> dict[str, str]:
        return dict(BTCMIX.refuse(error, get("/")).headers)

    assert headers(Overloaded("x"))["retry-after"] == "5"
    assert headers(WrongMethod("x", ("GET",)))["allow"] == "GET"


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (get("/"), UnknownEndpoint),
        (get("/api"), UnknownEndpoint),
        (get("/api/Status"), UnknownEndpoint),
        (get("/api/status/"), UnknownEndpoint),
        (post("/api/status", {}), WrongMethod),
        (get("/api/createTransaction"), WrongMethod),
    ],
)
def test_unknown_endpoints_and_methods(request_: Any, kind: type[Rejection]) -> None:
    with pytest.raises(kind):
        BTCMIX.read(request_)


def test_head_is_get() -> None:
    assert read(BTCMIX, get("/api/status")._replace(method="HEAD")).command == AskStatus()


def test_nothing_answers_in_maintenance() -> None:
    assert not any(row.in_maintenance for row in BTCMIX.endpoints.values())


def test_a_signed_reply_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        BTCMIX.write(CREATE_CALL, view(mix()), None)
    assert isinstance(BTCMIX.write(CREATE_CALL, view(mix()), ACCOUNT), Response)
