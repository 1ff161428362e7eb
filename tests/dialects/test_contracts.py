"""The OpenAPI files: valid, complete, and what the dialects write keeps to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate

import glasstumbler.dialects
from glasstumbler.dialects.base import Dialect, Request, Response
from glasstumbler.dialects.bearer import BRANDINGS, Bearer
from glasstumbler.dialects.bearer import ERRORS as BEARER_ERRORS
from glasstumbler.dialects.codes import Codes
from glasstumbler.dialects.xmrto import CATALOGUE, Xmrto
from glasstumbler.engine.commands import Call, Command, Fees, Now, OrderView, Page, Parameters, Price, Route, Sent
from glasstumbler.engine.order import OutputState, PlannedOutput, State, Swap, Terms
from glasstumbler.errors import (
    Forced,
    GlassTumblerError,
    KeyBlocked,
    KeyMissing,
    Maintenance,
    Malformed,
    UnknownEndpoint,
)
from tests.dialects.orders import ACCOUNT, PAYOUT, TXID, code_order, get, mix, post, swap, view

FOLDER = Path(glasstumbler.dialects.__file__).parent / "openapi"
SERVICES: dict[str, Dialect] = {
    "bestmixer": Codes(),
    **{slug: Bearer(branding) for slug, branding in BRANDINGS.items()},
    "xmrto": Xmrto(),
}
CONTRACTS: dict[str, Any] = {slug: yaml.safe_load((FOLDER / f"{slug}.yaml").read_text()) for slug in SERVICES}
EACH = pytest.mark.parametrize("slug", list(SERVICES))


@EACH
def test_is_valid_openapi(slug: str) -> None:
    validate(CONTRACTS[slug])
    assert SERVICES[slug].contract == slug
    assert CONTRACTS[slug]["servers"] == [{"url": "/"}]


def test_no_other_contracts() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SERVICES)


@EACH
def test_has_every_endpoint_and_no_other(slug: str) -> None:
    ours = {(row.method.lower(), row.path) for row in SERVICES[slug].endpoints.values()}
    theirs = {(method, path) for path, methods in CONTRACTS[slug]["paths"].items() for method in methods}
    assert theirs == ours


@pytest.mark.parametrize("slug", list(BRANDINGS))
def test_private_endpoints_say_so(slug: str) -> None:
    contract = CONTRACTS[slug]
    for row in SERVICES[slug].endpoints.values():
        operation = contract["paths"][row.path][row.method.lower()]
        assert bool(operation.get("security", contract["security"])) == row.private


def operations(slug: str) -> list[tuple[str, str, Any]]:
    return [
        (method, path, operation)
        for path, methods in CONTRACTS[slug]["paths"].items()
        for method, operation in methods.items()
    ]


def resolve(slug: str, node: Any) -> Any:
    if "$ref" not in node:
        return node
    found = CONTRACTS[slug]
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def validator(slug: str, schema: Any) -> Draft202012Validator:
    return Draft202012Validator({"allOf": [schema], "components": CONTRACTS[slug]["components"]})


def check(slug: str, endpoint: str, reply: Response) -> None:
    """The reply has a documented status, content type and shape."""
    row = SERVICES[slug].endpoints[endpoint]
    responses = CONTRACTS[slug]["paths"][row.path][row.method.lower()]["responses"]
    content = resolve(slug, responses[str(reply.status)])["content"]
    kind = dict(reply.headers)["content-type"].partition(";")[0]
    if kind == "application/json":
        validator(slug, content[kind]["schema"]).validate(json.loads(reply.body))
    assert kind in content


def deposit(order: Any) -> Any:
    """With what a funded order has besides its state."""
    if order.state not in (State.CREATED, State.AWAITING, State.REJECTED):
        order.seen = order.credited = 10**9
        order.deposit_txid = TXID
    return order


def views(make: Any) -> list[OrderView]:
    return [
        seen
        for state in State
        for seen in (view(deposit(make(state))), view(deposit(make(state)), Sent(0, 1000, TXID, 3), confirmations=2))
    ]


def fixed(state: State) -> Any:
    outputs = [PlannedOutput(PAYOUT, wanted=1000, state=OutputState.CONFIRMED)]
    return code_order(state, fixed=True, outputs=outputs, terms=Terms(quote=2000))


def open_amount(state: State) -> Any:
    return mix(state, outputs=[PlannedOutput(PAYOUT)], terms=Terms(minimum=1), fixed=False, ref=None)


def lightning(state: State) -> Any:
    bought = Swap(price="0.01", amount=1000, amount_msat=1_000_000, invoice="lnbcrt1p")
    return swap(state, swap=bought, payout_coin="msat")


BEARER_RESULTS = [
    *(("transaction", order) for order in views(mix)),
    *(("createTransaction", order) for order in views(mix)[:2]),
    *(("transactions", Page((order,), 1, 30, 0)) for order in views(mix)),
    ("validateAddress", True),
    ("validateAddress", False),
    ("status", Now(1649143742)),
]
OPEN_RESULTS = [
    *(("transaction", order) for order in views(open_amount)),
    *(("createTransaction", order) for order in views(open_amount)[:2]),
    *(("transactions", Page((order,), 1, 30, 0)) for order in views(open_amount)),
]
RESULTS: dict[str, list[tuple[str, Any]]] = {
    "btcmix": BEARER_RESULTS,
    "coinjoin": BEARER_RESULTS + OPEN_RESULTS,
    "whir": BEARER_RESULTS + OPEN_RESULTS,
    "bestmixer": [
        *(("order/info", order) for order in views(code_order) + views(fixed)),
        ("order/create", view(code_order())),
        ("order/create", view(code_order(terms=Terms(minimum=1)))),
        ("order/create_fixed", view(fixed(State.AWAITING))),
        ("code/info", Fees({"btc": 10_000, "bch": 30_000, "ltc": 30_000, "eth": 1})),
        ("fee/info", Fees({"btc": 1, "bch": 20, "ltc": 3, "eth": 1})),
    ],
    "xmrto": [
        (f"{version}/{name}", result)
        for version in ("v2", "v3")
        for name, result in [
            *(("order_status_query", order) for order in views(swap) + views(lightning)),
            *(("order_partial_payment", order) for order in views(swap)),
            ("order_create", view(swap())),
            ("order_create_pp", view(swap(swap=Swap(price="0.01", amount=1, payment_url="http://127.0.0.1/")))),
            ("order_check_price", Price(15_000_000, 21_418_500_000_000, "0.00700329", 1)),
            ("order_parameter_query", Parameters("0.0176", 1, 2, True, 3, 4, 5)),
        ]
    ]
    + [
        ("v3/order_create_ln", view(lightning(State.AWAITING))),
        ("v3/order_ln_check_route", Route(3, 0.97)),
        ("nojs/status", view(swap())),
    ],
}


@EACH
def test_replies_keep_to_the_contract(slug: str) -> None:
    service = SERVICES[slug]
    for endpoint, result in RESULTS[slug]:
        check(slug, endpoint, service.write(Call(Command(), endpoint=endpoint), result, ACCOUNT))
    written = {endpoint for endpoint, _ in RESULTS[slug]}
    assert written | {"v2/gen_qrcode", "v3/gen_qrcode"} >= set(service.endpoints)


def test_pictures_keep_to_the_contract() -> None:
    for version in ("v2", "v3"):
        reply = SERVICES["xmrto"].read(get(f"/api/{version}/xmr2btc/gen_qrcode/", ("data", "x")))
        assert isinstance(reply, Response)
        check("xmrto", f"{version}/gen_qrcode", reply)


def test_a_listed_limit_as_text_keeps_to_the_contract() -> None:
    for slug in ("btcmix", "coinjoin", "whir"):
        call = Call(Command(), endpoint="transactions", echo="2")
        check(slug, "transactions", SERVICES[slug].write(call, Page((), 0, 2, 0), ACCOUNT))


ERRORS: dict[str, list[GlassTumblerError]] = {
    "bestmixer": [Malformed("x"), Maintenance("x"), UnknownEndpoint("x"), Forced("anything")],
    "xmrto": [Forced(f"XMRTO-ERROR-{code}") for code in CATALOGUE],
    **{
        slug: [Malformed("x"), KeyMissing("x"), KeyBlocked("x"), Maintenance("x")]
        + [Forced(str(status)) for status, _ in BEARER_ERRORS.values() if status != 405]
        for slug in BRANDINGS
    },
}


@EACH
def test_errors_keep_to_the_contract(slug: str) -> None:
    """Also every answer that the laboratory can force, at every endpoint."""
    service = SERVICES[slug]
    for name, row in service.endpoints.items():
        for error in ERRORS[slug]:
            check(slug, name, service.refuse(error, get(row.path)))


@EACH
def test_examples_fit_their_schemas(slug: str) -> None:
    for method, path, operation in operations(slug):
        contents = [resolve(slug, response).get("content", {}) for response in operation["responses"].values()]
        contents.append(operation.get("requestBody", {}).get("content", {}))
        for content in contents:
            if "application/json" in content:
                media = content["application/json"]
                errors = list(validator(slug, media["schema"]).iter_errors(media["example"]))
                assert not errors, f"{method} {path}: {errors}"


@EACH
def test_the_requests_of_the_contract_are_read(slug: str) -> None:
    headers = {"authorization": "Bearer k"}
    for method, path, operation in operations(slug):
        if method == "post":
            body = operation["requestBody"]["content"]["application/json"]["example"]
            request: Request = post(path, body, headers)
        else:
            examples = {
                p["name"]: (p["in"], p.get("example", p["schema"].get("default")))
                for p in operation.get("parameters", [])
            }
            query = [(name, str(value)) for name, (where, value) in examples.items() if where == "query"]
            filled = path.format(**{name: value for name, (where, value) in examples.items() if where == "path"})
            request = get(filled, *query, headers=headers)
        read = SERVICES[slug].read(request)
        assert isinstance(read, Call) or read.status == 200


def closed(schema: Any) -> bool:
    return "properties" not in schema or schema.get("additionalProperties") is False


@EACH
def test_objects_are_closed(slug: str) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert closed(node), node
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(CONTRACTS[slug])
