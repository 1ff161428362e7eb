"""How well links name the payouts of orders: T2, T3, T6 and T8.

What a method says of an order's deposits is one list of candidates; of a payout that it names for several of them the
best score counts. Ranks are expected ranks: candidates of one score stand in random order. A payout that is not named
is not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import Flags, Ints
from glasstumbler.lab.scoring.bootstrap import Floats, Measure

NO_ORDER: Final = -1
"""A deposit that is no order's: what is named for it is wrong."""
NOT_SCORED: Final = -2
"""Of an order that the method was told of, or that is not asked for: what is named for it does not count."""
SPREAD: Final = 0.01
"""Part of a claim that is taken as spread over all the service's payouts, so that no surprise is infinite."""


class Key(NamedTuple):
    """The true answer. Outputs of all chains are numbered together."""

    order_of: Ints
    """By output: the order that it is a deposit of; NO_ORDER, NOT_SCORED."""
    first: Ints
    """Payouts of order i are payouts[first[i]:first[i + 1]], each once."""
    payouts: Ints
    share: Floats
    """Of the order's value, by payout."""
    several: Flags
    """By order: it has more than one deposit."""
    choice: Floats
    """By order: payouts that its service made on that chain, all orders together."""

    @property
    def orders(self) -> int:
        return len(self.first) - 1


class Named(NamedTuple):
    """Links that a method named, in the numbers of a Key."""

    deposit: Ints
    payout: Ints
    score: Floats


PARTS: Final = 19
"""Numbers that an order adds:"""
ORDERS, HIT_1, HIT_5, HIT_20, RECIPROCAL, SET_F1, VALUE, NAMED, CLAIMED, LOG_SET = range(10)
"""`LOG_SET`: bits, of those CLAIMED."""
SQUARES, PAIRS, SURPRISE, EDGES, RIGHT, TRUE, FIRST_EDGES, FIRST_RIGHT, GAIN = range(10, PARTS)
"""`FIRST_EDGES`: those that share an order's best score; GAIN is left to who compares."""


Signs = npt.NDArray[np.int8]


class Judged(NamedTuple):
    parts: Floats
    """[order, PARTS]"""
    stray: Ints
    """Links for deposits that are no order's, by deposit."""
    right: Signs
    """By link: 1 right, 0 wrong, -1 does not count."""


def judge(named: Named, key: Key, claims: bool) -> Judged:
    """`claims`: scores are probabilities, and are judged as such too."""
    order = key.order_of[named.deposit]
    right = np.full(len(order), -1, np.int8)
    right[order == NO_ORDER] = 0
    parts = np.zeros((key.orders, PARTS))
    start, end, together = _runs(order, key.orders)
    if together:
        _judge(start, end, named.payout, named.score, *key[1:], claims, parts, right)
    else:
        first, rows = _by_order(order, key.orders)
        found = np.zeros(len(rows), np.int8)
        _judge(first[:-1], first[1:], named.payout[rows], named.score[rows], *key[1:], claims, parts, found)
        right[rows] = found
    stray = np.unique(named.deposit[order == NO_ORDER], return_counts=True)[1]
    return Judged(parts, stray, right)


def counted(named: Named, key: Key, right: Signs) -> Flags:
    """Links that stand on a curve: all that count, but of those for an order's several deposits that name one payout
    only the best."""
    chosen: Flags = right >= 0
    rows = _of_several(key.order_of, named.deposit, key.several, chosen)
    order = key.order_of[named.deposit[rows]]
    by_order = np.lexsort((-named.score[rows], named.payout[rows], order))
    rows, order = rows[by_order], order[by_order]
    again = (np.diff(order) == 0) & (np.diff(named.payout[rows]) == 0)
    chosen[rows[1:][again]] = False
    return chosen


@compiled
def _of_several(order_of: Ints, deposit: Ints, several: Flags, chosen: Flags) -> Ints:
    """Links that are chosen, for orders of several deposits."""
    rows = np.empty(len(deposit), np.int64)
    count = 0
    for row in range(len(deposit)):
        order = order_of[deposit[row]]
        if chosen[row] and order >= 0 and several[order]:
            rows[count] = row
            count += 1
    return rows[:count].copy()


@compiled
def surest(deposit: Ints, score: Floats, chosen: Flags, most: int) -> Ints:
    """The chosen link of the greatest score, then that of the greatest for another deposit, and so on: `most` links at
    most. Of links that are level the first."""
    found = np.empty(most, np.int64)
    for count in range(most):
        best = -1
        for row in range(len(score)):
            if not chosen[row] or (best >= 0 and score[row] <= score[best]):
                continue
            fresh = True
            for other in found[:count]:
                fresh &= deposit[other] != deposit[row]
            if fresh:
                best = row
        if best < 0:
            return found[:count]
        found[count] = best
    return found


