"""Co-spend clusters, and the CoinJoin rule that excepts them."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from glasstumbler.lab.methods.coinjoin import CoinJoinRule, coinjoins
from glasstumbler.lab.methods.cospend import CoSpend, cospend_clusters
from glasstumbler.lab.public import Public
from tests.lab.small_chains import NOTHING, Tx, graph, public
from tests.lab.small_chains import graph as chain


def mint(*addresses: str, amount: int = 100) -> Tx:
    return Tx(pays=[(address, amount) for address in addresses])


def joined(addresses: str, *paid: int) -> list[Tx]:
    """Coins of those addresses, spent together; a letter is an address."""
    spends = [(0, vout) for vout in range(len(addresses))]
    pays = [(f"to {place}", amount) for place, amount in enumerate(paid)]
    return [mint(*addresses, amount=10_000), Tx(spends, pays)]


@pytest.mark.parametrize(
    ("addresses", "paid", "flagged"),
    [
        ("ab", (900, 900, 5, 7), True),  # two of two, with change
        ("ab", (900, 900, 5), True),  # one brings no change
        ("abcde", (100, 100, 100, 100, 100), False),  # p is 3, but five are alike
        ("abc", (100, 100, 100, 1, 2), True),
        ("abc", (100, 100, 7, 1, 2), False),  # the commonest occurs twice, p is 3
        ("a", (900, 900, 5), False),  # one input
        ("ab", (900, 900), False),  # two outputs
        ("aa", (900, 900, 5), False),  # one address
        ("aab", (900, 900, 5), True),
        ("ab", (9, 9, 9, 1, 2), False),  # p is 3, two inputs
        ("ab", (546, 546, 5), False),  # dust
        ("ab", (2730, 2730, 5), False),
        ("ab", (546, 546, 900, 900), True),  # as often as the dust
    ],
)
def test_the_coinjoin_rule(addresses: str, paid: tuple[int, ...], flagged: bool) -> None:
    assert coinjoins(graph(joined(addresses, *paid))).tolist() == [False, flagged]


def test_inputs_of_one_transaction_are_one_owner_unless_it_is_a_coinjoin() -> None:
    txs = [mint(*"abcdef"), Tx([(0, 0), (0, 1)], [("g", 150)]), Tx([(1, 0), (0, 2)], [("h", 200)])]
    txs += [Tx([(0, 3), (0, 4)], [("i", 90), ("j", 90), ("k", 10)])]
    found = chain(txs)
    names = found.names.to_pylist()
    clusters = {name: names[root] for name, root in zip(names, cospend_clusters(found), strict=True)}
    assert clusters == {**{name: name for name in names}, "b": "a", "g": "c", **dict.fromkeys("ab", "a"), "c": "c"}


def test_on_a_dataset_as_networkx(folder: Path) -> None:
    seen = Public(folder / "observer")
    table = CoSpend().predict(seen)
    assert set(table["coin"].to_pylist()) == {"btc", "bch"}
    for coin in ("btc", "bch"):
        found = seen.graph(coin)
        oracle = nx.Graph()
        oracle.add_nodes_from(range(found.addresses))
        for tx in np.flatnonzero(~coinjoins(found)):
            owners = found.input_address[found.first_input[tx] : found.first_input[tx + 1]].tolist()
            nx.add_path(oracle, owners)
        wanted = {node: min(part) for part in nx.connected_components(oracle) for node in part}
        mine = [row for row in table.to_pylist() if row["coin"] == coin]
        assert {row["address"]: row["cluster"] for row in mine} == wanted


def test_the_rule_gives_each_pair_one_in_the_participants(tmp_path: Path) -> None:
    seen = public(tmp_path, {"btc": joined("abc", 100, 100, 100, 1, 2)})
    rows = CoinJoinRule().predict(seen).to_pylist()
    assert [(row["tx"], row["place"], row["vout"]) for row in rows] == [(1, i, o) for i in range(3) for o in range(5)]
    assert {row["score"] for row in rows} == {1 / 3}


def test_nothing_to_say_is_an_empty_table(tmp_path: Path) -> None:
    method = CoinJoinRule()
    method.fit(seen := public(tmp_path, {"btc": [mint("a")]}), NOTHING)
    assert method.predict(seen).num_rows == 0
