"""Replies read without a socket: signed by PHP, changed on the way, and of every documented shape."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from glasstumbler.client import (
    BadReply,
    BadSignature,
    BearerCalls,
    Call,
    ClientError,
    CodeCalls,
    LabCalls,
    Reply,
    SwapV2Calls,
    SwapV3Calls,
    Untrusted,
    WrongOrder,
    reading,
)
from glasstumbler.client.reading import text

ROOT = Path(__file__).parents[1]
SIGNED = json.loads((ROOT / "dialects" / "vectors" / "signatures.json").read_text())["signatures"]
"""Transactions of the documents, signed by php-cli."""
SECRET = "test-secret-key"
CREATED, PAYOUTS = (
    SIGNED[1],
    {"mr9if7VDsVfEZ1qUo2u3trv6rU9eH7Yx4u": "0.001", "mia3h2FdYvR2LbDR1to9u6TC62hiTbDKM9": "0.002"},
)


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def signed(row: dict[str, Any]) -> dict[str, Any]:
    return row["object"] | {"signature": row["signature"]}


# -- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", SIGNED, ids=lambda row: row["signature"][:6])
def test_what_php_signed_is_read(row: dict[str, Any]) -> None:
    found = BearerCalls("key", SECRET).transaction(row["object"]["id"]).read(reply(signed(row)))
    assert (found.id, found.fee) == (row["object"]["id"], Decimal(str(row["object"]["fee"])))


def test_a_created_order_is_the_one_that_was_asked_for() -> None:
    calls = BearerCalls("key", SECRET)
    assert calls.create_transaction(PAYOUTS, 1, "qljncygz").read(reply(signed(CREATED))).ref_code == "qljncygz"
    others: list[Any] = [
        (PAYOUTS, 2, "qljncygz"),
        (PAYOUTS, 1, "other"),
        (PAYOUTS, 1),
        (dict(list(PAYOUTS.items())[:1]), 1, "qljncygz"),
    ]
    for asked in others:
        with pytest.raises(WrongOrder):
            calls.create_transaction(*asked).read(reply(signed(CREATED)))
    with pytest.raises(WrongOrder, match="asked about Q96G3MSNW8MPQRTX, answered about JEVG1TKFP4L95EDX"):
        calls.transaction("Q96G3MSNW8MPQRTX").read(reply(signed(CREATED)))


def changes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that can be done to one field of a signed reply."""
    whole = signed(SIGNED[0])
    names = list(whole)
    for place, name in enumerate(names):
        value = whole[name]
        other: Any = {"mfuAKvSsAMrC7gjbEEb521uc1myeF9BSsc": "0.007"} if name == "payouts" else f"{value}1"
        yield f"{name} changed", whole | {name: other}
        yield f"{name} null", whole | {name: None}
        yield f"{name} left out", {key: each for key, each in whole.items() if key != name}
        yield f"{name} renamed", {("x" + key if key == name else key): each for key, each in whole.items()}
        if place:
            order = [*names[: place - 1], name, names[place - 1], *names[place + 1 :]]
            yield f"{name} moved up", {key: whole[key] for key in order}
            swapped = dict(
                zip([*names[: place - 1], name, names[place - 1], *names[place + 1 :]], whole.values(), strict=True)
            )
            yield f"{name} and {names[place - 1]} exchange their names", swapped
    yield "one more", whole | {"more": ""}


@pytest.mark.parametrize("changed", [pytest.param(changed, id=what) for what, changed in changes()])
def test_a_changed_reply_is_not_read(changed: dict[str, Any]) -> None:
    with pytest.raises((BadSignature, BadReply)):
        BearerCalls("key", SECRET).transaction(SIGNED[0]["object"]["id"]).read(reply(changed))


def test_a_value_that_moves_into_a_name_is_no_reply() -> None:
    """The signed text joins names and values of a map by commas, so this one has the same signature."""
    whole = signed(SIGNED[0])
    ((address, amount),) = whole["payouts"].items()
    assert f"{address},{amount}" in SIGNED[0]["message"]
    for payouts in ({f"{address},{amount}": ""}, f"{address},{amount}"):
        with pytest.raises((BadSignature, BadReply)):
            BearerCalls("key", SECRET).transaction(whole["id"]).read(reply(whole | {"payouts": payouts}))


@pytest.mark.parametrize("signature", ["", "é", "A" * 44, None, 1, ["A"]])
def test_other_signatures(signature: object) -> None:
    with pytest.raises((BadSignature, BadReply)):
        BearerCalls("key", SECRET).transaction("Q96G3MSNW8MPQRTX").read(
            reply(signed(SIGNED[0]) | {"signature": signature})
        )


def test_another_keys_secret() -> None:
    with pytest.raises(BadSignature, match="secret"):
        BearerCalls("key", "another").transaction("Q96G3MSNW8MPQRTX").read(reply(signed(SIGNED[0])))


