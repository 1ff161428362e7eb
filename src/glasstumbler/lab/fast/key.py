"""The answer key of a fast simulation: what the services left behind, put together and told by the chains' numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from glasstumbler.lab import schemas
from glasstumbler.lab.fast import columns as to
from glasstumbler.lab.fast.chains import Put
from glasstumbler.lab.fast.left import NONE, Left
from glasstumbler.lab.fast.shown import Seen, called
from glasstumbler.lab.population import Ints
from glasstumbler.lab.scenario import Scenario
from glasstumbler.lab.simulate import divided

_TAGS = {True: "swap", False: "mixer"}


class _Numbers:
    """Of one service, for columns that speak of several chains: a row's number on the row's chain."""

    def __init__(self, by_coin: Mapping[str, Ints]) -> None:
        self._coins = list(by_coin)
        self._first = np.cumsum([0, *(len(numbers) for numbers in by_coin.values())])
        self._all = np.concatenate([np.zeros(0, np.int64), *by_coin.values()])

    def of(self, coin: pa.ChunkedArray, number: Ints) -> Ints:
        """NONE where the number is none, or the coin none of these."""
        which = to_numbers(pc.index_in(coin, pa.array(self._coins, pa.string())))
        known = (number != NONE) & (which != NONE)
        found = np.full(len(number), NONE, np.int64)
        found[known] = self._all[self._first[which[known]] + number[known]]
        return found


class Key:
    """`lefts` by service, `seen` by coin."""

    def __init__(self, lefts: Mapping[str, Left], seen: Mapping[str, Seen]) -> None:
        self._lefts, self._seen = lefts, seen
        self._names = {
            coin: called(each, np.arange(len(each.put.keys))) for coin, each in seen.items() if len(each.put.keys)
        }

    def orders(self, scenario: Scenario, count: int, zero: int) -> dict[str, pa.Table]:
        """order and split."""
        whole = _in_order([self._orders(slug, left.tables["order"]) for slug, left in self._lefts.items()])
        created = to_numbers(whole["created"])
        volume, period = divided(created - zero, scenario, count)
        split = to.table(schemas.SPLIT, [whole["service"], whole["order_id"], volume, period])
        return {"order": whole.select(schemas.ORDER.names).cast(schemas.ORDER), "split": split}

    def _orders(self, slug: str, table: pa.Table) -> pa.Table:
        return table.append_column("deposit_address", self._addresses(slug, table["coin"], to_numbers(table["key"])))

    def _addresses(self, slug: str, coin: pa.ChunkedArray, key: Ints) -> pa.Array:
        """Addresses of the service's keys."""
        coins = [c for c in self._lefts[slug].sides if c in self._names]
        lengths = [len(self._names[c]) for c in coins]
        base = np.cumsum([0, *lengths])[:-1] + np.array([self._seen[c].put.first_key[slug] for c in coins], np.int64)
        which = to_numbers(pc.index_in(coin, pa.array(coins, pa.string())))
        whole = pa.chunked_array([self._names[c] for c in coins], pa.string())
        return whole.take(pa.array(base[which] + key)).combine_chunks()

    def links(self) -> pa.Table:
        whole = _in_order([self._links(slug, left.tables["link"]) for slug, left in self._lefts.items()])
        return whole.select(schemas.LINK.names).cast(schemas.LINK)

    def _links(self, slug: str, table: pa.Table) -> pa.Table:
        output = self._of(slug, lambda put: put.output[slug])
        deposit = output.of(table["deposit_coin"], to_numbers(table["deposit_tx"]))
        payout = output.of(table["payout_coin"], to_numbers(table["payout_tx"]))
        payout = np.where(payout == NONE, NONE, payout + to_numbers(table["payout_vout"]))
        table = table.append_column("deposit_output", to.numbers(deposit, pa.int64()))
        return table.append_column("payout_output", to.numbers(payout, pa.int64()))

    def hops(self) -> pa.Table:
        whole = pa.concat_tables([self._hops(slug, left.tables["hop"]) for slug, left in self._lefts.items()])
        return whole.select(schemas.HOP.names).cast(schemas.HOP)

    def _hops(self, slug: str, table: pa.Table) -> pa.Table:
        coin, tx = table["coin"], self._of(slug, lambda put: put.tx[slug])
        made = self._of(slug, lambda put: put.output[slug]).of(coin, to_numbers(table["made_tx"]))
        output = np.where(made == NONE, NONE, made + to_numbers(table["made_vout"]))
        account = self._of(slug, lambda put: _key_numbers(put, slug)).of(coin, to_numbers(table["key"]))
        account[to_numbers(table["nonce"]) == NONE] = NONE
        paid_in = table["paid_in"].combine_chunks()
        of_whom = coin.take(pc.list_parent_indices(paid_in))
        sources = to.numbers(tx.of(of_whom, to_numbers(paid_in.flatten())), pa.int64())
        changed = {
            "tx": to.numbers(tx.of(coin, to_numbers(table["tx"])), pa.int64()),
            "made_by": to.numbers(tx.of(coin, to_numbers(table["made_by"])), pa.int64()),
            "paid_in": pa.ListArray.from_arrays(paid_in.offsets, sources),
            "output": to.numbers(output, pa.int64()),
            "account": to.numbers(account, pa.int64()),
        }
        return pa.table(
            {name: changed.get(name, table[name] if name in table.column_names else None) for name in schemas.HOP.names}
        )

    def wallets(self) -> pa.Table:
        parts = [
            left.tables["wallet_truth"].append_column(
                "address",
                self._addresses(
                    slug, left.tables["wallet_truth"]["coin"], to_numbers(left.tables["wallet_truth"]["key"])
                ),
            )
            for slug, left in self._lefts.items()
        ]
        return pa.concat_tables(parts).select(schemas.WALLET_TRUTH.names).cast(schemas.WALLET_TRUTH)

    def tags(self, swaps: frozenset[str]) -> pa.Table:
        """One for each service and coin: the deposit address of its first order that was paid."""
        found = [
            (order, coin, int(_key_numbers(self._seen[coin].put, slug)[key]), slug)
            for slug, left in self._lefts.items()
            for coin, (order, key) in left.told.tags.items()
            if not self._seen[coin].hidden
        ]
        rows = [(coin, number, slug, _TAGS[slug in swaps], "own test order") for _, coin, number, slug in sorted(found)]
        return to.table(schemas.PUBLIC_TAG, [list(column) for column in zip(*rows, strict=True)] or [[]] * 5)

    def _of(self, slug: str, numbers: Callable[[Put], Ints]) -> _Numbers:
        return _Numbers({coin: numbers(self._seen[coin].put) for coin in self._lefts[slug].sides})


def _key_numbers(put: Put, slug: str) -> Ints:
    """By key of the service: the number of its address."""
    first = put.first_key[slug]
    last = min((start for start in put.first_key.values() if start > first), default=len(put.keys))
    return put.chain.address_of[first:last]


def _in_order(parts: Sequence[pa.Table]) -> pa.Table:
    """By the number of the order, and each order's rows as they come."""
    whole = pa.concat_tables(parts)
    return whole.take(pa.array(np.argsort(to_numbers(whole["index"]), kind="stable")))


def to_numbers(column: Any) -> Ints:
    """NONE in place of null."""
    found: Ints = pc.fill_null(pc.cast(column, pa.int64()), NONE).to_numpy(zero_copy_only=False)
    return found if not isinstance(column, pa.Array) else found.copy()
