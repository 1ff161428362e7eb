"""The shape of IBM's AMLworld data (Altman et al., "Realistic synthetic financial transactions for anti-money
laundering models", NeurIPS 2023 datasets and benchmarks), as its loaders read it (IBM/Multi-GNN,
format_kaggle_files.py).

    SCENARIO_Trans.csv      a row a transfer (transfers.py), by time
    SCENARIO_accounts.csv   whose the accounts are: of the answer key
    SCENARIO_Patterns.txt   a block an order: the rows of its deposits and payouts

A row's last column is 1 if it is in a pattern. A chain is a bank, an address an account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from glasstumbler.lab.exports.transfers import GATHERING, ISSUED, NEW_COINS, NOWHERE, coins, transfers
from glasstumbler.lab.tasks import Dataset
from glasstumbler.money import PLACES

TRANS: Final = (
    "Timestamp,From Bank,Account,To Bank,Account,Amount Received,Receiving Currency,"
    "Amount Paid,Payment Currency,Payment Format,Is Laundering"
)
ACCOUNTS: Final = ("Bank Name", "Bank ID", "Account Number", "Entity ID", "Entity Name")
CURRENCIES: Final[Mapping[str, str]] = {"btc": "Bitcoin", "bch": "Bitcoin Cash", "ltc": "Litecoin", "eth": "Ether"}
"""`Bitcoin` is AMLworld's word, for the currency and for the format of a payment in it."""
FORMATS: Final = {GATHERING: "Reinvestment", NEW_COINS: "Coinbase"}
"""AMLworld's word for what an account pays to its own owner, and one of ours."""
SPECIAL: Final = {ISSUED: "coinbase", NOWHERE: "no address"}
PATTERNS: Final = {(False, False): "STACK", (False, True): "FAN-OUT", (True, False): "FAN-IN"}
"""By whether there are several deposits, several payouts; both: GATHER-SCATTER."""
_AT_ONCE: Final = 500_000


def write(dataset: Dataset, out: Path) -> None:
    name, shown = dataset.manifest["scenario"], coins(dataset)
    accounts = _accounts(dataset, shown)
    accounts.select(ACCOUNTS).write_csv(out / f"{name}_accounts.csv")
    names = Names(accounts)
    del accounts
    members = _members(dataset, shown)
    flagged = members.select("coin", "output", flag=pl.lit(1, pl.Int8)).unique()
    rows = transfers(dataset.folder / "observer", shown).with_row_index("row")
    rows = rows.join(flagged, on=["coin", "output"], how="left", maintain_order="left")
    with (out / f"{name}_Trans.csv").open("wb") as file:
        file.write(f"{TRANS}\n".encode())
        for part in rows.iter_slices(_AT_ONCE):
            _lines(part, shown, names).to_frame().write_csv(file, include_header=False, quote_style="never")
    mine = members.join(rows, on=["coin", "output"])
    mine = mine.select("order", "payout", "row", line=_lines(mine, shown, names))
    _patterns(dataset, mine, out / f"{name}_Patterns.txt")


class Names:
    """Of accounts by chain and number."""

    def __init__(self, accounts: pl.DataFrame) -> None:
        """`accounts` by both; on each chain the numbers go up by one."""
        self._names = accounts["Account Number"].rechunk()
        firsts = accounts.with_row_index("at").group_by("coin").agg((pl.col("at").cast(pl.Int64) - "address").first())
        self._firsts = firsts.sort("coin")["at"].to_numpy()

    def of(self, coin: pl.Series, number: pl.Series) -> pl.Series:
        return self._names.gather(self._firsts[coin.to_numpy()] + number.to_numpy())


def _accounts(dataset: Dataset, shown: Sequence[str]) -> pl.DataFrame:
    """ACCOUNTS, and coin (its place in `shown`) and address (number) of each, by these two."""
    numbers = pl.DataFrame({"coin": shown, "number": range(len(shown))}, schema={"coin": pl.String, "number": pl.Int8})
    special = pl.DataFrame({"address": SPECIAL.keys(), "name": SPECIAL.values()})
    names = pl.concat([dataset.names, numbers.join(special, how="cross").select("coin", "address", "name")])
    services = dataset.wallets.select("coin", "address", "service").unique(["coin", "address"], keep="first")
    found = names.join(numbers, on="coin").join(services, on=["coin", "address"], how="left")
    owners = dataset.more("answers/owner").unique(["coin", "address"], keep="first", maintain_order=True)
    found = found.join(owners, on=["coin", "address"], how="left").sort("number", "address")
    return found.select(
        pl.col("number").alias("coin"),
        "address",
        (pl.col("coin").replace_strict(CURRENCIES) + " test chain").alias("Bank Name"),
        (pl.col("number") + 1).cast(pl.String).alias("Bank ID"),
        pl.col("name").alias("Account Number"),
        pl.coalesce("service", pl.format("{}-{}", "coin", "owner"), "name").alias("Entity ID"),
        pl.coalesce(
            pl.lit("service ") + pl.col("service"), pl.format("{} #{}", "role", "owner"), pl.lit("unknown")
        ).alias("Entity Name"),
    )


