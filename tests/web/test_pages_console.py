"""The console over HTTP: every operation as it stands on the page works, and so does its curl line."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from glasstumbler.errors import BadAddress, GlassTumblerError, KeyMissing
from glasstumbler.web.pages import explained
from glasstumbler.web.pages.contracts import operations
from glasstumbler.web.pages.written import pretty
from tests.test_security_pages import HOSTILE
from tests.web.server import BEARERS, Lab

SLUGS = ["bestmixer", "btcmix", "coinjoin", "whir", "xmrto"]
FIRST = ("create", "Create")
"""Operations that make what the others ask for come first."""


class Forms(HTMLParser):
    """The forms of a page that send an operation: action -> fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self._fields: dict[str, str] | None = None
        self._area = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and "call" in given.get("class", "").split():
            self._fields = self.found[given["action"]] = {}
        elif self._fields is not None and tag == "input":
            self._fields[given["name"]] = given.get("value", "")
        elif self._fields is not None and tag == "textarea":
            self._area = given["name"]
            self._fields[self._area] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area and self._fields is not None:
            self._fields[self._area] += data


@pytest.fixture
def browser(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.urls["hub"], follow_redirects=False, timeout=60) as client:
        yield client


def answered(page: str) -> tuple[int, str]:
    """(status, body) that a result shows."""
    status = re.search(r'class="state status s\d">(\d+)<', page)
    body = re.search(r'aria-label="Body of the answer"><code>(.*?)</code>', page, re.DOTALL)
    assert status is not None
    return int(status[1]), unescape(body[1]) if body else ""


def curl_line(page: str) -> str:
    """The one of the result: it comes last."""
    lines: list[str] = re.findall(r'<code id="sent-[^"]*">(.*?)</code>', page, re.DOTALL)
    return unescape(lines[-1])


def run_curl(line: str) -> str:
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=30, check=True)
    return done.stdout.decode("utf-8", "replace")


@pytest.mark.parametrize("slug", SLUGS)
def test_every_operation_works_as_the_page_fills_it_in(slug: str, browser: httpx.Client) -> None:
    calls = sorted(
        Forms(browser.get(f"/console/{slug}").text).found, key=lambda call: not any(w in call for w in FIRST)
    )
    assert len(calls) == len(operations(slug))
    for call in calls:
        fields = Forms(browser.get(call).text).found[call]  # filled in anew, so with the order that was just made
        result = browser.post(call, data=fields, headers={"x-fragment": "1"})
        status, body = answered(result.text)
        if "partial" in call:  # nothing was paid, so there is no partial payment to be content with
            assert status == 400
            continue
        assert status in (200, 201), (call, body)
        assert '"error": "' not in body, (call, body)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_curl_line_runs_in_a_shell_and_gets_the_same(slug: str, browser: httpx.Client) -> None:
    for call, fields in Forms(browser.get(f"/console/{slug}").text).found.items():
        page = browser.post(call, data=fields, headers={"x-fragment": "1"}).text
        status, body = answered(page)
        got = run_curl(curl_line(page))
        if "create_ln" in call:  # an invoice is taken once
            assert "XMRTO-ERROR-019" in got
        elif body:
            assert shape(got) == shape(body), call
        assert status < 500


def shape(body: str) -> Any:
    """What does not differ from one request to the next: names and kinds of JSON, or the text."""
    try:
        return kinds(json.loads(body))
    except ValueError:
        return re.sub(r"\d+", "#", body.strip())


def kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((name if len(name) < 30 else "address", kinds(inner)) for name, inner in value.items())
    return [kinds(inner) for inner in value[:1]] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize("slug", SLUGS)
def test_the_curl_lines_on_the_page_run_too(slug: str, browser: httpx.Client) -> None:
    page = browser.get(f"/console/{slug}").text
    lines = [unescape(line) for line in re.findall(r'<code id="curl-[^"]*">(.*?)</code>', page, re.DOTALL)]
    assert len(lines) == len(operations(slug))
    for line in lines:
        assert run_curl(line)


@pytest.mark.parametrize("evil", [*HOSTILE, "a'b\"c`id`$(id)", "@/etc/hostname", "\\", "é…", "%0d%0aX: y", "../.."])
def test_a_curl_line_holds_whatever_was_typed(evil: str, browser: httpx.Client) -> None:
    body = json.dumps({"delay": evil, "payouts": {evil: evil}}, ensure_ascii=False)
    page = browser.post("/console/whir/createTransaction", data={"key": "", "body": body}, headers={"x-fragment": "1"})
    assert shape(run_curl(curl_line(page.text))) == shape(answered(page.text)[1])
    page = browser.post("/console/whir/validateAddress", data={"parameter.address": evil}, headers={"x-fragment": "1"})
    assert json.loads(run_curl(curl_line(page.text))) == json.loads(answered(page.text)[1])


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_is_shown_as_text(evil: str, browser: httpx.Client) -> None:
    for fragment in ({}, {"x-fragment": "1"}):
        page = browser.post(
            "/console/btcmix/createTransaction", data={"key": evil, "body": evil}, headers=fragment
        ).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<img src=x|onload=alert\(1\)>|onmouseover='", page)
    assert evil not in browser.get("/console/requests").text or "<" not in evil


