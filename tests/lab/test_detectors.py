"""Finding a mixer's addresses from a few tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.lab.methods import motifs
from glasstumbler.lab.methods.hybrid_motifs import HybridMotifs
from glasstumbler.lab.methods.mixing_patterns import STEP, MixingPatterns, scores
from glasstumbler.lab.public import Public
from tests.lab.random_chains import drawn
from tests.lab.small_chains import NOTHING, Tx, graph, public, tagged
from tests.lab.test_change import KEY, OLD_KEY


def key(number: int) -> str:
    digits = "qpzry9x8"
    return KEY[:-3] + "".join(digits[number >> shift & 7] for shift in (6, 3, 0))


def test_the_walk_follows_the_services_form_and_stops_at_others() -> None:
    """A service pays from key to key, always 1 input and 2 outputs at 5 sat/B; customers spend otherwise."""
    txs = [Tx(pays=[(key(0), 100_000), (OLD_KEY, 50_000)])]
    for hop in range(4):
        txs.append(Tx([(hop, 0)], [(key(hop + 1), 90_000 - 9_000 * hop), (OLD_KEY[:-1] + "abcd"[hop], 8_000)]))
        txs[-1] = txs[-1]._replace(size=_size(txs))
    customer = Tx([(1, 1)], [("1", 7_000)])
    chain = graph([*txs, customer, Tx([(0, 1)], [("2", 49_999)])])
    names = chain.names.to_pylist()
    found = {names[address]: score for address, score in enumerate(scores(chain, np.array([names.index(key(1))])))}
    like = 1 / (1 + 4 / 7)  # the form of all known transactions and of 4 of 7
    assert found[key(1)] == 1
    assert [found[key(number)] for number in (0, 2, 3, 4)] == [like * STEP, like * STEP, like * STEP**2, 0]
    assert found[OLD_KEY] == found[OLD_KEY[:-1] + "a"] == 0


def _size(txs: list[Tx]) -> int:
    (made, vout), paid = txs[-1].spends[0], sum(amount for _, amount in txs[-1].pays)
    return max((txs[made].pays[vout][1] - paid) // 5, 1)


def test_no_tag_and_no_spending_tag_say_nothing(tmp_path: Path) -> None:
    seen = public(tmp_path, {"btc": [Tx(pays=[("a", 5)]), Tx([(0, 0)], [("b", 5)])]})
    for method in (MixingPatterns(), HybridMotifs()):
        method.fit(seen, NOTHING)
        assert method.predict(seen).num_rows == 0
    method = MixingPatterns()
    method.fit(seen, NOTHING._replace(tags=tagged([("btc", 1)])))
    assert method.predict(seen).to_pylist() == [{"coin": "btc", "address": 1, "score": 1.0}]


def service_and_shoppers(count: int = 150) -> list[Tx]:
    """Each hour a customer pays a deposit, the service pays three at once from it an hour later; each hour a shopper
    keeps a coin for days and pays one."""
    txs = [
        Tx(pays=[(f"{kind}{number}", 1_000) for number in range(count) for kind in ("customer", "shopper")], height=0)
    ]
    for number in range(count):
        made = len(txs)
        txs.append(Tx([(0, 2 * number)], [(f"deposit{number}", 999)], height=1 + 6 * number))
        pays = [(f"payout{number} {place}", 330) for place in range(3)]
        txs.append(Tx([(made, 0)], pays, height=7 + 6 * number))
        txs.append(Tx([(0, 2 * number + 1)], [(f"shop{number}", 999)], height=2000 + 6 * number))
    return sorted_by_height(txs)


def sorted_by_height(txs: list[Tx]) -> list[Tx]:
    order = sorted(range(len(txs)), key=lambda tx: txs[tx].height or 0)
    place = {tx: number for number, tx in enumerate(order)}
    return [txs[tx]._replace(spends=[(place[made], vout) for made, vout in txs[tx].spends]) for tx in order]


def test_the_forest_ranks_deposits_above_all_else(tmp_path: Path) -> None:
    seen = public(tmp_path, {"btc": service_and_shoppers()})
    names = seen.graph("btc").names.to_pylist()
    told = NOTHING._replace(tags=tagged([("btc", names.index(f"deposit{number}")) for number in range(20)]))
    method = HybridMotifs()
    method.fit(seen, told)
    table = method.predict(seen)
    best = sorted(table.to_pylist(), key=lambda row: -row["score"])[:150]
    assert {names[row["address"]] for row in best} == {f"deposit{number}" for number in range(150)}
    again = HybridMotifs()
    again.fit(seen, told)
    assert again.predict(seen).equals(table)


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 5))
def test_features_come_in_chunks_as_at_once(seed: int, txs: int, size: int) -> None:
    chain = graph(drawn(seed, txs))
    addresses = np.arange(chain.addresses)[:: 1 + seed % 2]
    whole = np.concatenate([rows for _, rows in motifs.features(chain, addresses)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motifs, "CHUNK", size)
        parts = list(motifs.features(chain, addresses))
    assert (np.concatenate([rows for _, rows in parts]) == whole).all()
    assert np.concatenate([chunk for chunk, _ in parts]).tolist() == addresses.tolist()
    received = np.bincount(chain.address, minlength=chain.addresses)[addresses]
    assert whole[:, -3].tolist() == received.tolist()
    spent = np.bincount(chain.address[chain.spender != -1], minlength=chain.addresses)[addresses]
    assert np.rint(np.expm1(whole[:, : motifs.MOTIFS]).sum(axis=1)).tolist() == spent.tolist()


@pytest.mark.parametrize("method", [MixingPatterns, HybridMotifs])
def test_on_a_dataset_scores_are_of_its_addresses(method: type[MixingPatterns | HybridMotifs], folder: Path) -> None:
    seen = Public(folder / "observer")
    mine = [
        row["address"]
        for row in pq.read_table(folder / "answers/wallet_truth.parquet").to_pylist()
        if row["coin"] == "btc"
    ]
    names = seen.graph("btc").names.to_pylist()
    tags = [("btc", names.index(name)) for name in mine if name in names][:3]
    finder = method()
    finder.fit(seen, NOTHING._replace(tags=tagged(tags)))
    rows = finder.predict(seen).to_pylist()
    assert {address for _, address in tags} <= {row["address"] for row in rows}
    assert all(0 < row["score"] <= 1 and row["address"] < len(names) for row in rows)
