"""Taint along addresses, through a mixer that pays with other coins."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.lab.methods.taint import poison
from glasstumbler.lab.methods.taint_addresses import address_taint, withdrawals
from glasstumbler.lab.public import Graph
from tests.lab.random_chains import drawn
from tests.lab.small_chains import Tx, graph

DAY = 144  # blocks
MIXER = [
    Tx(pays=[("thief", 100), ("float", 500), ("float", 500), ("other", 80)]),
    Tx([(0, 0)], [("deposit", 99)]),
    Tx([(1, 0)], [("float", 98)]),  # swept: the service's address is tainted now
    Tx([(0, 1)], [("new", 90), ("float", 409)]),  # the withdrawal, of other coins
    Tx([(0, 2)], [("large", 400), ("other", 99)]),  # too large; an address that was paid before
    Tx([(0, 3)], [("clean", 79)]),
    Tx([(3, 1)], [("late", 80), ("float", 328)], height=9 * DAY),
]


def test_it_comes_out_of_the_mixer_with_other_coins() -> None:
    chain = graph(MIXER)
    seeds = np.array([4])  # the deposit
    names = chain.names.to_pylist()
    found = [names[address] for address in chain.address[address_taint(chain, seeds)]]
    assert found == ["deposit", "float", "new", "float", "large", "other", "clean", "late", "float"]
    assert np.flatnonzero(poison(chain, seeds)).tolist() == [4, 5]
    kept = [names[address] for address in chain.address[withdrawals(chain, seeds)]]
    assert kept == ["deposit", "new", "clean"]


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(0, 20))
def test_as_sets_of_addresses(seed: int, txs: int, first: int) -> None:
    chain = graph(drawn(seed, txs))
    seeds = {min(first, chain.outputs - 1)}
    assert set(np.flatnonzero(address_taint(chain, np.array(list(seeds)))).tolist()) == closure(chain, seeds)


def closure(chain: Graph, seeds: set[int]) -> set[int]:
    tainted, owned = set(seeds), set[int]()
    for tx in range(chain.txs):
        outputs = range(chain.first_output[tx], chain.first_output[tx + 1])
        if owned & set(chain.input_address[chain.first_input[tx] : chain.first_input[tx + 1]].tolist()):
            tainted |= set(outputs)
        owned |= {int(chain.address[output]) for output in outputs if output in tainted}
    return tainted