# -- what is no reply -------------------------------------------------------------------------------------------------

HOSTILE = {
    "nothing": b"",
    "a page": b"<html><body>502 Bad Gateway</body></html>",
    "a null": b"null",
    "a list": b"[]",
    "a text": b'"ok"',
    "half of it": b'{"id": "Q96G3MSNW8',
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "a lone surrogate": b'{"status": "\\ud800", "code": 1}',
    "nested too deeply": b"[" * 200_000,
    "a number without end": b"1" * 10_000,
    "an exponent without end": b'{"price": 1e99999999999999999999, "fee": 1e99999999999999999999, "signature": ""}',
    "a huge exponent": b'{"price": 1e999999, "fee": 1e999999, "signature": ""}',
    "not a number": b'{"price": NaN}',
    "wrong types": b'{"id": [], "status": {}, "error": 5, "data": 7, "state": 1, "result": "maybe", "signature": {}}',
    "an envelope without data": b'{"error": null, "data": null}',
    "an error without text": b'{"error": "", "data": []}',
    "zeros": bytes(1000),
}
A_CALL_OF_EACH: dict[str, Callable[[], Call[Any]]] = {
    "status": BearerCalls("k", "s").status,
    "validateAddress": lambda: BearerCalls("k", "s").validate_address("a"),
    "createTransaction": lambda: BearerCalls("k", "s").create_transaction({"a": "1"}),
    "transactions": BearerCalls("k", "s").transactions,
    "transaction": lambda: BearerCalls("k", "s").transaction("a"),
    "code/info": lambda: CodeCalls("k").code_info("a"),
    "fee/info": CodeCalls("k").fee_info,
    "order/create": lambda: CodeCalls("k").order_create("btc", 2, []),
    "order/create_fixed": lambda: CodeCalls("k").order_create_fixed("btc", 2, []),
    "order/info": lambda: CodeCalls("k").order_info("a"),
    "v2 parameters": SwapV2Calls().order_parameter_query,
    "v3 create": lambda: SwapV3Calls().order_create("a", 1),
    "v2 status": lambda: SwapV2Calls().order_status_query("a"),
    "v3 status": lambda: SwapV3Calls().order_status_query("a"),
    "v3 price": lambda: SwapV3Calls().order_check_price(1),
    "v3 route": lambda: SwapV3Calls().order_ln_check_route("a"),
    "picture": lambda: SwapV3Calls().gen_qrcode("a"),
    "page": lambda: SwapV3Calls().status_page("a"),
    "chains": LabCalls().chains,
    "pay": lambda: LabCalls().pay("a", 1),
    "truth": lambda: LabCalls().order("a", "b"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("name", A_CALL_OF_EACH)
@pytest.mark.parametrize("status", [200, 201, 301, 400, 502])
def test_one_clear_error_for_what_is_no_reply(name: str, what: str, status: int) -> None:
    call = A_CALL_OF_EACH[name]()
    if (name, what) == ("chains", "a list") and status == 200:
        assert call.read(reply(HOSTILE[what])) == []
        return
    with pytest.raises((BadReply, Untrusted)) as caught:
        call.read(reply(HOSTILE[what], status))
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)
    if isinstance(caught.value, BadReply):
        assert f"{call.request.method} {call.request.path} answered {status}" in str(caught.value)


@pytest.mark.parametrize(
    "amount", ['"NaN"', '"Infinity"', "-1", '"-0.1"', "1e400", '"1e400"', "true", "null", '""', "[1]"]
)
def test_what_is_no_amount(amount: str) -> None:
    parameters = (
        '{"price": %s, "upper_limit": 1, "lower_limit": 0, "zero_conf_enabled": true, "zero_conf_max_amount": 0.1}'
    )
    call = SwapV2Calls().order_parameter_query()
    assert call.read(reply((parameters % "0.006").encode())).price == Decimal("0.006")
    with pytest.raises(BadReply):
        call.read(reply((parameters % amount).encode()))


# -- what the contracts show ------------------------------------------------------------------------------------------


def examples(slug: str) -> Iterator[tuple[str, str, Any]]:
    """Method and path of each operation, and the example of its good reply."""
    contract = yaml.safe_load((resources.files("glasstumbler.dialects") / "openapi" / f"{slug}.yaml").read_text())
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json", {}) if status in ("200", "201") else {}
                if "example" in content:
                    yield method.upper(), path, json.loads(json.dumps(content["example"], default=str))


READERS: dict[str, dict[str, Callable[[Any], Call[Any]]]] = {
    "bestmixer": {
        "/api/ext/code/info": lambda shown: CodeCalls("k").code_info("a"),
        "/api/ext/fee/info": lambda shown: CodeCalls("k").fee_info(),
        "/api/ext/order/info": lambda shown: CodeCalls("k").order_info("a"),
    },
    **{
        slug: {
            "/api/status": lambda shown: BearerCalls("k", "s").status(),
            "/api/validateAddress/{address}": lambda shown: BearerCalls("k", "s").validate_address("a"),
            "/api/transactions": lambda shown: BearerCalls("k", "s").transactions(),
        }
        for slug in ("btcmix", "coinjoin", "whir")
    },
    "xmrto": {
        f"/api/{calls.version}/xmr2btc/{path}/": read
        for calls in (SwapV2Calls(), SwapV3Calls())
        for path, read in {
            "order_parameter_query": lambda shown, calls=calls: calls.order_parameter_query(),
            "order_create": lambda shown, calls=calls: calls.order_create(shown["btc_dest_address"], 1),
            "order_create_pp": lambda shown, calls=calls: calls.order_create_pp("a"),
            "order_create_ln": lambda shown, calls=calls: calls.order_create_ln(shown["btc_dest_address"]),
            "order_ln_check_route": lambda shown, calls=calls: calls.order_ln_check_route("a"),
            "order_status_query": lambda shown, calls=calls: calls.order_status_query(shown["uuid"]),
            "order_check_price": lambda shown, calls=calls: calls.order_check_price(1),
            "order_partial_payment": lambda shown, calls=calls: calls.order_partial_payment(shown["uuid"]),
        }.items()
    },
}
SHOWN = [(slug, *shown) for slug in READERS for shown in examples(slug) if shown[1] in READERS[slug]]


@pytest.mark.parametrize(("slug", "method", "path", "body"), SHOWN, ids=[f"{row[0]} {row[2]}" for row in SHOWN])
def test_every_reply_that_a_contract_shows_is_read(slug: str, method: str, path: str, body: Any) -> None:
    """Those that are signed are read in test_orders.py: the contracts show placeholders."""
    call = READERS[slug][path](body)
    assert call.request.method == method and call.request.path.split("?")[0].count("/") == path.count("/")
    assert call.read(reply(body)) is not None


def test_each_contract_shows_something() -> None:
    assert {row[0] for row in SHOWN} == set(READERS) and len(SHOWN) >= 25


# -- amounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(Decimal("1E-8"), "0.00000001"), ("0.10", "0.10"), (3, "3"), (Decimal("1e3"), "1000"), ("-1", "-1")],
)
def test_amounts_are_sent_digit_by_digit(amount: Any, shown: str) -> None:
    assert text(amount) == shown
    v2, v3 = SwapV2Calls().order_create("a", amount).request, SwapV3Calls().order_create("a", amount).request
    assert f'"btc_amount":{shown}}}'.encode() in v2.body and f'"amount":"{shown}"'.encode() in v3.body


