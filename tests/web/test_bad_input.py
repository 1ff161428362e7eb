"""Requests at fault, over HTTP: each is refused in its service's own shape, names the field, and leaves no trace."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.web.server import BEARERS, Lab

MAIN = {
    "btc": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bch": "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
    "ltc": "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",
}
"""Well-formed main-network addresses, from the address formats' own documents: refused, naming what is allowed."""
BASE58_MAIN = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"
TESTNET = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
LONG = "b" * 5000
DEEP = b"[" * 30_000 + b"]" * 30_000
HUGE = b'{"delay": "' + b"1" * 2_000_000 + b'"}'
NOT_JSON = [
    pytest.param(raw, id=name)
    for name, raw in {
        "empty": b"",
        "text": b"hello",
        "cut short": b'{"delay": 1, "payouts": {',
        "a list": b"[]",
        "a number": b"7",
        "null": b"null",
        "not UTF-8": b'{"delay": "\xff\xfe"}',
        "a key twice": b'{"delay": 1, "delay": 2, "payouts": {}}',
        "NaN": b'{"delay": NaN}',
        "Infinity": b'{"delay": -Infinity}',
        "trailing comma": b'{"delay": 1,}',
        "curly quotes": "{\u201cdelay\u201d: 1}".encode(),
        "lone surrogate": b'{"delay": "\\ud800", "payouts": {}}',
        "deep": DEEP,
        "100,000 brackets": b"[" * 100_000,
        "2 MB": HUGE,
    }.items()
]
BAD_AMOUNTS: list[Any] = [
    *("-0.01", "0", "", "abc", "NaN", "Infinity", "1e400", "0x10", "1_000", "0.123456789", "1" * 60, "99999999"),
    *(-1, 0, True, None, [], {}, 0.000000001, "0.00000001"),
]
BAD_DELAYS: list[Any] = [-1, "x", 1.5, None, True, "1e3", [], "\uff19", 10**30, ""]
BAD_FEES: list[Any] = [0.9999, 5.0001, -1, "x", "", None, [], "1.00001", 1.00001, "1e0", True, "9" * 40]
BAD_OUTPUTS: list[Any] = [[], {}, None, "x", [7], [None], [[]]]
NO_TEXT: list[Any] = [7, None, [], {}]


def body(raw: object) -> bytes:
    return raw if isinstance(raw, bytes) else json.dumps(raw).encode()


@pytest.fixture(autouse=True)
def no_trace(lab: Lab) -> Iterator[None]:
    """Nothing that a refused request asked for is in the record."""
    before = stored(lab)
    yield
    assert stored(lab) == before


def stored(lab: Lab) -> list[int]:
    with sqlite3.connect(f"file:{lab.folder / 'record.db'}?mode=ro", uri=True) as connection:
        return [
            connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("entry", "orders", "watch", "code", "deposit", "payment", "coin")
        ]


Send = Callable[..., httpx.Response]


def sender(lab: Lab, slug: str, path: str) -> Send:
    def send(raw: object, **headers: str) -> httpx.Response:
        with lab.client(slug) as client:
            given = {"content-type": "application/json"} | {
                name.replace("_", "-"): text for name, text in headers.items()
            }
            return client.post(path, content=body(raw), headers=given)

    return send


# -- the bearer services ----------------------------------------------------------------------------------------------


def bearer_error(reply: httpx.Response, status: int = 400) -> str:
    said = reply.json()
    assert (reply.status_code, list(said), said["code"]) == (status, ["code", "description"], status), reply.text
    return str(said["description"])


@pytest.mark.parametrize("slug", BEARERS)
@pytest.mark.parametrize("raw", NOT_JSON)
def test_bearer_not_json(slug: str, raw: bytes, lab: Lab) -> None:
    bearer_error(sender(lab, slug, "/api/createTransaction")(raw))


