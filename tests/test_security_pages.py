"""Whatever a customer, a service or a file says, pages and the terminal show it as text."""

from __future__ import annotations

import re
from contextlib import closing
from html import escape, unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from glasstumbler.dialects import xmrto_pages
from glasstumbler.lab import report, truth
from glasstumbler.lab.customers import Check
from glasstumbler.lab.demo import Outcome
from tests.laboratory import Laboratory

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title><svg/onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;",
    "--><script>alert(1)</script>",
]  # fmt: skip
ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "div",
        "main",
        "h1",
        "h2",
        "p",
        "ul",
        "li",
        "b",
        "figure",
        "pre",
    ),
    *("figcaption", "span", "table", "caption", "thead", "tbody", "tr", "th", "td", "code", "svg", "defs"),
    *("marker", "path", "g", "rect", "text"),
}


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def check_page(page: str) -> None:
    for tag, attributes in Tags(page).seen:
        assert tag in ALLOWED, tag
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style")], tag


@pytest.fixture(scope="module")
def truths() -> list[dict[str, Any]]:
    with closing(Laboratory("btc")) as lab:
        for order in (lab.codes("btc", (600, 400)), lab.codes("btc", (600, 400)), lab.bearer("btcmix", [2_000_000])):
            lab.fund(order)
            lab.settle()
        with lab.house.store.snapshot() as records:
            return [truth.order_truth(records, order) for order in records.all_orders()]


NAMES = frozenset(("service", "order", "address", "txid", "outpoint"))


def poisoned(value: Any, evil: str, field: str = "") -> Any:
    """The same truths, with a hostile text in every name."""
    if isinstance(value, dict):
        return {key: poisoned(inner, evil, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, evil, field) for inner in value]
    if field not in NAMES or not isinstance(value, str):
        return value
    name, colon, index = value.rpartition(":")
    return f"{name[:6]}{evil}:{index}" if colon else f"{value[:6]}{evil}"


@pytest.mark.parametrize("evil", HOSTILE)
def test_the_report_shows_hostile_text_as_text(evil: str, truths: list[dict[str, Any]]) -> None:
    chain = {"coin": evil, "network": evil, "node": evil, "model": False, "height": 3}
    checks = [Check(evil, evil, True), Check(evil, evil, False)]
    page = report.render(Outcome(True, poisoned(truths, evil), checks, [chain], evil, 5), 1)
    check_page(page)
    body = page.partition("</style>")[2]
    assert evil not in body or escape(evil) == evil
    assert evil in unescape(body)


def test_the_report_has_its_policy_within_itself(truths: list[dict[str, Any]]) -> None:
    page = report.render(Outcome(True, truths, [], [], "", 0), 1)
    metas = [attributes for tag, attributes in Tags(page).seen if tag == "meta"]
    (policy,) = (each["content"] for each in metas if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "script" not in policy


@pytest.mark.parametrize("evil", HOSTILE)
def test_the_swap_s_status_page(evil: str) -> None:
    page = xmrto_pages.status_page({"uuid": evil, evil: evil, "list": [evil]}).body.decode()
    check_page(page)
    assert not re.search(r"<(script|img|svg)", page)
