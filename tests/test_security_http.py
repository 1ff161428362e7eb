"""Attacks over real HTTP: pages that reach in through a browser, requests beyond all bounds, headers of the answers."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from glasstumbler.services import SERVICES
from glasstumbler.web import lab_api
from tests.web.server import NO_LIMITS, ONE_CHAIN, Lab, laboratory

PATHS = {
    "bestmixer": ("POST", "/api/ext/fee/info"),
    "btcmix": ("GET", "/api/status"),
    "coinjoin": ("GET", "/api/status"),
    "whir": ("GET", "/api/status"),
    "xmrto": ("GET", "/api/v3/xmr2btc/order_parameter_query/"),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with laboratory(tmp_path_factory.mktemp("attacked") / "data", extra=ONE_CHAIN | NO_LIMITS) as running:
        yield running


class Answer:
    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self.status, self.body = raw.status, raw.read()
        self.headers = {name.lower(): value for name, value in raw.getheaders()}

    def json(self) -> dict[str, object]:
        return dict(json.loads(self.body))


def send(
    lab: Lab, name: str, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """With exactly these headers; Host as the URL has it unless given."""
    with closing(http.client.HTTPConnection(urlsplit(lab.urls[name]).netloc, timeout=20)) as connection:
        connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
        for header, value in (headers or {}).items():
            connection.putheader(header, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return Answer(connection.getresponse())


# -- the lab API ------------------------------------------------------------------------------------------------------

CALLS = [
    *(("GET", "/lab/v1/chains"), ("POST", "/lab/v1/chains/btc/pay"), ("POST", "/lab/v1/chains/btc/mine")),
    *(("POST", "/lab/v1/chains/btc/reorg"), ("POST", "/lab/v1/chains/btc/address"), ("GET", "/lab/v1/bip70")),
    *(("POST", "/lab/v1/lightning/invoice"), ("POST", "/lab/v1/price"), ("POST", "/lab/v1/clock/advance")),
    *(("GET", "/lab/v1/status"), ("GET", "/metrics")),
    *(("GET", "/lab/v1/webhooks"), ("POST", "/lab/v1/webhooks"), ("POST", "/lab/v1/webhooks/1/test")),
    ("DELETE", "/lab/v1/webhooks/1"),
    *(("POST", "/lab/v1/services/whir/behave"), ("GET", "/lab/v1/orders/whir/ABCDEFGHIJ123456")),
]


def foreign(lab: Lab) -> dict[str, dict[str, str]]:
    """What a browser says when a page of elsewhere makes it ask."""
    here = urlsplit(lab.urls["hub"]).netloc
    port = here.rpartition(":")[2]
    return {
        "a name that was bound anew": {"Host": f"evil.example:{port}"},
        "the same, with its origin": {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
        "a name under localhost": {"Host": f"localhost.evil.example:{port}"},
        "a name with a dot": {"Host": f"localhost.:{port}"},
        "a public address": {"Host": f"192.0.2.7:{port}"},
        "a foreign origin": {"Origin": "https://evil.example"},
        "another port": {"Origin": "http://127.0.0.1:1"},
        "another scheme": {"Origin": f"https://{here}"},
        "a sandboxed page": {"Origin": "null"},
        "a form": {"Origin": "https://evil.example", "Content-Type": "text/plain", "Sec-Fetch-Site": "cross-site"},
        "a form without origin": {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"},
        "another port's page": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        "a proxy": {"X-Forwarded-For": "192.0.2.7"},
        "a standard proxy": {"Forwarded": "for=192.0.2.7"},
    }


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_no_page_of_elsewhere_drives_the_laboratory(method: str, path: str, lab: Lab) -> None:
    before = lab.hub.get("/lab/v1/chains").json()
    for what, headers in foreign(lab).items():
        body = b"{}" if method == "POST" else None
        answer = send(lab, "hub", method, path, headers, body)
        assert (answer.status, answer.json()["error"]) == (401, "KeyMissing"), (what, answer.body)
        assert "lab token" in str(answer.json()["message"])
        assert "access-control-allow-origin" not in answer.headers
    assert lab.hub.get("/lab/v1/chains").json() == before


def test_every_call_of_the_lab_is_in_the_table_above() -> None:
    source = Path(lab_api.__file__).read_text()
    routes = re.findall(r'\("(GET|POST|DELETE)", "(/[^"]*)"', source)
    assert len(routes) >= 11
    for method, route in routes:
        pattern = re.sub(r"\{\w+\}", "[^/]+", f"/lab/v1{route}")
        assert any(method == called and re.fullmatch(pattern, path) for called, path in CALLS), route


def test_a_preflight_is_answered_with_nothing(lab: Lab) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = send(lab, "hub", "OPTIONS", "/lab/v1/chains/btc/mine", asked)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_token_opens_from_anywhere_and_only_in_its_header(lab: Lab) -> None:
    host = {"Host": "laboratory.example"}
    for given in (f"Bearer {lab.token}", f"bearer {lab.token}"):
        assert send(lab, "hub", "GET", "/lab/v1/chains", host | {"Authorization": given}).status == 200
    wrong = ["", lab.token, f"Basic {lab.token}", f"Bearer {lab.token[:-1]}", f"Bearer {lab.token}x", "Bearer ", "\xe9"]
    for given in wrong:
        assert send(lab, "hub", "GET", "/lab/v1/chains", host | {"Authorization": given}).status == 401, given
    for path in (f"/lab/v1/chains?token={lab.token}", f"/lab/v1/chains?access_token={lab.token}"):
        assert send(lab, "hub", "GET", path, host).status == 401
    assert send(lab, "hub", "GET", "/lab/v1/chains", host | {"Cookie": f"token={lab.token}"}).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:1"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:8700"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},  # a link was followed, to look
    ],
)
def test_the_own_machine_needs_no_token(headers: dict[str, str], lab: Lab) -> None:
    assert send(lab, "hub", "GET", "/lab/v1/chains", headers).status == 200


# -- headers of the answers -------------------------------------------------------------------------------------------


def test_every_answer_keeps_its_type_and_tells_nobody(lab: Lab) -> None:
    answers = [send(lab, slug, *PATHS[slug]) for slug in SERVICES]
    answers += [send(lab, "hub", method, f"/{slug}{path}") for slug, (method, path) in PATHS.items()]
    for path in ("/", "/nowhere", "/openapi/whir.yaml", "/openapi/none.yaml", "/lab/v1/chains", "/lab/v1/nothing"):
        answers.append(send(lab, "hub", "GET", path))
    answers += [send(lab, slug, "GET", "/nowhere") for slug in SERVICES]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")  # a page's forms say whose they are
        assert "server" not in answer.headers


def test_pages_run_nothing_but_files_of_ours(lab: Lab) -> None:
    for path in ("/", "/orders", "/console/whir"):
        answer = send(lab, "hub", "GET", path)
        assert answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert "script-src 'self';" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert not re.findall(rb"<script(?![^>]* src=)", answer.body)


# -- bounds -----------------------------------------------------------------------------------------------------------


def said(slug: str, answer: Answer) -> str:
    """The error's text, from the shape that the service's document gives errors."""
    told = answer.json()
    if slug == "bestmixer":
        assert (answer.status, told["data"]) == (200, [])
        return str(told["error"])
    if slug == "xmrto":
        assert answer.status == 400 and str(told["error"]).startswith("XMRTO-ERROR-")
        return answer.headers["x-glasstumbler-reason"]
    assert (answer.status, list(told), told["code"]) == (400, ["code", "description"], 400)
    return str(told["description"])


@pytest.mark.parametrize("slug", SERVICES)
@pytest.mark.parametrize("under_hub", [False, True])
def test_what_is_too_large_is_refused_in_the_service_s_own_shape(slug: str, under_hub: bool, lab: Lab) -> None:
    method, path = PATHS[slug]
    where, path = ("hub", f"/{slug}{path}") if under_hub else (slug, path)
    many = {f"X-{number}": "y" for number in range(120)}
    for why, (asked, headers, body) in {
        "URL": (f"{path}?a={'b' * 9000}", {}, None),
        "parameters": (f"{path}?{'&'.join('a' * 200)}", {}, None),
        "headers": (path, many, None),
        "bytes of them": (path, {"X-Long": "y" * 20_000}, None),
        "body": (path, {"Content-Type": "application/json"}, b'{"a": "' + b"b" * 70_000 + b'"}'),
    }.items():
        assert why in said(slug, send(lab, where, method, asked, headers, body)), why
    assert send(lab, where, method, path).status < 500


def test_the_lab_s_own_bounds(lab: Lab) -> None:
    answer = send(lab, "hub", "GET", f"/lab/v1/chains?a={'b' * 9000}")
    assert (answer.status, answer.json()["error"]) == (413, "TooLarge")
    answer = send(lab, "hub", "POST", "/lab/v1/chains/btc/mine", {}, b'{"blocks": ' + b"9" * 60_000 + b"}")
    assert answer.status == 400
    answer = send(lab, "hub", "POST", "/lab/v1/chains/btc/mine", {}, b"[" * 60_000)
    assert answer.status == 400


LONG_NUMBERS = ["9" * 60_000, "0." + "3" * 60_000, "1e" + "9" * 60_000, "1." + "0" * 60_000 + "1", "-" + "1" * 4_000]


@pytest.mark.parametrize("number", LONG_NUMBERS, ids=["integer", "fraction", "exponent", "last digit", "negative"])
def test_a_number_of_any_length_is_refused_at_once(number: str, lab: Lab) -> None:
    """No reader of numbers takes longer than the body itself: 20 of them within the client's patience."""
    address = lab.address()
    json_type = {"Content-Type": "application/json"}
    bodies = {
        "whir": ("/api/createTransaction", f'{{"delay": 1, "payouts": {{"{address}": {number}}}}}'),
        "btcmix": ("/api/createTransaction", f'{{"delay": {number}, "payouts": {{"{address}": "0.01"}}}}'),
        "bestmixer": (
            "/api/ext/order/create",
            f'{{"api_key": "{lab.keys["bestmixer"]}", "coin": "btc", "fee": {number}, "output": []}}',
        ),
        "xmrto": ("/api/v3/xmr2btc/order_check_price/", f'{{"amount": {number}, "amount_currency": "BTC"}}'),
    }
    for slug, (path, body) in bodies.items():
        key = {"Authorization": f"Bearer {lab.keys[slug]}"} if slug in ("whir", "btcmix") else {}
        for _ in range(5):
            answer = send(lab, slug, "POST", path, json_type | key, body.encode())
            assert answer.status in (200, 400)
            assert answer.json().get("error") or answer.json()["code"] == 400, answer.body


