"""`glasstumbler simulate --mode fast`: every service by itself, in processes side by side; then the chains as a whole.

    DIR/.run/SERVICE                what a service left behind; a run that was broken off goes on with what is there
    DIR/record/SERVICE.jsonl.zst    its record: every entry, one a line

The bytes do not depend on the number of processes.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glasstumbler.chains.base import Format
from glasstumbler.chains.eth_format import EthFormat
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.guard import UNSIGNED
from glasstumbler.chains.monero import MoneroFormat
from glasstumbler.clock import GENESIS_TIME
from glasstumbler.engine.policy import Policy
from glasstumbler.errors import SettingsError, StoreError
from glasstumbler.house import policies_of
from glasstumbler.lab import card, dataset, schemas
from glasstumbler.lab.fast import left, others, parts, shown
from glasstumbler.lab.fast.chains import Put, conserve
from glasstumbler.lab.fast.coins import check_wallet, put_together
from glasstumbler.lab.fast.key import Key
from glasstumbler.lab.fast.shard import BEFORE
from glasstumbler.lab.fast.shown import Seen
from glasstumbler.lab.keeping import Keeping
from glasstumbler.lab.population import Population, population
from glasstumbler.lab.scenario import Scenario, Services
from glasstumbler.lab.simulate import Show, Summary, check, details_of, prices, run_of, spoken, tables_of, vault_of
from glasstumbler.services import SERVICES

MEANS: Final = (
    "Transactions carry no signatures and no node would take them. Txids are digests of numbers; addresses have no "
    "private keys. Sizes and fees are those of the signed kinds, with the longest signatures. Blocks have no size "
    "limit, and the faucet pays without end. Letters of guarantee are not made. Each service has a record of its own."
)
"""What mode: fast means, for the manifest and the card."""
_CHAINS: Final = ("btc", "bch", "ltc", "eth", "xmr")
_SLUGS: Final = Services.__struct_fields__
_FORMATS: Final[Mapping[str, Format]] = {**FORMATS, "eth": EthFormat(), "xmr": MoneroFormat()}


def simulate(
    name: str, scenario: Scenario, orders: int, seed: int, out: Path, processes: int = 1, show: Show | None = None
) -> Summary:
    """As lab/simulate.py, without signatures."""
    check(orders, seed, out)
    if scenario.reorgs.every_blocks:
        raise SettingsError(
            "scenario: [reorgs] every_blocks: --mode fast makes no reorganisations; set it to 0, or use --mode signed"
        )
    if processes < 1:
        raise SettingsError("--processes is 1 or more")
    people = population(scenario, orders, seed)
    keeping = Keeping(out / ".run", {**run_of(scenario, orders, seed), "mode": "fast"})
    with keeping.claimed():
        keeping.resume_parts()
        counts = np.bincount(people.service, minlength=len(_SLUGS))
        slugs = sorted(_SLUGS, key=lambda slug: -int(counts[_SLUGS.index(slug)]))
        told = _Progress(show, orders)
        parts.make(slugs, scenario, orders, seed, out / ".run", processes, told.at)
        lefts = {slug: left.load(out / ".run" / slug) for slug in _SLUGS}
        done = _Dataset(name, scenario, orders, seed, people, lefts, told).write(out, processes)
        keeping.clear()
    return done


class _Progress:
    def __init__(self, show: Show | None, orders: int) -> None:
        self._show, self._orders, self._began, self._first = show, orders, time.monotonic(), -1

    def at(self, placed: int) -> None:
        if self._show is None:
            return
        if self._first < 0:
            self._first = placed
        done, passed = placed - self._first, time.monotonic() - self._began
        left_ = "" if not done else f", about {spoken(int(passed * (self._orders - placed) / done))} left"
        self._show(f"services{left_}; orders", placed, self._orders)

    def stage(self, what: str) -> None:
        if self._show is not None:
            self._show(f"{what}; orders", self._orders, self._orders)


class _Dataset:
    def __init__(
        self, name: str, scenario: Scenario, orders: int, seed: int, people: Population,
        lefts: Mapping[str, left.Left], told: _Progress,
    ) -> None:  # fmt: skip
        self._name, self._scenario, self._orders, self._seed, self._people = name, scenario, orders, seed, people
        self._lefts, self._told = lefts, told
        self._blocks = max(each.told.blocks for each in lefts.values())
        self._vault = vault_of(seed)

    def write(self, out: Path, processes: int) -> Summary:
        """Nothing is written unless everything adds up."""
        seen: dict[str, Seen] = {coin: self._seen(coin) for coin in _CHAINS if coin in self._scenario.chains}
        self._told.stage("writing the dataset")
        makers = self._tables(seen)
        try:
            with ThreadPoolExecutor(processes) as pool:
                written = pool.map(lambda item: _write(out, *item), makers.items())
                files = dict(zip(makers, written, strict=True))
            records = {slug: self._keep_record(slug, out) for slug in _SLUGS}
            manifest = dataset.write_manifest(files, {c: self._shown(c) for c in seen}, self._about(records), out)
        except OSError as error:
            raise StoreError(f"cannot write the dataset: {error}") from None
        card.write(manifest)
        refused = sum(each.told.refused for each in self._lefts.values())
        seconds = self._blocks * self._scenario.block_seconds
        return Summary(manifest, self._orders, refused, 0, self._blocks, seconds)

    def _seen(self, coin: str) -> Seen:
        self._told.stage(f"the chain of {coin}")
        scenario, sides = self._scenario, {s: each.sides[coin] for s, each in self._lefts.items() if coin in each.sides}
        lives, roles = 0, np.zeros(0, np.int64)
        checked: Callable[[str, str, left.Side, Put], None] = check_wallet
        if coin in FORMATS:
            putting, put = put_together(coin, scenario, self._people, self._seed, sides, self._blocks)
            if coin in scenario.economy.coins:
                lives, roles = putting.economy.faucet, putting.economy.roles()
        elif coin == "eth":
            put, checked = others.accounts(coin, self._people, self._seed, sides), others.check_accounts
        else:
            put, checked = others.hidden(coin, self._people, self._seed, sides, self._blocks), _nothing_to_check
        if coin != "xmr":
            conserve(coin, put.chain)
        for slug, side in sides.items():
            checked(slug, coin, side, put)
        tip = BEFORE + self._blocks
        return Seen(
            coin, _FORMATS[coin].kinds, put, self._seed, tip, GENESIS_TIME, scenario.block_seconds, lives, roles
        )

    def _tables(self, seen: Mapping[str, Seen]) -> dict[str, tuple[pa.Schema, Callable[[], Iterator[pa.Table]]]]:
        """By file: its columns, and its rows in parts."""
        key, scenario, policies = Key(self._lefts, seen), self._scenario, self._policies()
        swaps = frozenset(slug for slug, policy in policies.items() if policy.swap is not None)
        orders = key.orders(scenario, self._orders, GENESIS_TIME)
        owners = {"owner": partial(_all, shown.owners, seen)} if scenario.economy.coins else {}
        rows: dict[str, Callable[[], Iterator[pa.Table]]] = {
            "tx": partial(_all, shown.txs, seen),
            "address": partial(_all, shown.addresses, seen),
            "output": partial(_all, shown.outputs, seen),
            "input": partial(_all, shown.inputs, seen),
            "block": partial(_all, shown.blocks, seen),
            "public_tag": lambda: iter([key.tags(swaps)]),
            "order": lambda: iter([orders["order"]]),
            "link": lambda: iter([key.links()]),
            "hop": lambda: iter([key.hops()]),
            "wallet_truth": lambda: iter([key.wallets()]),
            "service_policy": lambda: iter([_rows(schemas.SERVICE_POLICY, dataset.policy_rows(policies))]),
            "split": lambda: iter([orders["split"]]),
            **owners,
        }
        if scenario.services.xmrto:
            seconds = self._blocks * scenario.block_seconds
            found = prices(policies["xmrto"].swap, self._vault, scenario, GENESIS_TIME, seconds)
            rows["price"] = lambda: iter([_rows(schemas.PRICE, found)])
        columns = {
            f"{folder}/{name}": schema
            for folder, tables in (("observer", schemas.OBSERVER), ("answers", schemas.ANSWERS))
            for name, schema in {**tables, **schemas.MORE[folder]}.items()
        }
        return {
            f"{path}.parquet": (columns[path], rows[path.partition("/")[2]])
            for path in columns
            if path.partition("/")[2] in rows
        }

    def _policies(self) -> dict[str, Policy]:
        tables = tables_of(self._scenario)
        tables.pop("lab")
        names = tuple(self._scenario.chains)
        return policies_of(tables, names, tuple(SERVICES))[0]

    def _shown(self, coin: str) -> dict[str, Any]:
        return {"network": UNSIGNED, "node": UNSIGNED, "model": True, "height": BEFORE + self._blocks}

    def _keep_record(self, slug: str, out: Path) -> dict[str, Any]:
        """What the manifest says of a service's record."""
        name, told = f"record/{slug}.jsonl.zst", self._lefts[slug].told
        (out / "record").mkdir(exist_ok=True)
        shutil.copyfile(out / ".run" / slug / parts.RECORD, out / name)
        return {"file": name, "entries": told.entries, "head": told.head, "sha256": _digest(out / name)}

    def _about(self, records: Mapping[str, Any]) -> dataset.About:
        end = GENESIS_TIME + self._blocks * self._scenario.block_seconds
        refused = sum(each.told.refused for each in self._lefts.values())
        details = details_of("fast", self._scenario, self._seed, self._orders, refused, 0, GENESIS_TIME, end)
        return dataset.About(
            self._seed, self._name, "lightning" in self._scenario.chains,
            {**details, "mode_means": MEANS, "record": records},
        )  # fmt: skip


def _nothing_to_check(*_: object) -> None:
    """Monero shows no amounts."""


def _all(rows: Callable[[Seen], Iterator[pa.Table]], seen: Mapping[str, Seen]) -> Iterator[pa.Table]:
    for each in seen.values():
        yield from rows(each)


def _rows(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema)


def _write(out: Path, name: str, table: tuple[pa.Schema, Callable[[], Iterator[pa.Table]]]) -> dict[str, Any]:
    schema, parts_ = table
    path, rows = out / name, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts_():
            writer.write_table(part)
            rows += part.num_rows
    return {"rows": rows, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
