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

    Without outputs that neither pay an address nor hold anything, and without what the first block pays nobody.
    """
    parts = [_rows(_Chain(observer, coin), number) for number, coin in enumerate(shown)]
    rows = parts[0] if len(parts) == 1 else pl.concat([pl.DataFrame(schema=dict(COLUMNS)), *parts])
    return rows if rows["time"].is_sorted() else rows.sort("time", maintain_order=True)


class _Chain:
    """Numbers of transactions, outputs and addresses are places in arrays."""

    def __init__(self, observer: Path, coin: str) -> None:
        txs = _table(observer, coin, "tx", "height", "fee")
        self.inputs = _table(observer, coin, "input", "tx", "place", "output", "account", "amount")
        self.outputs = _table(observer, coin, "output", "output", "tx", "vout", "address", "amount")
        self.height, self.fee = txs["height"].to_numpy(), _numbers(txs["fee"], 0)
        self.time = _table(observer, coin, "block", "height", "time").sort("height")["time"].to_numpy()[self.height]
        self.payee = _numbers(self.outputs["address"], NOWHERE)
        spent, account = _numbers(self.inputs["output"], -1), _numbers(self.inputs["account"], NOWHERE)
        self.source = np.where(spent >= 0, self.payee[spent], account) if len(self.payee) else account
        self.payer = np.full(len(txs), ISSUED)
        first = self.inputs["place"].to_numpy() == 0
        self.payer[self.inputs["tx"].to_numpy()[first]] = self.source[first]


def _rows(chain: _Chain, number: int) -> pl.DataFrame:
    of_input, of_output = chain.inputs["tx"].to_numpy(), chain.outputs["tx"].to_numpy()
    moved = np.flatnonzero((chain.inputs["place"].to_numpy() > 0) & (chain.source != chain.payer[of_input]))
    fee = np.where(chain.outputs["vout"].to_numpy() == 0, chain.fee[of_output], 0)
    holds = (chain.height[of_output] > 0) & ((chain.outputs["amount"] > 0).to_numpy() | (fee > 0))
    real = np.flatnonzero((chain.payee != NOWHERE) | holds)
    tx_moved, tx_real = of_input[moved], of_output[real]
    order = np.argsort(np.concatenate([tx_moved * 2, tx_real * 2 + 1]), kind="stable")

    def both(gathered: Any, paid: Any) -> pl.Series:
        """Of the gatherings and of the payments, transaction by transaction."""
        return pl.concat([pl.Series(gathered), pl.Series(paid)]).gather(order)

    nothing = np.zeros(len(moved), np.int64)
    columns: dict[str, Any] = {
        "coin": np.full(len(order), number),
        "time": both(chain.time[tx_moved], chain.time[tx_real]),
        "kind": both(nothing + GATHERING, np.where(chain.payer[tx_real] == ISSUED, NEW_COINS, PAYMENT)),
        "payer": both(chain.source[moved], chain.payer[tx_real]),
        "payee": both(chain.payer[tx_moved], chain.payee[real]),
        "received": both(chain.inputs["amount"].gather(moved), chain.outputs["amount"].gather(real)),
        "fee": both(nothing, fee[real]),
        "output": both(pl.Series([None] * len(moved), dtype=pl.Int64), chain.outputs["output"].gather(real)),
    }
    return pl.DataFrame({name: pl.Series(columns[name]).cast(kind) for name, kind in COLUMNS.items()})


def _table(observer: Path, coin: str, name: str, *columns: str) -> pl.DataFrame:
    rows = pl.scan_parquet(observer / f"{name}.parquet")
    return rows.filter(pl.col("coin") == coin).select(columns).collect()


def _numbers(column: pl.Series, missing: int) -> Ints:
    return column.cast(pl.Int64).fill_null(missing).to_numpy()
