"""Order pages over HTTP: the form says what the API says, orders are made and moved by their buttons, bad input gets
a clear page."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from glasstumbler.engine import letter
from glasstumbler.web.pages.orders import forms
from glasstumbler.web.pages.orders.events import STREAMS_MOST
from tests.test_security_pages import HOSTILE
from tests.web.server import Lab, run

WAYS = [(slug, way.name) for slug, ways in forms.WAYS.items() for way in ways]
Items = list[tuple[str, str]]


@pytest.fixture
def browser(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.urls["hub"], timeout=60) as client:
        yield client


def post(browser: httpx.Client, url: str, items: Items) -> httpx.Response:
    body = str(httpx.QueryParams(items))
    return browser.post(url, content=body, headers={"content-type": "application/x-www-form-urlencoded"})


def items_of(slug: str, way: str, lab: Lab, **over: str) -> Items:
    """The first form, filled in; `over` for every field of that name."""
    form = forms.first(slug, way)
    fill = {"btc_dest_address": lab.address()} if "btc_dest_address" in form.fields else {}
    if "ln_invoice" in form.fields:
        fill["ln_invoice"] = lab.lab("lightning/invoice", amount="0.001")["ln_invoice"]
    if "pp_url" in form.fields:
        fill["pp_url"] = f"{lab.urls['hub']}/lab/v1/bip70?{urlencode({'address': lab.address(), 'amount': '0.01'})}"
    items = [("way", way), *((name, over.get(name, fill.get(name, text))) for name, text in form.fields.items())]
    for row in form.rows:
        items += [(name, over.get(name, lab.address() if name == "address" else text)) for name, text in row.items()]
    return items


def place(browser: httpx.Client, lab: Lab, slug: str, way: str = "", **over: str) -> str:
    """The path of a new order's page."""
    answer = post(browser, f"/services/{slug}/order", items_of(slug, way, lab, **over))
    assert answer.status_code == 303, notes(answer.text)
    assert answer.headers["location"].startswith(f"/orders/{slug}/")
    return str(answer.headers["location"])


def do(browser: httpx.Client, order: str, act: str, **more: str) -> str:
    answer = browser.post(f"{order}/do", data={"act": act, **more})
    assert (answer.status_code, answer.headers["location"]) == (303, order)
    return browser.get(order).text


def notes(page: str) -> dict[str, str]:
    """What stands beside which field."""
    found = re.findall(r'<p class="note[^"]*" id="note-([^"]+)"[^>]*>(.*?)</p>', page, re.DOTALL)
    return {name: unescape(re.sub(r"<[^>]+>", "", text)).strip() for name, text in found if text.strip()}


def shown(page: str, element: str = "code") -> list[str]:
    return [
        unescape(text) for text in re.findall(f'<pre tabindex="0"><{element}>(.*?)</{element}></pre>', page, re.DOTALL)
    ]


# -- the form says what the API says ----------------------------------------------------------------------------------