@pytest.mark.parametrize(
    ("amount", "kind"),
    [
        (0.1, TypeError),
        (True, TypeError),
        (None, TypeError),
        ("much", ValueError),
        ("NaN", ValueError),
        ("1e99", ValueError),
        ('1,"x":2', ValueError),
    ],
)
def test_what_is_no_amount_is_not_sent(amount: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        SwapV2Calls().order_create("a", amount)


def test_names_are_escaped_in_paths() -> None:
    assert BearerCalls("k", "s").validate_address("../a?b").request.path == "/api/validateAddress/..%2Fa%3Fb"
    assert LabCalls().order("../x", "a/b").request.path == "/lab/v1/orders/..%2Fx/a%2Fb"


def test_errors_are_one_tree() -> None:
    import glasstumbler.client.errors as errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert len(kinds) == 13 and all(issubclass(kind, ClientError) for kind in kinds)
    assert [
        kind.__name__ for kind in kinds if f" {kind.__name__} " not in f"{errors.__doc__} ".replace("\n", " ")
    ] == []


def test_deep_nesting_is_no_reply_where_python_has_no_limit_either() -> None:
    """Some libraries raise the limit for the whole process (py_ecc does); the stack would end before it."""
    code = """
import sys
from glasstumbler.client import BadReply, LabCalls, Reply
sys.setrecursionlimit(10**6)
for body in (b"[" * 10**6, b'{"a":' * 10**6, b'"[[' + b'\\\\"' * 10**5 + b'",' + b"[" * 10**6):
    try:
        LabCalls().chains().read(Reply(200, {}, body))
    except BadReply:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "refused\n" * 3)


def test_brackets_in_texts_are_not_nesting() -> None:
    assert reading.decoded(reply(b'{"a": "' + b"[{" * 500 + b'\\"["}')) == {"a": "[{" * 500 + '"['}
    assert reading.decoded(reply(b"[" + b"[]," * 500 + b"[]]")) == [[]] * 501
