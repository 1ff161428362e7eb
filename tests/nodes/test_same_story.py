"""One story on in-process chains and on real nodes: the same orders, the same entries, the same links.

Different by nature, and left out: txids and what is made of them (raw bytes, digests), and heights, since a real chain
has blocks of its own before the story begins (channels, the faucet's first coins). Lightning's routing fee is each
network's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from glasstumbler.engine.order import Order
from glasstumbler.lab import truth
from glasstumbler.nodes.running import INSTALLED
from glasstumbler.place import NodeKind
from tests.laboratory import Laboratory
from tests.test_house_orders import HOUR

pytestmark = [
    pytest.mark.skipif(not INSTALLED.exists(), reason="no node software: `make nodes` installs it"),
    pytest.mark.timeout(1200),
]
CHAINS = ("btc", "bch", "ltc", "eth", "xmr", "lightning")
OPEN: tuple[Callable[[Laboratory], Order], ...] = (
    lambda lab: lab.bearer("btcmix", [400_000, 600_000]),
    lambda lab: lab.bearer("coinjoin", 3),
    lambda lab: lab.bearer("whir", [500_000], hours=2),
    lambda lab: lab.codes("btc", (250, 750), minutes=30),
    lambda lab: lab.codes("bch", amounts=[1_000_000, 500_000]),
    lambda lab: lab.codes("ltc", (400, 600), minutes=10),
    lambda lab: lab.codes("eth", (505, 295, 200), minutes=30),
    lambda lab: lab.swap(20_000_000),
    lambda lab: lab.swap_lightning(500_000),
)
_NAMES_OF_CHAINS = frozenset(("txids", "txid", "height", "block", "replaces", "by"))


def told(nodes: NodeKind, folder: Path, start: int) -> dict[str, Any]:
    folder.mkdir()
    with closing(Laboratory(*CHAINS, folder=folder, seed=7, nodes=nodes, start=start)) as lab:
        orders = []
        for make in OPEN:  # one deposit a block: two in one block stand in the order of their txids on bch
            order = make(lab)
            lab.fund(order)
            orders.append(order)
        short = lab.bearer("btcmix", [400_000])
        lab.fund(short, 100_000)
        lab.reorg("btc", 2)
        lab.settle()
        lab.house.advance(3 * HOUR)
        lab.settle()
        lab.house.advance(72 * HOUR)
        lab.settle()
        lab.check()
        return {
            "orders": [_order(lab.now(order)) for order in (*orders, short)],
            "entries": _entries(lab),
            "links": _links(lab),
        }


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "service": order.service,
        "state": order.state.value,
        "address": order.address,
        "credited": order.credited,
        "outputs": [(output.amount, output.state.value, output.delay, output.due) for output in order.outputs],
    }


def _entries(lab: Laboratory) -> list[tuple[Any, ...]]:
    """From the first order on; blocks are counted apart, since channels are opened in some of them."""
    entries = [entry for entry in lab.entries() if entry.kind not in ("block", "block gone")]
    first = next(number for number, entry in enumerate(entries) if entry.order is not None)
    return [
        (
            entry.kind,
            entry.at,
            entry.service,
            entry.order,
            [posting for posting in entry.postings if entry.kind != "lightning paid"],
            {name: value for name, value in (entry.detail or {}).items() if name not in _NAMES_OF_CHAINS},
            len((entry.detail or {}).get("txids", ())),
        )
        for entry in entries[first:]
    ]


def _links(lab: Laboratory) -> list[tuple[Any, ...]]:
    with lab.house.store.snapshot() as records:
        links = list(truth.links(records))
    return [
        (each.service, each.order, each.output, each.coin, each.amount, each.asked, each.passed, each.fee, each.hops,
         [part.amount for part in each.parts])
        for each in links
    ]  # fmt: skip


def test_the_story_is_the_same(tmp_path: Path) -> None:
    start = int(time.time())
    model, real = (told(nodes, tmp_path / nodes, start) for nodes in ("in-process", "real"))
    assert [order["state"] for order in model["orders"]] == ["completed"] * len(OPEN) + ["expired"]
    for name, found in model.items():
        for ours, theirs in zip(found, real[name], strict=False):
            assert theirs == ours, name
        assert len(real[name]) == len(found), name
