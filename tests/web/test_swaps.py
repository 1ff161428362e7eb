"""Whole swaps over HTTP: both versions of the API, on chain and by Lightning, partial payments, prices, expiry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.web.server import Lab

VERSIONS = pytest.mark.parametrize("version", ["v2", "v3"])
PLACES = pytest.mark.parametrize("under_hub", [False, True], ids=["own port", "hub"])
NAMES = {
    "total": {"v2": "xmr_amount_total", "v3": "incoming_amount_total"},
    "remaining": {"v2": "xmr_amount_remaining", "v3": "remaining_amount_incoming"},
    "missing": {"v2": "xmr_num_confirmations_remaining", "v3": "incoming_num_confirmations_remaining"},
    "address": {"v2": "xmr_receiving_subaddress", "v3": "receiving_subaddress"},
    "price": {"v2": "xmr_price_btc", "v3": "incoming_price_btc"},
}


class Swaps:
    """A client of one version."""

    def __init__(self, client: httpx.Client, version: str) -> None:
        self.client, self.version = client, version

    def post(self, name: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/api/{self.version}/xmr2btc/{name}/", json=body)

    def create(self, address: str, amount: object, currency: str = "BTC") -> str:
        if self.version == "v2":
            reply = self.post("order_create", btc_dest_address=address, **{f"{currency.lower()}_amount": amount})
        else:
            reply = self.post("order_create", btc_dest_address=address, amount=amount, amount_currency=currency)
        assert reply.status_code == 201, reply.text
        made = reply.json()
        assert made["state"] == "TO_BE_CREATED" and made["btc_dest_address"] == address
        return str(made["uuid"])

    def status(self, uuid: str) -> dict[str, Any]:
        reply = self.post("order_status_query", uuid=uuid)
        assert reply.status_code == 200, reply.text
        shown = reply.json(parse_float=Decimal)
        assert shown["uuid"] == uuid
        return dict(shown) | {short: shown[names[self.version]] for short, names in NAMES.items()}

    def sent(self, uuid: str) -> tuple[str, int]:
        """Transaction and confirmations of the payout."""
        shown = self.status(uuid)
        if self.version == "v2":
            return shown["btc_transaction_id"], shown["btc_num_confirmations"]
        (payment,) = shown["payments"]
        return payment["tx_id"], payment["num_confirmations"]


@contextmanager
def swaps(lab: Lab, version: str, under_hub: bool = False) -> Iterator[Swaps]:
    with lab.client("xmrto", under_hub) as client:
        yield Swaps(client, version)


@VERSIONS
@PLACES
def test_swap_on_chain_without_confirmations(version: str, under_hub: bool, lab: Lab) -> None:
    with swaps(lab, version, under_hub) as me:
        uuid = me.create(lab.address(), "0.1")
        order = me.status(uuid)
        assert order["state"] == "UNPAID" and order["missing"] == -1
        assert (order["created_at"][-1], order["expires_at"][-1]) == ("Z", "Z")
        assert 890 <= order["seconds_till_timeout"] <= 900
        total = Decimal(order["total"])
        assert 0 <= total - Decimal("0.1") / Decimal(order["price"]) < Decimal("0.0000002")
        lab.pay("xmr", order["address"], total, blocks=0)
        paid = me.status(uuid)  # up to 0.1 BTC none is awaited: paid at once
        assert (paid["state"], paid["missing"]) == ("BTC_SENT", 0) and Decimal(paid["remaining"]) == 0
        txid, depth = me.sent(uuid)
        assert len(txid) == 64 and depth == 0
        lab.lab("chains/btc/mine", blocks=3)
        assert me.sent(uuid) == (txid, 3)


@VERSIONS
def test_large_swap_waits_for_a_confirmation(version: str, lab: Lab) -> None:
    with swaps(lab, version) as me:
        uuid = me.create(lab.address(), "0.15")
        order = me.status(uuid)
        lab.pay("xmr", order["address"], order["total"], blocks=0)
        seen = me.status(uuid)
        assert (seen["state"], seen["missing"]) == ("PAID_UNCONFIRMED", 1)
        lab.lab("chains/xmr/mine")
        assert me.status(uuid)["state"] == "BTC_SENT"


@VERSIONS
def test_partial_payment_is_taken(version: str, lab: Lab) -> None:
    with swaps(lab, version) as me:
        uuid = me.create(lab.address(), "0.02")
        order = me.status(uuid)
        refused = me.post("order_partial_payment", uuid=uuid)  # nothing is paid yet
        assert (refused.status_code, refused.json()["error"]) == (400, "XMRTO-ERROR-009")
        half = Decimal(order["total"]) / 2
        lab.pay("xmr", order["address"], half, blocks=0)
        short = me.status(uuid)
        assert short["state"] == "UNDERPAID" and Decimal(short["remaining"]) == Decimal(order["total"]) - half
        part = Decimal(short["btc_amount_partial"])
        assert part == (half * Decimal(order["price"])).quantize(Decimal("1e-8"), "ROUND_DOWN")
        assert me.post("order_partial_payment", uuid=uuid).status_code == 200
        lab.lab("chains/xmr/mine")
        done = me.status(uuid)
        assert done["state"] == "BTC_SENT" and Decimal(done["btc_amount"]) == part
        assert me.post("order_partial_payment", uuid=uuid).status_code == 400


def test_swap_by_lightning(lab: Lab) -> None:
    invoice = str(lab.lab("lightning/invoice", amount="0.0012")["ln_invoice"])
    with swaps(lab, "v3") as me:
        route = me.client.get("/api/v3/xmr2btc/order_ln_check_route/", params={"ln_invoice": invoice}).json()
        assert route["num_routes"] > 0 and 0 < route["success_probability"] <= 1
        made = me.post("order_create_ln", ln_invoice=invoice)
        assert made.status_code == 201 and made.json()["uses_lightning"] is True
        uuid = made.json()["uuid"]
        again = me.post("order_create_ln", ln_invoice=invoice)
        assert (again.status_code, again.json()["error"]) == (400, "XMRTO-ERROR-019")
        order = me.status(uuid)
        assert order["btc_amount"] == "0.0012" and order["btc_dest_address"] == invoice
        lab.pay("xmr", order["address"], order["total"], blocks=0)
        (payment,) = me.status(uuid)["payments"]
        assert payment["method"] == "Lightning Network" and len(payment["preimage"]) == 64
        used = me.client.get("/api/v3/xmr2btc/order_ln_check_route/", params={"ln_invoice": invoice})
        assert used.json()["error"] == "XMRTO-ERROR-019"
    shown = lab.hub.get(f"/lab/v1/orders/xmrto/{uuid}").json()
    assert shown["state"] == "completed" and shown["payouts"][0]["outpoint"].startswith("lightning:")


def test_payment_protocol_url_of_the_laboratory(lab: Lab) -> None:
    address = lab.address()
    url = f"{lab.urls['hub']}/lab/v1/bip70?address={address}&amount=0.03"
    assert lab.hub.get(url).headers["content-type"] == "application/bitcoin-paymentrequest"
    with swaps(lab, "v2") as me:
        made = me.post("order_create_pp", pp_url=url)
        assert made.status_code == 201, made.text
        assert (made.json()["btc_dest_address"], made.json()["btc_amount"]) == (address, 0.03)
        elsewhere = me.post("order_create_pp", pp_url="https://bitpay.com/invoice?id=1")
        assert (elsewhere.status_code, elsewhere.json()["error"]) == (400, "XMRTO-ERROR-011")


@VERSIONS
def test_price_and_parameters(version: str, lab: Lab) -> None:
    lab.lab("price", xmr_btc="0.008")
    try:
        with swaps(lab, version) as me:
            given = me.client.get(f"/api/{version}/xmr2btc/order_parameter_query/").json()
            assert Decimal(str(given["price"])) == Decimal("0.008")
            assert isinstance(given["upper_limit"], str) == (version == "v3")
            btc: dict[str, Any] = {"amount": "0.15", "amount_currency": "BTC"}
            xmr: dict[str, Any] = {"amount": 10, "amount_currency": "xmr"}
            if version == "v2":
                btc, xmr = {"btc_amount": "0.15"}, {"xmr_amount": 10}
            price = me.post("order_check_price", **btc).json()
            assert Decimal(str(price[NAMES["total"][version]])) == Decimal("18.75")
            assert price[NAMES["missing"][version]] == 1
            price = me.post("order_check_price", **xmr).json()
            assert Decimal(str(price["btc_amount"])) == Decimal("0.08") and price[NAMES["missing"][version]] == 0
            uuid = me.create(lab.address(), "10", "XMR")
            assert Decimal(me.status(uuid)["btc_amount"]) == Decimal("0.08")
    finally:
        lab.lab("price", xmr_btc=None)


def test_unpaid_swap_times_out_and_late_money_is_not_paid_on(lab: Lab) -> None:
    with swaps(lab, "v3") as me:
        uuid = me.create(lab.address(), "0.01")
        order = me.status(uuid)
        lab.lab("clock/advance", seconds=901)
        over = me.status(uuid)
        assert (over["state"], over["seconds_till_timeout"]) == ("TIMED_OUT", 0)
        lab.pay("xmr", order["address"], order["total"])
        assert me.status(uuid)["state"] == "TIMED_OUT"


def test_integrated_address_of_v2_reaches_the_same_order(lab: Lab) -> None:
    with swaps(lab, "v2") as me:
        uuid = me.create(lab.address(), "0.01")
        order = me.status(uuid)
        lab.pay("xmr", order["xmr_receiving_integrated_address"], order["total"], blocks=0)
        assert me.status(uuid)["state"] == "BTC_SENT"


def test_paths_without_the_slash_redirect(lab: Lab) -> None:
    for under_hub in (False, True):
        with lab.client("xmrto", under_hub) as client:
            reply = client.get("/api/v3/xmr2btc/order_parameter_query", follow_redirects=True)
            assert reply.status_code == 200 and len(reply.history) == 1
            body = {"uuid": "xmrto-AAAAAA"}
            reply = client.post("/api/v3/xmr2btc/order_status_query", json=body, follow_redirects=True)
            assert reply.json()["error"] == "XMRTO-ERROR-006"  # the body went along


def test_pages_for_people(lab: Lab) -> None:
    with lab.client("xmrto") as client:
        me = Swaps(client, "v3")
        uuid = me.create(lab.address(), "0.01")
        page = client.get(f"/nojs/status/{uuid}")
        assert (
            page.headers["content-type"].startswith("text/html")
            and me.status(uuid)["receiving_subaddress"] in page.text
        )
        picture = client.get("/api/v3/xmr2btc/gen_qrcode/", params={"data": f"monero:{me.status(uuid)['address']}"})
        assert picture.content.startswith(b"\x89PNG")
