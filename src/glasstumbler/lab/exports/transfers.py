"""Transactions as transfers from one account to another, whose amounts add up, for shapes that know nothing else.

An account is an address. A transaction's payer is the address of its first input. What the other inputs hold is first
gathered there, then each output is paid from there; the first output's row also pays the fee. So what an account has
received less what it has paid is what it holds, to the base unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from glasstumbler.lab.tasks import Dataset

ISSUED: Final = -1
"""The payer of new coins."""
NOWHERE: Final = -2
"""The payee of an output without an address."""
PAYMENT, GATHERING, NEW_COINS = range(3)
"""Kinds of transfers."""
_KINDS: Final = {"coin": pl.Int8, "time": pl.Int64, "kind": pl.Int8, "payer": pl.Int64, "payee": pl.Int64}
COLUMNS: Final[dict[str, Any]] = {
    **_KINDS,
    **dict.fromkeys(("paid", "received"), pl.Decimal(38, 0)),
    **{"output": pl.Int64, "tx": pl.Int64},
}
"""Of `transfers`. coin: its place in `coins`. time: of the block, epoch seconds. payer, payee: addresses by number.
Amounts are base units. output: number of the output; null for a gathering. tx: its number."""


def coins(dataset: Dataset) -> list[str]:
    """Those whose chains show amounts."""
    hidden = set(dataset.manifest["hidden"])
    return [coin for coin in dataset.manifest["chains"] if coin not in hidden]


def transfers(observer: Path, shown: Sequence[str]) -> pl.DataFrame:
    """COLUMNS of every transfer on these chains, by time; `observer` is that folder of a dataset.

    Without the first block's, which nobody can spend, and without outputs that neither hold nor pay anything.
    """
    parts = [_of_chain(observer, number, coin) for number, coin in enumerate(shown)]
    nothing = pl.DataFrame(schema=COLUMNS)
    return pl.concat([nothing, *parts]).sort("time", maintain_order=True)


def _of_chain(observer: Path, number: int, coin: str) -> pl.DataFrame:
    tables = {name: _table(observer, name, coin) for name in ("block", "tx", "input", "output")}
    times = tables["block"].select("height", "time")
    txs = tables["tx"].filter(pl.col("height") > 0).join(times, on="height", maintain_order="left")
    txs = txs.select("tx", "time", "coinbase", pl.col("fee").fill_null(0))
    held = tables["output"].select("output", source=pl.col("address"))
    spent = tables["input"].join(held, on="output", how="left", maintain_order="left")
    spent = spent.select("tx", "place", "amount", source=pl.coalesce("account", "source", pl.lit(NOWHERE)))
    first = spent.filter(pl.col("place") == 0).select("tx", payer="source")
    txs = txs.join(first, on="tx", how="left", maintain_order="left").with_columns(pl.col("payer").fill_null(ISSUED))
    gathered = spent.filter(pl.col("place") > 0).join(txs, on="tx", maintain_order="left")
    paid = tables["output"].join(txs, on="tx", maintain_order="left")
    paid = paid.with_columns(pl.when(pl.col("vout") == 0).then("fee").otherwise(0).alias("fee"))
    paid = paid.filter(pl.col("address").is_not_null() | (pl.col("amount") + pl.col("fee") > 0))
    rows = pl.concat(list(_rows(number, gathered, paid)))
    return rows.sort("tx", pl.col("output").is_not_null(), maintain_order=True)


def _rows(number: int, gathered: pl.DataFrame, paid: pl.DataFrame) -> Iterator[pl.DataFrame]:
    fixed = {"coin": pl.lit(number)}
    moved = gathered.filter(pl.col("source") != pl.col("payer"))
    yield _columns(
        moved,
        **fixed,
        kind=pl.lit(GATHERING),
        payee=pl.col("payer"),
        payer=pl.col("source"),
        paid=pl.col("amount"),
        received=pl.col("amount"),
        output=pl.lit(None),
    )
    yield _columns(
        paid,
        **fixed,
        kind=pl.when("coinbase").then(NEW_COINS).otherwise(PAYMENT),
        payee=pl.col("address").fill_null(NOWHERE),
        paid=pl.col("amount") + pl.col("fee"),
        received=pl.col("amount"),
    )


def _columns(rows: pl.DataFrame, **made: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(**made).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())


def _table(observer: Path, name: str, coin: str) -> pl.DataFrame:
    rows = pl.scan_parquet(observer / f"{name}.parquet")
    return rows.filter(pl.col("coin") == coin).drop("coin").collect()
