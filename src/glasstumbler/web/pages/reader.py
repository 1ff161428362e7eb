"""The documentation as pages: an index by whom it is for, each page, its pictures, and a search over all of them."""

from __future__ import annotations

import re
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

import glasstumbler
from glasstumbler.errors import UnknownEndpoint
from glasstumbler.web.pages.markdown import Rendered, Section, render
from glasstumbler.web.pages.site import HEADERS, Site

SHELVES: Final = {
    "Start": {
        "start": "Ten minutes: install, order, pay, look through the glass, score a method",
        "faq": "The line that is not crossed, and other questions",
        "glossary": "The words, each in a sentence or two",
    },
    "The services": {
        "services": "How the five differ; what is documented and what is our choice",
        "api-bestmixer": "Codes, shares and delays; four coins",
        "api-btcmix": "The bearer-key family; signed replies",
        "api-coinjoin": "What differs from BtcMix",
        "api-whir": "What differs from BtcMix",
        "api-xmrto": "The swap, versions 2 and 3",
    },
    "For integrators": {
        "integrators": "Try a client of these APIs from the first call to the last confirmation",
        "client": "The Python client, and the fixture for tests",
    },
    "For researchers": {
        "researchers": "From a question to a dataset, a score and a report",
        "tutorial": "From a scenario to a score, with a method of one's own",
        "glass": "What the glass of an order shows",
        "scenarios": "Who orders what in a simulation",
        "methods": "The published methods, and where each fails",
        "scores": "What every measure means",
        "results": "What the methods get here, on a test seed",
        "report": "Scores as one page with figures",
        "exports": "Datasets for other tools",
        "scale": "Chains that no memory holds",
    },
    "For teachers": {"teachers": "Three exercises with answers"},
    "For operators": {
        "terminal": "Orders, links and a live view; JSON; completion",
        "operations": "Status, metrics, log, backup, audit, upgrade",
        "configuration": "Every setting",
        "nodes": "Real node software in place of the chains in the process",
        "performance": "What was measured, and how to measure it again",
    },
    "Inside": {
        "architecture": "The rooms, and an order's way through them",
        "security": "The promises, and how they are held",
        "testing": "What every claim is held against",
    },
}
_ORDER: Final = [name for shelf in SHELVES.values() for name in shelf]
_PICTURES: Final = {"svg": "image/svg+xml", "png": "image/png"}
_CONTRACT = re.compile(r"(?:\.\./)?src/glasstumbler/dialects/(openapi/\w+\.yaml)")
_PAGE = re.compile(r"([\w-]+)\.md(#[\w-]+)?")
_PICTURE = re.compile(r"pictures/([\w-]+\.(?:svg|png))")
_QUERY_MOST: Final = 200
_FOUND_MOST: Final = 30
_AROUND: Final = 90


class Found(NamedTuple):
    page: str
    title: str
    section: Section
    excerpt: list[tuple[str, bool]]
    """Its words, each with whether they were looked for."""


def folder() -> Traversable:
    """The docs that a wheel carries, else those of the checkout."""
    packed = resources.files("glasstumbler.web.pages") / "docs"
    return packed if packed.is_dir() else Path(glasstumbler.__file__).parents[2] / "docs"