def firsts(named: Named, outputs: int) -> Named:
    """The links that share the best score of their deposit."""
    best = np.full(outputs, -np.inf)
    np.maximum.at(best, named.deposit, named.score)
    chosen = named.score == best[named.deposit]
    return Named(*(column[chosen] for column in named))


@compiled
def _runs(order: Ints, orders: int) -> tuple[Ints, Ints, bool]:
    """Where each order's links begin and end, and whether they all lie together: methods go deposit by deposit."""
    start, end = np.zeros(orders, np.int64), np.zeros(orders, np.int64)
    for row in range(len(order)):
        this = order[row]
        if this < 0:
            continue
        if end[this] == 0:
            start[this] = row
        elif end[this] != row:
            return start, end, False
        end[this] = row + 1
    return start, end, True


@compiled
def _by_order(order: Ints, orders: int) -> tuple[Ints, Ints]:
    """Where each order's links begin, and the end of the last, in their rows, order by order."""
    first = np.zeros(orders + 1, np.int64)
    for row in range(len(order)):
        if order[row] >= 0:
            first[order[row] + 1] += 1
    for one in range(orders):
        first[one + 1] += first[one]
    place, rows = first[:-1].copy(), np.empty(first[-1], np.int64)
    for row in range(len(order)):
        if order[row] >= 0:
            rows[place[order[row]]] = row
            place[order[row]] += 1
    return first, rows


@compiled
def _judge(
    start: Ints,
    end: Ints,
    payout: Ints,
    score: Floats,
    true_first: Ints,
    true_payouts: Ints,
    share: Floats,
    several: Flags,
    choice: Floats,
    claims: bool,
    parts: Floats,
    right: Signs,
) -> None:
    """The links of an order are those from its start up to its end."""
    most = (end - start).max() if len(start) else 0
    truths, bests = np.zeros(most), np.zeros((true_first[1:] - true_first[:-1]).max() if len(true_first) > 1 else 0)
    for order in range(len(true_first) - 1):
        mine = slice(start[order], end[order])
        true = slice(true_first[order], true_first[order + 1])
        wanted = true_payouts[true]
        best, level = bests[: len(wanted)], score[mine]
        truth = truths[: len(level)]
        best[:] = -np.inf
        truth[:] = 0
        for link in range(len(level)):
            for place in range(len(wanted)):
                if payout[start[order] + link] == wanted[place]:
                    truth[link] = 1
                    best[place] = max(best[place], level[link])
            right[start[order] + link] = np.int8(truth[link])
        if several[order] and len(level) > 1:
            kept = _best_of_each(payout[mine], level)
            level, truth = level[kept], truth[kept]
        _ranks(level, best, share[true], parts[order])
        if claims:
            _claims(level, truth, best, choice[order], parts[order])
        _edges(level, truth, parts[order])
        parts[order, TRUE] = len(wanted)


@compiled
def _best_of_each(payout: Ints, score: Floats) -> Ints:
    """One place for each payout: that of its best score."""
    sorted_ = np.argsort(payout, kind="mergesort")
    kept = 0
    for place in sorted_:
        if kept and payout[sorted_[kept - 1]] == payout[place]:
            if score[place] > score[sorted_[kept - 1]]:
                sorted_[kept - 1] = place
        else:
            sorted_[kept] = place
            kept += 1
    return sorted_[:kept]


@compiled
def _ranks(score: Floats, best: Floats, share: Floats, part: Floats) -> None:
    """hit@1, 5, 20; reciprocal rank; and the set of as many as there are payouts: F1 and value."""
    wanted = len(best)
    part[ORDERS] = 1
    top = best.max()
    if top == -np.inf:
        return
    above, level = _above(score, top)
    ties = 0
    for place in range(wanted):
        ties += best[place] == top
    part[HIT_1] = _hit(above, level, ties, 1)
    part[HIT_5] = _hit(above, level, ties, 5)
    part[HIT_20] = _hit(above, level, ties, 20)
    part[RECIPROCAL] = _reciprocal(above, level, ties)
    expected = 0.0
    for place in range(wanted):
        if best[place] > -np.inf:
            before, same = _above(score, best[place])
            chance = min(max(wanted - before, 0) / same, 1.0)
            expected += chance
            part[VALUE] += chance * share[place]
    part[SET_F1] = 2 * expected / (min(len(score), wanted) + wanted)


@compiled
def _above(score: Floats, level: float) -> tuple[int, int]:
    """How many scores are above it, and how many are level with it."""
    above, same = 0, 0
    for one in score:
        above += one > level
        same += one == level
    return above, same


