"""What candidates.py asks, where windows of amounts are wide: nearly any payment of a deposit's window of time may be
its own, and looking at each would take deposits times payments.

Times are those of blocks, so many deposits have one window of time. Its payments are kept in the order of what they
need, from block to block; in that order, what leaves a fee of one height is a stretch. What a stretch weighs is the
difference of two sums, and its likeliest payment is found in a tree.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.methods.densities import Floats, Habits
from glasstumbler.lab.public import Ints

_FEW = 32
"""Payments that are added up one by one: of so few the difference of two large sums says too little."""
_BEGIN, _END, _KEY, _STEP = range(4)
"""Of a stretch: from and up to which place of the window; the key of its likeliest payment; its step of the fee."""
_BITS = 40
_PAYMENT = (1 << _BITS) - 1
"""A key is a payment's number, and above it the rank of its delay's height: the least key is the likeliest payment."""
_Keys = npt.NDArray[np.int64]


def weigh(
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    need: Floats,
    bucket: Ints,
    limits: tuple[Ints, Ints],
    habits: Habits,
    found: tuple[Ints, Floats, Floats, Ints],
) -> None:
    """Fills `found` (row, weight, total, many of candidates.Candidates). `bucket`: by payment, rising with its need;
    `limits`: by deposit, the first and last bucket that is looked at. Of payments that weigh the same, the one in the
    lower bucket comes first, then the earlier one."""
    order = np.argsort(need, kind="stable")
    order = order[need[order] > 0]
    place = np.full(len(need), -1)
    place[order] = np.arange(len(order))
    turn = np.lexsort((amount, deposited))  # neighbours look at the same payments
    falling, rank = np.unique(-habits.delay.heights, return_inverse=True)
    payments = (paid, need, bucket, order, place, *limits)
    heights = (habits.delay.edges, -falling, rank, *habits.taken)
    row, weight, total, many = found
    _weigh(turn, deposited, amount, *payments, *heights, row, weight, total, many)


@compiled
def _weigh(
    turn: Ints,
    deposited: Ints,
    amount: Floats,
    paid: Ints,
    need: Floats,
    bucket: Ints,
    order: Ints,
    place: Ints,
    lowest: Ints,
    highest: Ints,
    delay_edges: Floats,
    falling: Floats,
    rank: Ints,
    taken_edges: Floats,
    taken_heights: Floats,
    row: Ints,
    weight: Floats,
    total: Floats,
    many: Ints,
) -> None:
    """`turn`: deposits in the order in which they are looked at. `order`: payments in the order of need; `place`: of
    each payment there. `falling`: the different heights of delays; `rank`: by step of the delay, its place there."""
    window = np.empty(0, np.int64)  # places, ascending
    start, end, first = 0, 0, 0
    while first < len(turn):
        now, last = deposited[turn[first]], first
        while last < len(turn) and deposited[turn[last]] == now:
            last += 1
        while start < len(paid) and paid[start] < now + delay_edges[0]:
            start += 1
        seen = max(start, end)
        end = seen
        while end < len(paid) and paid[end] - now < delay_edges[-1]:
            end += 1
        window = _moved(window, order, place, start, seen, end)
        payments = order[window]
        ranks = rank[np.searchsorted(delay_edges, (paid[payments] - now).astype(np.float64), "right") - 1]
        tree = _tree((ranks << _BITS) + payments)
        heights = falling[ranks]
        sums = np.append(0.0, np.cumsum(heights))
        at = np.empty(end - start, np.int64)  # by payment from `start` on: its place in the window
        at[payments - start] = np.arange(len(payments))
        needs, buckets = need[payments], bucket[payments]
        for deposit in turn[first:last] if len(payments) else turn[:0]:
            if amount[deposit] > 0:
                low = np.searchsorted(buckets, lowest[deposit])
                high = np.searchsorted(buckets, highest[deposit], "right")
                bounds = _bounds(needs, amount[deposit], taken_edges, low, high)
                for step in range(len(taken_heights)):
                    begin, stop = bounds[step + 1], bounds[step]
                    total[deposit] += taken_heights[step] * _sum(heights, sums, begin, stop)
                    many[deposit] += stop - begin
                _likeliest(bounds, buckets, tree, falling, taken_heights, at, start, row[deposit], weight[deposit])
        first = last


@compiled
def _moved(window: Ints, order: Ints, place: Ints, start: int, seen: int, end: int) -> Ints:
    """Without payments before `start`, and with those from `seen` up to `end`."""
    new = place[seen:end]
    new = np.sort(new[new >= 0])
    found = np.empty(len(window) + len(new), np.int64)
    count, taken = 0, 0
    for one in window:
        if order[one] >= start:
            while taken < len(new) and new[taken] < one:
                found[count] = new[taken]
                count += 1
                taken += 1
            found[count] = one
            count += 1
    while taken < len(new):
        found[count] = new[taken]
        count += 1
        taken += 1
    return found[:count]


@compiled
def _bounds(needs: Floats, amount: float, taken_edges: Floats, low: int, high: int) -> Ints:
    """Payments that leave a fee of step i are those from bounds[i + 1] up to bounds[i]: the greater the fee, the less
    is needed."""
    found = np.empty(len(taken_edges), np.int64)
    for edge in range(len(taken_edges)):
        place = np.searchsorted(needs, amount * (1 - taken_edges[edge]), "right")
        while place > 0 and 1 - needs[place - 1] / amount < taken_edges[edge]:  # what rounding left over
            place -= 1
        while place < len(needs) and 1 - needs[place] / amount >= taken_edges[edge]:
            place += 1
        found[edge] = max(min(place, high), low)
    return found


@compiled
def _sum(heights: Floats, sums: Floats, begin: int, end: int) -> float:
    if end - begin > _FEW:
        whole: float = sums[end] - sums[begin]
        return whole
    found = 0.0
    for place in range(begin, end):
        found += heights[place]
    return found


@compiled
def _tree(keys: _Keys) -> _Keys:
    """Place i is found[len(keys) + i]; above it the lesser of each two, up to found[1]."""
    found = np.append(keys, keys)
    for node in range(len(keys) - 1, 0, -1):
        found[node] = min(found[2 * node], found[2 * node + 1])
    return found


@compiled
def _least(tree: _Keys, begin: int, end: int) -> int:
    begin, end = begin + len(tree) // 2, end + len(tree) // 2
    found: int = tree[begin]
    while begin < end:
        if begin & 1:
            found = min(found, tree[begin])
            begin += 1
        if end & 1:
            end -= 1
            found = min(found, tree[end])
        begin //= 2
        end //= 2
    return found


@compiled
def _likeliest(
    bounds: Ints,
    buckets: Ints,
    tree: _Keys,
    falling: Floats,
    taken_heights: Floats,
    at: Ints,
    start: int,
    row: Ints,
    weight: Floats,
) -> None:
    """The best of all stretches, which is then cut in two around it, and so on."""
    stretches = np.empty((4 * len(bounds) + 2 * len(row), 4), np.int64)
    worth = np.empty(len(stretches))
    used = 0
    for step in range(len(taken_heights)):
        begin = bounds[step + 1]
        while begin < bounds[step]:  # a stretch lies in one bucket
            end = bounds[step]
            if buckets[end - 1] != buckets[begin]:
                end = begin + np.searchsorted(buckets[begin:end], buckets[begin], "right")
            used = _put(stretches, worth, used, tree, begin, end, step, falling, taken_heights)
            begin = end
    for rank in range(len(row)):
        if used == 0:
            return
        best = 0
        for one in range(1, used):
            if worth[one] > worth[best] or (worth[one] == worth[best] and _before(one, best, stretches, buckets)):
                best = one
        begin, end, key, step = stretches[best]
        row[rank], weight[rank] = key & _PAYMENT, worth[best]
        middle = at[row[rank] - start]
        used -= 1
        stretches[best], worth[best] = stretches[used], worth[used]
        if begin < middle:
            used = _put(stretches, worth, used, tree, begin, middle, step, falling, taken_heights)
        if middle + 1 < end:
            used = _put(stretches, worth, used, tree, middle + 1, end, step, falling, taken_heights)


@compiled
def _put(
    stretches: Ints,
    worth: Floats,
    used: int,
    tree: _Keys,
    begin: int,
    end: int,
    step: int,
    falling: Floats,
    taken_heights: Floats,
) -> int:
    key = _least(tree, begin, end)
    stretches[used, _BEGIN], stretches[used, _END], stretches[used, _KEY], stretches[used, _STEP] = (
        begin,
        end,
        key,
        step,
    )
    worth[used] = falling[key >> _BITS] * taken_heights[step]
    return used + 1


@compiled
def _before(one: int, other: int, stretches: Ints, buckets: Ints) -> bool:
    """Whether it comes first of two that weigh the same."""
    mine, others = buckets[stretches[one, _BEGIN]], buckets[stretches[other, _BEGIN]]
    if mine != others:
        lower: bool = mine < others
        return lower
    earlier: bool = stretches[one, _KEY] & _PAYMENT < stretches[other, _KEY] & _PAYMENT
    return earlier
