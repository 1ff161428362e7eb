"""Order in time, swaps, reveals on accounts, and the ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.errors import DatasetError
from glasstumbler.lab import schemas, tasks
from glasstumbler.lab.ceiling import ceiling, likeliest
from glasstumbler.lab.methods.base import ANSWERS, Cluster, OwnOrder, Told
from glasstumbler.lab.methods.fifo_time import FifoTime, first_come
from glasstumbler.lab.methods.registry import METHODS
from glasstumbler.lab.methods.reveals import Reveals
from glasstumbler.lab.methods.swap_match import Limits, SwapMatch, hits
from glasstumbler.lab.public import Public
from glasstumbler.lab.tasks import Dataset, Split
from tests.lab.mixer_chains import Mixed, Pay, best, simple, world
from tests.lab.small_chains import NO_TAGS, Tx, public

# -- order in time ----------------------------------------------------------------------------------------------------


def test_the_earliest_free_deposit_that_fits_is_taken() -> None:
    deposited, amount = np.array([0, 10, 20, 30]), np.array([100.0, 100.0, 50.0, 100.0])
    paid, need = np.array([25, 30, 35, 36, 99]), np.array([98.0, 49.0, 97.0, 99.0, 98.0])
    found = first_come(deposited, amount, paid, need, (5.0, 30.0), (0.0, 0.05))
    assert found.tolist() == [0, 2, 1, 3, -1]


TIMES = st.lists(st.integers(0, 30), max_size=20).map(sorted)


@given(TIMES, TIMES, st.integers(0, 1000))
def test_order_in_time_is_what_plain_loops_find(came: list[int], paid: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    amount, need = draw.integers(1, 20, len(came)), draw.integers(1, 20, len(paid))
    free, wanted = list(range(len(came))), []
    for when, least in zip(paid, need, strict=True):
        fitting = [row for row in free if 1 <= when - came[row] <= 9 and 0 <= 1 - least / amount[row] <= 0.5]
        wanted.append(fitting[0] if fitting else -1)
        free = [row for row in free if row != wanted[-1]]
    arrays = np.array(came, np.int64), amount.astype(float), np.array(paid, np.int64), need.astype(float)
    assert first_come(*arrays, (1.0, 9.0), (0.0, 0.5)).tolist() == wanted


def test_a_service_that_keeps_the_order_is_undone_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "mixed").mkdir()
    orders = [Mixed(1 + row, 1_020_000, (Pay(4 + row, (1_000_000,)),)) for row in range(100)]
    kept, mixed = world(tmp_path / "kept", orders), simple(tmp_path / "mixed", 300, alike=True, outputs=1)
    right = []
    for made in (kept, mixed):
        method = FifoTime()
        method.fit(made.public, made.taught(range(0, len(made.orders), 5)))
        found = best(method.predict(made.public))
        assert len({output for _, output in found}) == len(found)
        right.append(len(found & made.true()) / len(made.true()))
    assert right[0] > 0.98 and right[1] < 0.15


# -- swaps ------------------------------------------------------------------------------------------------------------


def test_a_swap_is_matched_where_one_payment_fits() -> None:
    deposited = np.array([0, 0, 1000, 2000])
    worth = np.array([100.0, 50.0, 70.0, np.nan])
    paid, amount = np.array([10, 20, 990, 1010, 2100]), np.array([101, 51, 70, 71, 5])
    limits = Limits(300, 0.02)
    assert hits(deposited, worth, paid, amount, limits, sooner=100).tolist() == [0, 1, -1, 4]
    assert hits(deposited, worth, paid, amount, limits, sooner=0).tolist() == [0, 1, 3, 4]
    both = hits(np.array([0, 1]), np.array([100.0, 100.0]), np.array([10]), np.array([100]), limits)
    assert both.tolist() == [-1, -1]
    assert hits(np.zeros(1, np.int64), np.zeros(1), np.zeros(0, np.int64), np.zeros(0, np.int64), limits).tolist() == [
        -1
    ]


def swapped(folder: Path, amounts: list[int]) -> tuple[Public, Told]:
    """btc comes in each hour, ltc at 60 to 1 less 1 % goes out two blocks later; the price creeps upwards."""
    btc = [Tx(pays=[(f"customer{row}", amount) for row, amount in enumerate(amounts)], height=0)]
    ltc = [Tx(pays=[(f"float{row}", amount * 70) for row, amount in enumerate(amounts)], height=0)]
    for row, amount in enumerate(amounts):
        btc.append(Tx([(0, row)], [(f"deposit{row}", amount)], height=1 + row))
        ltc.append(Tx([(0, row)], [(f"payout{row}", int(amount * (60 + row / 100) * 0.99))], height=3 + row))
    seen = public(folder, {"btc": btc, "ltc": ltc})
    count = len(amounts)
    clusters = (
        Cluster("swapper", "btc", np.arange(count, 2 * count)),
        Cluster("swapper", "ltc", np.arange(count)),
    )
    times = [600 * (1 + row) for row in range(count)]
    price = [60 + row / 100 for row in range(count)]
    feed = pa.table({"time": times, "base": ["btc"] * count, "quote": ["ltc"] * count, "price": price})
    own = tuple(OwnOrder("swapper", "btc", count + row, (("ltc", count + row),)) for row in range(0, count, 4))
    return seen, Told(NO_TAGS, clusters, own, feed)


@pytest.mark.parametrize("backwards", [False, True])
def test_swaps_of_amounts_that_differ_are_matched(tmp_path: Path, backwards: bool) -> None:
    amounts = np.random.default_rng(3).integers(10**6, 10**8, 80).tolist()
    seen, told = swapped(tmp_path, amounts)
    if backwards:  # the feed may name the pair the other way round
        feed = told.prices
        assert feed is not None
        turned = {"base": feed["quote"], "quote": feed["base"], "price": 1 / feed["price"].to_numpy()}
        told = told._replace(prices=pa.table({"time": feed["time"], **turned}))
    method = SwapMatch()
    method.fit(seen, told)
    rows = method.predict(seen).to_pylist()
    right = [row for row in rows if row["deposit_output"] == row["payout_output"] and row["payout_coin"] == "ltc"]
    assert len(right) > 72
    assert len(rows) - len(right) <= 4
    method.fit(seen, told._replace(own_orders=()))
    assert method.predict(seen).to_pylist() == rows


def test_swaps_that_are_all_alike_are_left_alone(tmp_path: Path) -> None:
    seen, told = swapped(tmp_path, [10**7] * 80)
    method = SwapMatch()
    method.fit(seen, told._replace(own_orders=()))
    assert method.predict(seen).num_rows < 8


def test_without_prices_only_time_is_left(tmp_path: Path) -> None:
    seen, told = swapped(tmp_path, [10**7])
    method = SwapMatch()
    method.fit(seen, told._replace(own_orders=(), prices=None))
    assert [row["payout_output"] for row in method.predict(seen).to_pylist()] == [1]


# -- reveals ----------------------------------------------------------------------------------------------------------


def accounts(folder: Path, sends: list[tuple[int, int, int]]) -> Public:
    """(from, to, fee), one a block; addresses are numbers."""
    made: dict[str, list[dict[str, object]]] = {name: [] for name in schemas.OBSERVER}
    for tx, (sender, to, fee) in enumerate(sends):
        made["block"].append({"coin": "eth", "height": tx, "hash": "h", "previous": "p", "time": 12 * tx, "txs": 1})
        made["tx"].append(
            {"coin": "eth", "tx": tx, "txid": str(tx), "height": tx, "place": 0, "coinbase": False, "inputs": 1}
            | {"outputs": 1, "bytes": 110, "fee": fee * 10**9}
        )
        made["input"].append(
            {"coin": "eth", "tx": tx, "place": 0, "account": sender, "nonce": tx, "amount": (fee + 5) * 10**9}
        )
        made["output"].append({"coin": "eth", "output": tx, "tx": tx, "vout": 0, "address": to, "amount": 5 * 10**9})
    for number in range(1 + max(max(sender, to) for sender, to, _ in sends)):
        made["address"].append(
            {"coin": "eth", "address": number, "name": f"0x{number}", "first_height": 0, "last_height": 0}
            | {"outputs": 1, "received": 1}
        )
    for name, schema in schemas.OBSERVER.items():
        pq.write_table(pa.Table.from_pylist(made[name], schema), folder / f"{name}.parquet")
    return Public(folder)


def test_one_address_and_a_gas_price_of_ones_own_give_away(tmp_path: Path) -> None:
    """0 is the service's account for payouts, 1 to 3 its deposit addresses."""
    sends = [
        (4, 1, 777),  # 4 deposits at a gas price of its own
        (5, 2, 20),  # 5 deposits at everyone's
        (6, 3, 20),
        (0, 7, 30),  # paid to 7 ...
        (0, 5, 30),  # 5 is paid itself
        (0, 8, 30),
        (7, 9, 777),  # ... which sends at the price of 4
        (8, 9, 20),
    ]
    seen = accounts(tmp_path, sends)
    method = Reveals()
    method.fit(seen, Told(NO_TAGS, (Cluster("mixer", "eth", np.arange(4)),)))
    found = [(row["deposit_output"], row["payout_output"], row["score"]) for row in method.predict(seen).to_pylist()]
    assert found == [(0, 3, 1.0), (1, 4, 1.0)]


