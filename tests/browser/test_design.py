"""Every page in every form: no side-scrolling, nothing for axe to find, not too heavy, readable without scripts."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Response

from tests.browser.conftest import PHONE, WIDE, Open

PAGES = [
    *("/", "/nothing"),
    *("/orders", "/services/bestmixer/order", "/services/whir/order", "/services/xmrto/order"),
    *("/glass",),
    *("/docs", "/docs?q=signature", "/docs/api-btcmix", "/docs/architecture"),
    *("/services", "/services/bestmixer", "/ledger", "/ledger/3"),
    *("/chains", "/chains/btc", "/chains/btc/block/250", "/search?q=1"),
    *("/console", "/console/xmrto", "/console/bestmixer", "/console/whir/createTransaction"),
    *("/console/requests", "/console/lab", "/console/webhooks"),
]
SIZES = {"phone": PHONE, "wide": WIDE, "very wide": {"width": 2560, "height": 1200}}
BYTES_MOST = 150_000
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", SIZES)
def test_a_page_fits_its_window(page: str, size: str, browse: Open) -> None:
    shown = browse(page, SIZES[size])
    over = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(page: str, dark: bool, browse: Open) -> None:
    found = Axe().run(browse(page, dark=dark), options={"runOnly": {"type": "tag", "values": WCAG}})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light(page: str, browse: Open) -> None:
    shown = browse("about:blank")
    answers: list[Response] = []
    shown.on("response", lambda answer: answers.append(answer))
    shown.goto(page, wait_until="networkidle")
    sizes = {answer.url: len(answer.body()) for answer in answers if answer.status != 303}
    assert 0 < sum(sizes.values()) <= BYTES_MOST, sizes
