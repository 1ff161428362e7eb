"""Union-find against scipy and networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glasstumbler.lab.methods.components import components
from glasstumbler.lab.public import Ints


@given(st.integers(1, 40).flatmap(lambda nodes: st.tuples(st.just(nodes), _edges(nodes))))
def test_as_networkx(graph: tuple[int, list[tuple[int, int]]]) -> None:
    nodes, edges = graph
    oracle = nx.Graph(edges)
    oracle.add_nodes_from(range(nodes))
    wanted = [0] * nodes
    for component in nx.connected_components(oracle):
        for node in component:
            wanted[node] = min(component)
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    assert components(nodes, pairs[:, 0], pairs[:, 1]).tolist() == wanted


def _edges(nodes: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    node = st.integers(0, nodes - 1)
    return st.lists(st.tuples(node, node), max_size=60)


@pytest.mark.parametrize("edges", [1_000, 60_000, 400_000])
def test_as_scipy(edges: int) -> None:
    """Far apart, at the edge of one giant, one giant."""
    nodes, draw = 100_000, np.random.default_rng(edges)
    left, right = draw.integers(0, nodes, (2, edges))
    count, labels = connected_components(coo_array((np.ones(edges, np.int8), (left, right)), (nodes, nodes)), False)
    found = components(nodes, left, right)
    assert len(np.unique(found)) == count
    assert (found == _smallest(labels)[labels]).all()


def _smallest(labels: Ints) -> Ints:
    found = np.full(labels.max() + 1, len(labels))
    np.minimum.at(found, labels, np.arange(len(labels)))
    return found


def test_a_long_chain_in_the_worst_order() -> None:
    nodes = np.arange(200_000)
    assert components(len(nodes), nodes[:0:-1], nodes[-2::-1]).max() == 0
    assert components(len(nodes), nodes[:-1], nodes[1:]).max() == 0


def test_more_nodes_than_have_numbers_is_an_error() -> None:
    with pytest.raises(OverflowError, match="2147483648 nodes"):
        components(2**31, np.zeros(0, np.int64), np.zeros(0, np.int64))