@compiled
def _hit(above: int, level: int, ties: int, cut: int) -> float:
    """That one of `ties`, at random among `level` places after `above`, is among the first `cut`."""
    free = cut - above
    if free <= 0:
        return 0.0
    missed = 1.0
    for drawn in range(min(free, level)):
        missed *= max(level - ties - drawn, 0) / (level - drawn)
    return 1.0 - missed


@compiled
def _reciprocal(above: int, level: int, ties: int) -> float:
    """Expected 1 / rank of the first of them."""
    found, missed = 0.0, 1.0
    for drawn in range(level - ties + 1):
        found += missed * ties / (level - drawn) / (above + drawn + 1)
        missed *= (level - ties - drawn) / (level - drawn)
    return found


@compiled
def _claims(score: Floats, right: Floats, best: Floats, choice: float, part: Floats) -> None:
    """Scores as probabilities. The claim is a distribution over payouts: scores by the number of true payouts, or by
    their sum if that is more; the rest lies on unnamed ones, none likelier than the least that is named."""
    wanted, total, least = len(best), 0.0, np.inf
    for place in range(len(score)):
        total += score[place]
        if score[place] > 0:
            least = min(least, score[place])
        part[SQUARES] += (score[place] - right[place]) ** 2
    unnamed = 0
    for place in range(wanted):
        unnamed += best[place] == -np.inf
    part[SQUARES] += unnamed
    part[PAIRS] = len(score) + unnamed
    whole = max(total, float(wanted))
    rest = max(1 - total / whole, 0.0)
    left = max(choice - len(score), 1.0)
    for place in range(wanted):
        claimed = max(best[place], 0.0) / whole if best[place] > -np.inf else rest / left
        part[SURPRISE] -= np.log2((1 - SPREAD) * claimed + SPREAD / choice) / wanted
    if total <= 0:
        return
    part[CLAIMED] = 1
    for one in score:
        if one > 0:
            part[LOG_SET] -= one / whole * np.log2(one / whole)
    if rest > 0:
        part[LOG_SET] -= rest * np.log2(min(least / whole, rest))
    part[LOG_SET] -= np.log2(wanted)


@compiled
def _edges(score: Floats, right: Floats, part: Floats) -> None:
    top = -np.inf
    part[NAMED] = len(score) > 0
    part[EDGES] = len(score)
    for one in score:
        top = max(top, one)
    for place in range(len(score)):
        part[RIGHT] += right[place]
        if score[place] == top:
            part[FIRST_EDGES] += 1
            part[FIRST_RIGHT] += right[place]


# -- measures ---------------------------------------------------------------------------------------------------------


def ratio(top: int, bottom: int) -> Measure:
    return lambda sums: sums[..., top] / sums[..., bottom]


def f1(named: int, right: int) -> Measure:
    return lambda sums: 2 * sums[..., right] / (sums[..., named] + sums[..., TRUE])


def _effective(sums: Floats) -> Floats:
    found: Floats = 2 ** (sums[..., LOG_SET] / sums[..., CLAIMED])
    return found


Measures = Mapping[str, Measure]
RANKS: Final[Measures] = {
    "hit@1": ratio(HIT_1, ORDERS),
    "hit@5": ratio(HIT_5, ORDERS),
    "hit@20": ratio(HIT_20, ORDERS),
    "MRR": ratio(RECIPROCAL, ORDERS),
    "set F1": ratio(SET_F1, ORDERS),
    "value recall": ratio(VALUE, ORDERS),
    "coverage": ratio(NAMED, ORDERS),
}
CLAIMS: Final[Measures] = {"Brier": ratio(SQUARES, PAIRS), "anonymity set": _effective}
"""Of methods whose scores are probabilities."""
MATCHES: Final[Measures] = {
    "precision": ratio(RIGHT, EDGES),
    "recall": ratio(RIGHT, TRUE),
    "F1": f1(EDGES, RIGHT),
    "coverage": ratio(NAMED, ORDERS),
}
BITS: Final[Measures] = {"bits gained": ratio(GAIN, ORDERS)}
FIRST_F1: Final = f1(FIRST_EDGES, FIRST_RIGHT)


class Bins(NamedTuple):
    claimed: Floats
    true: Floats
    links: Ints


def calibration(score: Floats, right: Signs | Ints, bins: int = 10) -> Bins:
    """Links by what was claimed of them, in equal steps from 0 to 1: mean claim and share that was right. Steps without
    links are left out, as are links that do not count."""
    counts = right >= 0
    step = np.minimum((score[counts] * bins).astype(np.int64), bins - 1)
    many = np.bincount(step, minlength=bins)
    some = many > 0
    claimed = np.bincount(step, score[counts], bins)[some] / many[some]
    return Bins(claimed, np.bincount(step, right[counts], bins)[some] / many[some], many[some])
