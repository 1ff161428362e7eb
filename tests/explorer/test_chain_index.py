"""The cache of a chain equals a walk of the active chain, whatever came and went before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains.base import Chain
from glasstumbler.explorer.chain_index import ChainIndex
from glasstumbler.explorer.file import CacheFile, kept
from glasstumbler.explorer.follow import step
from tests.explorer.toy import ToyChain
from tests.explorer.walk import told, walked
from tests.laboratory import Laboratory


def bring_up(file: CacheFile, chain: Any, at_once: int = 10**6) -> None:
    """In transactions of so many steps."""
    more = True
    while more:
        with file.writing() as db:
            assert db is not None
            index = ChainIndex(db, chain.coin, chain.format.one_to_one, lambda keys: {})
            for _ in range(at_once):
                more = step(index, chain)
                if not more:
                    break
            index.finish()


PLACES = st.lists(st.integers(0, 30), min_size=1, max_size=4)
KEYS = st.lists(st.integers(0, 12), min_size=1, max_size=3)
BLOCKS = st.lists(st.lists(st.tuples(PLACES, KEYS), max_size=4), min_size=1, max_size=5)
STORY = st.lists(st.tuples(st.integers(0, 6), BLOCKS, st.integers(1, 4)), min_size=1, max_size=6)


@given(story=STORY)
def test_blocks_and_reorganisations_in_any_order_leave_what_a_walk_finds(story: Any) -> None:
    chain, file = ToyChain(), CacheFile(None, "lab")
    try:
        for depth, blocks, at_once in story:
            chain.drop(min(depth, chain.tip()[0] + 1))
            for wanted in blocks:
                chain.mine(wanted)
            bring_up(file, chain, at_once)
            assert told(file, chain) == walked(chain)  # type: ignore[arg-type]
    finally:
        file.close()


def test_a_cluster_falls_apart_when_its_co_spend_goes() -> None:
    chain, file = ToyChain(), CacheFile(None, "lab")
    for _ in range(5):
        chain.mine([])
    chain.mine([((0, 0), (7,))])
    chain.mine([((0, 0), (8,))])
    bring_up(file, chain)
    two = told(file, chain)["clusters"]
    assert sorted(map(len, two)) == [2, 2]
    chain.mine([((2, 2), (9,))])
    joined = walked(chain)["clusters"]  # type: ignore[arg-type]
    bring_up(file, chain)
    assert told(file, chain)["clusters"] == joined
    chain.drop(1)
    chain.mine([])
    bring_up(file, chain)
    assert told(file, chain)["clusters"] == two
    file.close()


def test_a_chain_that_lost_every_block_is_begun_again() -> None:
    chain, file = ToyChain(), CacheFile(None, "lab")
    for _ in range(4):
        chain.mine([((0,), (1,))])
    bring_up(file, chain)
    chain.drop(4)
    chain.mine([((0,), (2,))])
    bring_up(file, chain)
    assert told(file, chain) == walked(chain)  # type: ignore[arg-type]
    file.close()


@pytest.mark.parametrize("coin", ["btc", "bch", "ltc", "eth", "xmr"])
def test_every_chain_of_the_laboratory_is_told_as_it_is(coin: str, tmp_path: Path) -> None:
    slug_coin = {"xmr": ("xmr", "btc")}.get(coin, (coin,))
    laboratory = Laboratory(*slug_coin)
    chain: Chain = laboratory.house.chains[coin]
    file = CacheFile(tmp_path, "lab")
    orders = [laboratory.swap(20_000_000)] if coin == "xmr" else [laboratory.codes(coin, (500, 500)) for _ in range(3)]
    for order in orders:
        laboratory.pay(order)
    laboratory.settle()
    bring_up(file, chain, 50)
    assert told(file, chain) == walked(chain)
    laboratory.reorg(coin, 2)
    bring_up(file, chain)
    assert told(file, chain) == walked(chain)
    laboratory.settle()
    bring_up(file, chain)
    assert told(file, chain) == walked(chain)
    laboratory.close()
    file.close()


@pytest.mark.parametrize("units", [0, 1, 2**63 - 1, 2**63, 10**30, -(2**63), -(2**63) - 1])
def test_an_amount_of_any_size_comes_back(units: int) -> None:
    file = CacheFile(None, "lab")
    with file.writing() as db:
        assert db is not None
        db.execute("INSERT INTO balance VALUES ('s', 'a', 'eth', ?)", (kept(units),))
        assert int(db.execute("SELECT amount FROM balance").fetchone()[0]) == units
    file.close()