BEARER_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("no delay", {"payouts": {"A": "0.01"}}, "delay"),
    ("no payouts", {"delay": 1}, "payouts"),
    ("unknown", {"delay": 1, "payouts": {"A": "0.01"}, "nonsense": 1}, "nonsense"),
    ("payouts empty", {"delay": 1, "payouts": {}}, "payouts"),
    ("payouts text", {"delay": 1, "payouts": "A"}, "payouts"),
    ("payouts null", {"delay": 1, "payouts": None}, "payouts"),
    ("too many payouts", {"delay": 1, "payouts": "ELEVEN"}, "payouts"),
    *((f"delay {delay!r}", {"delay": delay, "payouts": {"A": "0.01"}}, "delay")
      for delay in (73, *BAD_DELAYS)),
    *((f"refCode {type(ref).__name__}", {"delay": 1, "payouts": {"A": "0.01"}, "refCode": ref}, "refCode")
      for ref in (7, "r" * 65, ["x"], "a\x00b")),
    *((f"amount {amount!r}"[:40], {"delay": 1, "payouts": {"A": amount}}, "payouts.") for amount in BAD_AMOUNTS),
    *((f"address {address[:12]!r}", {"delay": 1, "payouts": {address: "0.01"}}, "payouts.")
      for address in ("", " ", "nonsense", "bcrt1q", LONG, TESTNET, BASE58_MAIN, *MAIN.values(),
                      "0xb5B533e01696A22Dd4C9Fd8538502c4B945bE037", "bcrt1\u00e9")),
]  # fmt: skip


@pytest.mark.parametrize("slug", BEARERS)
@pytest.mark.parametrize(("raw", "field"), [pytest.param(r, f, id=n) for n, r, f in BEARER_FIELDS])
def test_bearer_field(slug: str, raw: dict[str, Any], field: str, lab: Lab) -> None:
    payouts = raw.get("payouts")
    if payouts == "ELEVEN":
        raw = raw | {"payouts": {lab.address(): "0.01" for _ in range(11)}}
    elif isinstance(payouts, dict) and "A" in payouts:
        raw = raw | {"payouts": {lab.address(): payouts["A"]}}
    assert bearer_error(sender(lab, slug, "/api/createTransaction")(raw)).startswith(field)


def test_bearer_addresses_of_a_bare_list(lab: Lab) -> None:
    mine = lab.address()
    for payouts in ([mine, mine], [mine, ""], [mine, 7], [mine, {"x": 1}], [None], [MAIN["btc"]], [LONG]):
        said = bearer_error(sender(lab, "whir", "/api/createTransaction")({"delay": 0, "payouts": payouts}))
        assert said.startswith("payouts["), said
    bearer_error(sender(lab, "btcmix", "/api/createTransaction")({"delay": 0, "payouts": [mine]}))  # document 2: maps


def test_main_network_addresses_are_refused_naming_both_sides(lab: Lab) -> None:
    for address, seen in ((MAIN["btc"], "'bc'"), (BASE58_MAIN, "0x00"), (TESTNET, "'tb'")):
        raw = {"delay": 0, "payouts": {address: "0.01"}}
        said = bearer_error(sender(lab, "btcmix", "/api/createTransaction")(raw))
        assert seen in said and "allowed here: bech32 prefix 'bcrt'" in said, said
        swap = {"btc_dest_address": address, "amount": "0.01", "amount_currency": "BTC"}
        reply = sender(lab, "xmrto", "/api/v3/xmr2btc/order_create/")(swap)
        assert reply.json() == {"error": "XMRTO-ERROR-002", "error_msg": "malformed bitcoin address"}
        assert seen in reply.headers["x-glasstumbler-reason"] and "bcrt" in reply.headers["x-glasstumbler-reason"]
    for coin, address in MAIN.items():
        said = codes_error(sender(lab, "bestmixer", "/api/ext/order/create")(code_order(lab, coin, address=address)))
        assert said.startswith("output[0]") and "saw" in said and "allowed" in said, said


