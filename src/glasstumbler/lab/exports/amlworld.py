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

import numpy as np
import polars as pl
import pyarrow as pa

from glasstumbler.lab.exports.transfers import GATHERING, ISSUED, NEW_COINS, NOWHERE, coins, transfers
from glasstumbler.lab.tasks import Dataset
from glasstumbler.money import PLACES

TRANS: Final = (
    "Timestamp,From Bank,Account,To Bank,Account,Amount Received,Receiving Currency,"
    "Amount Paid,Payment Currency,Payment Format,Is Laundering"
)
ACCOUNTS: Final = "Bank Name,Bank ID,Account Number,Entity ID,Entity Name"
CURRENCIES: Final[Mapping[str, str]] = {"btc": "Bitcoin", "bch": "Bitcoin Cash", "ltc": "Litecoin", "eth": "Ether"}
"""`Bitcoin` is AMLworld's word, for the currency and for the format of a payment in it."""
FORMATS: Final = {GATHERING: "Reinvestment", NEW_COINS: "Coinbase"}
"""AMLworld's word for what an account pays to its own owner, and one of ours."""
SPECIAL: Final = {ISSUED: "coinbase", NOWHERE: "no address"}
"""Their numbers are -1 and -2."""
PATTERNS: Final = {(False, False): "STACK", (False, True): "FAN-OUT", (True, False): "FAN-IN"}
"""By whether there are several deposits, several payouts; both: GATHER-SCATTER."""
_AT_ONCE: Final = 500_000


def write(dataset: Dataset, out: Path) -> None:
    name, shown = dataset.manifest["scenario"], coins(dataset)
    names = _accounts(dataset, shown, out / f"{name}_accounts.csv")
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
    """Of accounts by chain and number: those of SPECIAL, then the addresses."""

    def __init__(self, by_chain: Sequence[pl.Series]) -> None:
        self._names = pl.concat(by_chain).rechunk()
        lengths = [0, *(len(names) for names in by_chain[:-1])]
        self._zeros = np.cumsum(lengths) + len(SPECIAL)

    def of(self, coin: pl.Series, number: pl.Series) -> pl.Series:
        return self._names.gather(self._zeros[coin.to_numpy()] + number.to_numpy())


def _accounts(dataset: Dataset, shown: Sequence[str], path: Path) -> Names:
    """Write the accounts, chain by chain."""
    by_chain = []
    with path.open("wb") as file:
        file.write(f"{ACCOUNTS}\n".encode())
        for number, coin in enumerate(shown):
            accounts = _of_chain(dataset, coin)
            bank = {"bank": pl.lit(f"{CURRENCIES[coin]} test chain"), "number": pl.lit(number + 1)}
            rows = accounts.with_columns(**bank).select("bank", "number", "name", "entity", "who")
            rows.write_csv(file, include_header=False)
            by_chain.append(accounts["name"])
    return Names(by_chain)


def _of_chain(dataset: Dataset, coin: str) -> pl.DataFrame:
    """name, entity, who: of each account of a chain, by its number."""
    addresses = pl.scan_parquet(dataset.folder / "observer" / "address.parquet").filter(pl.col("coin") == coin)
    special = pl.DataFrame({"address": SPECIAL.keys(), "name": SPECIAL.values()}).sort("address")
    names = pl.concat([special, addresses.select("address", "name").sort("address").collect()])
    wallets = dataset.answers("wallet_truth").filter(pl.col("coin") == coin).select("service", name="address")
    owners = dataset.more("answers/owner").filter(pl.col("coin") == coin).drop("coin")
    found = names.join(wallets.unique("name", keep="first"), on="name", how="left", maintain_order="left")
    found = found.join(owners.unique("address", keep="first"), on="address", how="left", maintain_order="left")
    return found.select(
        "name",
        entity=pl.coalesce("service", pl.lit(f"{coin}-") + pl.col("owner").cast(pl.String), "name"),
        who=pl.coalesce(
            pl.lit("service ") + pl.col("service"), pl.format("{} #{}", "role", "owner"), pl.lit("unknown")
        ),
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
