"""A dataset as the judges see it: which orders are scored, what is true of them, all in numbers."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from glasstumbler.lab import tasks
from glasstumbler.lab.methods.swap_match import UNITS
from glasstumbler.lab.public import NONE, Flags, Graph, Ints
from glasstumbler.lab.scoring.bootstrap import Floats
from glasstumbler.lab.scoring.checked import Columns
from glasstumbler.lab.scoring.linking import NO_ORDER, NOT_SCORED, Key, Named
from glasstumbler.lab.tasks import Dataset, Split


class Asked(NamedTuple):
    """The orders of one task that are scored."""

    key: Key
    rows: Ints
    """Of the order table."""


class Scene:
    def __init__(self, dataset: Dataset, split: Split) -> None:
        self.dataset, self.split = dataset, split
        self.public = dataset.public
        self.coins = self.public.coins
        self.graphs: list[Graph] = [self.public.graph(coin) for coin in self.coins]
        self.first_output = _bases([graph.outputs for graph in self.graphs])
        """Number of each coin's first output, among those of all coins; the last: how many there are."""
        self.first_address = _bases([graph.addresses for graph in self.graphs])

    @cached_property
    def services(self) -> list[str]:
        """Those without orders too: they have addresses."""
        return sorted({*self.dataset.orders["service"], *self.dataset.wallets["service"]})

    @cached_property
    def service_of(self) -> Ints:
        """By row of the order table: place in `services`."""
        return np.searchsorted(self.services, self.dataset.orders["service"].to_numpy()).astype(np.int64)

    @cached_property
    def volume_of(self) -> Ints:
        """By row of the order table: orders a day; 0: the dataset does not say."""
        keys = ["service", "order_id"]
        found = self.dataset.orders.join(self.dataset.more("answers/split"), on=keys, how="left", maintain_order="left")
        return found["volume"].fill_null(0).cast(pl.Int64).to_numpy()

    def number(self, coin: pl.Series, output: pl.Series) -> Ints:
        """Numbers of outputs among those of all coins."""
        place = coin.replace_strict(list(self.coins), list(range(len(self.coins))), return_dtype=pl.Int64)
        found: Ints = self.first_output[place.to_numpy()] + output.to_numpy()
        return found

    def named(self, answer: Columns) -> Named:
        deposit, payout = (
            np.add(self.first_output[answer[f"{side}_coin"]], answer[f"{side}_output"], dtype=np.int64)
            for side in ("deposit", "payout")
        )
        return Named(deposit, payout, answer["score"].astype(np.float64, copy=False))

    def name_of(self, output: int) -> str:
        """Coin, start of the transaction's hash, place in it."""
        coin = int(np.searchsorted(self.first_output, output, "right")) - 1
        graph, mine = self.graphs[coin], output - int(self.first_output[coin])
        tx = int(graph.tx_of_output[mine])
        return f"{self.coins[coin]} {self._hashes[coin][tx].as_py()}:{mine - int(graph.first_output[tx])}"

    @cached_property
    def _hashes(self) -> list[pa.ChunkedArray]:
        """By coin, by transaction: how its hash begins."""
        table = pq.read_table(self.dataset.folder / "observer" / "tx.parquet", columns=["coin", "txid"])
        starts = pc.utf8_slice_codeunits(table["txid"], 0, 12)
        return [starts.filter(pc.equal(table["coin"], coin)) for coin in self.coins]

    def asked(self, task: str, own: Ints) -> Asked:
        """T8 scores all but its own orders; other tasks those that do not teach."""
        whole = pl.DataFrame(tasks.truth(self.dataset, task, own.tolist()))
        told = self.split.training
        if task == "T8":
            told = np.isin(np.arange(len(told)), own)
        paid = whole.filter(pl.Series(~told[whole["order"].to_numpy()]))
        rows = paid["order"].unique().sort().to_numpy()
        order_of = self._strays(told)
        if task == "T6":
            self._never_swapped(whole, order_of)
        deposits = self.number(whole["deposit_coin"], whole["deposit_output"])
        order_of[deposits] = NOT_SCORED
        mine = self.dataset.links.filter(pl.col("order").is_in(pl.Series(own).implode()))
        order_of[self.number(mine["deposit_coin"], mine["deposit_output"])] = NOT_SCORED
        deposits = self.number(paid["deposit_coin"], paid["deposit_output"])
        order_of[deposits] = np.searchsorted(rows, paid["order"].to_numpy())
        return Asked(self._key(whole, paid, rows, order_of), rows)

    def _strays(self, told: Flags) -> Ints:
        """A deposit that is no order's is treated as the order that was placed last before it."""
        created = self.dataset.orders["created"].to_numpy()
        by_time = np.argsort(created, kind="stable")
        found = np.full(self.first_output[-1], NO_ORDER)
        for base, graph in zip(self.first_output, self.graphs, strict=False):
            time = graph.time[graph.tx_of_output]
            before = np.maximum(np.searchsorted(created[by_time], time, "right") - 1, 0)
            found[base : base + graph.outputs] = np.where(told[by_time[before]], NOT_SCORED, NO_ORDER)
        return found

    def _never_swapped(self, whole: pl.DataFrame, order_of: Ints) -> None:
        """Deposits of services that do not swap are not asked about; nor, where a chain hides addresses, other outputs
        of a deposit's transaction: nobody can tell it from its change."""
        others = self.dataset.wallets.join(whole, on="service", how="anti")
        for coin, (base, graph) in enumerate(zip(self.first_output, self.graphs, strict=False)):
            mine = order_of[base : base + graph.outputs]
            theirs = np.zeros(graph.addresses + 1, np.bool_)  # the last: outputs without an address
            theirs[others.filter(pl.col("coin") == self.coins[coin])["address"].to_numpy()] = True
            mine[theirs[graph.address]] = NOT_SCORED
            if not (graph.address != NONE).any():
                outputs = whole.filter(pl.col("deposit_coin") == self.coins[coin])["deposit_output"].to_numpy()
                mine[np.isin(graph.tx_of_output, graph.tx_of_output[outputs])] = NOT_SCORED

    def _key(self, whole: pl.DataFrame, paid: pl.DataFrame, rows: Ints, order_of: Ints) -> Key:
        links = paid.select(
            pl.Series("order", np.searchsorted(rows, paid["order"].to_numpy())),
            pl.Series("payout", self.number(paid["payout_coin"], paid["payout_output"])),
            pl.col("amount").cast(pl.Float64),
        )
        each = links.group_by("order", "payout").agg(pl.col("amount").sum()).sort("order", "payout")
        share = (each["amount"] / each.select(pl.col("amount").sum().over("order")).to_series()).to_numpy()
        many = np.bincount(each["order"].to_numpy(), minlength=len(rows))
        deposits = paid.select("order", "deposit_coin", "deposit_output").unique().group_by("order").len().sort("order")
        choice = whole.group_by("service", "payout_coin").agg(pl.col("payout_output").n_unique().alias("choice"))
        firsts = paid.unique("order", keep="first").sort("order").select("service", "payout_coin")
        choices = firsts.join(choice, on=["service", "payout_coin"], how="left", maintain_order="left")["choice"]
        first = np.concatenate([[0], np.cumsum(many)]).astype(np.int64)
        several = (deposits["len"] > 1).to_numpy()
        return Key(order_of, first, each["payout"].to_numpy(), share, several, choices.cast(pl.Float64).to_numpy())

    # -- T5 -----------------------------------------------------------------------------------------------------------

    @cached_property
    def worth(self) -> list[Floats]:
        """By coin, by output: whole coins; 1 each where amounts are hidden."""
        return [
            np.where(graph.amount == NONE, 1.0, graph.amount.astype(np.float64) / UNITS[graph.coin])
            for graph in self.graphs
        ]

    @cached_property
    def of_services(self) -> list[Flags]:
        """By coin, by output: made by a service's own transaction."""
        hops, found = dict(self.dataset.hops), []
        for graph in self.graphs:
            made = np.zeros(graph.txs, np.bool_)
            if graph.coin in hops:
                made[hops[graph.coin]["tx"].to_numpy()] = True
            found.append(made[graph.tx_of_output])
        return found


def _bases(sizes: list[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