def test_bearer_ways_in(lab: Lab) -> None:
    with lab.client("btcmix") as client:
        good = {"delay": 0, "payouts": {lab.address(): "0.01"}}
        for given in ("", "Bearer", "Basic eDp5", "Bearer nobody", f"Bearer {'k' * 500}", "Bearer \u00e9"):
            reply = client.post("/api/createTransaction", json=good, headers=[(b"authorization", given.encode())])
            assert bearer_error(reply, 401) == "Missing or invalid API key."
            assert reply.headers["www-authenticate"] == "Bearer"
        other = {"authorization": f"Bearer {lab.keys['whir']}"}  # a key of another service is no key here
        assert client.get("/api/transactions", headers=other).status_code == 401
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
            reply = client.post("/api/createTransaction", json=good, headers={"content-type": kind})
            assert "content type" in bearer_error(reply)
        assert bearer_error(client.get("/api/nothing"), 404) == "Endpoint not found."
        for method, path in (
            ("GET", "/api/createTransaction"),
            ("POST", "/api/status"),
            ("DELETE", "/api/transactions"),
        ):
            reply = client.request(method, path)
            bearer_error(reply, 405)
            assert reply.headers["allow"] in ("GET", "POST")
        for name in ("AAAAAAAAAAAAAAAA", "x", "%00", "..%2f", "A" * 3000):
            assert bearer_error(client.get(f"/api/transaction/{name}"), 404)
        for query in (
            "limit=0",
            "limit=-1",
            "limit=1001",
            "limit=x",
            "limit=",
            "offset=-1",
            "offset=1e3",
            "offset=%20",
        ):
            assert bearer_error(client.get(f"/api/transactions?{query}")).startswith(query.partition("=")[0])


def test_bearer_content_type_with_blanks_is_taken(lab: Lab) -> None:
    """Document 4 writes it so; the body is at fault here, not its type."""
    kind = "application/json; charset = utf-8"
    said = bearer_error(sender(lab, "whir", "/api/createTransaction")({"delay": 0}, content_type=kind))
    assert said.startswith("payouts")


# -- the code mixer ---------------------------------------------------------------------------------------------------


def codes_error(reply: httpx.Response, status: int = 200) -> str:
    """A failure under HTTP status 200, as its clients expect."""
    said = reply.json()
    assert (reply.status_code, list(said), said["data"]) == (status, ["error", "data"], []), reply.text
    assert isinstance(said["error"], str) and said["error"]
    return str(said["error"])


def code_order(lab: Lab, coin: str = "btc", **output: Any) -> dict[str, Any]:
    whole = {"address": lab.address(coin), "percent": 100, "delay": 0} | output
    return {"api_key": lab.keys["bestmixer"], "coin": coin, "fee": 4, "output": [whole]}


@pytest.mark.parametrize("path", ["order/create", "order/create_fixed", "order/info", "code/info", "fee/info"])
@pytest.mark.parametrize("raw", NOT_JSON)
def test_codes_not_json(path: str, raw: bytes, lab: Lab) -> None:
    codes_error(sender(lab, "bestmixer", f"/api/ext/{path}")(raw))


CODE_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    *((f"coin {coin!r}", {"coin": coin}, "coin") for coin in ("doge", "BTC", "", 7, None, ["btc"], "xmr")),
    *((f"fee {fee!r}"[:30], {"fee": fee}, "fee")
      for fee in BAD_FEES),
    *((f"bm_code {code!r}", {"bm_code": code}, "bm_code") for code in ("short", 7, "x" * 11, "AAAAAAAAAA", ["A"])),
    *((f"output {output!r}", {"output": output}, "output") for output in BAD_OUTPUTS),
    ("unknown", {"nonsense": 1}, "nonsense"),
    *((f"percent {percents}", {"percents": percents}, "output")
      for percents in ([99.9], [100.1], [50, 49.9], [50, 50.1], [0, 100], [-10, 110], ["x"], [None], [33.33, 66.67],
                       [10] * 11, [True], [1e400], [100, 0])),
    *((f"delay {delay!r}", {"delay": delay}, "output[0].delay")
      for delay in (4321, *BAD_DELAYS)),
    *((f"address {address!r}"[:30], {"address": address}, "output[0]")
      for address in ("", "x", 7, None, LONG, TESTNET, BASE58_MAIN, MAIN["ltc"], "bcrt1q")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), [pytest.param(c, f, id=n) for n, c, f in CODE_FIELDS])
def test_codes_field(change: dict[str, Any], field: str, lab: Lab) -> None:
    raw = code_order(lab)
    if "percents" in change:
        raw["output"] = [{"address": lab.address(), "percent": percent, "delay": 0} for percent in change["percents"]]
    elif set(change) & {"delay", "address"}:
        raw["output"][0] |= change
    else:
        raw |= change
    # 1e400 is what the client writes, though Python's json spells it Infinity
    text = json.dumps(raw).replace("Infinity", "1e400").encode()
    assert codes_error(sender(lab, "bestmixer", "/api/ext/order/create")(text)).startswith(field)