def test_a_gas_price_of_three_and_a_payout_before_the_deposit_say_nothing(tmp_path: Path) -> None:
    sends = [(0, 7, 30), (4, 1, 777), (7, 9, 777), (5, 2, 888), (0, 8, 30), (8, 9, 888), (6, 9, 888)]
    seen = accounts(tmp_path, sends)
    method = Reveals()
    method.fit(seen, Told(NO_TAGS, (Cluster("mixer", "eth", np.arange(4)),)))
    assert method.predict(seen).num_rows == 0


# -- the laboratory's own dataset -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return Dataset(folder)


@pytest.mark.parametrize("task", ["T2", "T3", "T6", "T8"])
def test_the_ceiling_stands_above_chance(dataset: Dataset, task: str) -> None:
    found = ceiling(dataset, task)
    assert found.schema.equals(ANSWERS[task])
    scores = found["score"].to_numpy()
    assert ((scores > 0) & (scores <= 1 + 1e-9)).all()
    true = {
        tuple(row[name] for name in ("deposit_coin", "deposit_output", "payout_coin", "payout_output"))
        for row in tasks.truth(dataset, "T6" if task == "T6" else "T2").to_pylist()
    }
    named = {tuple(row[name] for name in ANSWERS[task].names[:4]): row["score"] for row in found.to_pylist()}
    assert true & set(named)
    mean = np.mean([score for pair, score in named.items() if pair in true])
    other = [score for pair, score in named.items() if pair not in true]
    assert mean == 1 if task == "T6" else not other or mean > np.mean(other)  # there is one swap