class Library:
    """The pages, each rendered once, when it is first asked for."""

    def __init__(self, docs: Traversable) -> None:
        here = {entry.name.removesuffix(".md"): entry for entry in docs.iterdir() if entry.name.endswith(".md")}
        self._files = {name: here[name] for name in (*_ORDER, *sorted(here)) if name in here}
        self._pictures = docs / "pictures"
        self._rendered: dict[str, Rendered] = {}

    @property
    def names(self) -> list[str]:
        """In reading order."""
        return list(self._files)

    def page(self, name: str) -> Rendered:
        if name not in self._files:
            raise UnknownEndpoint("There is no such page of the documentation.")
        if name not in self._rendered:
            self._rendered[name] = render(self._files[name].read_text("utf-8"), self.lead)
        return self._rendered[name]

    def picture(self, name: str) -> tuple[bytes, str]:
        kind, file = _PICTURES.get(name.rpartition(".")[2]), self._pictures / name
        if kind is None or not _PICTURE.fullmatch(f"pictures/{name}") or not file.is_file():
            raise UnknownEndpoint("There is no such picture in the documentation.")
        return file.read_bytes(), kind

    def lead(self, link: str) -> str | None:
        """Where a link of a page leads on this site; None for files of the source, and for elsewhere."""
        if link.startswith("#"):
            return link
        if (page := _PAGE.fullmatch(link)) and page[1] in self._files:
            return f"/docs/{page[1]}{page[2] or ''}"
        if picture := _PICTURE.fullmatch(link):
            return f"/docs/pictures/{picture[1]}"
        if contract := _CONTRACT.fullmatch(link):
            return f"/{contract[1]}"
        return "/docs" if link == "../README.md" else None

    @cached_property
    def shelves(self) -> dict[str, list[tuple[str, str, str]]]:
        """By whom they are for: name, title, what is in it."""
        return {
            shelf: [(name, self.page(name).title, about) for name, about in pages.items() if name in self._files]
            for shelf, pages in SHELVES.items()
        }

    def search(self, query: str) -> list[Found]:
        """Sections that have every word, those with the words in their headings first."""
        words = [word.casefold() for word in query.split()]
        ranked: list[tuple[int, Found]] = []
        for name in self._files if words else ():
            page = self.page(name)
            for section in page.sections:
                title, text = f"{page.title} {section.title}".casefold(), section.text.casefold()
                if all(word in title or word in text for word in words):
                    weight = sum(20 * (word in title) + min(text.count(word), 5) for word in words)
                    ranked.append((weight, Found(name, page.title, section, excerpt(section.text, words))))
        ranked.sort(key=lambda each: -each[0])
        return [found for _, found in ranked[:_FOUND_MOST]]


def excerpt(text: str, words: list[str]) -> list[tuple[str, bool]]:
    """What stands around the first word that is looked for; the beginning where none is."""
    pattern = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    first = pattern.search(text)
    begin = max(0, first.start() - _AROUND) if first else 0
    end = begin + 2 * _AROUND
    before, after = "… " if begin else "", " …" if end < len(text) else ""
    parts = re.split(f"({pattern.pattern})", before + text[begin:end] + after, flags=re.IGNORECASE)
    return [(part, at % 2 == 1) for at, part in enumerate(parts) if part]


def routes(site: Site) -> list[BaseRoute]:
    library = Library(folder())

    async def docs(request: Request) -> Response:
        asked = request.query_params.get("q", "")[:_QUERY_MOST].strip()
        found = await site.in_thread(library.search, asked)
        shelves = await site.in_thread(lambda: library.shelves)
        return site.page(request, "docs.html", section="docs", shelves=shelves, asked=asked, found=found)

    async def doc(request: Request) -> Response:
        name = request.path_params["name"]
        page = await site.in_thread(library.page, name)
        at = library.names.index(name)
        near = [(other, (await site.in_thread(library.page, other)).title) for other in _beside(library.names, at)]
        return site.page(request, "doc.html", section="docs", page=page, before=near[0], after=near[1])

    async def doc_picture(request: Request) -> Response:
        raw, kind = await site.in_thread(library.picture, request.path_params["name"])
        return Response(raw, 200, HEADERS | {"cache-control": "private, max-age=600"}, kind)

    return [
        site.route("/docs", docs),
        site.route("/docs/pictures/{name}", doc_picture),
        site.route("/docs/{name}", doc),
    ]


def _beside(names: list[str], at: int) -> tuple[str, str]:
    """The pages before and after, in a ring."""
    return names[at - 1], names[(at + 1) % len(names)]
