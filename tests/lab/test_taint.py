"""Taint: the wallet of ten coins, and every rule against one that moves base units one by one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.lab.methods.base import Method
from glasstumbler.lab.methods.intervals import in_order
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.methods.taint import Rule, first_out, haircut, highest_out, last_out, poison
from glasstumbler.lab.public import Graph, Public
from tests.lab.random_chains import drawn
from tests.lab.small_chains import NOTHING, Tx, graph

TAINTS = [method for method in METHODS.values() if method.task == "T5"]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (poison, [1, 1, 1]),
        (haircut, [0.3, 0.3, 0.3]),
        (first_out, [0.5, 0.5, 0]),  # 2 clean, 3 stolen, 5 clean: the units 3 to 5 are stolen
        (last_out, [0, 0.5, 0.5]),  # 5 clean, 3 stolen, 2 clean
        (highest_out, [0, 0, 0.75]),
    ],
)
def test_three_stolen_coins_in_a_wallet_of_ten(rule: Rule, wanted: list[float]) -> None:
    """The example of Anderson, Shumailov and Ahmed, paid on as 4, 2 and 4; the largest output here is the last."""
    wallet = Tx(pays=[("w", 2), ("w", 3), ("w", 5)])
    chain = graph([wallet, Tx([(0, 0), (0, 1), (0, 2)], [("a", 4), ("b", 2), ("c", 4)])])
    if rule is highest_out:
        chain = graph([wallet, Tx([(0, 0), (0, 1), (0, 2)], [("a", 3), ("b", 3), ("c", 4)])])
    assert rule(chain, np.array([1])).tolist() == [0, 1, 0, *wanted]


Units = list[bool]
"""An output, base unit by base unit."""


def one_by_one(txs: list[Tx], seeds: set[int], pay: Callable[[list[Units], list[int]], list[Units]]) -> list[Units]:
    outputs: list[Units] = []
    firsts: list[int] = []
    for tx in txs:
        firsts.append(len(outputs))
        amounts = [amount for _, amount in tx.pays]
        spent = [outputs[firsts[made] + vout] for made, vout in tx.spends]
        paid = pay(spent, amounts) if spent else [[False] * amount for amount in amounts]
        outputs += [[True] * len(units) if len(outputs) + vout in seeds else units for vout, units in enumerate(paid)]
    return outputs


def cut(line: Units, amounts: list[int]) -> list[Units]:
    ends = np.cumsum(amounts).tolist()
    return [line[end - amount : end] for end, amount in zip(ends, amounts, strict=True)]


def fifo(spent: list[Units], amounts: list[int]) -> list[Units]:
    return cut([unit for units in spent for unit in units], amounts)


def lifo(spent: list[Units], amounts: list[int]) -> list[Units]:
    return cut([unit for units in spent for unit in units][::-1], amounts)


def tiho(spent: list[Units], amounts: list[int]) -> list[Units]:
    line = sorted((unit for units in spent for unit in units), reverse=True)
    order = sorted(range(len(amounts)), key=lambda place: -amounts[place])
    filled = dict(zip(order, cut(line, [amounts[place] for place in order]), strict=True))
    return [filled[place] for place in range(len(amounts))]


@pytest.mark.parametrize(("rule", "pay"), [(first_out, fifo), (last_out, lifo), (highest_out, tiho)])
@given(seed=st.integers(0, 10_000), txs=st.integers(1, 40), seeds=st.sets(st.integers(0, 20), min_size=1, max_size=3))
def test_as_unit_by_unit(
    rule: Rule, pay: Callable[[list[Units], list[int]], list[Units]], seed: int, txs: int, seeds: set[int]
) -> None:
    made = drawn(seed, txs)
    chain = graph(made)
    seeds = {output for output in seeds if output < chain.outputs}
    wanted = [sum(units) for units in one_by_one(made, seeds, pay)]
    found = rule(chain, np.array(sorted(seeds), np.int64))
    assert np.rint(found * chain.amount).astype(int).tolist() == wanted


@given(seed=st.integers(0, 10_000), txs=st.integers(1, 60), seeds=st.sets(st.integers(0, 20), min_size=1, max_size=3))
def test_poison_and_haircut_as_fractions(seed: int, txs: int, seeds: set[int]) -> None:
    chain = graph(drawn(seed, txs))
    seeds = {output for output in seeds if output < chain.outputs}
    wanted = exact(chain, seeds)
    some = np.array(sorted(seeds), np.int64)
    assert [bool(part) for part in wanted] == poison(chain, some).astype(bool).tolist()
    bound = (1 + Fraction(1, 2**53)) ** (txs * 7) - 1
    for part, found in zip(wanted, haircut(chain, some), strict=True):
        assert abs(Fraction(float(found)) - part) <= bound * part


def exact(chain: Graph, seeds: set[int]) -> list[Fraction]:
    parts = [Fraction(output in seeds) for output in range(chain.outputs)]
    for tx in range(chain.txs):
        spent = chain.spends[chain.first_input[tx] : chain.first_input[tx + 1]].tolist()
        worth = sum(int(chain.amount[output]) for output in spent)
        share = sum(parts[output] * int(chain.amount[output]) for output in spent) / worth if worth else Fraction(0)
        for output in range(chain.first_output[tx], chain.first_output[tx + 1]):
            parts[output] = max(parts[output], share)
    return parts


@pytest.mark.parametrize("backward", [False, True])
def test_stretches_are_swept_and_the_pool_grows(backward: bool) -> None:
    """3,000 coins, every other one tainted, go from hand to hand as one: 1,500 stretches in one output, many times
    over; then they are cut in single units."""
    coins = 3_000
    txs = [Tx(pays=[("a", 2)] * coins), Tx([(0, vout) for vout in range(coins)], [("b", 2 * coins)])]
    txs += [Tx([(1 + hop, 0)], [("b", 2 * coins)]) for hop in range(21)]  # an odd number of turns, if each turns
    txs += [Tx([(len(txs) - 1, 0)], [("c", 1)] * (2 * coins))]
    chain = graph(txs)
    seeds = np.zeros(chain.outputs, np.bool_)
    seeds[0:coins:2] = True
    found = in_order(chain, seeds, backward)
    assert (found[coins : coins + 22] == coins).all()
    units = np.tile([1, 1, 0, 0], coins // 2)
    assert (found[-2 * coins :] == (units[::-1] if backward else units)).all()


@pytest.mark.parametrize("method", TAINTS, ids=lambda method: str(method.name))
def test_seeds_taint_their_own_chain_only(method: type[Method], folder: Path) -> None:
    public = Public(folder / "observer")
    tracer = method()
    tracer.fit(public, NOTHING._replace(seeds=(("btc", 3), ("eth", 0))))
    rows = tracer.predict(public).to_pylist()
    assert {row["coin"] for row in rows} == {"btc"}
    assert {row["output"]: row["tainted"] for row in rows}[3] == 1
    assert all(0 < row["tainted"] <= 1 for row in rows)
    tracer.fit(public, NOTHING)
    assert tracer.predict(public).num_rows == 0
