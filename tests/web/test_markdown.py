"""Markdown as the pages show it."""

from __future__ import annotations

import pytest

from glasstumbler.web.pages.markdown import Section, render, slug


def lead(link: str) -> str | None:
    return {"b.md": "/docs/b", "pictures/c.svg": "/docs/pictures/c.svg", "#here": "#here"}.get(link)


def html(text: str) -> str:
    return render(text, lead).html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[there](b.md)", '<p><a href="/docs/b">there</a></p>\n'),
        ("[`there`](#here)", '<p><a href="#here"><code>there</code></a></p>\n'),
        (
            "[the *source*](../src/x.py) and [there](b.md)",
            '<p>the <em>source</em> and <a href="/docs/b">there</a></p>\n',
        ),
        ("[elsewhere](https://example.org/)", "<p>elsewhere</p>\n"),
        ("![a flow](pictures/c.svg)", '<p><img src="/docs/pictures/c.svg" alt="a flow" /></p>\n'),
        ("![far](https://example.org/a.png)", "<p></p>\n"),
        (
            "[![a flow](pictures/c.svg)](b.md)",
            '<p><a href="/docs/b"><img src="/docs/pictures/c.svg" alt="a flow" /></a></p>\n',
        ),
        ("**[there](b.md)**", '<p><strong><a href="/docs/b">there</a></strong></p>\n'),
    ],
)
def test_links_and_pictures_stay_on_this_site(text: str, shown: str) -> None:
    assert html(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <b onclick=alert(1)>c</b>",
        "[x](javascript:alert(1))",
        "```sh\n</code><script>alert(1)</script>\n```",
        "    <script>alert(1)</script>",
        "| a |\n|---|\n| <script>alert(1)</script> |",
        "# <img src=x onerror=alert(1)>",
        '# "quoted"\n\n| a |\n|---|\n| b |',
    ],
)
def test_html_in_the_text_is_text(text: str) -> None:
    shown = html(text)
    assert not any(tag in shown for tag in ("<script", "<b ", "<img", 'href="java', 'Table: "q'))


def test_a_table_scrolls_in_itself_and_has_no_style_of_its_own() -> None:
    shown = html("## Fees\n\n| a | b |\n|---|--:|\n| 1 | 2 |")
    assert '<div class="scroll" tabindex="0" role="region" aria-label="Table: Fees">' in shown
    assert '<td class="number">2</td>' in shown
    assert "style=" not in shown


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("The document, and what we do", "the-document-and-what-we-do"),
        ("[lab.node.NAME]: nodes of your own", "labnodename-nodes-of-your-own"),
        ("T2 and T8: the payouts of an order", "t2-and-t8-the-payouts-of-an-order"),
    ],
)
def test_anchors_are_those_of_code_hosts(title: str, anchor: str) -> None:
    assert slug(title) == anchor


def test_headings_of_one_name_have_anchors_of_their_own() -> None:
    page = render("# A\n\none\n\n## B\n\ntwo `x`\nthree\n\n## B\n\n```sh\nfour\n```", lead)
    assert page.title == "A"
    assert page.sections == [
        Section("a", 1, "A", "one"),
        Section("b", 2, "B", "two x three"),
        Section("b-1", 2, "B", "four\n"),
    ]
    assert page.contents == page.sections[1:]
    assert '<h2 id="b-1">' in page.html
