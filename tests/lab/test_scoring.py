"""Measures against outside oracles: scikit-learn, scipy, and brute force over every order of tied candidates."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score, average_precision_score, roc_auc_score
from sklearn.metrics.cluster import pair_confusion_matrix

from glasstumbler.lab.scoring import bootstrap, clustering, linking, ranking, tainting
from glasstumbler.lab.scoring.bootstrap import scored
from glasstumbler.lab.scoring.linking import NO_ORDER, NOT_SCORED, Judged, Key, Named

# -- links of orders --------------------------------------------------------------------------------------------------


def key_of(payouts: list[list[int]], deposits: dict[int, int], outputs: int = 1000, choice: float = 100.0) -> Key:
    """`payouts`: by order; `deposits`: output to order."""
    order_of = np.full(outputs, NO_ORDER)
    for output, order in deposits.items():
        order_of[output] = order
    first = np.concatenate([[0], np.cumsum([len(each) for each in payouts])]).astype(np.int64)
    share = np.concatenate([np.full(len(each), 1 / len(each)) for each in payouts])
    several = np.array([sum(one == order for one in deposits.values()) > 1 for order in range(len(payouts))])
    return Key(
        order_of,
        first,
        np.array([one for each in payouts for one in each]),
        share,
        several,
        np.full(len(payouts), choice),
    )


def named_of(rows: list[tuple[int, int, float]]) -> Named:
    deposit, payout, score = zip(*rows, strict=True) if rows else ((), (), ())
    return Named(np.array(deposit, np.int64), np.array(payout, np.int64), np.array(score, np.float64))


def judged_of(rows: list[tuple[int, int, float]], key: Key) -> Judged:
    return linking.judge(named_of(rows), key, True)


def brute(candidates: dict[int, float], wanted: set[int]) -> dict[str, float]:
    """Means over every order of the candidates that goes by falling score."""
    orders = [
        order for order in permutations(candidates) if all(candidates[a] >= candidates[b] for a, b in pairwise(order))
    ]
    found: dict[str, float] = defaultdict(float)
    for order in orders:
        right = [one in wanted for one in order]
        for cut in (1, 5, 20):
            found[f"hit@{cut}"] += any(right[:cut]) / len(orders)
        found["MRR"] += (1 / (right.index(True) + 1) if any(right) else 0) / len(orders)
        chosen = order[: len(wanted)]
        both = len(wanted & set(chosen))
        found["set F1"] += 2 * both / (len(chosen) + len(wanted)) / len(orders)
        found["value recall"] += both / len(wanted) / len(orders)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_ranks_are_means_over_every_order_of_ties(seed: int) -> None:
    draw = np.random.default_rng(seed)
    candidates = {int(one): float(draw.integers(1, 4)) / 4 for one in draw.choice(10, draw.integers(1, 8), False)}
    wanted = {int(one) for one in draw.choice(10, draw.integers(1, 4), False)}
    judged = judged_of(
        [(900, payout, score) for payout, score in candidates.items()], key_of([sorted(wanted)], {900: 0})
    )
    for name, value in brute(candidates, wanted).items():
        assert linking.RANKS[name](judged.parts.sum(0)) == pytest.approx(value), name


def test_a_tie_of_many_is_no_hit_by_the_order_of_rows() -> None:
    rows = [(900, payout, 0.5) for payout in range(50)]
    for asked in (rows, rows[::-1]):
        parts = judged_of(asked, key_of([[0]], {900: 0})).parts.sum(0)
        assert linking.RANKS["hit@1"](parts) == pytest.approx(1 / 50)
        assert linking.RANKS["hit@20"](parts) == pytest.approx(20 / 50)


@pytest.mark.parametrize("seed", range(5))
def test_links_in_any_order_of_rows_are_judged_alike(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = [
        (900 + order, int(payout), float(draw.integers(1, 5)))
        for order in range(4)
        for payout in draw.choice(9, 5, False)
    ]
    key = key_of([[1], [2, 3], [4], [5, 6]], {900: 0, 901: 1, 902: 2})
    together, mixed = judged_of(rows, key), draw.permutation(len(rows))
    apart = judged_of([rows[place] for place in mixed], key)
    assert apart.parts == pytest.approx(together.parts)
    assert apart.right.tolist() == together.right[mixed].tolist()
    assert apart.stray.tolist() == together.stray.tolist() == [5]


def test_of_several_deposits_the_best_score_counts() -> None:
    key = key_of([[1, 2]], {900: 0, 901: 0})
    rows = [(900, 1, 0.2), (901, 1, 0.9), (900, 3, 0.5), (901, 2, 0.1), (900, 2, 0.1)]
    parts = judged_of(rows, key).parts.sum(0)
    assert linking.RANKS["hit@1"](parts) == 1
    assert linking.MATCHES["precision"](parts) == pytest.approx(2 / 3)
    assert linking.RANKS["set F1"](parts) == pytest.approx(brute({1: 0.9, 3: 0.5, 2: 0.1}, {1, 2})["set F1"])


def test_a_payout_named_for_several_deposits_stands_on_a_curve_once() -> None:
    key = key_of([[1, 2], [5]], {900: 0, 901: 0, 902: 1, 903: NOT_SCORED})
    rows = [(900, 1, 0.2), (901, 1, 0.9), (900, 3, 0.5), (901, 2, 0.1), (900, 2, 0.1), (902, 5, 0.3), (903, 5, 0.4)]
    rows += [(904, 1, 0.6), (905, 1, 0.7)]
    named, judged = named_of(rows), judged_of(rows, key)
    chosen = linking.counted(named, key, judged.right)
    assert [rows[place][:2] for place in np.flatnonzero(chosen)] == [
        *((901, 1), (900, 3), (901, 2), (902, 5), (904, 1), (905, 1))
    ]
    assert judged.right[chosen].sum() == judged.parts[:, linking.TRUE].sum() == 3


def test_what_belongs_to_no_order_is_wrong_and_what_was_told_does_not_count() -> None:
    key = key_of([[1]], {900: 0, 901: NOT_SCORED})
    judged = judged_of([(900, 1, 1.0), (901, 7, 1.0), (902, 3, 1.0), (902, 4, 1.0), (903, 3, 1.0)], key)
    assert judged.right.tolist() == [1, -1, 0, 0, 0]
    assert sorted(judged.stray.tolist()) == [1, 2]
    assert judged.parts[0, linking.EDGES] == 1


def test_an_order_of_which_nothing_is_said_is_not_found() -> None:
    parts = judged_of([], key_of([[1], [2]], {900: 0, 901: 1})).parts.sum(0)
    assert [linking.RANKS[name](parts) for name in linking.RANKS] == [0] * 7
    with np.errstate(invalid="ignore"):
        assert np.isnan(linking.MATCHES["precision"](parts)) and np.isnan(linking.CLAIMS["anonymity set"](parts))


def test_claims_are_probabilities() -> None:
    """By hand: 0.5 on the true payout, 0.25 on another, the rest on none that is likelier than 0.25."""
    parts = judged_of([(900, 1, 0.5), (900, 2, 0.25)], key_of([[1]], {900: 0}, choice=10)).parts.sum(0)
    assert linking.CLAIMS["Brier"](parts) == pytest.approx((0.25 + 0.0625) / 2)
    assert linking.CLAIMS["anonymity set"](parts) == pytest.approx(2 ** (0.5 * 1 + 0.25 * 2 + 0.25 * 2))
    assert parts[linking.SURPRISE] == pytest.approx(-log2(0.99 * 0.5 + 0.01 / 10))


def test_the_anonymity_set_of_an_even_choice_is_its_size_however_few_are_named() -> None:
    rows = [(900, payout, 1 / 300) for payout in range(20)]
    parts = judged_of(rows, key_of([[1]], {900: 0}, choice=300)).parts.sum(0)
    assert linking.CLAIMS["anonymity set"](parts) == pytest.approx(300)
    assert parts[linking.SURPRISE] == pytest.approx(log2(300))


def test_an_order_of_three_that_is_known_for_sure_hides_in_nothing() -> None:
    parts = judged_of([(900, one, 1.0) for one in (1, 2, 3)], key_of([[1, 2, 3]], {900: 0})).parts.sum(0)
    assert linking.CLAIMS["anonymity set"](parts) == pytest.approx(1)
    assert linking.CLAIMS["Brier"](parts) == 0


def test_brier_counts_what_was_not_named_as_a_claim_of_zero() -> None:
    parts = judged_of([(900, 5, 0.5)], key_of([[1, 2]], {900: 0})).parts.sum(0)
    assert linking.CLAIMS["Brier"](parts) == pytest.approx((0.25 + 1 + 1) / 3)


def test_calibration_bins_claims() -> None:
    score, right = np.array([0.05, 0.95, 1.0, 0.91, 0.5]), np.array([0, 1, 1, 0, -1])
    found = linking.calibration(score, right)
    assert found.claimed == pytest.approx([0.05, (0.95 + 1 + 0.91) / 3])
    assert found.true == pytest.approx([0, 2 / 3])
    assert found.links.tolist() == [1, 3]


# -- areas ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_areas_are_scikit_learns(seed: int) -> None:
    draw = np.random.default_rng(seed)
    sought = draw.random(500) < 0.2
    score = np.round(draw.random(500) + 0.3 * sought, 1 + seed % 3)
    found = ranking.areas(ranking.ranking(score, sought, np.arange(500), 500), 500)
    assert found.average_precision.value == pytest.approx(average_precision_score(sought, score))
    assert found.roc.value == pytest.approx(roc_auc_score(sought, score))


def test_precision_at_a_rate_of_false_alarms_is_the_mean_over_ties() -> None:
    """100 others, 1 % allows one of them: 3 sought first, then a tie of 2 sought and 4 others."""
    score = np.array([9.0] * 3 + [5.0] * 6 + [1.0] * 96)
    sought = np.array([True] * 3 + [True, True, False, False, False, False] + [False] * 96)
    found = ranking.areas(ranking.ranking(score, sought, np.arange(105), 105), 105)
    assert found.precision_at[1].value == pytest.approx(3.5 / 4.5)
    assert found.precision_at[0].value == pytest.approx((3 + 2 * 0.025) / (3 + 2 * 0.025 + 0.1))


def test_saying_nothing_is_chance() -> None:
    sought = np.arange(1000) < 50
    found = ranking.areas(ranking.ranking(np.full(1000, ranking.UNNAMED), sought, np.arange(1000), 1000), 1000)
    assert found.average_precision.value == found.precision_at[0].value == pytest.approx(0.05)
    assert found.roc.value == pytest.approx(0.5)
    low, high = found.average_precision[1:]
    exact = stats.binom(1000, 0.05).ppf([0.025, 0.975]) / 1000
    assert (low, high) == pytest.approx(tuple(exact), abs=0.003)


def test_a_long_ranking_is_drawn_less_often_and_its_interval_is_as_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    sought = draw.random(3000) < 0.1
    ranked = ranking.ranking(draw.random(3000) + 0.2 * sought, sought, np.arange(3000), 3000)
    often = ranking.areas(ranked, 3000).roc
    monkeypatch.setattr(ranking, "_STEPS", 1)
    seldom = ranking.areas(ranked, 3000).roc
    assert seldom.value == often.value and (seldom.low, seldom.high) != (often.low, often.high)
    assert (seldom.low, seldom.high) == pytest.approx((often.low, often.high), abs=0.01)


def test_nothing_sought_has_no_area() -> None:
    found = ranking.areas(ranking.ranking(np.ones(3), np.zeros(3, np.bool_), np.arange(3), 3), 3)
    assert found.average_precision.value is None and found.roc.value is None


def test_a_curve_has_few_points_and_the_right_ones() -> None:
    draw = np.random.default_rng(1)
    sought = draw.random(5000) < 0.3
    found = ranking.curve(draw.random(5000), sought, int(sought.sum()))
    assert len(found.recall) == ranking.POINTS
    assert found.recall[-1] == 1 and found.precision[-1] == pytest.approx(sought.mean())
    small = ranking.curve(np.array([0.9, 0.5, 0.5]), np.array([True, False, True]), 4)
    assert small.recall.tolist() == [0.25, 0.5] and small.precision.tolist() == [1, 2 / 3]


# -- clusters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_clusters_are_judged_as_scikit_learn_and_by_hand(seed: int) -> None:
    draw = np.random.default_rng(seed)
    owner, cluster = draw.integers(0, 12, 80), draw.integers(0, 1 + 3 * seed, 80)
    found = clustering.agreement(owner, cluster)
    sums = found.parts.sum(0)
    assert clustering.MEASURES["ARI"](sums) == pytest.approx(adjusted_rand_score(owner, cluster))
    (_, merged), (split, both) = pair_confusion_matrix(owner, cluster)
    assert clustering.MEASURES["pair precision"](sums) == pytest.approx(both / (both + merged))
    assert clustering.MEASURES["pair recall"](sums) == pytest.approx(both / (both + split))
    pure = whole = 0.0
    for one in range(80):
        mine, same = set(np.flatnonzero(cluster == cluster[one])), set(np.flatnonzero(owner == owner[one]))
        pure += len(mine & same) / len(mine) / 80
        whole += len(mine & same) / len(same) / 80
    assert clustering.MEASURES["B3 precision"](sums) == pytest.approx(pure)
    assert clustering.MEASURES["B3 recall"](sums) == pytest.approx(whole)
    assert clustering.MEASURES["B3 F1"](sums) == pytest.approx(2 * pure * whole / (pure + whole))
    owners = Counter({one: len(set(owner[cluster == one])) for one in set(cluster)})
    assert found.over_merged == sum(count > 1 for count in owners.values())
    assert found.most_owners == max(owners.values())
    assert clustering.by_owner(found.parts, owner).sum(0) == pytest.approx(sums)


@pytest.mark.parametrize("most", [1, 30, 10**15])
def test_numbers_are_made_dense_as_numpy_makes_them(most: int) -> None:
    numbers = np.random.default_rng(most).integers(-most, most, 50)
    assert clustering.dense(numbers).tolist() == np.unique(numbers, return_inverse=True)[1].tolist()
    assert clustering.dense(numbers[:0]).tolist() == []


def test_every_address_alone_is_pure_and_finds_no_pair() -> None:
    owner = np.array([0, 0, 1, 1, 1])
    sums = clustering.agreement(owner, np.arange(5)).parts.sum(0)
    assert clustering.MEASURES["B3 precision"](sums) == 1
    assert clustering.MEASURES["B3 recall"](sums) == pytest.approx(2 / 5)
    assert clustering.MEASURES["ARI"](sums) == 0 and clustering.MEASURES["pair recall"](sums) == 0


# -- taint ------------------------------------------------------------------------------------------------------------


def test_taint_is_judged_by_value() -> None:
    worth, looked = np.array([4.0, 2.0, 2.0, 9.0]), np.array([True, True, True, False])
    true, which = np.array([[0.0, 1.0, 1.0, 1.0], [1.0, 0.5, 1.0, 1.0]]), np.array([0, 1, 3])
    first, parts = tainting.case(worth, looked, np.arange(4), true, which, np.array([0.5, 1.0, 1.0]))
    assert first.tolist() == [2, 4, 4, 2, 1]
    assert tainting.MEASURES["value precision"](parts) == pytest.approx(3 / 4)
    assert tainting.MEASURES["value recall"](parts) == pytest.approx(3 / 7)
    assert tainting.MEASURES["flagged per true"](parts) == 1


# -- intervals --------------------------------------------------------------------------------------------------------


def test_intervals_are_those_of_scipy() -> None:
    draw = np.random.default_rng(4)
    values = draw.exponential(size=300)
    found = scored(np.stack([values, np.ones(300)], 1), lambda sums: sums[..., 0] / sums[..., 1])
    oracle = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, rng=5).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)


def test_intervals_of_many_units_are_as_narrow_as_theory_says() -> None:
    values = np.random.default_rng(4).random(100_000)
    found = scored(np.stack([values, np.ones(len(values))], 1), lambda sums: sums[..., 0] / sums[..., 1])
    assert found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / len(values) ** 0.5, rel=0.1)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(300):
        values = np.random.default_rng(seed).random(60) < 0.3
        found = scored(np.stack([values, np.ones(60)], 1).astype(float), lambda sums: sums[..., 0] / sums[..., 1])
        assert found.low is not None and found.high is not None
        held += found.low <= 0.3 <= found.high
    assert 0.90 <= held / 300 <= 0.98


def test_one_unit_has_no_interval_and_nothing_no_value() -> None:
    measure = lambda sums: sums[..., 0] / sums[..., 1]  # noqa: E731
    assert scored(np.array([[1.0, 2.0]]), measure) == (0.5, None, None)
    assert scored(np.array([[0.0, 0.0]]), measure) == (None, None, None)
    assert scored(np.array([[1.0, 1.0], [0.0, 0.0]]), measure).value == 1
    assert bootstrap.weights(5).sum(1).tolist() == [5.0] * bootstrap.RESAMPLES
