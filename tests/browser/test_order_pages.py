"""Orders by clicks alone, from the form to the glass: with scripts and without, on a phone, in the dark, across a
restart of the server, with hostile text in every field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from glasstumbler.web.pages.orders import forms
from tests.browser.conftest import PHONE, Open
from tests.browser.test_design import WCAG
from tests.test_security_pages import HOSTILE
from tests.web.server import NO_LIMITS, laboratory

WAYS = [(slug, way.name) for slug, ways in forms.WAYS.items() for way in ways]
FIRSTS = [(slug, ways[0].name) for slug, ways in forms.WAYS.items()]
ROUNDS = 6


def fill(page: Page, way: str) -> None:
    """The way's form with what it cannot have from the beginning."""
    if page.locator(f"#way-{way}").count():
        page.click(f"#way-{way}")
        expect(page.locator(f"#way-{way}")).to_have_attribute("aria-pressed", "true")
    if way == "invoice":
        page.click("#invoice")
        expect(page.locator("#ln_invoice")).to_have_value(re.compile("lnbcrt"))
    elif way == "url":
        page.click("#pp-request")
        expect(page.locator("#pp_url")).to_have_value(re.compile("/lab/v1/bip70"))
    else:
        page.click("#fresh")
        for field in page.locator("[name=address], [name=btc_dest_address]").all():
            expect(field).to_have_value(re.compile("^bcrt1"))


def order(page: Page, way: str) -> None:
    fill(page, way)
    page.click("#place")
    expect(page.locator(".headline")).to_contain_text("Waiting for your deposit")


def act(page: Page, name: str, says: str) -> None:
    page.click(f"#hand-{name}")
    expect(page.locator("#last-act")).to_contain_text(says)


def finish(page: Page) -> None:
    """Pay, mine and let time pass, as the page says, until all is paid out."""
    act(page, "pay", "The lab sent")
    for _ in range(ROUNDS):
        act(page, "mine", "Mined")
        if page.locator(".state.completed").count():
            break
        act(page, "hour", "An hour has passed")
    expect(page.locator(".headline")).to_contain_text("Paid out")


@pytest.mark.parametrize(("slug", "way"), WAYS)
def test_from_the_form_to_the_glass(slug: str, way: str, browse: Open) -> None:
    page = browse("/")
    page.get_by_role("link", name=re.compile("^Make an order at")).nth(list(forms.WAYS).index(slug)).click()
    order(page, way)
    finish(page)
    name = page.url.rpartition("/")[2]
    page.click("#glass")
    page.wait_for_url(f"**/glass/{slug}/{name}")
    expect(page.locator("h1")).to_contain_text(name)


@pytest.mark.parametrize(("slug", "way"), FIRSTS)
def test_without_scripts_on_a_phone_in_the_dark(slug: str, way: str, browse: Open) -> None:
    page = browse(f"/services/{slug}/order", PHONE, dark=True, scripts=False)
    order(page, way)
    act(page, "short", "The lab sent")
    expect(page.locator(".headline")).to_contain_text("Not enough has come in")
    finish(page)


@pytest.mark.parametrize(("slug", "way"), FIRSTS)
@pytest.mark.parametrize("dark", [False, True])
def test_order_pages_fit_a_phone_and_axe_finds_nothing(slug: str, way: str, dark: bool, browse: Open) -> None:
    page = browse(f"/services/{slug}/order", PHONE, dark=dark)
    order(page, way)
    for paid in (False, True):
        if paid:
            act(page, "pay", "The lab sent")
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
        assert found.violations_count == 0, found.generate_report()


