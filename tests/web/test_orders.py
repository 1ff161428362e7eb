"""Whole orders of the four mixers over HTTP, from creation to the last confirmation, by an ordinary client."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.web.server import BEARERS, Lab, run

HOUR = 3600
PLACES = pytest.mark.parametrize("under_hub", [False, True], ids=["own port", "hub"])
AMOUNTS = {"btc": "0.1", "bch": "0.2", "ltc": "1", "eth": "2.5"}


class Bearer:
    """One customer of one of the bearer services."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def create(self, **body: Any) -> dict[str, Any]:
        reply = self.client.post("/api/createTransaction", json=body)
        assert reply.status_code == 200, reply.text
        return dict(reply.json(parse_float=Decimal))

    def detail(self, order: dict[str, Any]) -> dict[str, Any]:
        return dict(self.client.get(f"/api/transaction/{order['id']}").json(parse_float=Decimal))

    def page(self, **query: int) -> dict[str, Any]:
        return dict(self.client.get("/api/transactions", params=query).json())


@PLACES
@pytest.mark.parametrize("slug", BEARERS)
def test_bearer_order_with_two_payouts_and_a_delay(slug: str, under_hub: bool, lab: Lab) -> None:
    percent = {"whir": Decimal("0.03")}.get(slug, Decimal("0.02"))
    first, second = lab.address(), lab.address()
    with lab.client(slug, under_hub) as client:
        me = Bearer(client)
        order = me.create(delay="2", payouts={first: "0.03", second: 0.0125}, refCode="friend")
        assert order["status"] == "pending" and order["refCode"] == "friend" and order["delay"] == "2"
        assert order["payouts"] == {first: "0", second: "0"}  # as the documents show
        assert order["fee"] == Decimal("0.0425") * percent + Decimal("0.0001")
        assert order["depositAmount"] == Decimal("0.0425") + order["fee"]

        txid = lab.pay("btc", order["depositAddress"], order["depositAmount"], blocks=0)
        seen = me.detail(order)
        assert (seen["status"], seen["depositTxid"]) == ("confirming", txid)
        assert Decimal(seen["depositAmount"]) == order["depositAmount"]  # a string now: what came
        lab.lab("chains/btc/mine")
        assert me.detail(order)["status"] == "confirming"  # the delay runs
        lab.lab("clock/advance", seconds=2 * HOUR - 60)
        assert me.detail(order)["status"] == "confirming" and "txid" not in me.detail(order)
        lab.lab("clock/advance", seconds=120)
        paying = me.detail(order)
        assert paying["status"] == "processing" and len(paying["txid"]) == 64
        lab.lab("chains/btc/mine")
        done = me.detail(order)
        assert done["status"] == "complete"
        assert done["payouts"] == {first: "0.03", second: "0.0125"}
        assert (done["txid"], done["fee"], done["refCode"]) == (paying["txid"], order["fee"], "friend")
        assert me.page(limit=1)["transactions"][0]["status"] == "complete"


def truth(lab: Lab, slug: str, order: str) -> dict[str, Any]:
    reply = lab.hub.get(f"/lab/v1/orders/{slug}/{order}")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_lab_shows_both_truths_of_an_order(lab: Lab) -> None:
    target = lab.address()
    with lab.client("btcmix") as client:
        order = Bearer(client).create(delay=0, payouts={target: "0.02"})
        txid = lab.pay("btc", order["depositAddress"], order["depositAmount"])
        paid = Bearer(client).detail(order)["txid"]
    shown = truth(lab, "btcmix", order["id"])
    (payout,) = shown["payouts"]
    assert payout["address"] == target and payout["amount"] == "0.02"
    assert shown["deposits"][0]["outpoint"].startswith(f"{txid}:")
    assert payout["outpoint"].startswith(f"{paid}:")
    beneficial = payout["beneficial"]
    assert sum(Decimal(part["amount"]) for part in beneficial) == Decimal("0.02")
    assert {part["deposit"] for part in beneficial} == {shown["deposits"][0]["outpoint"]}
    assert payout["custody"]["hops"][0]["txid"] == paid
    assert {origin["kind"] for origin in payout["custody"]["origins"]} <= {"float", "deposit"}


