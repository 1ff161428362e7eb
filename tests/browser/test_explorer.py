"""The explorer by clicks alone: from the first page to a block, a transaction, an address and the order behind it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, WIDE, Open
from tests.web.server import Lab


@pytest.fixture(scope="module")
def paid(lab: Lab) -> dict[str, Any]:
    """An order of whir's, paid out in the newest blocks."""
    with lab.client("whir") as client:
        body = {"delay": "0", "payouts": {lab.address(): "0.25", lab.address(): "0.5"}}
        order: dict[str, Any] = client.post("/api/createTransaction", json=body).json()
    order["deposit"] = lab.pay("btc", order["depositAddress"], order["depositAmount"])
    lab.lab("chains/btc/mine", blocks=1)
    return order


@pytest.mark.parametrize(("size", "dark", "scripts"), [(WIDE, False, True), (PHONE, True, True), (WIDE, False, False)])
def test_from_home_to_a_block_to_an_address_to_the_order(
    size: Any, dark: bool, scripts: bool, browse: Open, paid: dict[str, Any]
) -> None:
    page = browse("/", size, dark=dark, scripts=scripts)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Explorer").click()
    page.get_by_role("heading", name="BTC").get_by_role("link").click()
    blocks = page.get_by_role("region", name="Blocks of BTC")
    blocks.get_by_role("row").filter(has_text=re.compile(r"\d\d:\d\d:\d\d\s+2\s")).first.get_by_role("link").click()
    page.get_by_role("region", name="Transactions of the block").get_by_role("row").nth(2).get_by_role(
        "link"
    ).first.click()
    expect(page.get_by_role("heading", name="Transaction", exact=True)).to_be_visible()
    page.locator("#inputs ~ ul a.mono").first.click()
    expect(page.get_by_role("heading", name="Address", exact=True)).to_be_visible()


def test_a_search_goes_to_what_is_called_so(browse: Open, paid: dict[str, Any]) -> None:
    page = browse("/chains")
    field = page.get_by_role("searchbox")
    field.fill(paid["deposit"])
    field.press("Enter")
    expect(page).to_have_url(re.compile(f"/chains/btc/tx/{paid['deposit']}"))
    page.locator("a.mark.deposit").click()
    expect(page).to_have_url(re.compile(f"/orders/whir/{paid['id']}"))


def test_a_search_for_nothing_known_shows_hostile_words_as_text(browse: Open) -> None:
    page = browse("/chains")
    field = page.get_by_role("searchbox")
    field.fill("<img src=x onerror=alert(1)>")
    field.press("Enter")
    expect(page.locator("main code").first).to_have_text("<img src=x onerror=alert(1)>")


def test_the_ledger_leads_to_an_entry_and_on(browse: Open, paid: dict[str, Any]) -> None:
    page = browse("/ledger")
    page.get_by_label("Order", exact=True).fill(paid["id"])
    page.get_by_role("button", name="Show").click()
    page.get_by_role("row").filter(has_text="payout").get_by_role("link").first.click()
    expect(page.get_by_text("The chain holds here.")).to_be_visible()


def test_charts_are_drawn_and_their_tables_say_the_same(browse: Open, paid: dict[str, Any]) -> None:
    page = browse("/services/whir")
    figures = page.locator("figure.chart")
    expect(page.locator("figure.chart canvas")).to_have_count(figures.count())
    assert figures.count() >= 3
    first = page.locator("figure.chart canvas").first
    assert first.evaluate("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)")
    page.set_viewport_size(PHONE)
    page.wait_for_function("document.querySelector('figure.chart canvas').clientWidth <= 360")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.locator("figure.chart summary").first.click()
    expect(page.locator("figure.chart table").first).to_be_visible()


def test_without_scripts_the_figures_are_tables(browse: Open, paid: dict[str, Any]) -> None:
    page = browse("/services/whir", scripts=False)
    page.locator("figure.chart summary").first.click()
    expect(page.locator("figure.chart table").first).to_be_visible()
