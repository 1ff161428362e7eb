"""Hops between an order's deposits and its payouts, for all payments of a service at once: custody.walk, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from glasstumbler.engine.coins import Coin
from glasstumbler.engine.payment import Payment
from glasstumbler.lab.custody import MOST_HOPS
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.population import Flags, Ints

NEVER: Final = -1


class Walks(NamedTuple):
    """What was met on the way back from each payment, by (payment, order): hops, or NEVER."""

    place: dict[int, int]
    """By number of a payment: its row."""
    first: list[int]
    order: list[int]
    hops: list[int]
    truncated: list[bool]

    def met(self, payment: int, order: int) -> tuple[int | None, bool]:
        """truth.Link's hops and truncated."""
        row = self.place[payment]
        for at in range(self.first[row], self.first[row + 1]):
            if self.order[at] == order:
                hops = self.hops[at]
                return None if hops == NEVER else hops, self.truncated[row]
        return None, self.truncated[row]


def walks(payments: Sequence[Payment], coins: Sequence[Coin], brought: dict[str, int]) -> Walks:
    """`payments` of one chain, none of which made up for what a reorganisation took. `brought`: on a chain of accounts,
    the order for which a transaction was a deposit."""
    place = {payment.number: row for row, payment in enumerate(payments)}
    known = {coin.number: row for row, coin in enumerate(coins)}
    made_by = np.array([place.get(coin.made_by or 0, -1) for coin in coins], np.int64)
    sources = [_sources(coin, brought) for coin in coins]
    carried = [sorted({each.order for each in payment.carried}) for payment in payments]
    spent = [[known[number] for number in payment.coins] for payment in payments]
    first, order = _rows(carried)
    hops, truncated = _walk(
        *_rows(spent), made_by, *_rows(sources), first, order, 1 + max((0, *order.tolist())), MOST_HOPS
    )
    return Walks(place, first.tolist(), order.tolist(), hops.tolist(), truncated.tolist())


def _sources(coin: Coin, brought: dict[str, int]) -> list[int]:
    """Orders whose deposits are in this coin."""
    if coin.sources:
        return [brought[txid] for txid in coin.sources if txid in brought]
    return [coin.order] if coin.made_by is None and coin.order is not None else []


def _rows(lists: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """Where each row begins, and the rows one after another."""
    first = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(row) for row in lists], out=first[1:])
    return first, np.fromiter((value for row in lists for value in row), np.int64, int(first[-1]))


@compiled
def _walk(
    coin_first: Ints,
    coin: Ints,
    made_by: Ints,
    source_first: Ints,
    source: Ints,
    first: Ints,
    order: Ints,
    orders: int,
    most: int,
) -> tuple[Ints, Flags]:
    """Breadth first, as custody.walk goes."""
    count = len(coin_first) - 1
    hops = np.full(len(order), -1, np.int64)
    truncated = np.zeros(count, np.bool_)
    seen = np.full(count, -1, np.int64)
    wanted = np.full(orders, -1, np.int64)
    place = np.zeros(orders, np.int64)
    queue, level = np.empty(count, np.int64), np.empty(count, np.int64)
    for begin in range(count):
        for at in range(first[begin], first[begin + 1]):
            wanted[order[at]], place[order[at]] = begin, at
        queue[0], level[0], seen[begin] = begin, 1, begin
        head, tail = 0, 1
        while head < tail:
            if head == most:
                truncated[begin] = True
                break
            payment, here = queue[head], level[head]
            head += 1
            for at in range(coin_first[payment], coin_first[payment + 1]):
                each = coin[at]
                for which in range(source_first[each], source_first[each + 1]):
                    found = source[which]
                    if found < orders and wanted[found] == begin and hops[place[found]] == -1:
                        hops[place[found]] = here
                behind = made_by[each]
                if behind != -1 and seen[behind] != begin:
                    seen[behind] = begin
                    queue[tail], level[tail] = behind, here + 1
                    tail += 1
    return hops, truncated