def test_bare_list_is_an_open_amount_in_equal_parts(lab: Lab) -> None:
    first, second = lab.address(), lab.address()
    with lab.client("whir") as client:
        me = Bearer(client)
        order = me.create(delay="0", payouts=[first, second])
        assert "depositAmount" not in order and "fee" not in order
        lab.pay("btc", order["depositAddress"], "0.5", blocks=2)
        done = me.detail(order)
    assert done["status"] == "complete"
    amounts = {Decimal(amount) for amount in done["payouts"].values()}
    (part,) = amounts
    fee = Decimal(done["fee"])
    assert 2 * part + fee == Decimal("0.5") and fee >= 2 * part * Decimal("0.03")


def test_short_deposit_waits_and_is_topped_up(lab: Lab) -> None:
    with lab.client("coinjoin") as client:
        me = Bearer(client)
        order = me.create(delay=0, payouts={lab.address(): "0.05"})
        half = order["depositAmount"] / 2
        lab.pay("btc", order["depositAddress"], half)
        assert me.detail(order)["status"] == "pending"
        lab.pay("btc", order["depositAddress"], order["depositAmount"] - half, blocks=2)
        assert me.detail(order)["status"] == "complete"


def test_unpaid_order_expires_after_72_hours(lab: Lab) -> None:
    with lab.client("btcmix") as client:
        me = Bearer(client)
        order = me.create(delay=0, payouts={lab.address(): "0.05"})
        lab.lab("clock/advance", seconds=72 * HOUR - 5)
        assert me.detail(order)["status"] == "pending"
        lab.lab("clock/advance", seconds=10)
        late = me.detail(order)
        assert late["status"] == "expired" and "depositAmount" not in late
        lab.pay("btc", order["depositAddress"], order["depositAmount"])
        assert me.detail(order)["status"] == "expired"  # recorded, not paid
    assert truth(lab, "btcmix", order["id"])["deposits"][0]["booked"] == "unowed:late"


def test_pages_are_newest_first_and_whole(lab: Lab) -> None:
    with lab.client("coinjoin") as client:
        me = Bearer(client)
        before = me.page()["totalTransactions"]
        made = [me.create(delay=0, payouts={lab.address(): "0.01"})["id"] for _ in range(7)]
        first = me.page(limit=3)
        assert [each["id"] for each in first["transactions"]] == made[:-4:-1]
        assert (first["totalTransactions"], first["limit"], first["offset"]) == (before + 7, "3", 0)
        rest = me.page(limit=4, offset=3)
        assert [each["id"] for each in rest["transactions"]] == made[3::-1]
        assert me.page()["limit"] == 30  # the default stays a number
        assert me.page(offset=10**6)["transactions"] == []
    with lab.client("btcmix") as client:
        assert Bearer(client).page(limit=2)["limit"] == 2  # document 2 echoes a number


def test_status_and_addresses_need_no_key(lab: Lab) -> None:
    mine = lab.address()
    for slug, yes, no in (("btcmix", True, False), ("coinjoin", "true", "false"), ("whir", "true", "false")):
        with lab.client(slug) as client:
            del client.headers["authorization"]
            assert client.get("/api/status").json()["status"] == "ok"
            for address, answer in ((mine, yes), ("n3PdePLBgEeTYk4nAhcbehsnjvr1i3LyYS", yes), (mine[:-1], no)):
                assert client.get(f"/api/validateAddress/{address}").json() == {"result": answer}
            main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # a main-network address is no address here
            assert client.get(f"/api/validateAddress/{main}").json() == {"result": no}
            assert client.get("/api/transactions").status_code == 401


class Codes:
    """One customer of the code mixer."""

    def __init__(self, client: httpx.Client, key: str) -> None:
        self.client, self.key = client, key

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        reply = self.client.post(f"/api/ext/{path}", json={"api_key": self.key, **body})
        assert reply.status_code == 200
        answer = reply.json(parse_float=Decimal)
        assert answer["error"] is None, answer
        return dict(answer["data"])

    def info(self, order: dict[str, Any]) -> dict[str, Any]:
        return self.ask("order/info", order_id=order["order_id"])

    def states(self, order: dict[str, Any]) -> tuple[str, list[str]]:
        shown = self.info(order)
        return shown["status"], [output["status"] for output in shown["output"]]