def test_the_form_is_checked_as_one_types(browse: Open) -> None:
    page = browse("/services/bestmixer/order")
    fill(page, "shares")
    page.locator("#fee").fill("9")
    expect(page.locator("#note-fee")).to_contain_text("the fee goes from 1.0000 to 5.0000 percent")
    expect(page.locator("#fee")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#fee")).to_be_focused()
    page.locator("#fee").fill("2")
    expect(page.locator("#note-fee")).to_be_empty()
    expect(page.locator("#cost")).to_contain_text("You send")
    expect(page.locator("#fee")).not_to_have_attribute("aria-invalid", "true")
    page.locator("#address-0").fill("1BoatSLRHtKNngkdXEeobR76b53LETtpyT")
    expect(page.locator("#note-address-0")).to_contain_text("test")


def test_another_coin_moves_the_bounds_of_the_fee(browse: Open) -> None:
    page = browse("/services/bestmixer/order")
    page.click("#way-amounts")
    expect(page.locator("#way-amounts")).to_have_attribute("aria-pressed", "true")
    slider = page.locator("[data-slides=fee]")
    assert slider.get_attribute("min") == "1.0"
    page.locator("#coin").select_option("ltc")
    expect(slider).to_have_attribute("min", "3.0")
    expect(page.locator("#amount-0 + .unit")).to_have_text("LTC")
    page.locator("#coin").select_option("btc")
    expect(slider).to_have_attribute("min", "1.0")
    expect(page.locator("#amount-0 + .unit")).to_have_text("BTC")


def test_shares_stay_a_hundred_percent(browse: Open) -> None:
    page = browse("/services/bestmixer/order")
    page.click("#add")
    expect(page.locator("#percent-2")).to_have_value("33.3")
    page.locator("[data-slides=percent-0]").fill("90")
    shares = [float(page.locator(f"#percent-{row}").input_value()) for row in range(3)]
    assert shares[0] == 90
    assert round(sum(shares), 6) == 100
    page.locator("[data-slides=percent-0]").fill("100")
    shares = [float(page.locator(f"#percent-{row}").input_value()) for row in range(3)]
    assert min(shares) > 0 and round(sum(shares), 6) == 100
    page.locator("[data-slides=delay-0]").fill("7")
    expect(page.locator("#delay-0")).to_have_value("90")


def test_the_page_is_live_and_keeps_its_focus(browse: Open) -> None:
    page = browse("/services/whir/order")
    order(page, "amounts")
    other = browse("/orders")
    other.goto(page.url)
    page.locator("#told > summary").click()
    page.locator("#hand-hour").focus()
    act(other, "pay", "The lab sent")
    expect(page.locator(".headline")).to_contain_text("Your deposit is on its way")
    expect(page.locator("#hand-hour")).to_be_focused()
    expect(page.locator("#told")).to_have_attribute("open", "")
    expect(page.locator("#summary")).to_contain_text("Your deposit is on its way. 1 confirmation still missing")
    expect(page).to_have_title(re.compile("Your deposit is on its way"))


def test_a_button_does_not_reload_the_page(browse: Open) -> None:
    page = browse("/services/btcmix/order")
    order(page, "amounts")
    page.evaluate("document.title = document.title + '!'")
    act(page, "mine", "Mined")
    expect(page).to_have_title(re.compile("!$"))


def test_the_server_restarts_in_the_middle(tmp_path: Path, browse: Open) -> None:
    with laboratory(tmp_path / "data", extra=NO_LIMITS) as first:
        hub = first.urls["hub"]
        page = browse("/services/xmrto/order", hub=hub)
        order(page, "address")
    port = hub.rpartition(":")[2]
    with laboratory(tmp_path / "data", "--port", port, extra=NO_LIMITS) as second:
        assert second.urls["hub"] == hub
        name = page.url.rpartition("/")[2]
        second.hub.post(f"/orders/xmrto/{name}/do", data={"act": "pay"})
        expect(page.locator(".headline")).not_to_contain_text("Waiting for your deposit", timeout=30_000)
        for _ in range(ROUNDS):
            act(page, "mine", "Mined")
            if page.locator(".state.completed").count():
                break
        expect(page.locator(".headline")).to_contain_text("Paid out")


@pytest.mark.parametrize(("slug", "way"), FIRSTS)
def test_hostile_text_in_every_field(slug: str, way: str, browse: Open) -> None:
    page = browse(f"/services/{slug}/order")
    page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
    for evil in HOSTILE:
        fields = page.locator(".ordering input:not([type=hidden]):not([type=range]), .ordering textarea")
        for field in fields.all():
            field.fill(evil)
        page.keyboard.press("Tab")
        page.click("#place")
        expect(page.locator(".note:not(:empty)").first).to_be_visible()
        assert page.locator("[onerror], [onload], [onmouseover], img[src=x]").count() == 0


@pytest.mark.parametrize("dark", [False, True])
def test_the_swap_s_own_page_for_people(dark: bool, browse: Open) -> None:
    page = browse("/services/xmrto/order", PHONE, dark=dark)
    order(page, "address")
    name = page.url.rpartition("/")[2]
    page.goto(f"/xmrto/nojs/status/{name}")
    expect(page.locator("body")).to_contain_text("TEST NETWORK")
    expect(page.locator(".state")).to_contain_text("UNPAID")
    expect(page.locator(".state svg")).to_be_visible()
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0