@pytest.mark.parametrize("amount", BAD_AMOUNTS, ids=lambda amount: repr(amount)[:24])
def test_codes_amount(amount: Any, lab: Lab) -> None:
    raw = code_order(lab)
    raw["output"] = [{"address": lab.address(), "amount": amount, "delay": 0}]
    said = codes_error(sender(lab, "bestmixer", "/api/ext/order/create_fixed")(raw))
    assert said.startswith("output[0]"), said


def test_codes_missing_and_mixed_up(lab: Lab) -> None:
    create = sender(lab, "bestmixer", "/api/ext/order/create")
    for name in ("coin", "fee", "output"):
        raw = {key: value for key, value in code_order(lab).items() if key != name}
        assert codes_error(create(raw)) == f"{name}: missing"
    for name in ("address", "percent", "delay"):
        raw = code_order(lab)
        del raw["output"][0][name]
        assert codes_error(create(raw)) == f"output[0].{name}: missing"
    fixed = sender(lab, "bestmixer", "/api/ext/order/create_fixed")
    assert codes_error(fixed(code_order(lab))).startswith("output[0].percent")  # percent is not an amount
    twice = code_order(lab)
    twice["output"] = [{**twice["output"][0], "percent": 50}] * 2
    assert codes_error(create(twice)).startswith("output[")
    other = code_order(lab, address=lab.address("ltc"))
    assert "rltc" in codes_error(create(other)) or "ltc" in codes_error(create(other))


def test_codes_ways_in(lab: Lab) -> None:
    info = sender(lab, "bestmixer", "/api/ext/order/info")
    for key in (None, "", "short", 7, "AAAAAAAAAA", ["A"], "x" * 500):
        assert codes_error(info({"api_key": key, "order_id": "AAAAAAAAAA"})) == "Invalid api_key"
    for name in ("AAAAAAAAAA", "", "x", "x" * 200):
        assert "order" in codes_error(info({"api_key": lab.keys["bestmixer"], "order_id": name}))
    assert codes_error(info({"api_key": lab.keys["bestmixer"], "order_id": 7})).startswith("order_id")
    assert "content type" in codes_error(info({"api_key": lab.keys["bestmixer"]}, content_type="text/plain"))
    with lab.client("bestmixer") as client:
        codes_error(client.get("/api/ext/order/info"), 405)
        codes_error(client.post("/api/ext/order/nothing", json={}), 404)
        codes_error(client.post("/api/ext/order/info/", json={}), 404)


# -- the swap ---------------------------------------------------------------------------------------------------------


def swap_error(reply: httpx.Response, code: str, status: int = 400) -> str:
    """The reason that the header gives."""
    said = reply.json()
    assert (list(said), said["error"][-3:]) == (["error", "error_msg"], code), f"{said} {reply.headers}"
    assert reply.status_code == status and said["error"].startswith("XMRTO-ERROR-")
    return str(reply.headers["x-glasstumbler-reason"])


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("raw", NOT_JSON)
def test_swap_not_json(version: str, raw: bytes, lab: Lab) -> None:
    for name, code in (("order_create", "005"), ("order_status_query", "009"), ("order_check_price", "009")):
        swap_error(sender(lab, "xmrto", f"/api/{version}/xmr2btc/{name}/")(raw), code)


@pytest.mark.parametrize("amount", BAD_AMOUNTS, ids=lambda amount: repr(amount)[:24])
def test_swap_amount(amount: Any, lab: Lab) -> None:
    number = amount in ("99999999", "0.00000001") and not isinstance(amount, bool)
    v3, v2 = (f"/api/{version}/xmr2btc/" for version in ("v3", "v2"))
    btc = {"amount": amount, "amount_currency": "BTC"}
    to = {"btc_dest_address": lab.address()}
    for path, raw in (
        (f"{v3}order_create/", to | btc),
        (f"{v3}order_check_price/", btc),
        (f"{v2}order_create/", to | {"btc_amount": amount}),
        (f"{v2}order_check_price/", {"btc_amount": amount}),
    ):
        swap_error(sender(lab, "xmrto", path)(raw), "004" if number else "003")
    if not number and amount not in ("0.123456789", 0.000000001):  # XMR has twelve places
        swap_error(sender(lab, "xmrto", f"{v3}order_create/")(to | btc | {"amount_currency": "XMR"}), "015")


