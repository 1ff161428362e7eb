"""A dataset on disk, and its tasks: what the observer of each is told, and the truth that answers are held against.

This module reads the answer key; methods never see it. An order is known here by its row in `answers/order`, which
comes in the order of the record: `Split.training` and the column `order` of truths speak of those rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from glasstumbler.errors import DatasetError
from glasstumbler.lab import schemas
from glasstumbler.lab.dataset import FORMAT
from glasstumbler.lab.methods.base import Cluster, OwnOrder, Told
from glasstumbler.lab.methods.compiled import compiled
from glasstumbler.lab.public import NONE, Flags, Ints, Public

OWN: Final = 20
"""Orders that an investigator places with each service in T8, at most."""
MOST_LESSONS: Final = 10_000
"""Training orders that a method is told of, at most: spread evenly over all of them."""
SLOT: Final = 600
"""Seconds between two prices of T6's feed."""
_TABLES: Final = [f"observer/{name}" for name in schemas.OBSERVER] + [f"answers/{name}" for name in schemas.ANSWERS]
_MORE: Final = {f"{folder}/{name}": schema for folder, more in schemas.MORE.items() for name, schema in more.items()}


class Dataset:
    """`folder` holds manifest.json, observer and answers. Every file is checked against the manifest at once."""

    def __init__(self, folder: Path) -> None:
        """DatasetError names what is missing, changed or of another version."""
        self.folder = folder
        self.manifest: Mapping[str, Any] = _manifest(folder)
        for name in [*_TABLES, *filter(self.has, _MORE)]:
            _check(folder, f"{name}.parquet", self.manifest["files"])

    def has(self, name: str) -> bool:
        """Whether a table of schemas.MORE is there, such as answers/owner."""
        return f"{name}.parquet" in self.manifest["files"]

    @cached_property
    def public(self) -> Public:
        return Public(self.folder / "observer")

    def answers(self, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """A table of schemas.ANSWERS, or some columns of it."""
        return _read(self.folder / "answers" / f"{name}.parquet", schemas.ANSWERS[name], columns)

    def more(self, name: str, rows: pc.Expression | None = None) -> pl.DataFrame:
        """A table of schemas.MORE, such as answers/owner, or some rows of it; none if the dataset does not have it."""
        if not self.has(name):
            return _frame(_MORE[name].empty_table())
        return _read(self.folder / f"{name}.parquet", _MORE[name], rows=rows)

    @cached_property
    def orders(self) -> pl.DataFrame:
        """The order table, with its row number as the column `order`."""
        return self.answers("order").with_row_index("order").with_columns(pl.col("order").cast(pl.Int64))

    @cached_property
    def links(self) -> pl.DataFrame:
        """LINK_TRUTH of every order, of outputs that stand on their chains."""
        keys = ["service", "order_id"]
        links = self.answers("link").filter(
            pl.col("deposit_output").is_not_null(), pl.col("payout_output").is_not_null()
        )
        rows = self.orders.select("order", *keys)
        return links.join(rows, on=keys, how="left", maintain_order="left").select(LINK_TRUTH.names)

    @cached_property
    def hops(self) -> list[tuple[str, pl.DataFrame]]:
        """By coin: what `descendants` looks at of the rows of answers/hop that stand on its chain, in its order."""
        table = self.answers("hop", ["coin", "tx", "output", "made_by", "paid_in"])
        mined = table.filter(pl.col("tx").is_not_null()).sort("tx")
        coins = mined["coin"].unique().sort().to_list()
        return [(coin, mined.filter(pl.col("coin") == coin).drop("coin")) for coin in coins]

    @property
    def names(self) -> pl.DataFrame:
        """Of addresses that their chains show: coin, address (number), name. Read anew: they are large."""
        return _frame(pq.read_table(self.folder / "observer" / "address.parquet", columns=["coin", "address", "name"]))

    @cached_property
    def wallets(self) -> pl.DataFrame:
        """Addresses of services that their chains show: coin, address (number), service, branch."""
        known = self.answers("wallet_truth").rename({"address": "name"})
        found = known.join(self.names, on=["coin", "name"], how="inner", maintain_order="left")
        return found.select("coin", "address", "service", "branch")

    @cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        """One for each service and coin that it deals in; empty where the chain hides addresses."""
        known = {key: rows["address"].to_numpy() for key, rows in self.wallets.group_by("service", "coin")}
        pairs = self.answers("service_policy").select("service", "coin").filter(pl.col("coin") != "msat")
        nothing = np.zeros(0, np.int64)
        return tuple(
            Cluster(service, coin, np.sort(known.get((service, coin), nothing)))
            for service, coin in sorted(pairs.unique().iter_rows())
            if coin in self.public.coins
        )


def _frame(table: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found


def _read(
    path: Path, schema: pa.Schema, columns: Sequence[str] | None = None, rows: pc.Expression | None = None
) -> pl.DataFrame:
    try:
        found = pq.read_schema(path)
        if not found.equals(schema):
            raise DatasetError(f"{path} has other columns than this program's: {', '.join(found.names)}")
        return _frame(pq.read_table(path, columns=columns, filters=rows))
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None


def _manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / "manifest.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{folder} is no dataset: it has no manifest.json") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        version = found.get("format") if isinstance(found, dict) else None
        raise DatasetError(f"{folder} is of format {version}; this program reads format {FORMAT}: make it anew")
    if not isinstance(found.get("files"), dict):
        raise DatasetError(f"{path} names no files")
    return found


def _check(folder: Path, name: str, files: Mapping[str, Any]) -> None:
    try:
        wanted = files[name]["sha256"]
        with (folder / name).open("rb") as file:
            seen = hashlib.file_digest(file, "sha256").hexdigest()
    except (KeyError, TypeError):
        raise DatasetError(f"{folder / 'manifest.json'} does not name {name}") from None
    except FileNotFoundError:
        raise DatasetError(f"{folder} lacks {name}") from None
    except OSError as error:
        raise DatasetError(f"{folder / name} cannot be read: {error}") from None
    if seen != wanted:
        raise DatasetError(f"{folder / name} was changed: its SHA-256 is {seen}, the manifest says {wanted}")


# -- splits -----------------------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """Which orders methods may learn from. All others are scored."""

    name: str
    training: Flags
    """By row of the order table."""


def by_time(dataset: Dataset, part: float = 0.5) -> Split:
    """The earlier `part` of the orders teaches."""
    created = dataset.orders["created"].to_numpy()
    border = np.quantile(created, part) if len(created) else 0
    return Split(f"time {part:g}", created < border)


def by_period(dataset: Dataset) -> Split:
    """The orders of the period `train` teach: the earlier 60 % at every volume. Datasets that have no answers/split:
    the earlier half."""
    if not dataset.has("answers/split"):
        return by_time(dataset)
    keys = ["service", "order_id"]
    period = dataset.orders.join(dataset.more("answers/split"), on=keys, how="left", maintain_order="left")["period"]
    return Split("period train", (period == "train").fill_null(False).to_numpy())


def without(dataset: Dataset, service: str) -> Split:
    """Every service but one teaches. DatasetError if the dataset does not have it."""
    services = dataset.orders["service"]
    if service not in set(services):
        raise DatasetError(f"the dataset has no orders of {service!r}; it has {', '.join(sorted(set(services)))}")
    return Split(f"without {service}", (services != service).to_numpy())


def untaught(dataset: Dataset) -> Split:
    """No order teaches: for a dataset of another seed than the one that was learned from."""
    return Split("seed", np.zeros(len(dataset.orders), np.bool_))


def own_orders(dataset: Dataset, each: int = OWN) -> Ints:
    """Rows of the orders that T8 grants and does not score: `each` of every service, or a quarter of its orders if that
    is less, spread over its time."""
    paid = dataset.links.filter(_SAME_COIN).select("order", "service").unique().sort("order")
    found = [
        _spread(rows["order"].to_numpy(), min(each, max(len(rows) // 4, 1)))
        for _, rows in sorted(paid.group_by("service"))
    ]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *found]))


def _spread(rows: Ints, most: int) -> Ints:
    if len(rows) <= most:
        return rows
    found: Ints = rows[np.arange(most) * len(rows) // most]
    return found


# -- what is told -----------------------------------------------------------------------------------------------------


def told(dataset: Dataset, task: str, split: Split, chosen: Sequence[int] = ()) -> Told:
    """What the observer of `task` is granted. `chosen`: rows of orders; in T5 those whose deposits are the seeds, in T8
    the investigator's own (own_orders, if none is named); other tasks take none."""
    if task not in GRANTS:
        raise DatasetError(f"no task is called {task!r}; these are: {', '.join(GRANTS)}")
    return GRANTS[task](dataset, split, np.asarray(chosen, np.int64))


def _tags(dataset: Dataset, split: Split, chosen: Ints) -> Told:
    return Told(dataset.public.tags)


def _services(dataset: Dataset, split: Split, chosen: Ints) -> Told:
    return Told(dataset.public.tags, dataset.clusters, taught(dataset, split))


def taught(dataset: Dataset, split: Split) -> tuple[OwnOrder, ...]:
    """The training orders that a method is told of. Looks at the answer key only, not at the chains."""
    return _own(dataset, _spread(np.flatnonzero(split.training), MOST_LESSONS))


def _seeds(dataset: Dataset, split: Split, chosen: Ints) -> Told:
    rows = dataset.links.filter(_among(chosen))
    seeds = rows.select("deposit_coin", "deposit_output").unique(maintain_order=True)
    return Told(dataset.public.tags, seeds=tuple(seeds.iter_rows()))


def _swaps(dataset: Dataset, split: Split, chosen: Ints) -> Told:
    return _services(dataset, split, chosen)._replace(prices=_prices(dataset))


def _investigator(dataset: Dataset, split: Split, chosen: Ints) -> Told:
    rows = chosen if len(chosen) else own_orders(dataset)
    return Told(dataset.public.tags, dataset.clusters, _own(dataset, rows))


GRANTS: Final[Mapping[str, Callable[[Dataset, Split, Ints], Told]]] = {
    "T1": _tags,
    "T2": _services,
    "T3": _services,
    "T4": _tags,
    "T5": _seeds,
    "T6": _swaps,
    "T7": _tags,
    "T8": _investigator,
}


def _own(dataset: Dataset, rows: Ints) -> tuple[OwnOrder, ...]:
    """Of orders with several deposits the first is named."""
    links = dataset.links.filter(_among(rows))
    grouped = links.group_by("order", maintain_order=True).agg(
        pl.col("service", "deposit_coin", "deposit_output").first(), pl.col("payout_coin", "payout_output")
    )
    return tuple(
        OwnOrder(service, coin, output, tuple(dict.fromkeys(zip(coins, outputs, strict=True))))
        for _, service, coin, output, coins, outputs in grouped.iter_rows()
    )


def _prices(dataset: Dataset) -> pa.Table:
    """observer/price; without it, what a service that swaps asked for, noted every SLOT in which it had an order."""
    if dataset.has("observer/price"):
        return dataset.more("observer/price").select("time", "base", "quote", "price").to_arrow()
    swaps = dataset.orders.filter(pl.col("price").is_not_null())
    feed = swaps.select(
        (pl.col("created") // SLOT * SLOT).alias("time"),
        pl.col("coin").alias("base"),
        pl.col("payout_coin").replace("msat", "btc").alias("quote"),
        pl.col("price").cast(pl.Float64),
    )
    return feed.unique(["time", "base", "quote"], keep="first", maintain_order=True).sort("time", "base").to_arrow()


# -- what is true -----------------------------------------------------------------------------------------------------


def _among(rows: Ints) -> pl.Expr:
    return pl.col("order").is_in(pl.Series(rows).implode())


def _columns(**kinds: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in kinds.items()])


_TEXT, _LONG, _SCORE = pa.string(), pa.int64(), pa.float64()
_PLACE = {"coin": _TEXT, "address": _LONG}
LINK_TRUTH: Final = _columns(
    order=_LONG,
    service=_TEXT,
    deposit_coin=_TEXT,
    deposit_output=_LONG,
    payout_coin=_TEXT,
    payout_output=_LONG,
    amount=schemas.AMOUNT,
)
TRUTHS: Final[Mapping[str, pa.Schema]] = {
    "T1": _columns(**_PLACE, service=_TEXT, branch=_TEXT),
    "T2": LINK_TRUTH,
    "T3": LINK_TRUTH,
    "T4": _columns(**_PLACE, cluster=_LONG),
    "T5": _columns(coin=_TEXT, output=_LONG, custody=_SCORE, beneficial=_SCORE),
    "T6": LINK_TRUTH,
    "T7": _columns(coin=_TEXT, tx=_LONG, place=pa.int32(), vout=pa.int32(), score=_SCORE),
    "T8": LINK_TRUTH,
}
"""Columns of a task's truth. T2, T3, T8: orders paid out on the chain of their deposit, T6: on another chain; `amount`
is what the deposit gave to the payout, base units of payout_coin. T1 and T4: addresses whose owner is known; T4's
cluster is a number for each owner on a chain: services, and those of answers/owner. T5: parts of an output's value;
custody is 1 for all that a service made from a seed's coins, directly or through its change and sweeps. T7: 1 for an
input and an output of one owner, 0 for others, in transactions that several known owners signed."""
_SAME_COIN: Final = pl.col("deposit_coin") == pl.col("payout_coin")


def truth(dataset: Dataset, task: str, chosen: Sequence[int] = ()) -> pa.Table:
    """TRUTHS[task]. `chosen` as in `told`: T5's seeds, and T8's own orders, which are left out."""
    if task not in TRUTHS:
        raise DatasetError(f"no task is called {task!r}; these are: {', '.join(TRUTHS)}")
    return _TRUE[task](dataset, np.asarray(chosen, np.int64)).to_arrow().cast(TRUTHS[task])


def _roles(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    return dataset.wallets.select(TRUTHS["T1"].names)


def _owners(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    """Services on each chain, then those of answers/owner; a service's address is nobody else's."""
    services = dataset.wallets.select("coin", "address", owner="service")
    others = dataset.more("answers/owner").select("coin", "address", owner=pl.col("owner").cast(pl.String))
    others = others.join(services, on=["coin", "address"], how="anti", maintain_order="left")
    kinds = [services.with_columns(kind=pl.lit(0)), others.with_columns(kind=pl.lit(1))]
    number = pl.struct("kind", "coin", "owner").rank("dense").cast(pl.Int64) - 1
    return pl.concat(kinds).select("coin", "address", number.alias("cluster"))


def _mixed(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    return dataset.links.filter(_SAME_COIN)


def _swapped(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    return dataset.links.filter(~_SAME_COIN)


def _others(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    own = chosen if len(chosen) else own_orders(dataset)
    return _mixed(dataset, chosen).filter(~_among(own))


def _tainted(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    seeds = dataset.links.filter(_among(chosen))
    custody = [
        pl.DataFrame({"coin": [coin] * len(outputs), "output": outputs, "custody": 1.0})
        for coin, rows in dataset.hops
        if len(outputs := _descendants(dataset, coin, rows, seeds))
    ]
    nothing = pl.DataFrame(schema={"coin": pl.String, "output": pl.Int64, "custody": pl.Float64})
    both = pl.concat([nothing, *custody]).join(
        benefits(dataset, chosen), on=["coin", "output"], how="full", coalesce=True
    )
    return both.select("coin", "output", pl.col("custody", "beneficial").fill_null(0.0)).sort("coin", "output")


def benefits(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    """coin, output, beneficial: what the chosen orders' deposits gave to payouts, as parts of these."""
    payout = [pl.col("payout_coin").alias("coin"), pl.col("payout_output").alias("output")]
    given = dataset.links.filter(_among(chosen)).group_by(payout).agg(pl.col("amount").sum())
    theirs = dataset.links.filter(pl.col("payout_output").is_in(given["output"].implode()))
    whole = theirs.group_by(payout).agg(pl.col("amount").sum().alias("whole"))
    part = pl.col("amount").cast(pl.Float64) / pl.col("whole").cast(pl.Float64)
    return given.join(whole, on=["coin", "output"]).select("coin", "output", part.alias("beneficial"))


def _descendants(dataset: Dataset, coin: str, rows: pl.DataFrame, seeds: pl.DataFrame) -> Ints:
    """Outputs of the services' transactions that spend what came from the seeds."""
    graph = dataset.public.graph(coin)
    outputs = seeds.filter(pl.col("deposit_coin") == coin)["deposit_output"].unique().to_numpy()
    reached = descendants(rows, outputs, np.unique(graph.tx_of_output[outputs]))
    many = graph.first_output[reached + 1] - graph.first_output[reached]
    found: Ints = np.arange(many.sum()) + np.repeat(graph.first_output[reached] - (np.cumsum(many) - many), many)
    return found


def descendants(rows: pl.DataFrame, outputs: Ints, paying: Ints) -> Ints:
    """Transactions out of `rows` (one chain of Dataset.hops) that spend `outputs`, which the transactions `paying`
    made, or what such a transaction made."""
    seed = np.isin(rows["output"].fill_null(NONE).to_numpy(), outputs) | _any_in(rows["paid_in"], paying)
    tx, made_by = rows["tx"].to_numpy(), rows["made_by"].fill_null(NONE).to_numpy()
    reached = np.zeros(int(tx.max(initial=0)) + 1, np.bool_)
    _reach(tx, made_by, seed, reached)
    return np.flatnonzero(reached)


def _any_in(lists: pl.Series, wanted: Ints) -> Flags:
    """By list: whether it holds one of them."""
    ends = np.cumsum(lists.list.len().to_numpy(), dtype=np.int64)
    hits = np.append(0, np.cumsum(np.isin(lists.to_arrow().flatten().to_numpy(), wanted)))
    found: Flags = hits[ends] > hits[np.append(0, ends)[:-1]]
    return found


@compiled
def _reach(tx: Ints, made_by: Ints, seed: Flags, reached: Flags) -> None:
    """Rows in the order of the chain: what made a coin comes before what spends it."""
    for row in range(len(tx)):
        if seed[row] or (made_by[row] >= 0 and reached[made_by[row]]):
            reached[tx[row]] = True


def _mapped(dataset: Dataset, chosen: Ints) -> pl.DataFrame:
    owners = _owners(dataset, chosen)
    parts = [_joint(dataset, str(coin), rows) for (coin,), rows in sorted(owners.group_by("coin"))]
    kinds = {"coin": pl.String, "tx": pl.Int64, "place": pl.Int32, "vout": pl.Int32, "score": pl.Float64}
    return pl.concat([pl.DataFrame(schema=kinds), *(part.cast(kinds) for part in parts)])  # type: ignore[arg-type]


def _joint(dataset: Dataset, coin: str, owners: pl.DataFrame) -> pl.DataFrame:
    graph = dataset.public.graph(coin)
    owner = np.full(graph.addresses + 1, -1, np.int64)  # the last: outputs without an address
    owner[owners["address"].to_numpy()] = owners["cluster"].to_numpy()
    signer, payee = owner[graph.input_address], owner[graph.address]
    differs = signer != signer[graph.first_input[graph.tx_of_input]]
    shared = np.setdiff1d(graph.tx_of_input[differs], graph.tx_of_input[signer == -1])
    outputs = graph.first_output[shared + 1] - graph.first_output[shared]
    pairs = (graph.first_input[shared + 1] - graph.first_input[shared]) * outputs
    which = np.repeat(np.arange(len(shared)), pairs)
    place, vout = np.divmod(np.arange(len(which)) - np.repeat(np.cumsum(pairs) - pairs, pairs), outputs[which])
    tx = shared[which]
    same = signer[graph.first_input[tx] + place] == payee[graph.first_output[tx] + vout]
    return pl.DataFrame({"coin": [coin] * len(tx), "tx": tx, "place": place, "vout": vout, "score": same})


_TRUE: Final[Mapping[str, Callable[[Dataset, Ints], pl.DataFrame]]] = {
    "T1": _roles,
    "T2": _mixed,
    "T3": _mixed,
    "T4": _owners,
    "T5": _tainted,
    "T6": _swapped,
    "T7": _mapped,
    "T8": _others,
}
