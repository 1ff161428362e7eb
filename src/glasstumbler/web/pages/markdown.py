"""Markdown as a page of the site: headings with anchors, tables and code that scroll in themselves, links that stay.

HTML in the text is shown as text. A link that leads nowhere here is its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import Any, Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

Lead = Callable[[str], str | None]
"""From a link or picture as written to where it leads on this site; None: nowhere."""

_DEEPEST: Final = 3
_SIDE = re.compile(r"text-align:\s*(\w+)")


class Section(NamedTuple):
    """A heading with what stands under it, up to the next one."""

    anchor: str
    level: int
    title: str
    text: str


class Rendered(NamedTuple):
    title: str
    html: str
    sections: list[Section]

    @property
    def contents(self) -> list[Section]:
        return [section for section in self.sections if 2 <= section.level <= _DEEPEST]


def render(text: str, lead: Lead) -> Rendered:
    tokens = _PARSER.parse(text)
    sections = list(_sections(tokens))
    anchors = iter(section.anchor for section in sections)
    heading = ""
    for at, part in enumerate(tokens):
        if part.type == "heading_open":
            part.attrSet("id", next(anchors))
            heading = _plain(tokens[at + 1])
        elif part.type == "table_open":
            part.meta["label"] = f"Table: {heading}" if heading else "Table"
        elif part.type in ("th_open", "td_open"):
            _align(part)
        elif part.type == "inline":
            _lead(part.children or [], lead)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return Rendered(sections[0].title if sections else "", html, sections)


def slug(title: str) -> str:
    """A heading's anchor, as code hosts make it: links written for them lead to the same place here."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _sections(tokens: list[Token]) -> Iterator[Section]:
    taken: dict[str, int] = {}
    opened: tuple[str, int, str] | None = None
    said: list[str] = []
    for at, part in enumerate(tokens):
        if part.type == "heading_open":
            if opened:
                yield Section(*opened, " ".join(said))
            title = _plain(tokens[at + 1])
            opened, said = (_unique(slug(title), taken), int(part.tag[1:]), title), []
        elif part.type == "inline" and tokens[at - 1].type != "heading_open":
            said.append(_plain(part))
        elif part.type in ("fence", "code_block"):
            said.append(part.content)
    if opened:
        yield Section(*opened, " ".join(said))


def _unique(anchor: str, taken: dict[str, int]) -> str:
    count = taken.get(anchor, 0)
    taken[anchor] = count + 1
    return f"{anchor}-{count}" if count else anchor


def _plain(inline: Token) -> str:
    words = (" " if child.type in ("softbreak", "hardbreak") else child.content for child in inline.children or [])
    return "".join(words).strip()


def _align(cell: Token) -> None:
    """The site allows no style in a page, so that a column to the right is a class."""
    style = _SIDE.search(str(cell.attrs.pop("style", "")))
    if style and style[1] == "right":
        cell.attrSet("class", "number")


def _lead(children: list[Token], lead: Lead) -> None:
    ended: list[bool] = []
    for child in children:
        if child.type == "link_open":
            where = lead(str(child.attrGet("href")))
            ended.append(where is None)
            _point(child, "href", where)
        elif child.type == "link_close":
            child.hidden = ended.pop()
        elif child.type == "image":
            _point(child, "src", lead(str(child.attrGet("src"))))
    children[:] = [child for child in children if not child.hidden]


def _point(part: Token, attribute: str, where: str | None) -> None:
    if where is None:
        part.hidden = True
    else:
        part.attrSet(attribute, where)


# -- how some things are written --------------------------------------------------------------------------------------


def _table(renderer: Any, tokens: list[Token], at: int, *_: Any) -> str:
    label = escape(tokens[at].meta["label"])
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">\n<table>\n'


def _table_end(*_: Any) -> str:
    return "</table>\n</div>\n"


def _code(renderer: Any, tokens: list[Token], at: int, *_: Any) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'


def _parser(rules: Iterable[tuple[str, Callable[..., str]]]) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    for name, rule in rules:
        parser.add_render_rule(name, rule)
    return parser


_PARSER: Final = _parser([("table_open", _table), ("table_close", _table_end), ("fence", _code), ("code_block", _code)])
