"""The documentation in the pages: all of it, no dead link in it, and found by its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from glasstumbler.web.pages.reader import SHELVES, Library, excerpt, folder
from tests.web.server import Lab

DOCS = Path(__file__).parents[2] / "docs"
NAMES = sorted(path.stem for path in DOCS.glob("*.md"))
LIBRARY = Library(DOCS)


@pytest.fixture
def browser(lab: Lab) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=lab.urls["hub"], follow_redirects=False) as client:
        yield client


def test_every_page_stands_on_a_shelf() -> None:
    placed = [name for shelf in SHELVES.values() for name in shelf]
    assert len(placed) == len(set(placed))
    assert set(NAMES) <= set(placed)
    assert sorted(LIBRARY.names) == NAMES


def test_a_checkout_shows_its_own_docs() -> None:
    assert folder().joinpath("security.md").read_text("utf-8") == (DOCS / "security.md").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_no_link_of_a_page_is_dead(name: str) -> None:
    """As written: each leads to a page with that anchor, to a picture, or to a file of the source."""
    text = re.sub(r"^```.*?^```", "", (DOCS / f"{name}.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        where, _, anchor = link.partition("#")
        target = DOCS / where if where else DOCS / f"{name}.md"
        assert target.exists(), link
        if target.parent.resolve() == DOCS.resolve() and anchor:
            assert anchor in {section.anchor for section in LIBRARY.page(target.stem).sections}, link


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_shown_and_its_links_answer(name: str, browser: httpx.Client) -> None:
    answer = browser.get(f"/docs/{name}")
    assert answer.status_code == 200
    assert f"<title>{LIBRARY.page(name).title}" in unescape(answer.text)
    assert not re.findall(r"<script(?![^>]*\bsrc=)|\bon[a-z]+=\"|\sstyle=", answer.text)
    article = answer.text[answer.text.index("<article>") : answer.text.index("</article>")]
    for link in {unescape(link.partition("#")[0]) for link in re.findall(r'(?:href|src)="([^"]+)"', article)} - {""}:
        assert browser.get(link).status_code == 200, link


def test_the_index_names_every_page(browser: httpx.Client) -> None:
    index = browser.get("/docs").text
    assert [name for name in NAMES if f'href="/docs/{name}"' not in index] == []


@pytest.mark.parametrize("path", ["/docs/nothing", "/docs/pictures/none.svg", "/docs/pictures/..%2fsecurity.md"])
def test_what_is_not_there_is_said_to_be_not_there(path: str, browser: httpx.Client) -> None:
    assert browser.get(path).status_code == 404


def test_a_search_finds_the_section_with_all_words() -> None:
    found = LIBRARY.search("PHP signature")
    assert (found[0].page, found[0].section.anchor) == ("api-btcmix", "signature")
    assert LIBRARY.search("signature wombat") == []
    assert LIBRARY.search("  ") == []


def test_an_excerpt_marks_the_words() -> None:
    assert excerpt("Pay, then mine.", ["mine"]) == [("Pay, then ", False), ("mine", True), (".", False)]
    assert excerpt("none here", ["(*"]) == [("none here", False)]
    long = excerpt("a" * 500 + " Mine " + "b" * 500, ["mine"])
    assert long[0][0].startswith("… a")
    assert long[1] == ("Mine", True)
    assert long[2][0].endswith("b …")


def test_a_search_is_shown_and_hostile_words_are_text(browser: httpx.Client) -> None:
    page = browser.get("/docs", params={"q": "haircut"}).text
    assert 'href="/docs/methods#taint-haircut"' in page
    assert "<mark>" in page
    hostile = browser.get("/docs", params={"q": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in hostile
    assert browser.get("/docs", params={"q": "x" * 5000}).status_code == 200
