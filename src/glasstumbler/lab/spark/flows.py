"""methods/flows.py and lessons.py as Spark's jobs: what each service takes in and pays out on one chain, and what known
orders teach of it.

A flow is a service and a chain; here the columns `service` and `chain` (the chain's code). A deposit or a payment is
named by its smallest output, packed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as fn

from glasstumbler.lab.methods.base import OwnOrder
from glasstumbler.lab.methods.lessons import Lessons
from glasstumbler.lab.spark.chains import WIDTH, Chains
from glasstumbler.lab.spark.session import Spark

FLOW = ("service", "chain")


class Flows(NamedTuple):
    """As small beside the chains as the services are."""

    deposits: DataFrame
    """FLOW, deposit, output, time, amount: a row an output; time (of the last block) and amount (of all) the deposit's,
    which is what one address received."""
    payments: DataFrame
    """FLOW, tx, output, time, amount: a row an output that is paid to others."""


def owned(chains: Chains, wallets: DataFrame, addresses: DataFrame) -> DataFrame:
    """service, address: what each service controls, of answers/wallet_truth and observer/address."""
    names = addresses.select("coin", "address", "name")
    known = wallets.select("coin", fn.col("address").alias("name"), "service").join(names, ["coin", "name"])
    return known.select("service", chains.packed(fn.col("coin"), fn.col("address")).alias("address"))


def flows(spark: Spark, chains: Chains, own: DataFrame) -> Flows:
    """`own`: service, address."""
    own = spark.lay(own, spark.room("owned"))
    spent = chains.paid.where("spent_by is not null").select(fn.col("spent_by").alias("tx"), "address")
    signers = spent.unionByName(chains.signed.select("tx", "address"))
    signed = spark.lay(signers.join(own, "address").select("service", "tx").distinct(), spark.room("signed"))
    times = chains.txs.select("tx", "time", "coinbase")
    chain = fn.shiftright("output", WIDTH).alias("chain")
    columns: list[Column | str] = ["service", chain, "tx", "address", "output", "time", "amount"]
    taken = chains.paid.join(own, "address").join(signed, ["service", "tx"], "left_anti").join(times, "tx")
    taken = spark.lay(taken.where("not coinbase").select(*columns), spark.room("taken"))
    given = chains.paid.where("address is not null").join(signed, "tx").join(own, ["service", "address"], "left_anti")
    paid = spark.lay(given.join(times, "tx").select(*columns).drop("address"), spark.room("given"))
    return Flows(spark.lay(_by_address(taken), spark.room("deposits")), paid)


def _by_address(taken: DataFrame) -> DataFrame:
    whole = taken.groupBy("service", "address").agg(
        fn.min("output").alias("deposit"), fn.max("time").alias("time"), fn.sum("amount").alias("amount")
    )
    return taken.drop("time", "amount").join(whole, ["service", "address"]).drop("address", "tx")


def each(deposits: DataFrame) -> DataFrame:
    """FLOW, deposit, time, amount: a row a deposit."""
    return deposits.where("output = deposit").drop("output")


Known = Mapping[tuple[str, str], Lessons]
"""By service and coin."""


def known(spark: Spark, chains: Chains, found: Flows, taught: Sequence[Sequence[OwnOrder]]) -> list[Known]:
    """What lessons.py learns of the same orders, of each of the sets of orders by itself. They are few, and so is what
    is collected of them."""
    told = [
        (place, row, order.service, chains.pack(coin, order.deposit_output), chains.pack(coin, output))
        for place, orders in enumerate(taught)
        for row, order in enumerate(orders)
        for coin, output in order.payouts
        if coin == order.deposit_coin and coin in chains.coins
    ]
    shape = "taught int, row int, service string, deposited long, output long"
    frame = fn.broadcast(spark.session.createDataFrame(told, shape))
    named = fn.broadcast(frame.select("service", "output").distinct())
    sizes = found.payments.groupBy("service", "tx").agg(fn.count("*").alias("size"))
    paid = found.payments.join(named, ["service", "output"], "left_semi")
    paid = paid.join(sizes, ["service", "tx"]).select(
        "service", "output", "tx", "size", fn.col("time").alias("paid_at"), fn.col("amount").alias("paid")
    )
    came = found.deposits.select("service", fn.col("output").alias("deposited"), "time", "amount")
    rows = frame.join(came, ["service", "deposited"]).join(paid, ["service", "output"], "left").collect()
    return [_lessons(chains, [row for row in rows if row["taught"] == place]) for place in range(len(taught))]


def _lessons(chains: Chains, rows: Iterable[Row]) -> Known:
    """Flows in the order of their names, in which the local method adds them up."""
    by_order: dict[int, list[Row]] = {}
    for row in rows:
        by_order.setdefault(row["row"], []).append(row)
    by_flow: dict[tuple[str, str], list[list[Row]]] = {}
    for order in by_order.values():
        if all(row["tx"] is not None for row in order):
            flow = order[0]["service"], chains.coins[order[0]["deposited"] >> WIDTH]
            by_flow.setdefault(flow, []).append(order)
    return {flow: _lesson(orders) for flow, orders in sorted(by_flow.items())}


def _lesson(orders: Sequence[Sequence[Row]]) -> Lessons:
    whole = [len({row["tx"] for row in order}) == 1 and order[0]["size"] == len(order) for order in orders]
    rows = [row for order in orders for row in order]
    return Lessons(
        np.array([order[0]["amount"] for order in orders], np.int64),
        np.array([sum(row["paid"] for row in order) for order in orders], np.int64),
        np.array([len(order) for order in orders], np.int64),
        np.array([row["paid_at"] - row["time"] for row in rows], np.int64),
        np.array([row["paid"] / row["amount"] for row in rows], np.float64),
        float(np.mean(whole)),
    )
