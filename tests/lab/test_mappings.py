"""Boltzmann's count: the reference program's own vectors, and every mapping told one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.lab.methods.coinjoin import coinjoins
from glasstumbler.lab.methods.link_entropy import LinkEntropy, shared
from glasstumbler.lab.methods.mappings import MOST_INPUTS, MOST_OUTPUTS, mappings
from glasstumbler.lab.public import Public
from tests.lab.small_chains import Tx, graph, public

VECTORS = [
    ([10, 10], [8, 2, 3, 7], 3, [[2, 2, 2, 2]] * 2),
    ([10, 10], [8, 2, 2, 8], 5, [[3, 3, 3, 3]] * 2),
    ([10, 10], [10, 2, 8], 3, [[2, 2, 2]] * 2),
    ([10, 10], [5, 5, 5, 5], 7, [[4, 4, 4, 4]] * 2),
    ([10, 10, 2], [8, 2, 2, 8, 2], 28, [[16, 13, 13, 16, 13]] * 2 + [[7, 14, 14, 7, 14]]),
    ([5, 5], [5, 5], 3, [[2, 2]] * 2),
    ([5, 5, 5], [5, 5, 5], 16, [[8, 8, 8]] * 3),
    ([5, 5, 5], [5, 3, 2], 28, [[14, 13, 13]] * 3),
    ([5, 5, 10], [5, 5, 10], 9, [[5, 5, 4], [5, 5, 4], [4, 4, 8]]),
    ([5] * 4, [5] * 4, 131, [[53] * 4] * 4),
    ([5] * 5, [5] * 5, 1496, [[512] * 5] * 5),
    ([4_900_000_000, 100_000_000], [4_900_000_000, 100_000_000], 2, [[2, 1], [1, 2]]),
    ([10_000_000, 1_380_000], [100_000, 9_850_000, 100_000, 1_270_000], 3, [[2, 3, 2, 1], [2, 1, 2, 3]]),
    ([2_999_808, 2_999_854], [427_566, 427_566, 2_571_867, 2_572_242], 5, None),
]
"""Inputs, outputs, mappings, links: from boltzmann-java's VectorsTest and TxProcessorTest."""


@pytest.mark.parametrize(("inputs", "outputs", "count", "links"), VECTORS)
def test_the_reference_programs_vectors(
    inputs: list[int], outputs: list[int], count: int, links: list[list[int]] | None
) -> None:
    found = mappings(np.array(inputs), np.array(outputs))
    assert found is not None and found.total == count
    assert links is None or found.links.tolist() == links


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    first, *rest = items
    for parts in partitions(rest):
        for place in range(len(parts)):
            yield [*parts[:place], [first, *parts[place]], *parts[place + 1 :]]
        yield [[first], *parts]


def told(inputs: list[int], outputs: list[int]) -> tuple[int, list[list[int]]]:
    """Every mapping, tried."""
    fee, count, links = sum(inputs) - sum(outputs), 0, [[0] * len(outputs) for _ in inputs]
    for groups in partitions(list(range(len(inputs)))):
        for given_to in product(range(len(groups)), repeat=len(outputs)):
            left = [sum(inputs[place] for place in group) for group in groups]
            for output, group in enumerate(given_to):
                left[group] -= outputs[output]
            if all(0 <= rest <= fee for rest in left):
                count += 1
                for output, group in enumerate(given_to):
                    for place in groups[group]:
                        links[place][output] += 1
    return count, links


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.lists(st.integers(1, 8), min_size=1, max_size=5),
    st.integers(0, 3),
)
def test_as_all_mappings_tried(inputs: list[int], outputs: list[int], fee: int) -> None:
    short = sum(outputs) + fee - sum(inputs)
    inputs = [*inputs, short] if short > 0 else inputs
    found = mappings(np.array(inputs), np.array(outputs))
    assert found is not None and (found.total, found.links.tolist()) == told(inputs, outputs)


def test_eight_equal_are_counted_and_more_are_not() -> None:
    eight = mappings(np.full(8, 5), np.full(8, 5))
    assert eight is not None and eight.total == 9_934_563  # OEIS A023998
    assert mappings(np.full(MOST_INPUTS + 1, 5), np.full(2, 5)) is None
    assert mappings(np.full(2, 50), np.full(MOST_OUTPUTS + 1, 5)) is None
    assert mappings(np.full(8, 1000), np.full(12, 1)) is None  # any set of outputs fits any set of inputs


def joined(inputs: list[tuple[str, int]], outputs: list[int]) -> list[Tx]:
    spends = [(0, place) for place in range(len(inputs))]
    return [Tx(pays=inputs), Tx(spends, [(f"to {place}", amount) for place, amount in enumerate(outputs)])]


def test_probabilities_of_a_coinjoin(tmp_path: Path) -> None:
    inputs = [("a", 10_000_000), ("b", 1_000_000), ("b", 380_000)]
    seen = public(tmp_path, {"btc": joined(inputs, [100_000, 9_850_000, 100_000, 1_270_000])})
    rows = LinkEntropy().predict(seen).to_pylist()
    score = {(row["place"], row["vout"]): row["score"] for row in rows if row["tx"] == 1}
    assert len(score) == 12
    assert (score[0, 1], score[0, 3], score[1, 3]) == (1, 1 / 3, 1)
    assert score[0, 0] == score[1, 0] == score[2, 0] == 2 / 3


def test_what_is_worth_counting(folder: Path) -> None:
    five = joined([(name, 5) for name in "abcde"], [5] * 5)
    assert shared(graph(five)).tolist() == [False, True]
    assert not coinjoins(graph(five)).any()
    assert not shared(graph(joined([("a", 5), ("a", 5)], [5, 5]))).any()
    assert not shared(graph(joined([("a", 9), ("b", 9)], [5, 5, 4, 3, 1]))).any()
    chain = Public(folder / "observer").graph("btc")
    assert not (coinjoins(chain) & ~shared(chain)).any()
