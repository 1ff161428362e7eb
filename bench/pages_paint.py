"""What a page costs a browser: bytes and requests, and the time to its first paint beside a bare page of one line.

Chromium's own performance entries; each load in a context of its own, so nothing is cached; the pages and the bare one
in turn, medians of the rounds.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from glasstumbler.testing import Laboratory, running

ROUNDS, ORDERS = 7, 20
_BARE = b"<!doctype html><html lang=en><meta charset=utf-8><title>bare</title><p>One line."
_ENTRIES = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const [page] = performance.getEntriesByType('navigation');
  const files = performance.getEntriesByType('resource');
  const bytes = [page, ...files].reduce((sum, each) => sum + each.transferSize, 0);
  return {paint: paint ? paint.startTime : null, load: page.loadEventEnd, requests: 1 + files.length, bytes};
}"""


class _Bare(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(_BARE)))
        self.end_headers()
        self.wfile.write(_BARE)

    def log_message(self, *_: Any) -> None:
        """Nothing: what is measured is not told."""


@contextmanager
def _bare() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Bare) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _order(laboratory: Laboratory) -> str:
    """The newest of some orders at whir, all paid out."""
    whir = laboratory.service("whir").client
    made = [whir.create_transaction({laboratory.address(): "0.01"}) for _ in range(ORDERS)]
    for order in made:
        laboratory.pay(order.deposit_address, order.deposit_amount)
    laboratory.mine("btc")
    laboratory.mine("btc")
    return made[-1].id


def _load(browser: Browser, url: str) -> dict[str, float]:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(url, wait_until="load")
        while (found := page.evaluate(_ENTRIES))["paint"] is None:
            page.wait_for_timeout(20)
        return dict(found)
    finally:
        context.close()


def run() -> dict[str, Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is missing (make tools)")
    with running() as laboratory, _bare() as bare, sync_playwright() as playwright:
        order, hub = _order(laboratory), str(laboratory.url).rstrip("/")
        paths = {
            "first page": "/",
            "a service": "/services/whir",
            "its order form": "/services/whir/order",
            "an order": f"/orders/whir/{order}",
            "its glass": f"/glass/whir/{order}",
            "orders": "/orders",
            "a chain": "/chains/btc",
            "the ledger": "/ledger",
            "console": "/console",
            "a page of the docs": "/docs/security",
        }
        urls = {"bare": bare} | {name: hub + path for name, path in paths.items()}
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        rounds = [{name: _load(browser, url) for name, url in urls.items()} for _ in range(ROUNDS + 1)][1:]
        browser.close()
    found = {
        name: {what: median(each[name][what] for each in rounds) for what in ("paint", "load", "requests", "bytes")}
        for name in urls
    }
    _tell(found)
    return {"pages": found}


_HEAD = ("", "requests", "KB", "first paint, ms", "over the bare page", "loaded, ms")


def _tell(found: dict[str, dict[str, float]]) -> None:
    print(f"| {' | '.join(_HEAD)} |\n|---{'|--:' * (len(_HEAD) - 1)}|")
    for name, each in found.items():
        ratio = each["paint"] / found["bare"]["paint"]
        numbers = (f"{each['requests']:.0f}", f"{each['bytes'] / 1000:.1f}", f"{each['paint']:.0f}", f"{ratio:.1f}")
        print(f"| {name} | {' | '.join(numbers)} | {each['load']:.0f} |")
