"""Observer's parts written by hand: a chain is a list of transactions, told by whom they spend and pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from glasstumbler.lab import schemas
from glasstumbler.lab.methods.base import Told
from glasstumbler.lab.public import Graph, Public

NO_TAGS = schemas.PUBLIC_TAG.empty_table()
NOTHING = Told(NO_TAGS)


class Tx(NamedTuple):
    spends: Sequence[tuple[int, int]] = ()
    """(transaction, output in it). None: it creates coins."""
    pays: Sequence[tuple[str, int]] = ()
    """(address, amount)."""
    size: int = 200
    height: int | None = None
    """By default each transaction has a block of its own, ten minutes after the one before."""


def graph(txs: Sequence[Tx], coin: str = "btc") -> Graph:
    return Graph(coin, tables({coin: txs}))


def public(folder: Path, chains: Mapping[str, Sequence[Tx]], tags: Sequence[tuple[str, int]] = ()) -> Public:
    """`tags`: (coin, number of the address)."""
    made = tables(chains)
    made["public_tag"] = tagged(tags)
    for name, table in made.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return Public(folder)


def tagged(tags: Sequence[tuple[str, int]]) -> pa.Table:
    rows = [
        {"coin": coin, "address": address, "label": "coinjoin", "category": "mixer", "source": "test"}
        for coin, address in tags
    ]
    return pa.Table.from_pylist(rows, schemas.PUBLIC_TAG)


def tables(chains: Mapping[str, Sequence[Tx]]) -> dict[str, pa.Table]:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in schemas.OBSERVER}
    for coin, txs in chains.items():
        _one(coin, txs, rows)
    return {name: pa.Table.from_pylist(rows[name], schema) for name, schema in schemas.OBSERVER.items()}


def _one(coin: str, txs: Sequence[Tx], rows: dict[str, list[dict[str, Any]]]) -> None:
    numbers: dict[str, dict[str, Any]] = {}
    firsts: list[int] = []
    heights = [number if tx.height is None else tx.height for number, tx in enumerate(txs)]
    outputs = 0
    for number, tx in enumerate(txs):
        firsts.append(outputs)
        spent = [txs[made].pays[vout][1] for made, vout in tx.spends]
        paid = sum(amount for _, amount in tx.pays)
        rows["tx"].append(
            {
                **{"coin": coin, "tx": number, "txid": f"{number:064x}", "height": heights[number], "place": 0},
                **{"coinbase": not tx.spends, "inputs": len(tx.spends), "outputs": len(tx.pays), "bytes": tx.size},
                "fee": sum(spent) - paid if tx.spends else None,
            }
        )
        for place, (made, vout) in enumerate(tx.spends):
            rows["input"].append(
                {**{"coin": coin, "tx": number, "place": place, "output": firsts[made] + vout}, "amount": spent[place]}
            )
        for vout, (name, amount) in enumerate(tx.pays):
            entry = numbers.setdefault(
                name,
                {
                    **{"coin": coin, "address": len(numbers), "name": name, "first_height": heights[number]},
                    **{"last_height": 0, "outputs": 0, "received": 0},
                },
            )
            entry["last_height"] = heights[number]
            entry["outputs"] += 1
            entry["received"] += amount
            rows["output"].append(
                {
                    **{"coin": coin, "output": outputs, "tx": number, "vout": vout},
                    "address": entry["address"],
                    "amount": amount,
                }
            )
            outputs += 1
    rows["address"] += list(numbers.values())
    for height in sorted(set(range(max(heights, default=-1) + 1))):
        rows["block"].append(
            {
                **{"coin": coin, "height": height, "hash": f"{height:064x}", "previous": "0" * 64},
                "time": 600 * height,
                "txs": 1,
            }
        )
