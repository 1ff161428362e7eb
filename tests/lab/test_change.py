"""Change: each heuristic on transactions made for it, merging, and the forest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasstumbler.lab.methods.address_kinds import address_kinds
from glasstumbler.lab.methods.base import OwnOrder
from glasstumbler.lab.methods.change import Change
from glasstumbler.lab.methods.change_forest import ChangeForest
from glasstumbler.lab.methods.change_signs import Signs, signs
from glasstumbler.lab.public import Flags, Graph, Public
from tests.lab.small_chains import NOTHING, Tx, graph, public

KEY, SCRIPT, TAPROOT = "bcrt1q" + 38 * "q", "bcrt1q" + 58 * "q", "bcrt1p" + 58 * "q"
OLD_KEY, OLD_SCRIPT = "m" + 33 * "a", "2" + 33 * "b"


def by_output(found: Flags, chain: Graph, tx: int) -> str:
    """A letter for each output of the transaction that has the sign."""
    start, end = chain.first_output[tx], chain.first_output[tx + 1]
    return "".join(letter for letter, sign in zip("abcdef", found[start:end], strict=False) if sign)


@pytest.mark.parametrize(
    ("sign", "outputs"),
    [
        ("address_reuse", "b"),  # b goes back to the first input's address
        ("address_type", "ab"),  # both inputs are paid to keys, so are a and b
        ("optimal_change", "ac"),  # the smallest input has 50
        ("power_of_ten", "ab"),  # c pays a round amount
        ("fresh", "ac"),
        ("fixed_fee", "bc"),  # a is spent at another rate
        ("spent", "a"),
        ("peeling_chain", ""),
    ],
)
def test_each_heuristic_names_what_it_cannot_rule_out(sign: str, outputs: str) -> None:
    million = 1_000_000
    chain = graph(
        [
            Tx(pays=[(KEY, 50 * million), (KEY[:-1] + "p", 60 * million)]),
            Tx([(0, 0), (0, 1)], [(KEY[:-1] + "r", million + 1), (KEY, 99 * million + 99), (OLD_KEY, million)]),
            Tx([(1, 0)], [("x", 5)], size=1000),
        ]
    )
    assert by_output(getattr(signs(chain), sign), chain, 1) == outputs
    assert not any(found[chain.first_output[0] : 2].any() for found in signs(chain))  # a coinbase has no change


def test_inputs_of_two_types_say_nothing() -> None:
    chain = graph([Tx(pays=[(KEY, 5), (OLD_KEY, 6)]), Tx([(0, 0), (0, 1)], [(KEY[:-1] + "z", 3), (OLD_SCRIPT, 4)])])
    assert by_output(signs(chain).address_type, chain, 1) == ""


def test_a_peeling_chain_goes_on_where_one_input_has_two_outputs() -> None:
    chain = graph(
        [
            Tx(pays=[("m", 100)]),
            Tx([(0, 0)], [("shop", 10), ("c1", 90)]),
            Tx([(1, 1)], [("c2", 80), ("shop2", 10)]),
            Tx([(1, 0)], [("shop3", 10)]),
            Tx([(2, 0), (2, 1)], [("e", 40), ("f", 50)]),
        ]
    )
    found = signs(chain).peeling_chain
    assert [by_output(found, chain, tx) for tx in range(5)] == ["", "b", "", "", ""]


def test_types_of_addresses() -> None:
    chain = graph(
        [
            Tx(
                pays=[
                    (name, 1) for name in (OLD_KEY, OLD_SCRIPT, KEY, SCRIPT, TAPROOT, "?", "bchreg:qz", "bchreg:pz", "")
                ]
            )
        ]
    )
    assert address_kinds(chain).tolist() == [0, 1, 2, 3, 4, -1, 0, 1, -1]


def clusters(table_rows: list[dict[str, int]], names: list[str]) -> set[frozenset[str]]:
    found: dict[int, set[str]] = {}
    for row in table_rows:
        found.setdefault(row["cluster"], set()).add(names[row["address"]])
    return {frozenset(cluster) for cluster in found.values()}


def test_change_is_merged_only_where_one_candidate_remains(tmp_path: Path) -> None:
    txs = [
        Tx(pays=[("a", 100), ("b", 100), ("c", 100)]),
        Tx([(0, 0)], [("new1", 30), ("b", 70)]),  # new1 alone is fresh
        Tx([(0, 1)], [("new2", 30), ("new3", 70)]),  # two candidates
        Tx([(0, 2)], [("new4", 99)]),  # one output is no change
    ]
    seen = public(tmp_path, {"btc": txs})
    names = seen.graph("btc").names.to_pylist()
    found = clusters(Change().predict(seen).to_pylist(), names)
    assert found == {frozenset({"a", "new1"}), *(frozenset({name}) for name in ("b", "c", "new2", "new3", "new4"))}


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    class Mine(Change):
        @staticmethod
        def rule(found: Signs) -> Flags:
            return found.fresh & ~found.optimal_change

    txs = [Tx(pays=[("a", 100), ("b", 40)]), Tx([(0, 0), (0, 1)], [("small", 30), ("large", 60), ("b", 50)])]
    seen = public(tmp_path, {"btc": txs})
    found = clusters(Mine().predict(seen).to_pylist(), seen.graph("btc").names.to_pylist())
    assert found == {frozenset({"a", "b", "large"}), frozenset({"small"})}


def shop(customers: int, revealed: int) -> list[Tx]:
    """Customers with two coins at one address each pay a round amount to a shop and get change; the first `revealed`
    spend the change later together with the other coin."""
    pays = [(f"one{number // 2}", 10_000_003) for number in range(2 * customers)]
    txs = [Tx(pays=pays)]
    for number in range(customers):
        outputs = [(f"shop{number}", 4_000_000), (f"change{number}", 5_999_900)]
        txs.append(Tx([(0, 2 * number)], outputs[:: 1 if number % 2 else -1]))
    for number in range(revealed):
        txs.append(Tx([(1 + number, number % 2), (0, 2 * number + 1)], [(f"later{number}", 15_000_000)]))
    return txs


def test_the_forest_learns_from_what_gave_itself_away(tmp_path: Path) -> None:
    seen = public(tmp_path, {"btc": shop(120, 60)})
    method = ChangeForest()
    method.fit(seen, NOTHING)
    chain = seen.graph("btc")
    names = chain.names.to_pylist()
    found = {names[address] for address in chain.address[method.change(chain)]}
    assert found == {f"change{number}" for number in range(120)}
    table = method.predict(seen)
    assert frozenset({"one100", "change100"}) in clusters(table.to_pylist(), names)
    again = ChangeForest()
    again.fit(seen, NOTHING)
    assert again.predict(seen).equals(table)


def test_the_forest_learns_from_ones_own_deposits(tmp_path: Path) -> None:
    seen = public(tmp_path, {"btc": shop(120, 0)})
    chain = seen.graph("btc")
    method = ChangeForest()
    method.fit(seen, NOTHING)
    assert not len(method.change(chain))
    names = chain.names.to_pylist()
    mine = [output for output in range(chain.outputs) if names[chain.address[output]].startswith("shop")][:40]
    own = tuple(OwnOrder("coinjoin", "btc", output, ()) for output in mine)
    method.fit(seen, NOTHING._replace(own_orders=own))
    assert len(method.change(chain)) == 120


def test_on_a_dataset_signs_agree_with_the_tables(folder: Path) -> None:
    chain = Public(folder / "observer").graph("btc")
    found = signs(chain)
    firsts: dict[int, int] = {}
    for output in range(chain.outputs):
        firsts.setdefault(int(chain.address[output]), int(chain.tx_of_output[output]))
    for output in np.flatnonzero(~chain.coinbase[chain.tx_of_output]):
        tx, address = chain.tx_of_output[output], chain.address[output]
        inputs = slice(chain.first_input[tx], chain.first_input[tx + 1])
        assert found.address_reuse[output] == (address in chain.input_address[inputs])
        assert found.fresh[output] == (firsts[int(address)] == tx)
        assert found.optimal_change[output] == (chain.amount[output] < chain.paid_in[inputs].min())


def test_many_inputs_are_searched_as_few_are() -> None:
    names = [f"in{number}" for number in range(20)]
    chain = graph(
        [Tx(pays=[(name, 10) for name in names]), Tx([(0, vout) for vout in range(20)], [("x", 9), ("in7", 8)])]
    )
    assert by_output(signs(chain).address_reuse, chain, 1) == "b"
