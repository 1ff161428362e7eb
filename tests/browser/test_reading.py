"""The documentation in Chromium: read on a phone and in the dark, found by its words, walked by its links."""

from __future__ import annotations

import pytest

from glasstumbler.web.pages.reader import Library, folder
from tests.browser.conftest import PHONE, Open

NAMES = Library(folder()).names


def test_no_page_scrolls_sideways_on_a_phone(browse: Open) -> None:
    shown = browse("/docs", PHONE)
    wide = []
    for name in NAMES:
        shown.goto(f"/docs/{name}")
        if shown.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(name)
    assert wide == []


def test_a_wide_table_scrolls_in_itself(browse: Open) -> None:
    shown = browse("/docs/services", PHONE)
    table = shown.locator(".scroll").first
    assert table.evaluate("part => part.scrollWidth > part.clientWidth")


def test_from_the_menu_to_a_section_and_on(browse: Open) -> None:
    shown = browse("/")
    shown.get_by_role("navigation", name="Main").get_by_role("link", name="Docs").click()
    shown.get_by_label("Search the documentation").fill("php signature")
    shown.get_by_role("button", name="Search").click()
    shown.get_by_role("link", name="Signature").first.click()
    assert shown.url.endswith("/docs/api-btcmix#signature")
    shown.get_by_role("navigation", name="On this page").get_by_role("link", name="Errors").click()
    assert shown.url.endswith("#errors")
    shown.get_by_role("article").get_by_role("link", name="CoinJoin", exact=True).click()
    assert shown.get_by_role("heading", level=1).inner_text() == "CoinJoin's API in the laboratory"


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_are_there(dark: bool, browse: Open) -> None:
    shown = browse("/docs", dark=dark)
    for name in NAMES:
        shown.goto(f"/docs/{name}")
        broken = shown.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
        assert broken == [], name
