"""Transactions as transfers from one account to another, whose amounts add up, for shapes that know nothing else.

An account is an address. A transaction's payer is the address of its first input. What the other inputs hold is first
gathered there, then each output is paid from there; the first output's row also pays the fee. So what an account has
received less what it has paid is what it holds, to the base unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from glasstumbler.lab.public import Ints
from glasstumbler.lab.tasks import Dataset

ISSUED: Final = -1
"""The payer of new coins."""
NOWHERE: Final = -2
"""The payee of an output without an address."""
PAYMENT, GATHERING, NEW_COINS = range(3)
"""Kinds of transfers."""
COLUMNS: Final[Mapping[str, Any]] = {
    **{"coin": pl.Int8, "time": pl.Int64, "kind": pl.Int8, "payer": pl.Int64, "payee": pl.Int64},
    **{"received": pl.Decimal(38, 0), "fee": pl.Int64, "output": pl.Int64},
}
"""Of `transfers`. coin: its place in `shown`. time: of the block, epoch seconds. payer, payee: addresses by number.
received: base units; the payer pays the fee on top of it. output: number of the output; null for a gathering."""


def coins(dataset: Dataset) -> list[str]:
    """Those whose chains show amounts."""
    hidden = set(dataset.manifest["hidden"])
    return [coin for coin in dataset.manifest["chains"] if coin not in hidden]


def transfers(observer: Path, shown: Sequence[str]) -> pl.DataFrame:
    """COLUMNS of every transfer on these chains, by time; `observer` is that folder of a dataset.

    Without the first block's, which nobody can spend, and without outputs that neither hold nor pay anything.
    """
    parts = [_of_chain(observer, number, coin) for number, coin in enumerate(shown)]
    return pl.concat([pl.DataFrame(schema=dict(COLUMNS)), *parts]).sort("time", maintain_order=True)


def _of_chain(observer: Path, number: int, coin: str) -> pl.DataFrame:
    """Numbers of transactions, outputs and addresses are places in arrays."""
    times = _table(observer, coin, "block", "height", "time").sort("height")["time"].to_numpy()
    txs = _table(observer, coin, "tx", "height", "fee")
    height = txs["height"].to_numpy()
    inputs = _table(observer, coin, "input", "tx", "place", "output", "account", "amount")
    outputs = _table(observer, coin, "output", "output", "tx", "vout", "address", "amount")
    address = _numbers(outputs["address"], NOWHERE)
    spent, account = _numbers(inputs["output"], -1), _numbers(inputs["account"], NOWHERE)
    source = np.where(spent >= 0, address[spent], account) if len(address) else account
    of_input, of_output = inputs["tx"].to_numpy(), outputs["tx"].to_numpy()
    payer = np.full(len(height), ISSUED)
    first = inputs["place"].to_numpy() == 0
    payer[of_input[first]] = source[first]

    moved = ~first & (source != payer[of_input])
    gathered = {"payer": source, "payee": payer[of_input], "received": inputs["amount"], "tx": of_input}
    fee = np.where(outputs["vout"].to_numpy() == 0, _numbers(txs["fee"], 0)[of_output], 0)
    paid = {"payer": payer[of_output], "payee": address, "received": outputs["amount"], "fee": fee, "tx": of_output}
    real = (height[of_output] > 0) & ((address != NOWHERE) | (outputs["amount"] > 0).to_numpy() | (fee > 0))
    kind = np.where(payer[of_output] == ISSUED, NEW_COINS, PAYMENT)
    rows = pl.concat(
        [
            pl.DataFrame(gathered).filter(moved).with_columns(kind=GATHERING, fee=0, output=None),
            pl.DataFrame({**paid, "kind": kind, "output": outputs["output"]}).filter(real),
        ],
        how="diagonal_relaxed",
    )
    rows = rows.sort("tx", pl.col("output").is_not_null(), maintain_order=True)
    rows = rows.with_columns(time=pl.Series(times[height[rows["tx"].to_numpy()]]), coin=number)
    return rows.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())


def _table(observer: Path, coin: str, name: str, *columns: str) -> pl.DataFrame:
    rows = pl.scan_parquet(observer / f"{name}.parquet")
    return rows.filter(pl.col("coin") == coin).select(columns).collect()


def _numbers(column: pl.Series, missing: int) -> Ints:
    return column.cast(pl.Int64).fill_null(missing).to_numpy()
