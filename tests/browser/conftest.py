"""Debian's Chromium on a running laboratory. Every page is watched: an error in its console, or a request to elsewhere,
fails the test that caused it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.web.server import NO_LIMITS, Lab, laboratory

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
Open = Callable[..., Page]
PHONE = {"width": 360, "height": 780}
WIDE = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """For all tests that order, pay and mine, and do not mind what others ordered."""
    with laboratory(tmp_path_factory.mktemp("lab") / "data", extra=NO_LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For a module only: while it lives, this thread has an event loop that runs, which no other test can do with."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (make tools)")
    with sync_playwright() as playwright:
        # Without Chromium's own sandbox, which the user root may not use; it opens our own pages only.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium: Browser, lab: Lab) -> Iterator[Open]:
    """A page of the hub: its size, its theme, with scripts or without; `hub` another server's address."""
    made: list[Any] = []
    wrong: list[str] = []

    def browse(path: str = "/", size: Any = None, dark: bool = False, scripts: bool = True, hub: str = "") -> Page:
        base = hub or lab.urls["hub"]
        scheme = "dark" if dark else "light"
        context = chromium.new_context(
            base_url=base, viewport=size or WIDE, color_scheme=scheme, java_script_enabled=scripts
        )
        made.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: _hear(said, wrong))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: _see(asked, base, wrong))
        page.goto(path)
        return page

    yield browse
    for context in made:
        context.close()
    assert not wrong


_NO_FAULT = (
    "Failed to load resource",  # a status; tests look at those
    "htmx:sendAbort",  # a form was sent while it was still being checked ...
    "htmx:afterRequest",  # ... which htmx says twice
)


def _hear(said: ConsoleMessage, wrong: list[str]) -> None:
    if said.type == "error" and not any(known in said.text for known in _NO_FAULT):
        wrong.append(said.text)


def _see(asked: Request, base: str, wrong: list[str]) -> None:
    if not asked.url.startswith((base, "data:")):
        wrong.append(f"asked for {asked.url}")
