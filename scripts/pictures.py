"""Takes the documentation's pictures of pages: python scripts/pictures.py. Needs Debian's chromium and playwright.

The laboratory's seed and clock are those of glasstumbler.testing, so the same orders are shown each time.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from glasstumbler.testing import Laboratory, running

OUT: Final = Path(__file__).parents[1] / "docs" / "pictures"
SIZE: Final = {"width": 1200, "height": 800}
HOUR: Final = 3600


def order(laboratory: Laboratory) -> tuple[str, str]:
    """At bestmixer, whose smallest coins pay first, so that the first output is made of other customers' coins. Not
    paid yet: its name and where to pay."""
    mixer = laboratory.service("bestmixer").client
    for amount in ("0.3", "0.2"):
        paid(laboratory, mixer.order_create("btc", "1.5", [(laboratory.address(), 100, 60)]).input_address, amount)
    wishes = [(laboratory.address(), "35.5", 0), (laboratory.address(), "64.5", 120)]
    made = mixer.order_create("btc", "2", wishes)
    return made.order_id, made.input_address


def paid(laboratory: Laboratory, address: str, amount: str) -> None:
    laboratory.pay(address, amount)
    laboratory.mine("btc")
    laboratory.mine("btc")


def shoot(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.wait_for_load_state("load")
    page.screenshot(path=OUT / name)


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("chromium is missing (Debian: apt-get install chromium)")
    with running() as laboratory, sync_playwright() as playwright:
        hub = str(laboratory.url).rstrip("/")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        name, address = order(laboratory)
        shoot(page, f"{hub}/orders/bestmixer/{name}", "order-page.png")
        paid(laboratory, address, "0.75")
        laboratory.advance(2 * HOUR)
        laboratory.mine("btc")
        shoot(page, f"{hub}/glass/bestmixer/{name}", "glass-page.png")
        browser.close()


if __name__ == "__main__":
    main()
