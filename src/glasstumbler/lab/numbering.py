"""Names into numbers: transactions, outputs and addresses are counted once, and every table speaks of them by number.

A hash of 64 letters in every row is most of a dataset's bytes, and a method has to turn it into a number anyway.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from glasstumbler.lab.observed import Rows

Row = dict[str, Any]


class Numbers:
    """By coin; each coin's numbers begin at 0 and follow the order of the rows."""

    def __init__(self, rows: Rows) -> None:
        self.tx: dict[str, dict[str, int]] = defaultdict(dict)
        self.output: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
        self.address: dict[str, dict[str, int]] = defaultdict(dict)
        for row in rows["tx"]:
            of_coin = self.tx[row["coin"]]
            of_coin[row["txid"]] = len(of_coin)
        for row in rows["output"]:
            outputs = self.output[row["coin"]]
            outputs[row["txid"], row["vout"]] = len(outputs)
        for row in rows["address"]:
            addresses = self.address[row["coin"]]
            addresses[row["name"].lower()] = len(addresses)

    def account(self, coin: str, name: str) -> int | None:
        return self.address[coin].get(name.lower())


def numbered(rows: Rows, accounts: frozenset[str]) -> Rows:
    """The same rows as schemas.py has them. `accounts`: coins with accounts in place of outputs."""
    numbers = Numbers(rows)
    makers = {
        "tx": _tx,
        "input": _input,
        "output": _output,
        "address": _address,
        "public_tag": _tag,
        "owner": _tag,
        "link": _link,
        "hop": _hop,
    }
    return {
        name: [makers[name](numbers, accounts, row) for row in table] if name in makers else table
        for name, table in rows.items()
    }


def _tx(numbers: Numbers, accounts: frozenset[str], row: Row) -> Row:
    return {"tx": numbers.tx[row["coin"]][row["txid"]], **row}


def _input(numbers: Numbers, accounts: frozenset[str], row: Row) -> Row:
    spent = _spent(numbers, accounts, row["coin"], row["spent_txid"], row["spent_vout"])
    return {**row, "tx": numbers.tx[row["coin"]][row["txid"]], **spent}


def _output(numbers: Numbers, accounts: frozenset[str], row: Row) -> Row:
    coin, name = row["coin"], row["address"]
    return {
        **row,
        "output": numbers.output[coin][row["txid"], row["vout"]],
        "tx": numbers.tx[coin][row["txid"]],
        "address": None if name is None else numbers.account(coin, name),
    }


def _address(numbers: Numbers, accounts: frozenset[str], row: Row) -> Row:
    return {**row, "address": numbers.account(row["coin"], row["name"])}


def _tag(numbers: Numbers, accounts: frozenset[str], row: Row) -> Row:
    return {**row, "address": numbers.account(row["coin"], row["address"])}


def _link(numbers: Numbers, accounts: frozenset[str], row: Row) -> Row:
    outputs = numbers.output
    payout = outputs.get(row["payout_coin"], _NONE).get((row["payout_txid"], row["payout_vout"]))
    return {
        **row,
        "deposit_output": outputs[row["deposit_coin"]].get((row["deposit_txid"], row["deposit_vout"])),
        "payout_output": payout,
        "payment_hash": row["payout_txid"] if row["payout_coin"] == "msat" else None,
    }


def _hop(numbers: Numbers, accounts: frozenset[str], row: Row) -> Row:
    txs = numbers.tx[row["coin"]]
    return {
        **row,
        "tx": txs.get(row["txid"]),
        **_spent(numbers, accounts, row["coin"], row["input_txid"], row["input_vout"]),
        "made_by": None if row["made_by"] is None else txs.get(row["made_by"]),
        "paid_in": [txs[txid] for txid in row["paid_in"] if txid in txs],
    }


def _spent(numbers: Numbers, accounts: frozenset[str], coin: str, txid: str, vout: int) -> Row:
    if coin in accounts:
        return {"output": None, "account": numbers.account(coin, txid), "nonce": vout}
    return {"output": numbers.output[coin].get((txid, vout)), "account": None, "nonce": None}


_NONE: Mapping[tuple[str, int], int] = {}