def test_line_breaks_in_a_url_stay_out_of_the_headers(lab: Lab) -> None:
    """The swap answers a missing slash with a Location that repeats the query."""
    query = quote("a\r\nX-Injected: yes\r\n\r\n<script>")
    answer = send(lab, "xmrto", "GET", f"/api/v3/xmr2btc/order_parameter_query?q={query}")
    assert answer.status == 301
    assert "x-injected" not in answer.headers
    assert "\r" not in answer.headers["location"] and "<" not in answer.headers["location"]


def test_no_file_is_served(lab: Lab) -> None:
    """Nor does any path of the hub reach one: contracts are looked up by the service's name."""
    climbs = ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/secret", "....//secret", "whir.yaml/../../secret"]
    for climb in climbs:
        for start in (
            "/",
            "/openapi/",
            "/lab/v1/",
            "/lab/v1/orders/whir/",
            "/lab/v1/orders/",
            "/whir/",
            "/xmrto/nojs/",
        ):
            with closing(socket.create_connection(("127.0.0.1", urlsplit(lab.urls["hub"]).port or 0), 20)) as raw:
                raw.sendall(f"GET {start}{climb} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))
            assert answer.split(b" ", 2)[1] in (b"400", b"404", b"405", b"307"), (start + climb, answer[:200])
            assert b"root:" not in answer


def test_nothing_of_this_left_a_trace_in_the_log(lab: Lab) -> None:
    assert "Traceback" not in lab.errors.read_text()
