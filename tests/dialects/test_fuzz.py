"""Whatever comes in, `read` answers with a call, a response or a Rejection, and the Rejection can be written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasstumbler.dialects.base import Request, Response
from glasstumbler.engine.commands import Call
from glasstumbler.errors import Rejection
from tests.dialects.orders import PAYOUT
from tests.dialects.test_contracts import SERVICES

ORDER = ("api_key", "bm_code", "coin", "fee", "output")
FIELDS: dict[str, tuple[str, ...]] = {
    "/code/info": ("api_key", "bm_code"),
    "/fee/info": ("api_key",),
    "/order/create": ORDER,
    "/order/create_fixed": ORDER,
    "/order/info": ("api_key", "order_id"),
    "/api/createTransaction": ("delay", "payouts", "refCode"),
    "/order_create/": ("btc_dest_address", "amount", "amount_currency", "btc_amount", "xmr_amount"),
    "/order_create_pp/": ("pp_url",),
    "/order_create_ln/": ("ln_invoice",),
    "/order_check_price/": ("amount", "amount_currency", "btc_amount", "xmr_amount"),
    "/order_status_query/": ("uuid",),
    "/order_partial_payment/": ("uuid",),
}
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["A1B2C3D4E5", "btc", "BTC", "1.0001", "1", PAYOUT, "xmrto-VkT2yM", "\ud800", "1e400", "-0"])
)
OUTPUT = st.fixed_dictionaries({}, optional=dict.fromkeys(("address", "percent", "amount", "delay"), LEAVES))
VALUES = LEAVES | st.lists(OUTPUT | LEAVES, max_size=3) | st.dictionaries(st.text(max_size=5), LEAVES, max_size=3)
ROWS = [(service, row) for service in SERVICES.values() for row in service.endpoints.values()]


def read(service: Any, request: Request) -> None:
    try:
        answer = service.read(request)
    except Rejection as error:
        answer = service.refuse(error, request)
        assert 200 <= answer.status < 600
        if request.path.startswith("/api/") and answer.headers[0][1] == "application/json":
            json.loads(answer.body)
    assert isinstance(answer, (Call, Response))


def requests(body: st.SearchStrategy[bytes]) -> st.SearchStrategy[Request]:
    texts = st.text(max_size=30)
    return st.builds(
        Request,
        st.sampled_from(["GET", "POST", "HEAD", "PUT", ""]),
        texts.map(lambda path: "/" + path),
        st.lists(st.tuples(st.sampled_from(["limit", "offset", "data", "ln_invoice"]) | texts, texts), max_size=3),
        st.dictionaries(st.sampled_from(["authorization", "content-type"]), texts, max_size=2),
        body,
        st.just("127.0.0.1"),
    )


@given(st.sampled_from(ROWS), requests(st.binary(max_size=200)), st.booleans())
@settings(max_examples=600, deadline=None)
def test_random_bytes(where: Any, request: Request, here: bool) -> None:
    service, row = where
    prefix = row.path.partition("{")[0]
    path = prefix + (request.path[1:] if prefix != row.path else "")
    read(service, request._replace(path=path, method=row.method) if here else request)


def bodies(path: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the endpoint's own fields, now and then with another."""
    names = next(names for end, names in FIELDS.items() if path.endswith(end))
    fields = st.fixed_dictionaries({}, optional=dict.fromkeys(names, VALUES))
    return fields | st.builds(lambda known, more: known | more, fields, st.dictionaries(st.text(max_size=5), LEAVES))


@pytest.mark.parametrize("end", list(FIELDS))
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_random_json(end: str, data: st.DataObject) -> None:
    service, row = data.draw(st.sampled_from([where for where in ROWS if where[1].path.endswith(end)]))
    fields = data.draw(bodies(row.path))
    if "api_key" in FIELDS[end]:
        fields = {"api_key": "A1B2C3D4E5"} | fields
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    read(service, Request("POST", row.path, [], headers, json.dumps(fields).encode(), "127.0.0.1"))
