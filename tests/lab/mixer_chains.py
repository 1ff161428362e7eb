"""A mixer's chain written by hand: who deposits when, and what is paid for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from glasstumbler.lab.methods.base import Cluster, OwnOrder, Told
from glasstumbler.lab.public import Public
from tests.lab.small_chains import NO_TAGS, Tx, public
from tests.lab.test_detectors import sorted_by_height


class Pay(NamedTuple):
    """One transaction of the service's."""

    height: int
    amounts: tuple[int, ...]


class Mixed(NamedTuple):
    """An order. A block is 600 seconds."""

    height: int
    deposit: int
    payments: tuple[Pay, ...]


class World(NamedTuple):
    public: Public
    told: Told
    orders: tuple[OwnOrder, ...]

    def taught(self, rows: Sequence[int]) -> Told:
        return self.told._replace(own_orders=tuple(self.orders[row] for row in rows))

    def true(self) -> set[tuple[int, int]]:
        """Pairs of outputs."""
        return {(order.deposit_output, output) for order in self.orders for _, output in order.payouts}


def world(folder: Path, orders: Sequence[Mixed]) -> World:
    pieces = sum(len(order.payments) for order in orders)
    outside = [(f"customer{row}", order.deposit) for row, order in enumerate(orders)]
    outside += [("float", sum(pay.amounts) + 7) for order in orders for pay in order.payments]
    assert len(outside) == len(orders) + pieces
    txs, spent = [Tx(pays=outside, height=0)], len(orders)
    for row, order in enumerate(orders):
        txs.append(Tx([(0, row)], [(f"deposit{row}", order.deposit)], height=order.height))
        for number, pay in enumerate(order.payments):
            pays = [(f"payout{row}.{number}.{place}", amount) for place, amount in enumerate(pay.amounts)]
            txs.append(Tx([(0, spent)], [*pays, ("change", 7)], height=pay.height))
            spent += 1
    seen = public(folder, {"btc": sorted_by_height(txs)})
    graph = seen.graph("btc")
    names = graph.names.to_pylist()
    number_of = {names[address]: output for output, address in enumerate(graph.address.tolist())}
    known = [
        OwnOrder(
            "mixer",
            "btc",
            number_of[f"deposit{row}"],
            tuple(
                ("btc", number_of[f"payout{row}.{number}.{place}"])
                for number, pay in enumerate(order.payments)
                for place in range(len(pay.amounts))
            ),
        )
        for row, order in enumerate(orders)
    ]
    own = [address for address, name in enumerate(names) if name.startswith(("deposit", "float", "change"))]
    return World(seen, Told(NO_TAGS, (Cluster("mixer", "btc", np.array(own)),)), tuple(known))


def simple(
    folder: Path, count: int, seed: int = 1, alike: bool = False, outputs: int = 2, apart: bool = False, rush: int = 3
) -> World:
    """`count` orders, fee 2 % and 5,000 an output, paid after 1 to 12 blocks. `alike`: every deposit is the same.
    `apart`: a transaction for each output. `rush`: orders a block."""
    draw = np.random.default_rng(seed)
    made = []
    for row in range(count):
        amounts = [1_000_000] * outputs if alike else draw.integers(10**6, 10**8, outputs).tolist()
        deposit = sum(amounts) + round(sum(amounts) * 0.02) + 5_000 * outputs
        height = 1 + row // rush
        delays = draw.integers(1, 13, outputs).tolist()
        pays = [Pay(height + delay, (amount,)) for delay, amount in zip(delays, amounts, strict=True)]
        made.append(Mixed(height, deposit, tuple(pays) if apart else (Pay(height + delays[0], tuple(amounts)),)))
    return world(folder, made)


def best(table: pa.Table) -> set[tuple[int, int]]:
    """Of each deposit the likeliest payouts: all with the greatest score."""
    rows = table.to_pylist()
    top: dict[int, float] = {}
    for row in rows:
        top[row["deposit_output"]] = max(top.get(row["deposit_output"], 0), row["score"])
    return {(r["deposit_output"], r["payout_output"]) for r in rows if r["score"] > 0.999 * top[r["deposit_output"]]}
