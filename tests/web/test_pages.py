"""What every page has: who may open it, headers that let nothing foreign run, files under their own digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from importlib import resources

import httpx
import pytest

from glasstumbler.web.pages import access
from tests.web.server import Lab

VENDORED = {
    "htmx-2.0.11.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "simple-2.3.7.min.css": "fb0624582679e4af905268e0fb461128583a49b5d9e5d8675d1c9e2fc34c7d3d",
    "uplot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot-1.6.32.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
}
PAGES = [
    *("/", "/glass"),
    *("/orders", "/services/bestmixer/order", "/services/whir/order", "/services/xmrto/order"),
    *("/docs", "/docs/api-btcmix"),
    *("/services", "/services/bestmixer", "/ledger", "/ledger/3"),
    *("/chains", "/chains/btc", "/chains/btc/block/250", "/search?q=1"),
    *(
        "/console",
        "/console/whir",
        "/console/whir/createTransaction",
        "/console/requests",
        "/console/lab",
        "/console/webhooks",
    ),
]


@pytest.fixture
def browser(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.urls["hub"], follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("name", VENDORED)
def test_vendored_files_are_as_published(name: str) -> None:
    file = resources.files("glasstumbler.web.pages") / "static" / "vendor" / name
    assert hashlib.sha256(file.read_bytes()).hexdigest() == VENDORED[name]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_test_network_and_lets_nothing_foreign_in(page: str, browser: httpx.Client) -> None:
    answer = browser.get(page)
    assert answer.status_code == 200
    assert "TEST NETWORK" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert not re.findall(r"""(?:src|href|action)=["']?(?:https?:)?//""", answer.text)
    assert not re.findall(r"<script(?![^>]*\bsrc=)|\bon[a-z]+=|\sstyle=", answer.text)


def test_files_are_kept_for_good_under_their_digest(browser: httpx.Client) -> None:
    urls = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', browser.get("/").text))
    assert len(urls) >= 3
    for url in urls:
        answer = browser.get(url)
        assert "immutable" in answer.headers["cache-control"]
        assert hashlib.sha256(answer.content).hexdigest().startswith(url.split("/")[2])
    assert browser.get("/static/000000000000/glass.css").status_code == 404
    assert browser.get("/static/000000000000/..%2fsite.py").status_code == 404


def test_a_page_that_is_not_there_says_so_as_a_page(browser: httpx.Client) -> None:
    answer = browser.get("/nothing/<script>alert(1)</script>")
    assert answer.status_code == 404
    assert "There is no such page." in answer.text
    assert "<script>alert" not in answer.text


def test_under_another_name_a_page_wants_the_token_once(lab: Lab, browser: httpx.Client) -> None:
    elsewhere = {"host": "laboratory.example"}
    asked = browser.get("/", headers=elsewhere)
    assert asked.status_code == 401
    assert 'name="token"' in asked.text
    wrong = browser.post("/login", data={"token": "guess", "onward": "/"}, headers=elsewhere)
    assert wrong.status_code == 401
    assert "not this laboratory" in wrong.text
    right = browser.post("/login", data={"token": lab.token, "onward": "/orders"}, headers=elsewhere)
    assert (right.status_code, right.headers["location"]) == (303, "/orders")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert lab.token not in cookie
    assert browser.get("/", headers=elsewhere).status_code == 200


def test_a_page_of_another_origin_signs_nobody_in(lab: Lab, browser: httpx.Client) -> None:
    foreign = {"origin": "https://other.example"}
    assert browser.post("/login", data={"token": lab.token}, headers=foreign).status_code == 401


@pytest.mark.parametrize(
    ("given", "onward"),
    [
        ("/orders?x=1", "/orders?x=1"),
        ("//other.example/", "/"),
        ("/\\other.example", "/"),
        ("https://other.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ("/a\r\nset-cookie: x", "/"),
    ],
)
def test_after_signing_in_one_stays_on_this_site(given: str, onward: str) -> None:
    assert access.local(given) == onward
