"""The ledger and the services over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from typing import Any

import httpx
import pytest

from glasstumbler.services import ABOUT
from tests.web.server import Lab, wait_for

HOSTILE = ["<script>alert(1)</script>", "9" * 300, "-1", "a\0b", "' OR 1=1 --", "\U0001f600"]


@pytest.fixture
def browser(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.urls["hub"], follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def paid(lab: Lab) -> dict[str, Any]:
    return lab.order_paid("btcmix")


def entries(text: str) -> list[int]:
    return [int(number) for number in re.findall(r'<td><a href="/ledger/(\d+)"', text)]


def test_the_newest_entries_come_first_a_page_at_a_time(browser: httpx.Client, paid: dict[str, Any]) -> None:
    seen: list[int] = []
    where = "/ledger"
    while where:
        text = browser.get(where).text
        seen += entries(text)
        older = re.search(r'href="([^"]*before=\d+)">Older', text)
        where = unescape(older[1]) if older else ""
    assert seen == list(range(seen[0], 0, -1))


def test_entries_of_an_order_and_of_a_service(browser: httpx.Client, paid: dict[str, Any]) -> None:
    of_order = browser.get("/ledger", params={"order": paid["id"]}).text
    assert "payout" in of_order and len(entries(of_order)) >= 4
    assert entries(browser.get("/ledger", params={"order": paid["id"], "service": "btcmix"}).text) == entries(of_order)
    assert "No order is called" in browser.get("/ledger", params={"order": paid["id"], "service": "whir"}).text
    of_service = browser.get("/ledger", params={"service": "btcmix"}).text
    assert set(entries(of_order)) <= set(entries(of_service))
    assert "<td>the laboratory</td>" not in of_service


def test_an_entry_shows_its_balanced_postings_and_its_hash(
    lab: Lab, browser: httpx.Client, paid: dict[str, Any]
) -> None:
    numbers = entries(browser.get("/ledger", params={"order": paid["id"]}).text)
    texts = [browser.get(f"/ledger/{number}").text for number in numbers]
    payout = next(text for text in texts if ": payout</h1>" in text)
    assert f'href="/orders/btcmix/{paid["id"]}"' in payout
    assert '<tr class="sum"><td>Together</td><td class="number">0 BTC</td></tr>' in payout
    assert all("The chain holds here." in text for text in texts)
    own = re.search(r"<dt>Its own hash</dt><dd class=\"mono\">([0-9a-f]{64})", texts[0])
    following = browser.get(f"/ledger/{numbers[0] + 1}").text
    if "Hash of the entry before" in following:
        assert own is not None and f'<dt>Hash of the entry before</dt><dd class="mono">{own[1]}' in following


def test_every_entry_can_be_shown(browser: httpx.Client, paid: dict[str, Any]) -> None:
    last = entries(browser.get("/ledger").text)[0]
    for number in {*range(1, last, max(last // 40, 1)), last}:
        answer = browser.get(f"/ledger/{number}")
        assert answer.status_code == 200
        assert "The chain holds here." in answer.text


@pytest.mark.parametrize("number", ["0", "999999999", "x", "-1", "9" * 100, "%3Cscript%3E"])
def test_an_entry_that_is_not_there_is_said_to_be_missing(number: str, browser: httpx.Client) -> None:
    answer = browser.get(f"/ledger/{number}")
    assert answer.status_code == 404
    assert "no entry of that number" in answer.text


@pytest.mark.parametrize("asked", HOSTILE)
def test_hostile_filters_are_shown_as_text(asked: str, browser: httpx.Client) -> None:
    for name in ("order", "service", "before"):
        answer = browser.get("/ledger", params={name: asked})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    assert browser.get(f"/services/{httpx.QueryParams({'a': asked})}").status_code == 404


def test_services_are_listed_with_what_they_hold(browser: httpx.Client, paid: dict[str, Any]) -> None:
    wait_for("the sums", lambda: "behind the ledger" not in browser.get("/services").text)
    text = browser.get("/services").text
    for slug, about in ABOUT.items():
        assert f'href="/services/{slug}"' in text and about.name in text
    assert re.search(r"\d BTC", text)


def service_page(browser: httpx.Client) -> str:
    wait_for("the sums", lambda: "behind the ledger" not in browser.get("/services/btcmix").text)
    return browser.get("/services/btcmix").text


def turned_over(text: str) -> list[Decimal]:
    """What came in, was paid out, and fees of all days, in BTC: other tests order here too."""
    figure = next(figure for figure in text.split("</figure>") if "BTC per day: the figures as a table" in figure)
    table = figure[figure.index("BTC per day: the figures as a table") :]
    numbers = [Decimal(number) for number in re.findall(r'data-n="([^"]+)"', table)]
    return [sum(numbers[column::4], Decimal()) for column in range(1, 4)]  # the first is the day


def test_a_service_says_how_it_works(browser: httpx.Client, paid: dict[str, Any]) -> None:
    text = service_page(browser)
    assert "The fee is 2 % of what the customer is paid" in text
    assert "It pays with its oldest coins first." in text
    assert "coins on chain" in text and "service fees earned" in text
    assert "BTC per day: the figures as a table" in text


def test_a_service_says_what_it_turned_over(lab: Lab, browser: httpx.Client, paid: dict[str, Any]) -> None:
    before = turned_over(service_page(browser))
    order = lab.order_paid("btcmix")
    after = turned_over(service_page(browser))
    came_in, paid_out = Decimal(str(order["depositAmount"])), Decimal("0.25")
    assert [new - old for old, new in zip(before, after, strict=True)] == [came_in, paid_out, came_in - paid_out]


@pytest.mark.parametrize("slug", ABOUT)
def test_every_service_has_a_page(slug: str, browser: httpx.Client) -> None:
    answer = browser.get(f"/services/{slug}")
    assert answer.status_code == 200
    assert f"<h1>{ABOUT[slug].name}</h1>" in answer.text