@pytest.mark.parametrize("address", ["", " ", "x", 7, None, [], LONG, TESTNET, BASE58_MAIN, *MAIN.values()], ids=repr)
def test_swap_address(address: Any, lab: Lab) -> None:
    raw = {"btc_dest_address": address, "amount": "0.01", "amount_currency": "BTC"}
    reason = swap_error(sender(lab, "xmrto", "/api/v3/xmr2btc/order_create/")(raw), "002")
    assert reason.startswith("btc_dest_address: ")


def test_swap_fields(lab: Lab) -> None:
    create = sender(lab, "xmrto", "/api/v3/xmr2btc/order_create/")
    good = {"btc_dest_address": lab.address(), "amount": "0.01", "amount_currency": "BTC"}
    for name in ("btc_dest_address", "amount"):
        raw = {key: value for key, value in good.items() if key != name}
        assert swap_error(create(raw), "005") == f"{name}: missing"
    assert swap_error(create(good | {"nonsense": 1}), "005").startswith("nonsense")
    for currency in ("DOGE", "", 7, None, ["BTC"], "btc "):
        assert swap_error(create(good | {"amount_currency": currency}), "016").startswith("amount_currency")
    old = sender(lab, "xmrto", "/api/v2/xmr2btc/order_create/")
    to = {"btc_dest_address": good["btc_dest_address"]}
    for amounts in ({}, {"btc_amount": 0.1, "xmr_amount": 1}):
        swap_error(old(to | amounts), "005")
    swap_error(old(good), "005")  # v3's fields under v2
    for name, limit in (("0.0009", "004"), ("20.1", "004")):
        assert swap_error(create(good | {"amount": name}), limit).startswith("amount")


def test_swap_invoices(lab: Lab) -> None:
    create = sender(lab, "xmrto", "/api/v3/xmr2btc/order_create_ln/")
    main = (
        "lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6tw"
    )
    for invoice in ("", "x", 7, None, main, "lnbcrt1", "l" * 5000, "lntb10u1x"):
        swap_error(create({"ln_invoice": invoice}), "017")
    invoice = str(lab.lab("lightning/invoice", amount="0.001")["ln_invoice"])
    swap_error(create({"ln_invoice": invoice[:-1] + ("q" if invoice[-1] != "q" else "p")}), "017")
    for amount in ("0.0001", "0.5"):
        beyond = str(lab.lab("lightning/invoice", amount=amount)["ln_invoice"])
        swap_error(create({"ln_invoice": beyond}), "004")
    with lab.client("xmrto") as client:
        swap_error(client.get("/api/v3/xmr2btc/order_ln_check_route/"), "017")


def test_swap_ways_in(lab: Lab) -> None:
    with lab.client("xmrto") as client:
        for uuid in ("xmrto-AAAAAA", "x", "", "xmrto-", "xmrto-AAAAAAA", "\u00e9" * 12):
            reply = client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": uuid})
            assert reply.status_code in (400, 404) and reply.json()["error"][-3:] in ("006", "009")
            assert client.get(f"/nojs/status/{uuid or 'x'}").status_code == 404
        swap_error(client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": "xmrto-AAAAAA"}), "006", 404)
        for kind in NO_TEXT:
            swap_error(client.post("/api/v3/xmr2btc/order_status_query/", json={"uuid": kind}), "009")
        swap_error(client.post("/api/v3/xmr2btc/order_partial_payment/", json={"uuid": "xmrto-AAAAAA"}), "006", 404)
        swap_error(client.get("/api/v3/xmr2btc/order_create/"), "009", 405)
        swap_error(client.get("/api/v4/xmr2btc/order_create/"), "009", 404)
        text = client.post("/api/v3/xmr2btc/order_status_query/", content=b"{}", headers={"content-type": "text/plain"})
        assert "content type" in swap_error(text, "009")
        for data in ("", "x" * 513):
            swap_error(client.get("/api/v3/xmr2btc/gen_qrcode/", params={"data": data}), "009")