@pytest.mark.parametrize("slug", BEARERS)
def test_a_reply_s_signature_is_verified(slug: str, lab: Lab, browser: httpx.Client) -> None:
    call = f"/console/{slug}/createTransaction"
    fields = Forms(browser.get(call).text).found[call]
    assert "The signature holds." in browser.post(call, data=fields).text


def test_a_letter_of_guarantee_is_verified(browser: httpx.Client) -> None:
    call = "/console/bestmixer/orderCreate"
    page = browser.post(call, data=Forms(browser.get(call).text).found[call]).text
    assert "letter_of_guarantee: its Ed25519 signature was made" in page


def test_a_missing_key_is_explained(lab: Lab, browser: httpx.Client) -> None:
    page = browser.post("/console/whir/transactions", data={"key": ""}).text
    assert answered(page)[0] == 401
    assert "The key stands on this service&#39;s console page." in page
    assert "No API key, or one that nobody was given." in page
    assert "Authorization: Bearer KEY" in page


def test_a_wrong_field_is_named(browser: httpx.Client) -> None:
    body = json.dumps({"delay": 100, "payouts": {"x": "1"}})
    call = "/console/btcmix/createTransaction"
    page = browser.post(call, data=Forms(browser.get(call).text).found[call] | {"body": body}).text
    assert "Field <code>delay</code>." in page


def test_an_empty_path_parameter_or_no_such_operation_is_a_page(browser: httpx.Client) -> None:
    empty = browser.post("/console/whir/transaction", data={"parameter.id": ""})
    assert (empty.status_code, "may not be empty" in empty.text) == (404, True)
    assert browser.get("/console/whir/nothing").status_code == 404
    assert browser.get("/console/nothing").status_code == 404
    assert (
        browser.post("/console/btcmix/status", data={"x": "y"}, headers={"origin": "https://e.example"}).status_code
        == 401
    )


def test_keys_are_made_shown_once_and_blocked(lab: Lab, browser: httpx.Client) -> None:
    page = browser.get("/console/coinjoin").text
    assert lab.keys["coinjoin"] in page and lab.secrets["coinjoin"] in page
    made = re.search(r'id="made-key">(\w+)<', browser.post("/console/coinjoin/keys").text)
    assert made is not None
    key = made[1]
    bearer = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=lab.urls["coinjoin"]) as client:
        assert client.get("/api/transactions", headers=bearer).status_code == 200
        assert key not in browser.get("/console/coinjoin").text.replace(f'value="{key}"', "")
        assert browser.post("/console/coinjoin/keys/block", data={"key": key}).status_code == 200
        assert client.get("/api/transactions", headers=bearer).status_code == 403
    unknown = browser.post("/console/coinjoin/keys/block", data={"key": "nobody's"})
    assert "coinjoin has no such key" in unknown.text
    assert browser.post("/console/xmrto/keys").status_code == 404


# -- the log of requests ----------------------------------------------------------------------------------------------


def test_the_log_says_what_was_wrong_and_how_to_mend_it(lab: Lab, browser: httpx.Client) -> None:
    with httpx.Client(base_url=lab.urls["whir"]) as client:
        client.post("/api/createTransaction", json={"delay": 0})
        client.get("/api/nothing")
    page = browser.get("/console/requests?service=whir&status=wrong").text
    assert "Send it as Authorization: Bearer KEY." in page
    assert "createTransaction · " in page and "no operation" in page
    assert "Compare the path with those on this service" in page
    assert "/btcmix/" not in page


def test_the_log_filters_by_status(lab: Lab, browser: httpx.Client) -> None:
    with httpx.Client(base_url=lab.urls["coinjoin"]) as client:
        client.get("/api/status")
        client.get("/api/nothing")
    fine = browser.get("/console/requests?service=coinjoin&status=2xx").text
    assert "/api/status" in fine and "/api/nothing" not in fine
    assert browser.get("/console/requests?service=nobody&status=nothing").status_code == 200


@pytest.mark.parametrize("slug", ["bestmixer", "whir"])
def test_no_key_is_shown_whole(slug: str, lab: Lab, browser: httpx.Client) -> None:
    key = lab.keys[slug]
    with httpx.Client(base_url=lab.urls[slug]) as client:
        client.post("/api/ext/fee/info", json={"api_key": key}, headers={"authorization": f"Bearer {key}"})
        client.post("/api/ext/fee/info", content=b'{"api_key": "%s", ' % key.encode())
        client.post(
            "/api/ext/fee/info", content=b'{"api\\u005fkey": "%s"}' % "".join(f"\\u{ord(c):04x}" for c in key).encode()
        )
        client.get(f"/api/{key}?key={key}")
    page = browser.get(f"/console/requests?service={slug}").text
    for number in re.findall(r"/console/requests/(\d+)", page)[:4]:
        page += browser.get(f"/console/requests/{number}").text
    assert key not in page
    assert f"…{key[-4:]}" in page