@PLACES
@pytest.mark.parametrize("coin", AMOUNTS)
def test_code_order_in_percent(coin: str, under_hub: bool, lab: Lab) -> None:
    first, second, amount = lab.address(coin), lab.address(coin), Decimal(AMOUNTS[coin])
    with lab.client("bestmixer", under_hub) as client:
        me = Codes(client, lab.keys["bestmixer"])
        outputs = [
            {"address": first, "percent": 33.3, "delay": 0},
            {"address": second, "percent": "66.7", "delay": 45},
        ]
        order = me.ask("order/create", bm_code="", coin=coin, fee=4.0001, output=outputs)
        assert order["min_amount"] < amount < order["max_amount"] and len(order["bm_code"]) == 10
        assert me.states(order) == ("Awaiting", ["Pending", "Pending"])
        lab.pay(coin, order["input_address"], amount, blocks=0)
        assert me.states(order) == ("Confirming", ["Pending", "Pending"])
        lab.lab(f"chains/{coin}/mine")
        assert me.states(order) == ("Processing", ["Sent", "Pending"])
        assert [output["delay_countdown"] for output in me.info(order)["output"]] == [0, 45]
        lab.lab(f"chains/{coin}/mine")
        lab.lab("clock/advance", seconds=45 * 60)
        assert me.states(order) == ("Processing", ["Confirmed", "Sent"])
        lab.lab(f"chains/{coin}/mine")
        assert me.states(order) == ("Completed", ["Confirmed", "Confirmed"])
        done = me.info(order)
    assert (done["received"], done["service_fee"]) == (amount, "4.0001")
    pool, most = amount * (1 - Decimal("0.040001")), Decimal(done["fee_per_address"])
    for output, share in zip(done["output"], (Decimal("0.333"), Decimal("0.667")), strict=True):
        assert 0 < pool * share - output["amount"] <= most  # the network part floats below its maximum


@pytest.mark.parametrize("coin", AMOUNTS)
def test_code_order_of_exact_amounts_under_the_same_code(coin: str, lab: Lab) -> None:
    amount = Decimal(AMOUNTS[coin])
    with lab.client("bestmixer") as client:
        me = Codes(client, lab.keys["bestmixer"])
        fees = me.ask("fee/info")["fee_per_address"]
        wanted = [{"address": lab.address(coin), "amount": str(amount), "delay": 0} for _ in range(3)]
        order = me.ask("order/create_fixed", coin=coin, fee="5", output=wanted)
        exact = (3 * (amount + Decimal(fees[coin]))) / Decimal("0.95")
        assert 0 <= order["exactly_amount"] - exact < Decimal("0.00000001")
        assert me.ask("code/info", bm_code=order["bm_code"])["min_service_fee"]["btc"] == 1
        lab.pay(coin, order["input_address"], order["exactly_amount"], blocks=2)
        assert me.states(order) == ("Completed", ["Confirmed"] * 3)
        done = me.info(order)
        assert [output["amount"] for output in done["output"]] == [amount] * 3 and done["fixed"] == 1
        again = me.ask("order/create", bm_code=order["bm_code"], coin=coin, fee=5, output=[hundred(lab, coin)])
        assert again["bm_code"] == order["bm_code"]


def hundred(lab: Lab, coin: str) -> dict[str, object]:
    return {"address": lab.address(coin), "percent": 100, "delay": 0}


def test_letter_of_guarantee_holds(lab: Lab) -> None:
    with lab.client("bestmixer") as client:
        me = Codes(client, lab.keys["bestmixer"])
        output = hundred(lab, "btc")
        order = me.ask("order/create", coin="btc", fee=1, output=[output])
    letter = base64.b64decode(order["letter_of_guarantee"], validate=True)
    for said in (order["order_id"], order["input_address"], str(output["address"]), "TEST NETWORK"):
        assert said.encode() in letter
    code, out, _ = run("verify-letter", "-", "--data", lab.folder, stdin=letter)
    assert code == 0 and order["order_id"] in out and "the signature holds" in out
    code, _, err = run("verify-letter", "-", stdin=letter.replace(b"100", b"1.0", 1))
    assert code == 1 and err.startswith("glasstumbler: ") and err.count("\n") == 1
