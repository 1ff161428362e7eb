"""What the glass draws and says, out of a record in which every kind of payout happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from glasstumbler.engine.order import Order
from glasstumbler.lab.truth import order_truth
from glasstumbler.web.pages import flow, ways
from tests.lab.conftest import worked
from tests.laboratory import Laboratory


@pytest.fixture(scope="module")
def lab() -> Iterator[Laboratory]:
    with closing(worked()) as laboratory:
        yield laboratory


def truths(lab: Laboratory) -> list[dict[str, Any]]:
    with lab.house.store.snapshot() as records:
        return [order_truth(records, order) for order in records.all_orders()]


def of(lab: Laboratory, order: Order) -> dict[str, Any]:
    with lab.house.store.snapshot() as records:
        return order_truth(records, lab.now(order))


def test_every_hop_and_origin_is_drawn(lab: Laboratory) -> None:
    for truth in truths(lab):
        graph = ways.custody(truth)
        keys = [node.key for node in graph.nodes]
        assert len(keys) == len(set(keys))
        wanted = {f"out:{index}" for index in range(len(truth["payouts"]))}
        for payout in truth["payouts"]:
            for hop in (payout["custody"] or {}).get("hops", []):
                wanted.add(f"tx:{hop['txid']}")
            wanted |= {origin["outpoint"] for origin in (payout["custody"] or {}).get("origins", [])}
        wanted |= {deposit["outpoint"] for deposit in truth["deposits"]}
        assert wanted <= set(keys)
        assert all({edge.start, edge.end} <= set(keys) for edge in graph.edges)
        picture = flow.draw(graph.nodes, graph.edges, ways.count)
        assert sum(box.stands_for for box in picture.boxes) == len(keys)


def test_each_transaction_is_fed_by_what_it_spends(lab: Laboratory) -> None:
    """Of every chain: an input comes out of a box, be it a coin from outside or a payment before."""
    for truth in truths(lab):
        graph = ways.custody(truth)
        fed = {edge.end for edge in graph.edges}
        for payout in truth["payouts"]:
            for hop in (payout["custody"] or {}).get("hops", []):
                assert f"tx:{hop['txid']}" in fed
        assert {f"out:{index}" for index, payout in enumerate(truth["payouts"]) if payout["custody"]} <= fed


def test_value_flows_from_the_deposit_through_the_order_to_its_payouts(lab: Laboratory) -> None:
    for truth in truths(lab):
        graph = ways.beneficial(truth)
        ways_there = {(edge.start, edge.end) for edge in graph.edges}
        assert {(deposit["outpoint"], "order") for deposit in truth["deposits"]} <= ways_there
        assert {("order", f"out:{index}") for index in range(len(truth["payouts"]))} <= ways_there


def test_lightning_is_paid_through_channels_and_a_swap_by_coins_of_another_chain(lab: Laboratory) -> None:
    swap, lightning = [truth for truth in truths(lab) if truth["service"] == "xmrto"]
    (channel,) = ways.lessons(lightning)
    assert "Lightning channels" in channel.coins
    assert "channel" in {node.key for node in ways.custody(lightning).nodes}
    (crossed,) = ways.lessons(swap)
    assert crossed.agree is False
    assert "none could: they are on two chains" in crossed.coins
    assert "the service's float" in crossed.coins


def test_where_the_two_disagree_is_said_in_words(lab: Laboratory) -> None:
    seen = set()
    for truth in truths(lab):
        made = [payout["custody"] for payout in truth["payouts"] if payout["custody"]]
        met = {found["hops_between"] is not None for found in made}
        said = [lesson for lesson in ways.lessons(truth) if lesson.agree is not None]
        assert {lesson.agree for lesson in said} == met
        assert all(("No coin" in lesson.coins) is (lesson.agree is False) for lesson in said)
        seen |= met
    assert seen == {True, False}


def test_an_order_shows_to_whom_its_own_coin_went() -> None:
    """The second order is paid with the first one's deposit."""
    tables = {"btcmix": {"coins": {"btc": {"float_pieces": 1, "float_amount": 1_000_000}}}}
    with closing(Laboratory("btc", tables=tables)) as lab:
        first = lab.bearer("btcmix", [900_000])
        lab.fund(first)
        lab.settle("btc")
        second = lab.bearer("btcmix", [800_000])
        lab.fund(second)
        lab.settle("btc")
        truth = of(lab, first)
        (deposit,) = truth["deposits"]
        assert deposit["spent_in"] is not None
        assert deposit["spent_in"]["orders"] == [second.id]
        graph = ways.custody(truth)
        assert f"to:{second.id}" in {node.key for node in graph.nodes}
        theirs = of(lab, second)
        (lesson,) = ways.lessons(theirs)
        assert f"order {ways.name(first.id)}" in lesson.coins


def test_before_it_is_paid_an_order_shows_its_plan() -> None:
    with closing(Laboratory("btc")) as lab:
        order = lab.bearer("whir", [1_000_000, 2_000_000], hours=2)
        truth = of(lab, order)
        assert "No deposit has come in yet" in ways.missing(truth)
        kinds = [node.kind for node in ways.custody(truth).nodes]
        assert kinds == ["planned", "planned"]
        assert {node.kind for node in ways.beneficial(truth).nodes} == {"order", "planned"}
        assert all(lesson.agree is None for lesson in ways.lessons(truth))
        lab.fund(order)
        truth = of(lab, order)
        assert "funded" in ways.missing(truth)
        kinds = [node.kind for node in ways.custody(truth).nodes]
        assert kinds == ["planned", "planned", "own"]


def test_a_late_deposit_is_told_from_the_one_that_paid() -> None:
    with closing(Laboratory("btc")) as lab:
        order = lab.bearer("btcmix", [1_000_000])
        lab.fund(order)
        lab.settle("btc")
        lab.fund(order, 400_000)
        truth = of(lab, order)
        assert len(truth["deposits"]) == 2
        graph = ways.beneficial(truth)
        notes = {node.key: node.note for node in graph.nodes}
        late = truth["deposits"][1]["outpoint"]
        assert notes[late] == "deposit, not used"
        assert late not in {edge.start for edge in graph.edges}