def _members(dataset: Dataset, shown: Sequence[str]) -> pl.DataFrame:
    """order (row of the order table), coin (place in `shown`), output, payout: deposits and payouts of every order."""
    sides = [
        dataset.links.select("order", coin=f"{side}_coin", output=f"{side}_output", payout=pl.lit(side == "payout"))
        for side in ("deposit", "payout")
    ]
    rows = pl.concat(sides).unique(maintain_order=True).filter(pl.col("coin").is_in(shown))
    numbers = {coin: number for number, coin in enumerate(shown)}
    return rows.with_columns(pl.col("coin").replace_strict(numbers, return_dtype=pl.Int8))


def _lines(rows: pl.DataFrame, shown: Sequence[str], names: Names) -> pl.Series:
    """The rows' text."""
    payer, payee = (names.of(rows["coin"], rows[side]) for side in ("payer", "payee"))
    named = dict(enumerate(CURRENCIES[coin] for coin in shown))
    currency = pl.col("coin").replace_strict(named, return_dtype=pl.String)
    bank = (pl.col("coin") + 1).cast(pl.String)
    received, paid = (
        _amounts(rows["coin"], each, shown) for each in (rows["received"], rows["received"] + rows["fee"])
    )
    return rows.select(
        line=pl.concat_str(
            pl.from_epoch("time").dt.strftime("%Y/%m/%d %H:%M"),
            *(bank, payer, bank, payee, received, currency, paid, currency),
            pl.col("kind").replace_strict(FORMATS, default=currency, return_dtype=pl.String),
            pl.col("flag").fill_null(0),
            separator=",",
        )
    )["line"]


def _amounts(coin: pl.Series, units: pl.Series, shown: Sequence[str]) -> pl.Series:
    """Whole coins as exact decimals, in text."""
    found = pl.Series([None] * len(units), dtype=pl.String)
    for number, name in enumerate(shown):
        at = (coin == number).arg_true()
        found = found.scatter(at, _decimals(units.gather(at), PLACES[name]))
    return found


def _decimals(units: pl.Series, places: int) -> pl.Series:
    """The same integers with a point before the last `places` digits."""
    array = pa.chunked_array([units.to_arrow()]).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    moved = pa.Array.from_buffers(pa.decimal128(38, places), len(array), array.buffers(), offset=array.offset)
    return pl.Series(moved).cast(pl.String)


def _patterns(dataset: Dataset, rows: pl.DataFrame, path: Path) -> None:
    """`rows`: order, payout, row, line."""
    orders = rows.group_by("order").agg(payouts=pl.col("payout").sum(), all=pl.len())
    orders = orders.with_columns(deposits=pl.col("all") - pl.col("payouts")).join(dataset.orders, on="order")
    several = (pl.col("deposits") > 1, pl.col("payouts") > 1)
    kind = pl.lit("GATHER-SCATTER")
    for (deposits, payouts), name in PATTERNS.items():
        kind = pl.when((several[0] == deposits) & (several[1] == payouts)).then(pl.lit(name)).otherwise(kind)
    orders = orders.with_columns(kind=kind)
    about = ":  order {} of {} deposits {} payouts {}"
    begins = orders.select(
        "order",
        part=pl.lit(0),
        row=pl.lit(0, pl.UInt32),
        line=pl.lit("BEGIN LAUNDERING ATTEMPT - ")
        + pl.col("kind")
        + pl.format(about, "order_id", "service", "deposits", "payouts"),
    )
    ends = orders.select(
        "order",
        part=pl.lit(2),
        row=pl.lit(0, pl.UInt32),
        line=pl.lit("END LAUNDERING ATTEMPT - ") + pl.col("kind") + "\n",
    )
    text = pl.concat([begins, rows.select("order", part=pl.lit(1), row="row", line="line"), ends])
    lines = text.sort("order", "part", "row").select("line")
    lines.write_csv(path, include_header=False, quote_style="never")