WRONG = [
    ("bestmixer", "shares", {"fee": "9"}),
    ("bestmixer", "shares", {"percent": "60"}),
    ("bestmixer", "shares", {"delay": "-1"}),
    ("bestmixer", "shares", {"coin": "doge"}),
    ("bestmixer", "shares", {"bm_code": "ABCDEFGHIJ"}),
    ("bestmixer", "amounts", {"amount": "0"}),
    ("bestmixer", "amounts", {"address": "x"}),
    ("btcmix", "amounts", {"amount": "1000"}),
    ("btcmix", "amounts", {"delay": "1.5"}),
    ("btcmix", "amounts", {"refCode": "x" * 65}),
    ("coinjoin", "equal", {"address": ""}),
    ("whir", "amounts", {"amount": ""}),
    ("xmrto", "address", {"amount": "0.00001"}),
    ("xmrto", "address", {"amount_currency": ""}),
    ("xmrto", "address", {"btc_dest_address": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"}),
    ("xmrto", "invoice", {"ln_invoice": "lnbcrt"}),
    ("xmrto", "url", {"pp_url": "https://bitpay.com/invoice?id=1"}),
    ("xmrto", "url", {"pp_url": "http://127.0.0.1/lab/v1/bip70?amount=1"}),
]


@pytest.mark.parametrize(("slug", "way", "over"), WRONG)
def test_the_check_says_what_the_api_says(
    slug: str, way: str, over: dict[str, str], lab: Lab, browser: httpx.Client
) -> None:
    checked = post(browser, f"/services/{slug}/order/check", items_of(slug, way, lab, **over)).text
    curl, body = shown(checked)
    words = shlex.split(curl)
    headers = dict(word.split(": ", 1) for flag, word in pairwise(words) if flag == "-H")
    real = httpx.post(words[2], content=words[-1], headers=headers)
    assert json.loads(body) == real.json()
    assert f"<strong>{real.status_code} {real.reason_phrase}</strong>" in checked
    (note,) = notes(checked).values()
    said = real.json().get("error_msg") or real.json().get("description") or real.json()["error"]
    text = note.split("  ")[0]
    if slug == "xmrto":
        assert f"{real.json()['error']} {said}" in note
        assert real.headers["x-glasstumbler-reason"].partition(": ")[2] in note
    elif slug == "bestmixer":
        assert said.endswith(text)
    else:
        assert said.endswith(text.removesuffix(" 400")) and note.endswith(" 400")


@pytest.mark.parametrize(("slug", "way"), WAYS)
def test_a_form_that_is_right_shows_what_it_costs_and_makes_no_order(
    slug: str, way: str, lab: Lab, browser: httpx.Client
) -> None:
    before = browser.get(f"/orders?service={slug}").text
    checked = post(browser, f"/services/{slug}/order/check", items_of(slug, way, lab)).text
    assert "You send" in checked
    assert not notes(checked)
    cut = re.compile(r"<footer.*", re.DOTALL)
    assert cut.sub("", browser.get(f"/orders?service={slug}").text) == cut.sub("", before)


@pytest.mark.parametrize(("slug", "way"), WAYS)
def test_the_curl_line_works_when_pasted(slug: str, way: str, lab: Lab, browser: httpx.Client) -> None:
    checked = post(browser, f"/services/{slug}/order/check", items_of(slug, way, lab)).text
    (curl,) = shown(checked)
    done = subprocess.run(["sh", "-c", curl], capture_output=True, timeout=60, check=True)
    made = json.loads(done.stdout)
    made = made.get("data", made)
    name = next(made[key] for key in ("order_id", "id", "uuid") if key in made)
    assert browser.get(f"/orders/{slug}/{name}").status_code == 200


@pytest.mark.parametrize(("slug", "way", "over"), WRONG[::4])
def test_a_wrong_form_comes_back_with_what_was_typed(
    slug: str, way: str, over: dict[str, str], lab: Lab, browser: httpx.Client
) -> None:
    answer = post(browser, f"/services/{slug}/order", [*items_of(slug, way, lab, **over), ("do", "order")])
    assert answer.status_code == 422
    assert notes(answer.text)
    for text in over.values():
        assert text in unescape(answer.text)


def test_the_form_says_what_the_lab_made_the_service_answer(lab: Lab, browser: httpx.Client) -> None:
    lab.lab("services/coinjoin/behave", answer="503", times=1)
    answer = post(browser, "/services/coinjoin/order", items_of("coinjoin", "amounts", lab))
    assert notes(answer.text) == {"form": "Service temporarily unavailable. 503"}
    lab.lab("services/coinjoin/behave", maintenance=True)
    checked = post(browser, "/services/coinjoin/order/check", items_of("coinjoin", "amounts", lab))
    lab.lab("services/coinjoin/behave")
    assert notes(checked.text) == {"form": "the service is under maintenance 503"}


# -- the form's buttons -----------------------------------------------------------------------------------------------


def test_outputs_are_added_and_removed_without_scripts(lab: Lab, browser: httpx.Client) -> None:
    items = items_of("bestmixer", "shares", lab)
    three = post(browser, "/services/bestmixer/order", [*items, ("do", "add")]).text
    assert re.findall(r'id="percent-\d" name="percent" value="([^"]*)"', three) == ["33.4", "33.3", "33.3"]
    one = post(browser, "/services/bestmixer/order", [*items, ("do", "remove:0")]).text
    assert re.findall(r'id="percent-\d" name="percent" value="([^"]*)"', one) == ["100"]
    many = [*items, *(("address", "") for _ in range(20)), ("do", "add")]
    assert len(re.findall('name="address"', post(browser, "/services/bestmixer/order", many).text)) == 22


@pytest.mark.parametrize("coin", ["btc", "bch", "ltc", "eth"])
def test_fresh_addresses_are_of_the_chosen_coin(coin: str, lab: Lab, browser: httpx.Client) -> None:
    items = items_of("bestmixer", "shares", lab, address="", coin=coin)
    page = post(browser, "/services/bestmixer/order", [*items, ("do", "fresh:")]).text
    found = re.findall(r'name="address" value="([^"]+)"', page)
    assert len(set(found)) == 2
    one = post(browser, "/services/bestmixer/order", [*items, ("do", "fresh:1")]).text
    assert [bool(each) for each in re.findall(r'name="address" value="([^"]*)"', one)] == [False, True]
    fresh = [(name, found.pop() if name == "address" else text) for name, text in items]
    assert "You send" in post(browser, "/services/bestmixer/order/check", fresh).text


@pytest.mark.parametrize(
    ("amount", "said"), [("0", "more than 0"), ("2", "at most 1 BTC"), ("x", "not a decimal"), ("", "")]
)
def test_a_test_invoice_of_no_sensible_amount(amount: str, said: str, lab: Lab, browser: httpx.Client) -> None:
    items = items_of("xmrto", "invoice", lab, ln_invoice="", invoice_amount=amount)
    page = post(browser, "/services/xmrto/order", [*items, ("do", "invoice")]).text
    assert said in notes(page)["invoice_amount"]


def test_a_test_payment_request_is_the_lab_s_own_and_can_be_ordered(lab: Lab, browser: httpx.Client) -> None:
    items = items_of("xmrto", "url", lab, pp_url="", request_amount="0.0123")
    page = post(browser, "/services/xmrto/order", [*items, ("do", "request")]).text
    (url,) = re.findall(r'name="pp_url" value="([^"]+)"', page)
    order = browser.get(place(browser, lab, "xmrto", "url", pp_url=unescape(url))).text
    assert "0.0123 BTC" in order


@pytest.mark.parametrize(
    ("amount", "said"), [("0", "more than 0"), ("1001", "at most 1000 BTC"), ("x", "not a decimal"), ("", "")]
)
def test_a_test_payment_request_of_no_sensible_amount(amount: str, said: str, lab: Lab, browser: httpx.Client) -> None:
    items = items_of("xmrto", "url", lab, pp_url="", request_amount=amount)
    page = post(browser, "/services/xmrto/order", [*items, ("do", "request")]).text
    assert said in notes(page)["request_amount"]


def test_another_way_keeps_what_was_typed(lab: Lab, browser: httpx.Client) -> None:
    items = items_of("bestmixer", "shares", lab, fee="4.25", address="kept")
    page = post(browser, "/services/bestmixer/order", [*items, ("do", "way:amounts")]).text
    assert re.findall(r'name="(?:fee|address)" value="([^"]*)"', page) == ["4.25", "kept", "kept"]
    assert 'name="amount"' in page


# -- an order ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slug", "way"), WAYS)
def test_an_order_goes_from_its_form_to_its_end_by_its_buttons(
    slug: str, way: str, lab: Lab, browser: httpx.Client
) -> None:
    order = place(browser, lab, slug, way)
    first = browser.get(order).text
    assert "Waiting for your deposit" in first
    assert 'src="data:image/svg+xml' in first
    assert '<noscript><meta http-equiv="refresh"' in first
    short = do(browser, order, "short")
    assert "Not enough has come in" in short and "The lab sent" in short
    paid = do(browser, order, "pay")
    assert "Not enough" not in paid
    for _ in range(6):
        page = do(browser, order, "mine")
        if "Every output is confirmed" in page:
            break
        do(browser, order, "hour")
    assert "Every output is confirmed" in page
    name = order.rpartition("/")[2]
    assert f'href="/glass/{slug}/{name}"' in page
    assert "refresh" not in page
    curl, body = [text for text in shown(page) if not text.startswith("LETTER")]
    done = subprocess.run(["sh", "-c", curl], capture_output=True, timeout=60, check=True)
    assert _still(done.stdout) == _still(body)
    if slug != "xmrto" or way != "invoice":
        assert re.search(r'href="/chains/btc/tx/[0-9a-f]{64}"', page)


def _still(reply: str | bytes) -> dict[str, Any]:
    """Without what counts down while one looks."""
    return {name: value for name, value in json.loads(reply).items() if name != "seconds_till_timeout"}


def test_the_letter_of_an_order_verifies(lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "bestmixer")
    answer = browser.get(f"{order}/letter")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert letter.verify(b64encode(answer.content))["Order"] == order.rpartition("/")[2]
    assert answer.text in unescape(browser.get(order).text)
    assert browser.get(f"{place(browser, lab, 'whir')}/letter").status_code == 404


def test_what_a_swap_was_paid_can_be_accepted(lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "xmrto")
    assert "Accept what was paid" not in browser.get(order).text
    assert "Accept what was paid" in do(browser, order, "short")
    assert "What was paid is accepted" in do(browser, order, "partial")
    assert "the service refuses: XMRTO-ERROR-009" in do(browser, order, "partial")


def test_a_reorganisation_takes_a_deposit_back(lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "btcmix", delay="2")
    do(browser, order, "pay")
    assert "Your deposit is confirmed" in do(browser, order, "mine")
    gone = do(browser, order, "reorg", depth="1")
    assert "The last block was replaced by empty ones" in gone
    assert "Your deposit is on its way" in gone
    for depth in ("0", "7", "-1", "x", "", "999999999999999999999", "١"):
        assert "from 1 to 6 blocks deep" in do(browser, order, "reorg", depth=depth)


def test_an_order_that_expired_says_so(lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "xmrto")
    assert "The time for the deposit is over" in do(browser, order, "hour")


def test_an_order_of_another_key(lab: Lab, browser: httpx.Client) -> None:
    code, out, _ = run("keys", "add", "whir", "--data", lab.folder)
    assert code == 0
    key = json.loads(out)["api_key"]
    body = {"delay": "0", "payouts": {lab.address(): "0.01"}}
    made = httpx.post(
        f"{lab.urls['whir']}/api/createTransaction", json=body, headers={"authorization": f"Bearer {key}"}
    )
    page = browser.get(f"/orders/whir/{made.json()['id']}")
    assert page.status_code == 200
    assert "made with another API key" in page.text


# -- live -------------------------------------------------------------------------------------------------------------


def test_events_tell_what_changed_and_where(lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "whir")
    with browser.stream("GET", f"{order}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert _event(lines)["event"] == "order"
        with httpx.Client(base_url=lab.urls["hub"], timeout=60) as other:
            do(other, order, "pay")
        event = _event(lines)
        assert "Your deposit is on its way" in event["data"]
        assert event["id"] in browser.get(order).text or event["data"]


def _event(lines: Iterator[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        if not line and "event" in found:
            return found
        name, _, value = line.partition(": ")
        found[name] = found.get(name, "") + value
    raise AssertionError("the stream ended")


def test_there_are_so_many_streams_and_no_more(lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "whir")
    streams: list[Any] = []
    try:
        for _ in range(STREAMS_MOST):
            held = browser.stream("GET", f"{order}/events")
            streams.append(held)
            assert held.__enter__().status_code == 200
        assert browser.get(f"{order}/events").status_code == 503
        assert browser.get(order).status_code == 200
    finally:
        for held in streams:
            held.__exit__(None, None, None)


def test_a_stream_of_an_order_that_is_not_there(browser: httpx.Client) -> None:
    assert browser.get("/orders/whir/NOTHING/events").status_code == 404


# -- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_is_narrowed_down_and_goes_on(lab: Lab, browser: httpx.Client) -> None:
    for _ in range(3):
        place(browser, lab, "coinjoin")
    page = browser.get("/orders?service=coinjoin&state=awaiting").text
    found = re.findall(r'href="/orders/(\w+)/(\w+)"', page)
    assert len(found) >= 3 and {slug for slug, _ in found} == {"coinjoin"}
    assert re.findall(r'href="/orders/\w+/', browser.get("/orders?before=1").text) == []
    assert browser.get("/orders?state=completed&service=").status_code == 200


@pytest.mark.parametrize(
    "query", ["service=nobody", "state=happy", "before=x", "before=-1", "before=" + "9" * 30, "before=١"]
)
def test_a_list_of_nothing_sensible(query: str, browser: httpx.Client) -> None:
    answer = browser.get(f"/orders?{query}")
    assert answer.status_code == 400
    assert "must be" in answer.text


# -- bad input --------------------------------------------------------------------------------------------------------


def plain(page: str) -> None:
    """A hostile text is shown as text or not at all."""
    assert "TEST NETWORK" in page or "hx-swap-oob" in page
    assert "<script>alert" not in page
    assert not re.search(r"<(?:img|svg)[^>]*\bon(?:error|load)", page)
    assert not re.search(r"<[a-z]+[^>\"]*(?:\"[^\"]*\"[^>\"]*)*\son[a-z]+=", page)


@pytest.mark.parametrize("evil", HOSTILE)
@pytest.mark.parametrize(("slug", "way"), WAYS)
def test_hostile_text_in_every_field(slug: str, way: str, evil: str, lab: Lab, browser: httpx.Client) -> None:
    form = forms.first(slug, way)
    names = [*form.fields, *(form.rows[0] if form.rows else ())]
    everywhere = items_of(slug, way, lab, **dict.fromkeys(names, evil))
    for items in [everywhere, *(items_of(slug, way, lab, **{name: evil}) for name in names)]:
        checked = post(browser, f"/services/{slug}/order/check", items)
        page = post(browser, f"/services/{slug}/order", [*items, ("do", "add")])
        assert (checked.status_code, page.status_code) == (200, 200)
        plain(checked.text)
        plain(page.text)


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_elsewhere(evil: str, lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "btcmix", refCode=evil[:60])
    plain(browser.get(order).text)
    for name in ("do", "way", "nothing"):
        answer = post(browser, "/services/whir/order", [*items_of("whir", "amounts", lab), (name, evil)])
        assert answer.status_code in (200, 303)
        plain(answer.text or "TEST NETWORK")
    wrong = browser.post(f"{order}/do", data={"act": evil})
    assert wrong.status_code == 400
    plain(wrong.text)
    name, query = quote(evil, safe=""), urlencode({"state": evil})
    for url in (f"/orders/{name}/x", f"/orders/whir/{name}", f"/services/{name}/order", f"/orders?{query}"):
        answer = browser.get(url)
        assert answer.status_code in (400, 404)
        plain(answer.text)


@pytest.mark.parametrize("slug", forms.WAYS)
def test_forms_that_are_no_forms(slug: str, browser: httpx.Client) -> None:
    for url in (f"/services/{slug}/order", f"/services/{slug}/order/check"):
        assert browser.post(url).status_code in (200, 422)
        assert browser.post(url, content=b"\xff\xfe").status_code == 400
        assert browser.post(url, content=b"a=" + b"x" * 70_000).status_code == 413
        assert browser.post(url, content=b"&".join([b"address=x"] * 1000)).status_code == 400
        assert browser.post(url, content=b"&".join([b"address=x"] * 150)).status_code in (200, 422)
        assert browser.post(url, content=b"address=" + b"x" * 60_000).status_code in (200, 422)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("url", ["/orders", "/services/whir/order", "/services/whir/order/check", "/orders/whir/X/do"])
def test_other_methods(method: str, url: str, browser: httpx.Client) -> None:
    assert browser.request(method, url).status_code == 405


def test_a_page_of_another_origin_orders_nothing(lab: Lab, browser: httpx.Client) -> None:
    order = place(browser, lab, "whir")
    for url, data in [("/services/whir/order", {}), (f"{order}/do", {"act": "pay"})]:
        for headers in ({"origin": "https://other.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            assert browser.post(url, data=data, headers=headers).status_code == 401
    assert "Waiting for your deposit" in browser.get(order).text
