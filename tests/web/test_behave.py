"""What the laboratory tells a service to do wrong reaches its clients, and ends when it is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from glasstumbler.services import SERVICES
from tests.web.server import BEARERS, Lab, run, wait_for


@pytest.fixture
def behave(lab: Lab) -> Iterator[Any]:
    """Set a service's behaviour; all behave again afterwards."""

    def act(slug: str, **how: Any) -> dict[str, Any]:
        return dict(lab.lab(f"services/{slug}/behave", **how))

    yield act
    for slug in SERVICES:
        act(slug)


def make(client: httpx.Client, lab: Lab) -> Any:
    return client.post("/api/createTransaction", json={"delay": 0, "payouts": {lab.address(): "0.01"}}).json()


def pay(lab: Lab, order: Any) -> None:
    lab.pay("btc", order["depositAddress"], f"{order['depositAmount']:.8f}")


def state(client: httpx.Client, order: Any) -> str:
    return str(client.get(f"/api/transaction/{order['id']}").json()["status"])


def test_what_is_set_is_answered(lab: Lab, behave: Any) -> None:
    assert behave("btcmix", maintenance=True) == {"maintenance": True, "answer": None, "times": 0, "payout": None}
    assert behave("btcmix", answer="503", times=2)["times"] == 2
    assert behave("btcmix", answer=401) == {"maintenance": False, "answer": 401, "times": 1, "payout": None}


@pytest.mark.parametrize(
    ("slug", "body", "field"),
    [
        ("btcmix", {"payout": "explode"}, "payout"),
        ("btcmix", {"answer": "999"}, "answer"),
        ("xmrto", {"answer": "XMRTO-ERROR-099"}, "answer"),
        ("btcmix", {"times": -1}, "times"),
        ("btcmix", {"maintenance": "yes"}, "maintenance"),
        ("btcmix", {"nonsense": 1}, "nonsense"),
    ],
)
def test_misbehaviour_that_does_not_exist(slug: str, body: Any, field: str, lab: Lab) -> None:
    reply = lab.hub.post(f"/lab/v1/services/{slug}/behave", json=body)
    assert (reply.status_code, reply.json()["field"]) == (400, field), reply.text


@pytest.mark.parametrize("slug", BEARERS)
def test_maintenance_of_the_bearer_services(slug: str, lab: Lab, behave: Any) -> None:
    with lab.client(slug) as client:
        behave(slug, maintenance=True)
        reply = client.get("/api/status")
        assert (reply.status_code, reply.json()["code"]) == (503, 503)
        behave(slug, maintenance=False)
        assert client.get("/api/status").status_code == 200


def test_swap_status_stays_readable_in_maintenance(lab: Lab, behave: Any) -> None:
    with lab.client("xmrto") as client:
        order = {"btc_dest_address": lab.address(), "amount": "0.01", "amount_currency": "BTC"}
        uuid = client.post("/api/v3/xmr2btc/order_create/", json=order).json()["uuid"]
        behave("xmrto", maintenance=True)
        refused = client.get("/api/v3/xmr2btc/order_parameter_query/")
        assert (refused.status_code, refused.json()["error"]) == (503, "XMRTO-ERROR-001")
        assert client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": uuid}).status_code == 200


def test_code_mixer_in_maintenance_keeps_its_envelope(lab: Lab, behave: Any) -> None:
    behave("bestmixer", maintenance=True)
    with lab.client("bestmixer") as client:
        reply = client.post("/api/ext/fee/info", json={"api_key": lab.keys["bestmixer"]})
    assert reply.status_code == 200 and reply.json()["error"] and reply.json()["data"] == []


def test_forced_answers_come_as_often_as_asked(lab: Lab, behave: Any) -> None:
    with lab.client("xmrto") as client:
        behave("xmrto", answer="XMRTO-ERROR-014", times=2)
        paths = ["/api/v2/xmr2btc/order_parameter_query/"] * 3
        assert [client.get(path).status_code for path in paths] == [403, 403, 200]
    with lab.client("whir") as client:
        behave("whir", answer="403")
        assert [client.get("/api/status").status_code for _ in range(2)] == [403, 200]
    with lab.client("bestmixer") as client:
        behave("bestmixer", answer="Order limit reached")
        asked = {"api_key": lab.keys["bestmixer"]}
        errors = [client.post("/api/ext/fee/info", json=asked).json()["error"] for _ in range(2)]
        assert errors == ["Order limit reached", None]


def test_stalled_payouts_go_on_when_that_is_taken_back(lab: Lab, behave: Any) -> None:
    with lab.client("btcmix") as client:
        behave("btcmix", payout="stall")
        order = make(client, lab)
        pay(lab, order)
        lab.lab("chains/btc/mine", blocks=3)
        assert state(client, order) == "confirming"
        behave("btcmix")
        assert state(client, order) == "processing"
        lab.lab("chains/btc/mine")
        assert state(client, order) == "complete"


def test_failed_payouts_stay_owed(lab: Lab, behave: Any) -> None:
    with lab.client("coinjoin") as client:
        behave("coinjoin", payout="fail")
        order = make(client, lab)
        pay(lab, order)
        behave("coinjoin")
        lab.lab("chains/btc/mine", blocks=2)
        assert state(client, order) == "processing"  # the documents have no word for it
    assert lab.hub.get(f"/lab/v1/orders/coinjoin/{order['id']}").json()["state"] == "failed"
    with lab.client("xmrto") as client:
        behave("xmrto", payout="fail")
        body = {"btc_dest_address": lab.address(), "amount": "0.01", "amount_currency": "BTC"}
        uuid = client.post("/api/v3/xmr2btc/order_create/", json=body).json()["uuid"]
        shown = client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": uuid}).json()
        lab.pay("xmr", shown["receiving_subaddress"], shown["incoming_amount_total"])
        shown = client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": uuid}).json()
        assert shown["state"] == "PAYMENT_FAILED"


def test_new_keys_work_at_once_and_blocked_ones_are_refused(lab: Lab) -> None:
    code, out, _ = run("keys", "add", "whir", "--data", lab.folder)
    assert code == 0
    made = httpx.Response(200, text=out).json()
    with lab.client("whir") as client:
        client.headers["authorization"] = f"Bearer {made['api_key']}"
        order = make(client, lab)
        assert state(client, order) == "pending"
        client.headers["authorization"] = f"Bearer {lab.keys['whir']}"
        assert client.get(f"/api/transaction/{order['id']}").status_code == 404  # another customer's
        client.headers["authorization"] = f"Bearer {made['api_key']}"
        assert run("keys", "block", "whir", made["id"], "--data", lab.folder)[0] == 0
        wait_for("the key is blocked", lambda: client.get("/api/transactions").status_code == 403)
        reply = client.get("/api/transactions")
        assert reply.json() == {"code": 403, "description": "Account blocked or API access denied."}
    code, out, _ = run("keys", "add", "bestmixer", "--data", lab.folder)
    key = httpx.Response(200, text=out).json()["api_key"]
    with lab.client("bestmixer") as client:
        assert client.post("/api/ext/fee/info", json={"api_key": key}).json()["error"] is None
        run("keys", "block", "bestmixer", key, "--data", lab.folder)
        assert client.post("/api/ext/fee/info", json={"api_key": key}).json() == {
            "error": "api_key is blocked",
            "data": [],
        }