CLAIMS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 1000))


@given(st.lists(CLAIMS, max_size=8, unique_by=lambda link: link[:2]))
def test_of_claims_those_are_kept_whose_expected_f1_is_greatest(claims: list[tuple[int, int, int]]) -> None:
    names = ANSWERS["T3"].names
    rows = [dict(zip(names, ("btc", one, "btc", other, mille / 1000), strict=True)) for one, other, mille in claims]
    kept = likeliest(pa.Table.from_pylist(rows, ANSWERS["T3"])).to_pylist()
    there = sum(row["score"] for row in rows)

    def expected(chosen: Sequence[dict[str, Any]]) -> float:
        return 2 * sum(row["score"] for row in chosen) / (len(chosen) + there)

    possible = [
        chosen
        for many in range(1, len(rows) + 1)
        for chosen in combinations(rows, many)
        if len({row["payout_output"] for row in chosen}) == many
    ]
    assert expected(kept) == pytest.approx(max(map(expected, possible), default=0)) if rows else kept == []


def test_other_tasks_have_no_ceiling_here(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="no ceiling is known for T4"):
        ceiling(dataset, "T4")


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.task in ("T2", "T3", "T6", "T8")])
def test_every_linking_method_answers_the_laboratorys_dataset(dataset: Dataset, name: str) -> None:
    method = METHODS[name]()
    split = Split("all", np.ones(len(dataset.orders), np.bool_))
    method.fit(dataset.public, tasks.told(dataset, method.task, split))
    found = method.predict(dataset.public)
    assert found.schema.equals(ANSWERS[method.task])
    for coin, output in {("deposit_coin", "deposit_output"), ("payout_coin", "payout_output")}:
        for row in found.to_pylist():
            assert 0 <= row[output] < dataset.public.graph(row[coin]).outputs
    pairs = {tuple(row[name] for name in ANSWERS[method.task].names[:4]) for row in found.to_pylist()}
    assert len(pairs) == found.num_rows
