"""Ten million edges into components: the laboratory's union-find beside scipy and rustworkx, on the same arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.apart import Measured, exponent, measure

EDGES, ROUNDS = 10_000_000, 3
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)


class Edges(NamedTuple):
    nodes: int
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]


def entities(edges: int) -> Edges:
    """Edges within groups of sixteen neighbours, in random order: many small wallets."""
    draw = np.random.default_rng(1)
    left = draw.integers(0, edges, edges)
    return Edges(edges + 16, left, left ^ draw.integers(1, 16, edges))


def giant(edges: int) -> Edges:
    """Random pairs, twice as many as nodes: nearly all hang together."""
    nodes, draw = max(edges // 2, 2), np.random.default_rng(1)
    return Edges(nodes, draw.integers(0, nodes, edges), draw.integers(0, nodes, edges))


def ours(edges: Edges) -> int:
    from glasstumbler.lab.methods.components import components

    found = components(*edges)
    return int((found == np.arange(edges.nodes)).sum())


def scipy(edges: Edges) -> int:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(edges.left), np.int8)
    count, _ = connected_components(coo_array((ones, (edges.left, edges.right)), (edges.nodes, edges.nodes)), False)
    return int(count)


def rustworkx(edges: Edges) -> int:
    import rustworkx as rx

    graph = rx.PyGraph(multigraph=True)
    graph.add_nodes_from(range(edges.nodes))
    graph.add_edges_from_no_data(list(zip(edges.left.tolist(), edges.right.tolist(), strict=True)))
    return int(rx.number_connected_components(graph))


CONTENDERS = {"ours": (ours, ROUNDS), "scipy": (scipy, ROUNDS), "rustworkx": (rustworkx, 1)}


def run() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in (entities, giant):
        rows = {name: measure(kind, work, rounds, EDGES) for name, (work, rounds) in CONTENDERS.items()}
        assert len({row.result for row in rows.values()}) == 1, "they do not agree"
        _print(kind.__name__, rows)
        found[kind.__name__] = {name: row._asdict() for name, row in rows.items()}
    seconds = [measure(entities, ours, ROUNDS, edges).cpu for edges in GROWTH]
    found["growth"] = dict(zip(GROWTH, seconds, strict=True))
    found["exponent"] = exponent(list(GROWTH), seconds)
    print(f"  growth of ours, {GROWTH[0]:,} to {GROWTH[-1]:,} edges: exponent {found['exponent']:.2f}")
    return found


def _print(kind: str, rows: dict[str, Measured]) -> None:
    print(f"  {EDGES:,} edges, {kind:10} {'seconds':>9} {'CPU s':>9} {'peak MB':>9} {'times ours':>11}")
    for name, row in rows.items():
        times = row.cpu / rows["ours"].cpu
        print(f"    {name:26} {row.seconds:9.2f} {row.cpu:9.2f} {row.peak_mb:9.0f} {times:11.1f}")