def test_a_request_that_is_not_kept_any_more(browser: httpx.Client) -> None:
    assert browser.get("/console/requests/99999999").status_code == 404
    assert browser.get("/console/requests/x").status_code == 404


def test_every_error_of_the_services_is_explained() -> None:
    def kinds_under(kind: type[GlassTumblerError]) -> Iterator[type[GlassTumblerError]]:
        yield kind
        for inner in kind.__subclasses__():
            yield from kinds_under(inner)

    from glasstumbler.recent import Wrong

    for kind in kinds_under(GlassTumblerError):
        assert explained.explain("whir", Wrong(kind, "text", "field")).mend
    assert "api_key" in explained.explain("bestmixer", Wrong(KeyMissing, "", "")).mend
    assert "address" in explained.explain("whir", Wrong(BadAddress, "", "")).mend


@pytest.mark.parametrize("body", [b"{", b"[NaN]", b"\xff", b"[" * 100_000, b'"\\ud800"', b""])
def test_what_is_no_json_is_left_as_it_is(body: bytes) -> None:
    assert pretty(body) is None


def test_numbers_keep_their_digits() -> None:
    assert pretty(b'{"a":0.10000,"b":[1e-7,99999999999999999999999]}') == (
        '{\n  "a": 0.10000,\n  "b": [\n    1e-7,\n    99999999999999999999999\n  ]\n}'
    )


# -- time and mischief ------------------------------------------------------------------------------------------------


def test_the_panel_does_what_the_lab_api_does(lab: Lab, browser: httpx.Client) -> None:
    def height() -> int:
        return next(int(each["height"]) for each in lab.hub.get("/lab/v1/chains").json() if each["coin"] == "btc")

    before = height()
    mined = browser.post("/console/lab/mine", data={"coin": "btc", "blocks": "3"})
    assert (mined.status_code, mined.headers["location"]) == (303, "/console/lab?done=mine")
    assert height() == before + 3
    assert browser.post("/console/lab/reorg", data={"coin": "btc", "depth": "2"}).status_code == 303
    assert height() >= before + 3
    then = lab.hub.post("/lab/v1/clock/advance", json={"seconds": 0}).json()["now"]
    assert browser.post("/console/lab/clock", data={"span": "2", "unit": "hours"}).status_code == 303
    assert lab.hub.post("/lab/v1/clock/advance", json={"seconds": 0}).json()["now"] >= then + 7200
    assert browser.post("/console/lab/price", data={"xmr_btc": "0.005"}).status_code == 303
    assert "0.005 BTC" in browser.get("/console/lab").text
    assert browser.post("/console/lab/price", data={"xmr_btc": ""}).status_code == 303
    assert "on its walk" in browser.get("/console/lab").text


def test_the_panel_makes_a_service_misbehave(lab: Lab, browser: httpx.Client) -> None:
    wanted = {"service": "whir", "answer": "503", "times": "1", "payout": "stall"}
    assert browser.post("/console/lab/behave", data=wanted).status_code == 303
    assert "answers 503, 1 time more. payouts stall." in browser.get("/console/lab").text
    with httpx.Client(base_url=lab.urls["whir"]) as client:
        assert [client.get("/api/status").status_code for _ in range(2)] == [503, 200]
    assert browser.post("/console/lab/behave", data={"service": "whir", "times": "1"}).status_code == 303
    assert lab.hub.post("/lab/v1/services/whir/behave", json={}).json()["payout"] is None


@pytest.mark.parametrize(
    ("where", "fields", "why"),
    [
        ("clock", {"span": "x", "unit": "hours"}, "a whole number is wanted"),
        ("clock", {"span": "1", "unit": "aeons"}, "one of minutes, hours, days"),
        ("clock", {"until": "2001-01-01T00:00"}, "the clock runs forwards only"),
        ("clock", {"until": "soon"}, "a date and time is wanted"),
        ("clock", {"span": "999999999", "unit": "days"}, "span"),
        ("mine", {"coin": "btc", "blocks": "0"}, "blocks"),
        ("mine", {"coin": "<b>", "blocks": "1"}, "no chain of"),
        ("reorg", {"coin": "btc", "depth": "-1"}, "a whole number is wanted"),
        ("price", {"xmr_btc": "free"}, "xmr_btc"),
        ("behave", {"service": "whir", "answer": "999", "times": "1"}, "whir answers"),
        ("behave", {"service": "nobody", "times": "1"}, "no service is called"),
        ("behave", {"service": "whir", "payout": "steal"}, "behaviour"),
    ],
)
def test_what_the_panel_refuses(where: str, fields: dict[str, str], why: str, browser: httpx.Client) -> None:
    answer = browser.post(f"/console/lab/{where}", data=fields)
    assert 400 <= answer.status_code < 500
    assert why in unescape(answer.text)
    assert "Time and mischief" in answer.text
    assert "<b>" not in answer.text
