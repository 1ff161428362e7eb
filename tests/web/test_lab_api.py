"""The laboratory's own API: every call, who may call, and what is said to those who call it wrongly."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.web.server import Lab, laboratory

COINS = ("btc", "bch", "ltc", "eth", "xmr")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """With the documented rate limits, as a new folder comes."""
    with laboratory(tmp_path_factory.mktemp("strict") / "data") as running:
        yield running


def chain(lab: Lab, coin: str) -> dict[str, Any]:
    return next(dict(each) for each in lab.hub.get("/lab/v1/chains").json() if each["coin"] == coin)


# -- the calls --------------------------------------------------------------------------------------------------------


def test_chains(lab: Lab) -> None:
    shown = lab.hub.get("/lab/v1/chains").json()
    assert [each["coin"] for each in shown] == [*COINS, "lightning"]
    assert {each["coin"] for each in shown if each["model"]} == {"xmr", "lightning"}  # said openly
    for each in shown:
        assert set(each) == {"coin", "network", "height", "node", "model"}
        assert each["network"] in ("regtest", "private")


@pytest.mark.parametrize("coin", COINS)
def test_pay_mine_and_reorg(coin: str, lab: Lab) -> None:
    before = chain(lab, coin)["height"]
    address = lab.lab(f"chains/{coin}/address")["address"]
    assert address != lab.lab(f"chains/{coin}/address")["address"]
    txid = lab.lab(f"chains/{coin}/pay", address=address, amount="0.25")["txid"]
    assert re.fullmatch("(0x)?[0-9a-f]{64}", txid)
    assert lab.lab(f"chains/{coin}/mine", blocks=3) == {"height": before + 3}
    assert lab.lab(f"chains/{coin}/mine") == {"height": before + 4}  # one, if nothing is said
    assert lab.lab(f"chains/{coin}/reorg", depth=2)["height"] == before + 5  # the longer branch wins
    assert chain(lab, coin)["height"] == before + 5


@pytest.mark.parametrize("kind", ["p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh"])
def test_addresses_of_each_kind_can_be_paid_to(kind: str, lab: Lab) -> None:
    address = lab.lab("chains/btc/address", kind=kind)["address"]
    assert address.startswith({"p2wpkh": "bcrt1q", "p2tr": "bcrt1p", "p2pkh": ("m", "n"), "p2sh-p2wpkh": "2"}[kind])
    with lab.client("btcmix") as client:
        assert client.get(f"/api/validateAddress/{address}").json() == {"result": True}


def test_reorganisation_deeper_than_the_record(strict: Lab) -> None:
    """The record begins with the services; the chain is older. The laboratory follows all the same."""
    height = chain(strict, "btc")["height"]
    assert strict.lab("chains/btc/reorg", depth=100) == {"height": height + 1}
    with strict.client("btcmix") as client:
        body = {"delay": 0, "payouts": {strict.address(): "0.01"}}
        order = client.post("/api/createTransaction", json=body).json()
        strict.pay("btc", order["depositAddress"], order["depositAmount"], blocks=2)
        assert client.get(f"/api/transaction/{order['id']}").json()["status"] == "complete"


def test_invoice(lab: Lab) -> None:
    invoice = lab.lab("lightning/invoice", amount="0.0005")["ln_invoice"]
    assert invoice.startswith("lnbcrt500u1")
    assert lab.lab("lightning/invoice", amount="0.0005", expiry=60)["ln_invoice"] != invoice


def test_price(lab: Lab) -> None:
    walk = "/xmrto/api/v3/xmr2btc/order_parameter_query/"
    assert lab.lab("price", xmr_btc="0.0123") == {"xmr_btc": "0.0123"}
    assert lab.hub.get(walk).json()["price"] == "0.0123"
    assert lab.lab("price", xmr_btc=None) == {"xmr_btc": None}
    assert lab.hub.get(walk).json()["price"] != "0.0123"


def test_clock(lab: Lab) -> None:
    def now() -> int:
        return int(lab.hub.get("/btcmix/api/status").json()["timestamp"])

    before = now()
    then = lab.lab("clock/advance", seconds=86400)["now"]
    assert 0 <= then - before - 86400 <= 2 and 0 <= now() - then <= 2
    assert 0 <= lab.lab("clock/advance", seconds=0)["now"] - then <= 2


# -- who may call -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["lab.example", "lab.example:8700", "127.0.0.1.example", "[::2]:8700", "10.0.0.1", ""])
def test_other_host_names_want_the_token(host: str, lab: Lab) -> None:
    for method, path in (("GET", "/lab/v1/chains"), ("POST", "/lab/v1/chains/btc/mine")):
        reply = lab.hub.request(method, path, headers={"host": host})
        if host:
            assert reply.status_code == 401 and reply.json()["error"] == "KeyMissing"
        good = {"host": host, "authorization": f"Bearer {lab.token}"}
        assert lab.hub.request(method, path, headers=good).status_code == 200
        for wrong in ("x", lab.token[:-1], "\u00e9"):
            bad = {"host": host or "lab.example", "authorization": f"Bearer {wrong}".encode()}
            assert lab.hub.request(method, path, headers=bad).status_code == 401  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["localhost", "localhost:8700", "127.0.0.1:1", "[::1]:8700", "LOCALHOST"])
def test_loopback_by_its_own_name_needs_none(host: str, lab: Lab) -> None:
    assert lab.hub.get("/lab/v1/chains", headers={"host": host}).status_code == 200


def test_page_of_another_origin_cannot_reach_in(lab: Lab) -> None:
    """A browser on this machine would post text for any page that asks it to; it says for which."""
    before = chain(lab, "btc")["height"]
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        plain = {"origin": origin, "content-type": "text/plain"}
        assert lab.hub.post("/lab/v1/chains/btc/mine", headers=plain).status_code == 401
    assert chain(lab, "btc")["height"] == before
    own = {"origin": lab.urls["hub"]}
    assert lab.hub.get("/lab/v1/chains", headers=own).status_code == 200


def test_headers_do_not_make_a_stranger_local(lab: Lab) -> None:
    for name in ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded"):
        reply = lab.hub.get("/lab/v1/chains", headers={"host": "lab.example", name: "127.0.0.1"})
        assert reply.status_code == 401


# -- errors -----------------------------------------------------------------------------------------------------------

BAD_AMOUNTS: list[Any] = ["-1", "0", 0, "x", "", None, [], True, "NaN", "1e400", "0.000000001"]
WRONG: list[tuple[str, Any, int, str | None]] = [
    ("chains/btc/pay", {}, 400, "address"),
    ("chains/btc/pay", {"address": "GOOD"}, 400, "amount"),
    ("chains/btc/pay", {"address": "GOOD", "amount": "1", "x": 1}, 400, "x"),
    ("chains/btc/pay", {"address": 7, "amount": "1"}, 400, "address"),
    ("chains/btc/pay", {"address": "x", "amount": "1"}, 400, "address"),
    ("chains/btc/pay", {"address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "amount": "1"}, 400, "address"),
    *(("chains/btc/pay", {"address": "GOOD", "amount": amount}, 400, "amount")
      for amount in BAD_AMOUNTS),
    ("chains/btc/pay", {"address": "GOOD", "amount": "0.00000001"}, 409, None),  # dust
    ("chains/btc/pay", {"address": "GOOD", "amount": "999999999"}, 409, None),  # more than the faucet has
    ("chains/btc/mine", {"blocks": 0}, 400, "blocks"),
    ("chains/btc/mine", {"blocks": 1001}, 400, "blocks"),
    ("chains/btc/mine", {"blocks": "3"}, 400, "blocks"),
    ("chains/btc/mine", {"blocks": 1.5}, 400, "blocks"),
    ("chains/btc/mine", [], 400, None),
    ("chains/btc/reorg", {"depth": 0}, 400, "depth"),
    ("chains/btc/reorg", {"depth": 101}, 400, "depth"),
    ("chains/btc/address", {"kind": "p2pk"}, 400, "kind"),
    ("chains/eth/address", {"kind": "p2wpkh"}, 400, "kind"),
    ("chains/doge/mine", {}, 404, None),
    ("chains/lightning/mine", {}, 404, None),
    ("lightning/invoice", {}, 400, "amount"),
    ("lightning/invoice", {"amount": "0"}, 400, "amount"),
    ("lightning/invoice", {"amount": "0.001", "expiry": 0}, 400, "expiry"),
    ("price", {}, 400, "xmr_btc"),
    ("price", {"xmr_btc": "0"}, 400, "xmr_btc"),
    ("price", {"xmr_btc": "-1"}, 400, "xmr_btc"),
    ("services/nobody/behave", {}, 404, None),
    ("clock/advance", {}, 400, "seconds"),
    ("clock/advance", {"seconds": -1}, 400, "seconds"),
    ("clock/advance", {"seconds": 10**12}, 400, "seconds"),
    ("clock/advance", {"seconds": "5"}, 400, "seconds"),
    ("nothing", {}, 404, None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "field"), WRONG, ids=lambda value: str(value)[:40])
def test_errors_are_json_and_name_the_field(path: str, body: Any, status: int, field: str | None, lab: Lab) -> None:
    if isinstance(body, dict) and body.get("address") == "GOOD":
        body = body | {"address": lab.address()}
    said = lab_error(lab.hub.post(f"/lab/v1/{path}", json=body), status)
    assert said["field"] == field, said


def lab_error(reply: httpx.Response, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    said = reply.json()
    assert set(said) == {"error", "message", "field"} and said["message"]
    return dict(said)


@pytest.mark.parametrize("raw", [b"{", b"nonsense", b"\xff\xfe", b"[" * 60_000, b'{"blocks": NaN}', b"x" * 100_000])
def test_bodies_that_are_not_json(raw: bytes, lab: Lab) -> None:
    lab_error(lab.hub.post("/lab/v1/chains/btc/mine", content=raw), 413 if len(raw) > 65536 else 400)


def test_wrong_methods_and_unknown_orders(lab: Lab) -> None:
    reply = lab.hub.get("/lab/v1/chains/btc/mine")
    assert lab_error(reply, 405)["error"] == "WrongMethod" and reply.headers["allow"] == "POST"
    for path in ("btcmix/AAAAAAAAAAAAAAAA", "nobody/AAAAAAAAAAAAAAAA", "btcmix/%00"):
        assert lab_error(lab.hub.get(f"/lab/v1/orders/{path}"), 404)["error"] == "UnknownOrder"


def test_main_network_addresses_name_both_sides(lab: Lab) -> None:
    body = {"address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "amount": "1"}
    said = lab_error(lab.hub.post("/lab/v1/chains/btc/pay", json=body), 400)["message"]
    assert "'bc'" in said and all(form.removeprefix("bech32 prefix ") in said for form in ("'bcrt'", "0x6f", "0xc4"))


# -- rate limits ------------------------------------------------------------------------------------------------------


def swap(lab: Lab, **headers: str) -> httpx.Response:
    order = {"btc_dest_address": lab.address(), "amount": "0.01", "amount_currency": "BTC"}
    return lab.hub.post("/xmrto/api/v3/xmr2btc/order_create/", json=order, headers=headers)


def test_four_swaps_a_minute(strict: Lab) -> None:
    strict.lab("clock/advance", seconds=60)
    assert [swap(strict).status_code for _ in range(4)] == [201] * 4
    fifth = swap(strict)
    assert fifth.json() == {"error": "XMRTO-ERROR-012", "error_msg": "too many requests"}
    assert fifth.status_code == 403 and 0 < int(fifth.headers["retry-after"]) <= 60
    for forged in ("1.2.3.4", "127.0.0.2", "::1"):  # as a client of the original does, eleven times
        assert swap(strict, **{"x-forwarded-for": forged, "x-real-ip": forged}).status_code == 403
    with strict.client("xmrto") as own:  # the same peer on the service's own port
        order = {"btc_dest_address": strict.address(), "btc_amount": 0.01}
        assert own.post("/api/v2/xmr2btc/order_create/", json=order).status_code == 403
    strict.lab("clock/advance", seconds=60)
    assert swap(strict).status_code == 201


def test_other_limits(strict: Lab) -> None:
    price = {"amount": "0.01", "amount_currency": "BTC"}
    with strict.client("xmrto") as client:
        strict.lab("clock/advance", seconds=10)
        codes = [client.post("/api/v3/xmr2btc/order_check_price/", json=price).status_code for _ in range(2)]
        assert codes == [200, 403]
        end = time.monotonic() + 10
        while client.post("/api/v3/xmr2btc/order_check_price/", json=price).status_code == 403:
            assert time.monotonic() < end
            time.sleep(0.2)
        strict.lab("clock/advance", seconds=10)
        codes = [client.get("/api/v2/xmr2btc/order_parameter_query/").status_code for _ in range(12)]
        assert codes[:3] == [200] * 3 and 403 in codes
    with strict.client("btcmix") as client:  # documents 1 to 4 know no limits
        assert {client.get("/api/status").status_code for _ in range(50)} == {200}
