"""The page: whole in itself, the same again, and nothing that a service said gets in as markup."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from glasstumbler.errors import StoreError
from glasstumbler.lab import picture, report, truth
from glasstumbler.lab.customers import Check
from glasstumbler.lab.demo import Outcome
from tests.laboratory import Laboratory


@pytest.fixture(scope="module")
def truths() -> list[dict[str, Any]]:
    with closing(Laboratory("btc", "xmr", "lightning")) as lab:
        orders = [lab.codes("btc", (600, 400)), lab.codes("btc", (600, 400)), lab.bearer("btcmix", [2_000_000])]
        orders += [lab.swap(2_000_000), lab.swap_lightning(50_000)]
        for order in orders:
            lab.fund(order)
            lab.settle()
        with lab.house.store.snapshot() as records:
            return [truth.order_truth(records, order) for order in records.all_orders()]


def outcome(truths: list[dict[str, Any]], letter: str = "LETTER") -> Outcome:
    chain = {"coin": "btc", "network": "regtest", "node": "in-process", "model": False, "height": 3}
    return Outcome(True, truths, [Check("whir", "HMAC of x", True)], [chain], letter, 5)


def test_the_page_asks_for_nothing_and_is_the_same_again(truths: list[dict[str, Any]]) -> None:
    page = report.render(outcome(truths), 1)
    assert page == report.render(outcome(truths), 1)
    assert not re.findall(r"https?:|<script|<link|<img|@import|url\((?!#)", page)
    assert "TEST NETWORKS ONLY" in page
    assert "prefers-color-scheme: dark" in page


def test_every_payout_stands_in_it_in_full(truths: list[dict[str, Any]]) -> None:
    page = report.render(outcome(truths), 1)
    payouts = [payout["outpoint"] for each in truths for payout in each["payouts"]]
    assert len(payouts) == 7
    assert all(f'title="{outpoint}"' in page for outpoint in payouts)


def test_text_from_outside_is_text(truths: list[dict[str, Any]]) -> None:
    page = report.render(outcome(truths, "<b>letter</b>"), 1)
    assert "<b>letter</b>" not in page
    assert "&lt;b&gt;letter&lt;/b&gt;" in page


def test_the_picture_is_of_an_order_that_others_paid_for(truths: list[dict[str, Any]]) -> None:
    drawn = picture.choose(truths)
    assert drawn["service"] == "bestmixer"
    value, coins = (ElementTree.fromstring(draw(drawn)) for draw in (picture.beneficial, picture.custody))
    names = [[element.text or "" for element in svg.iter("title")] for svg in (value, coins)]
    payouts = {payout["outpoint"] for payout in drawn["payouts"]}
    assert all(payouts <= set(each) for each in names)
    assert len(list(value.iter("path"))) == 1 + len(payouts) + 1  # with the arrow's tip
    assert [svg for svg in coins.iter("g") if svg.get("class") == "box other"]


def test_a_long_column_is_counted_at_its_end(truths: list[dict[str, Any]]) -> None:
    drawn = picture.choose(truths)
    payout = drawn["payouts"][0]
    origin = payout["custody"]["origins"][0]
    more = [{**origin, "outpoint": f"{number:064x}:0", "order": None} for number in range(20)]
    long = {**drawn, "payouts": [{**payout, "custody": {**payout["custody"], "origins": more}}]}
    assert re.search(r"and \d+ more", picture.custody(long))


def test_a_page_that_cannot_be_written_is_one_clear_error(truths: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        report.write(outcome(truths), 1, tmp_path / "file" / "report.html")
