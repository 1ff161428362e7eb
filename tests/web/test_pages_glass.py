"""The glass over HTTP: of orders of any state, on a page that is light and safe."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.web.server import Lab


@pytest.fixture
def browser(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.urls["hub"], timeout=60) as client:
        yield client


def ordered(lab: Lab, slug: str = "whir") -> tuple[str, str]:
    """Name and deposit address of a new order of 0.02 BTC."""
    body = {"delay": "0", "payouts": {lab.address(): "0.02"}}
    name = lab.client(slug).post("/api/createTransaction", json=body).json()["id"]
    return name, lab.hub.get(f"/lab/v1/orders/{slug}/{name}").json()["deposit_address"]


def completed(lab: Lab) -> str:
    name, address = ordered(lab)
    lab.pay("btc", address, "0.1")
    lab.lab("clock/advance", seconds=3600)
    lab.lab("chains/btc/mine", blocks=3)
    return name


def test_a_completed_order_is_shown_whole(lab: Lab, browser: httpx.Client) -> None:
    name = completed(lab)
    page = browser.get(f"/glass/whir/{name}").text
    truth = browser.get(f"/lab/v1/orders/whir/{name}").json()
    assert truth["state"] == "completed"
    assert page.count("<svg") == 2
    txid = truth["payouts"][0]["outpoint"].partition(":")[0]
    assert f'href="/chains/btc/tx/{txid}"' in page
    assert f'href="/chains/btc/address/{truth["deposit_address"]}"' in page
    assert truth["deposits"][0]["outpoint"] in page
    assert "Where the two disagree" in page
    assert len(page.encode()) < 60_000
    assert not re.findall(r"<script(?![^>]*\bsrc=)|\bon[a-z]+=|\sstyle=", page)
    assert f"/glass/whir/{name}" in browser.get("/glass").text


def test_every_line_has_its_boxes_and_every_box_its_words(lab: Lab, browser: httpx.Client) -> None:
    page = browser.get(f"/glass/whir/{completed(lab)}").text
    keys = set(re.findall(r'data-key="([^"]+)"', page))
    assert set(re.findall(r'data-(?:start|end)="([^"]+)"', page)) <= keys
    rows = re.findall(r'data-row="([^"]+)"', page)
    assert len(rows) == len(set(rows))
    assert set(rows) == set(re.findall(r'<tr id="([^"]+)"', page))


def test_an_order_that_is_not_paid_says_what_is_missing(lab: Lab, browser: httpx.Client) -> None:
    name, _ = ordered(lab)
    page = browser.get(f"/glass/whir/{name}").text
    assert "No deposit has come in yet" in page
    assert 'class="box planned"' in page


def test_no_such_order_is_a_page_that_says_so(browser: httpx.Client) -> None:
    for path in ("/glass/whir/nothing", "/glass/nobody/nothing", "/glass/whir/%3Cscript%3E"):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert "<script>" not in answer.text


def test_how_far_back_the_picture_goes_is_bounded(lab: Lab, browser: httpx.Client) -> None:
    name = completed(lab)
    for back in ("6", "9", "99999999999", "-1", "x", "<b>"):
        assert browser.get(f"/glass/whir/{name}", params={"back": back}).status_code == 200
