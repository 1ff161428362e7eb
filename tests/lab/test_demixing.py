"""Linking by delay and fee: by hand, against plain loops, where it must find all, and where it can find nothing."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import chisquare

from glasstumbler.lab.methods import subsets
from glasstumbler.lab.methods.assignment import STEP, assign
from glasstumbler.lab.methods.candidates import candidates
from glasstumbler.lab.methods.chance import Chance, ChanceJoint, ChanceOwn, drawn
from glasstumbler.lab.methods.demixing import Demixing, JointDemixing, Linker, OwnOrders
from glasstumbler.lab.methods.densities import Density, Habits, density
from glasstumbler.lab.methods.lessons import Lessons, fee_rule
from tests.lab.mixer_chains import Mixed, Pay, World, best, simple, world

LINKERS = (Demixing, OwnOrders, JointDemixing)


# -- pieces -----------------------------------------------------------------------------------------------------------


def test_a_density_by_hand() -> None:
    assert [each.tolist() for each in density([5.0], 2.0)] == [[4.0, 6.0], [0.5]]
    edges, heights = density([0.0, 0.0, 0.0, 9.0], 1.0)
    assert edges.tolist() == [-2.25, 0.0, 11.25]
    assert heights.tolist() == pytest.approx([0.5 / 5 / 2.25, 4.5 / 5 / 11.25])


def test_values_that_are_alike_have_a_narrow_bin_of_their_own() -> None:
    """Orders of a service with a fee rule leave nothing over but where they were paid too much or too little."""
    draw = np.random.default_rng(1)
    values = np.concatenate([draw.uniform(-1e-8, 1e-8, 80), draw.uniform(-0.3, 0.3, 20)])
    found = density(values, 1e-6)
    place = int(np.searchsorted(found.edges, 0.0, "right")) - 1
    width = float(found.edges[place + 1] - found.edges[place])
    assert width < 3e-6
    assert found.heights[place] * width > 0.7


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(1e-3, 10))
def test_a_density_is_one_and_holds_what_was_seen(values: list[float], finest: float) -> None:
    found = density(values, finest)
    widths = np.diff(found.edges)
    assert (found.heights * widths).sum() == pytest.approx(1)
    assert (widths > 0.999 * finest - 1e-9).all()
    assert found.low < min(values) and max(values) < found.high


def lookup(found: Density, value: float) -> float:
    place = int(np.searchsorted(found.edges, value, "right")) - 1
    return float(found.heights[place]) if 0 <= place < len(found.heights) else 0.0


TIMES = st.lists(st.integers(0, 30), max_size=25).map(sorted)


@pytest.mark.parametrize("wide", [0, np.inf])
@given(came=TIMES, paid=TIMES, seed=st.integers(0, 1000), keep=st.integers(1, 5))
def test_both_ways_find_what_plain_loops_find(
    wide: float, came: list[int], paid: list[int], seed: int, keep: int
) -> None:
    draw = np.random.default_rng(seed)
    amount = draw.integers(1, 200, len(came)).astype(float)
    need = draw.integers(1, 200, len(paid)).astype(float)
    habits = Habits(density(draw.integers(0, 9, 9), 1.0), density(draw.uniform(0, 0.6, 9), 0.1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glasstumbler.lab.methods.candidates.WIDE", wide)
        found = candidates(np.array(came, np.int64), amount, np.array(paid, np.int64), need, habits, keep)
    for deposit, when in enumerate(came):
        weights = {
            row: lookup(habits.delay, paid[row] - when) * lookup(habits.taken, 1 - need[row] / amount[deposit])
            for row in range(len(paid))
            if 1 - need[row] / amount[deposit] < 1 - 1e-4
        }
        weights = {row: weight for row, weight in weights.items() if weight}
        assert found.many[deposit] == len(weights)
        assert found.total[deposit] == pytest.approx(sum(weights.values()))
        wanted = sorted(weights.values(), reverse=True)[:keep]
        assert found.weight[deposit, : len(wanted)] == pytest.approx(wanted)
        rows = found.row[deposit, : len(wanted)].tolist()
        assert len(set(rows)) == len(rows)
        assert [weights[row] for row in rows] == pytest.approx(wanted)
        assert (found.row[deposit, len(wanted) :] == -1).all()


@pytest.mark.parametrize("most_taken", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_stretches_name_what_the_scan_names_in_its_order(
    monkeypatch: pytest.MonkeyPatch, seed: int, most_taken: float
) -> None:
    """Blocks of deposits and payments; amounts and heights that are alike, so that many payments weigh the same."""
    draw = np.random.default_rng(seed)
    came, paid = np.sort(draw.integers(0, 40, 300)) * 600, np.sort(draw.integers(0, 60, 900)) * 600
    amount, need = draw.integers(-3, 90, 300).astype(float), draw.integers(-2, 60, 900).astype(float)
    taken = density(np.round(draw.uniform(-0.1, most_taken, 400), 1), 1e-6)
    asked = (came, amount, paid, need, Habits(density(draw.integers(0, 20, 400) * 600, 600.0), taken), 7)
    found = []
    for wide in (np.inf, 0):
        monkeypatch.setattr("glasstumbler.lab.methods.candidates.WIDE", wide)
        found.append(candidates(*asked))
    one, other = found
    assert (one.row == other.row).all() and (one.weight == other.weight).all() and (one.many == other.many).all()
    assert other.total == pytest.approx(one.total, rel=1e-12)
    assert one.many.max() > 100


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10_000), st.floats(0.2, 1))
def test_an_auction_is_as_good_as_the_best_assignment(rows: int, columns: int, seed: int, part: float) -> None:
    draw = np.random.default_rng(seed)
    worth = np.where(draw.random((rows, columns)) < part, draw.uniform(0.1, 9, (rows, columns)), 0)
    row, column = np.nonzero(worth)
    first = np.searchsorted(row, np.arange(rows + 1))
    chosen = assign(first, column, worth[row, column], columns)
    assert len(set(row[chosen])) == len(set(column[chosen])) == chosen.sum()
    top = worth[linear_sum_assignment(worth, maximize=True)].sum()
    assert top - rows * STEP - 1e-9 <= worth[row[chosen], column[chosen]].sum() <= top + 1e-9


@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 2))
def test_sums_are_those_of_every_set(seed: int, payments: int, least: int) -> None:
    draw = np.random.default_rng(seed)
    paid = np.sort(draw.integers(0, 12, payments))
    worth = draw.integers(1, 60, payments).astype(float)
    delay, taken = density(draw.integers(0, 9, 5), 1.0), density([0.0, 0.1, 0.2], 0.05)
    row, weight = subsets.subsets(np.array([2]), np.array([100.0]), paid, worth, delay, taken, least)
    window = [place for place in range(payments) if delay.low <= paid[place] - 2 < delay.high]
    chance = (delay.high - delay.low) / max(len(window), 1)
    wanted = dict.fromkeys(window, 0.0)
    total = 0.0
    for size in range(least, 4):
        for chosen in combinations(window, size):
            one = lookup(taken, 1 - worth[list(chosen)].sum() / 100)
            one *= float(np.prod([lookup(delay, paid[place] - 2) * chance for place in chosen]))
            total += one
            for place in chosen:
                wanted[place] += one
    if not total:
        assert (row == -1).all()
        return
    found = {int(place): float(part) for place, part in zip(row[0], weight[0], strict=True) if place != -1}
    assert found == pytest.approx({place: one / total for place, one in wanted.items()})


def test_a_crowded_window_is_left_alone() -> None:
    many = subsets.MOST_WINDOW + 1
    delay, taken = density([0.0], 100.0), density([0.0], 0.1)
    row, _ = subsets.subsets(np.array([0]), np.array([2.0]), np.zeros(many, np.int64), np.ones(many), delay, taken, 1)
    assert (row == -1).all()


def test_the_fee_rule_is_found_beside_overpaid_orders() -> None:
    draw = np.random.default_rng(0)
    paid, outputs = draw.integers(10**6, 10**8, 20), draw.integers(1, 5, 20)
    amount = paid + np.round(paid * 0.02).astype(np.int64) + 5_000 * outputs
    amount[:4] += 10**6
    rate, each = fee_rule(Lessons(amount, paid, outputs, paid, paid / amount, 1.0))
    assert (rate, each) == (pytest.approx(0.02, rel=1e-5), pytest.approx(5_000, rel=1e-3))
    few = Lessons(*(column[:3] for column in (amount, paid, outputs, paid)), (paid / amount)[:3], 1.0)
    assert fee_rule(few) == (0, 0)


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(1, 20))
def test_chance_draws_without_repeating(count: list[int], keep: int) -> None:
    row, place = drawn(np.array(count, np.int64), keep, np.arange(len(count)))
    assert np.bincount(row, minlength=len(count)).tolist() == [min(each, keep) for each in count]
    assert len(set(zip(row.tolist(), place.tolist(), strict=True))) == len(row)
    assert all(0 <= here < count[number] for number, here in zip(row, place, strict=True))


def test_chance_draws_evenly_and_the_same_in_any_order() -> None:
    names = np.arange(10**9, 10**9 + 7_000)
    row, place = drawn(np.full(7_000, 7), 1, names)
    assert chisquare(np.bincount(place)).pvalue > 0.01
    assert chisquare(np.bincount(7 * place[1:] + place[:-1])).pvalue > 0.01  # nor does one tell the next
    shuffled = np.random.default_rng(1).permutation(7_000)
    assert drawn(np.full(7_000, 7), 1, names[shuffled])[1].tolist() == place[shuffled].tolist()
    assert row.tolist() == list(range(7_000))


# -- whole methods ----------------------------------------------------------------------------------------------------


def linked(method: Linker | Chance, made: World, taught: range) -> set[tuple[int, int]]:
    method.fit(made.public, made.taught(taught))
    return best(method.predict(made.public))


def right(found: set[tuple[int, int]], made: World) -> float:
    return len(found & made.true()) / len(made.true())


@pytest.mark.parametrize("method", LINKERS)
def test_amounts_that_differ_give_every_order_away(method: type[Linker], tmp_path: Path) -> None:
    made = simple(tmp_path, 200)
    assert right(linked(method(), made, range(0, 200, 5)), made) > 0.97


@pytest.mark.parametrize("method", LINKERS)
def test_amounts_that_are_all_alike_leave_chance(method: type[Linker], tmp_path: Path) -> None:
    """About 30 orders stand in a window of 12 blocks."""
    made = simple(tmp_path, 300, alike=True, outputs=1)
    method_ = method()
    method_.fit(made.public, made.taught(range(0, 300, 5)))
    rows = method_.predict(made.public).to_pylist()
    best_of: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["score"] > best_of.get(row["deposit_output"], {"score": 0})["score"]:
            best_of[row["deposit_output"]] = row
    hits = sum((row["deposit_output"], row["payout_output"]) in made.true() for row in best_of.values())
    assert hits < 30


def test_a_payments_parts_are_found_by_their_sum(tmp_path: Path) -> None:
    made = simple(tmp_path, 60, outputs=2, apart=True, rush=1)
    method = Demixing()
    method.fit(made.public, made.taught(range(0, 60, 3)))
    rows = method.predict(made.public).to_pylist()
    of: dict[int, list[tuple[float, int]]] = {}
    for row in rows:
        of.setdefault(row["deposit_output"], []).append((row["score"], row["payout_output"]))
    found = {(deposit, output) for deposit, each in of.items() for _, output in sorted(each, reverse=True)[:2]}
    assert right(found, made) > 0.9
    assert all(0 <= row["score"] <= 1 for row in rows)


def test_the_rule_gives_more_than_the_range(tmp_path: Path) -> None:
    """Amounts so near to each other that a range of fees holds several, and the rule one."""
    draw = np.random.default_rng(5)
    orders = []
    for row in range(300):
        outputs = int(draw.integers(1, 4))
        amounts = tuple((1_000_000 + draw.integers(0, 30_000, outputs)).tolist())
        deposit = sum(amounts) + round(sum(amounts) * 0.02) + 5_000 * outputs
        orders.append(Mixed(1 + row // 10, deposit, (Pay(1 + row // 10 + int(draw.integers(1, 13)), amounts),)))
    made = world(tmp_path, orders)
    by_range = right(linked(Demixing(), made, range(0, 300, 15)), made)
    by_rule = right(linked(OwnOrders(), made, range(0, 300, 15)), made)
    assert by_rule > 0.95 > by_range + 0.05


def test_what_was_learned_stays_when_another_chain_is_answered(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = simple(tmp_path / "one", 100), simple(tmp_path / "two", 100, seed=2)
    method = Demixing()
    method.fit(two.public, two.told)
    assert method.predict(two.public).num_rows == 0
    method.fit(one.public, one.taught(range(100)))
    assert right(linked(method, two, range(0)), two) > 0.9


def test_another_services_habits_serve_where_none_are_known(tmp_path: Path) -> None:
    made = simple(tmp_path, 100)
    cluster = made.told.clusters[0]
    method = Demixing()
    method.fit(made.public, made.taught(range(50)))
    method.fit(made.public, made.told._replace(clusters=(cluster._replace(service="unheard"),)))
    assert right(best(method.predict(made.public)), made) > 0.9


@pytest.mark.parametrize("method", [Chance, ChanceJoint, ChanceOwn])
def test_chance_is_chance(method: type[Chance], tmp_path: Path) -> None:
    made = simple(tmp_path, 300, outputs=1)
    chance = method()
    chance.fit(made.public, made.taught(range(0, 300, 5)))
    rows = chance.predict(made.public).to_pylist()
    expected = sum(row["score"] for row in rows)
    hits = sum((row["deposit_output"], row["payout_output"]) in made.true() for row in rows)
    assert hits == pytest.approx(expected, abs=4 * expected**0.5)
    again = method()
    again.fit(made.public, made.taught(range(0, 300, 5)))
    assert again.predict(made.public).to_pylist() == rows
