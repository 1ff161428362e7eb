"""Peel chains, followed by fingerprint."""

from __future__ import annotations

from pathlib import Path

from glasstumbler.lab.methods.peel_chain import PeelChain
from tests.lab.small_chains import Tx, public
from tests.lab.test_change import KEY, OLD_KEY, clusters


def key(letter: str) -> str:
    return KEY[:-1] + letter


def test_a_chain_is_followed_while_the_fingerprint_stays(tmp_path: Path) -> None:
    txs = [
        Tx(pays=[(key("a"), 100_000)]),
        Tx([(0, 0)], [(key("x"), 10_000), (key("c"), 89_000)]),
        Tx([(1, 1)], [(key("d"), 78_000), (OLD_KEY, 10_000)]),
        Tx([(1, 0)], [(key("z"), 9_000)]),  # the payee spends too, but with one output
        Tx([(2, 0)], [(key("e"), 60_000), (key("f"), 10_000)], size=200),  # another fee rate: d is no hop
        Tx([(2, 1)], [(key("g"), 4_000), (key("h"), 5_000)]),  # another type
    ]
    seen = public(tmp_path, {"btc": txs})
    found = clusters(PeelChain().predict(seen).to_pylist(), seen.graph("btc").names.to_pylist())
    assert {key("a"), key("c")} in found
    assert {key("d")} in found and {key("x")} in found


def test_two_that_go_on_are_none(tmp_path: Path) -> None:
    txs = [Tx(pays=[(key("a"), 100_000)]), Tx([(0, 0)], [(key("x"), 50_000), (key("c"), 49_000)])]
    txs += [
        Tx([(1, 0)], [(key("d"), 20_000), (key("e"), 29_000)]),
        Tx([(1, 1)], [(key("f"), 20_000), (key("g"), 28_000)]),
    ]
    seen = public(tmp_path, {"btc": txs})
    found = clusters(PeelChain().predict(seen).to_pylist(), seen.graph("btc").names.to_pylist())
    assert len(found) == seen.graph("btc").addresses
