"""The glass in a browser: by keyboard, zoomed and dragged, on a phone, in the dark, without scripts, for everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from glasstumbler.web.background import served
from tests.browser.conftest import PHONE, Open
from tests.browser.test_design import WCAG
from tests.lab.conftest import worked
from tests.laboratory import Laboratory

T = TypeVar("T")
HOSTILE = "<script>alert(1)<script>\"'&"
SERVICES = ("coinjoin", "whir", "bestmixer", "xmrto")


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[Laboratory, str]]:
    """A laboratory with an order of every kind, long past, and the hub that shows it."""
    with closing(elsewhere(_long_past)) as lab, served(lab.house, turning=False) as serving:
        yield lab, serving.url("hub")


def elsewhere(work: Callable[[], T]) -> T:
    """In another thread: in this one Playwright's event loop runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def _long_past() -> Laboratory:
    lab = worked()
    lab.house.advance(7200)
    lab.settle()
    return lab


def glass(lab: Laboratory, slug: str) -> str:
    order = next(order for order in lab.orders() if order.service == slug)
    return f"/glass/{slug}/{order.id}"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.dataset.key || ''"))


def chosen(page: Page) -> str:
    return str(page.locator("#panel").inner_text())


def test_arrow_keys_go_along_the_lines_and_enter_tells(house: tuple[Laboratory, str], browse: Open) -> None:
    lab, hub = house
    page = browse(glass(lab, "coinjoin"), hub=hub)
    boxes = page.locator("[data-flow=value] .box")
    boxes.first.focus()
    start = focused(page)
    page.keyboard.press("ArrowRight")
    assert focused(page) == "order"
    page.keyboard.press("ArrowRight")
    ends = focused(page)
    assert ends not in (start, "order")
    page.keyboard.press("ArrowDown")
    assert focused(page) not in (ends, "order")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert focused(page) == "order"
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_visible()
    assert "Comes from" in chosen(page)
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert focused(page) == start


def test_each_picture_is_one_stop_for_the_tab_key(house: tuple[Laboratory, str], browse: Open) -> None:
    lab, hub = house
    page = browse(glass(lab, "coinjoin"), hub=hub)
    stops = page.evaluate(
        "[...document.querySelectorAll('.flow')].map(f => f.querySelectorAll('.box[tabindex=\"0\"]').length)"
    )
    assert stops == [1, 1]


def test_a_click_tells_of_a_box_and_links_to_its_pages(house: tuple[Laboratory, str], browse: Open) -> None:
    lab, hub = house
    page = browse(glass(lab, "whir"), hub=hub)
    page.locator("[data-flow=coins] .box.payout").first.click()
    panel = page.locator("#panel")
    expect(panel).to_be_visible()
    assert panel.get_by_role("link", name="transaction").get_attribute("href", timeout=5000) is not None
    assert "/chains/btc/address/" in str(panel.get_by_role("link", name="payout address").get_attribute("href"))
    assert page.url.endswith(glass(lab, "whir"))


def test_buttons_the_wheel_and_a_drag_move_the_picture(house: tuple[Laboratory, str], browse: Open) -> None:
    lab, hub = house
    page = browse(glass(lab, "bestmixer"), hub=hub)
    picture, view = page.locator("[data-flow=coins] svg"), page.locator("[data-flow=coins] .view")

    def width() -> float:
        return float(picture.get_attribute("width") or 0)

    before = width()
    page.locator("[data-flow=coins] [data-zoom=in]").click()
    assert width() > before
    page.locator("[data-flow=coins] [data-zoom=out]").click()
    assert width() == pytest.approx(before)
    view.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    page.wait_for_function(f"Number(document.querySelector('[data-flow=coins] svg').getAttribute('width')) > {before}")
    scrolled = view.evaluate("view => view.scrollLeft")
    place = view.bounding_box()
    assert place is not None
    x, y = place["x"] + 30, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 25, y, steps=3)
    page.mouse.up()
    assert view.evaluate("view => view.scrollLeft") > scrolled
    page.locator("[data-flow=coins] [data-zoom=fit]").click()
    assert width() <= place["width"]


@pytest.mark.parametrize("slug", SERVICES)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_in_any_glass(slug: str, dark: bool, house: tuple[Laboratory, str], browse: Open) -> None:
    lab, hub = house
    page = browse(glass(lab, slug), dark=dark, hub=hub)
    page.locator("#words").evaluate("words => words.open = true")
    page.locator("[data-flow=coins] .box").first.click()
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("dark", [False, True])
def test_two_fingers_zoom_on_a_phone_and_axe_finds_nothing_then(
    dark: bool, house: tuple[Laboratory, str], browse: Open
) -> None:
    lab, hub = house
    page = browse(glass(lab, "bestmixer"), PHONE, dark=dark, hub=hub)
    picture, view = page.locator("[data-flow=coins] svg"), page.locator("[data-flow=coins] .view")
    view.scroll_into_view_if_needed()
    before, place = float(picture.get_attribute("width") or 0), view.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    device = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 30), ("touchMove", 50), ("touchMove", 90), ("touchEnd", 0)):
        points = [{"x": x + way * apart, "y": y, "id": way + 1} for way in (-1, 1)] if apart else []
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_function(
        f"Number(document.querySelector('[data-flow=coins] svg').getAttribute('width')) > {before * 2}"
    )
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("slug", SERVICES)
def test_a_phone_shows_both_pictures_without_side_scrolling(
    slug: str, house: tuple[Laboratory, str], browse: Open
) -> None:
    lab, hub = house
    page = browse(glass(lab, slug), PHONE, hub=hub)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    tops = [box["y"] for name in ("value", "coins") if (box := page.locator(f"[data-flow={name}]").bounding_box())]
    assert tops[1] > tops[0] + 50


def test_without_scripts_the_picture_stands_still_and_its_boxes_are_links(
    house: tuple[Laboratory, str], browse: Open
) -> None:
    lab, hub = house
    page = browse(glass(lab, "coinjoin"), scripts=False, hub=hub)
    expect(page.locator("[data-flow=value] svg")).to_be_visible()
    expect(page.locator("[data-flow=value] .tools")).to_be_hidden()
    box = page.locator("[data-flow=coins] a.box.payout").first
    target = str(box.get_attribute("href"))
    box.click()
    page.wait_for_url(f"**{target}")


def test_hostile_names_stay_text(house: tuple[Laboratory, str], browse: Open) -> None:
    lab, hub = house
    page = browse(f"/glass/{quote(HOSTILE, safe='')}/{quote(HOSTILE, safe='')}", hub=hub)
    assert "no order of this name" in page.inner_text("main")
    assert page.locator("main script").count() == 0
    order = elsewhere(lambda: lab.bearer("btcmix", [1_000_000], ref=HOSTILE))
    page.goto(f"/glass/btcmix/{order.id}?back={quote(HOSTILE)}")
    assert "No deposit has come in yet" in page.inner_text("main")
    assert page.locator("main script").count() == 0
