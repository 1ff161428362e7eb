"""`glasstumbler simulate`: a scenario driven through the services' own objects on a virtual clock, and its dataset.

A run is cut into stretches. Each begins by opening the laboratory's folder with randomness of its own, so that a run
that was broken off goes on from the last checkpoint with the same bytes (keeping.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from glasstumbler import __version__
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import VirtualClock
from glasstumbler.engine import price
from glasstumbler.engine.policy import SwapPolicy
from glasstumbler.errors import NoFunds, SettingsError, StoreError
from glasstumbler.house import House
from glasstumbler.lab import card, dataset, observed
from glasstumbler.lab.background import Signing
from glasstumbler.lab.door import Direct
from glasstumbler.lab.driver import TICK, Driver, State
from glasstumbler.lab.economy import Background
from glasstumbler.lab.keeping import Economy, Keeping, Kept
from glasstumbler.lab.observed import Rows
from glasstumbler.lab.population import Ints, Population, customers, population
from glasstumbler.lab.scenario import MOST_ORDERS, Scenario
from glasstumbler.services import SERVICES
from glasstumbler.vault import Vault

_FEWEST_ORDERS: Final = 50
_FEWEST_BLOCKS: Final = 300
_PART: Final = 8
"""A stretch has so many orders or blocks, or an eighth of all before it: copying stays a small part of the work."""
_PERIODS: Final = (("train", 60), ("validation", 80), ("test", 100))
_SEEDS: Final = {8: "validation", 9: "test"}
"""By a seed's last digit; all others are for training."""
Show = Callable[[str, int, int], None]


class Summary(NamedTuple):
    manifest: Path
    orders: int
    refused: int
    unpaid: int
    blocks: int
    seconds: int


def simulate(name: str, scenario: Scenario, orders: int, seed: int, out: Path, show: Show | None = None) -> Summary:
    """Run it, or go on with it, and write its dataset to `out`. SettingsError for numbers that cannot be."""
    check(orders, seed, out)
    people, run = population(scenario, orders, seed), run_of(scenario, orders, seed)
    keeping = Keeping(out / ".run", run)
    with keeping.claimed():
        kept, arrays = keeping.resume()
        progress = _Progress(show, kept.state, orders)
        while True:
            with _stretch(keeping.live, scenario, people, seed, kept, arrays) as (driver, economies):
                if _drive(driver, progress):
                    progress.stage("writing the dataset")
                    manifest = _export(driver, economies, scenario, name, seed, orders, out)
                    break
                arrays = {coin: economy.economy.state() for coin, economy in economies.items()}
                kept = Kept(run, kept.stretch + 1, driver.state, _kept_economies(economies))
            keeping.keep(kept, arrays)
        keeping.clear()
    state = driver.state
    return Summary(manifest, state.placed, state.refused, state.unpaid, state.blocks, state.elapsed)


def check(orders: int, seed: int, out: Path) -> None:
    """SettingsError for numbers that cannot be, StoreError for a folder that is taken."""
    if not 1 <= orders <= MOST_ORDERS or not 0 <= seed < 1 << 63:
        raise SettingsError(f"--orders goes from 1 to {MOST_ORDERS}, --seed from 0 to {(1 << 63) - 1}")
    if (out / "manifest.json").exists():
        raise StoreError(f"{out} holds a dataset already: use another folder")


def run_of(scenario: Scenario, orders: int, seed: int) -> dict[str, Any]:
    """Which run it is: another one does not go on with what this one left."""
    return {
        "scenario": msgspec.json.decode(msgspec.json.encode(scenario)),
        "orders": orders,
        "seed": seed,
        "version": __version__,
        "numpy": np.__version__,
    }


# -- stretches --------------------------------------------------------------------------------------------------------


@contextmanager
def _stretch(
    folder: Path, scenario: Scenario, people: Population, seed: int, kept: Kept, arrays: dict[str, dict[str, Ints]]
) -> Iterator[tuple[Driver, dict[str, Signing]]]:
    with ExitStack() as stack:
        house = open_house(folder, scenario, seed, kept.stretch)
        stack.callback(house.close)
        house.start()
        economies = open_economies(house, scenario, len(people), seed)
        if kept.stretch:
            for coin, economy in economies.items():
                was = kept.economies[coin]
                economy.economy.restore(arrays[coin])
                economy.restore(was.outpoints, was.awaited, was.own)
        else:
            begin(house, economies)
        door = Direct(house)
        stack.callback(door.close)
        yield Driver(house, door, scenario, people, economies, kept.state), economies


def open_house(folder: Path | None, scenario: Scenario, seed: int, stretch: int = 0) -> House:
    """The laboratory of a scenario; `folder` None: in memory."""
    return House(folder, vault_of(seed), VirtualClock(), chance_of(seed, stretch), tables_of(scenario))


def vault_of(seed: int) -> Vault:
    return Vault(sha256(f"glasstumbler simulate {seed}".encode()).digest())


def chance_of(seed: int, stretch: int) -> int:
    """Seed of a laboratory's randomness in a stretch of a run."""
    return int.from_bytes(sha256(f"{seed}/stretch {stretch}".encode()).digest()[:8], "big")


def tables_of(scenario: Scenario) -> dict[str, Any]:
    return {**scenario.settings, "lab": {"chains": list(scenario.chains), "rate_limits": "off"}}


def open_economies(house: House, scenario: Scenario, orders: int, seed: int) -> dict[str, Signing]:
    ring, guests = KeyRing(house.vault.derive("economy seed")), customers(scenario, orders)
    return {
        coin: Signing(
            house.chains[coin],
            Background(scenario.economy, guests, seed, coin, scenario.block_seconds),
            ring,
        )
        for coin in scenario.economy.coins
    }


def begin(house: House, economies: dict[str, Signing]) -> None:
    """Everybody gets their first coins."""
    for coin, economy in economies.items():
        try:
            economy.begin()
        except NoFunds:
            raise SettingsError(
                f"scenario: [economy] funds, exchange_funds: all together are more {coin} than its faucet has"
            ) from None
        house.chains[coin].mine(1)
        economy.mined()
    house.turn()


def _drive(driver: Driver, progress: _Progress) -> bool:
    """Until the next checkpoint, or to the end (True)."""
    state = driver.state
    orders, blocks = stretch_end(state.placed, state.blocks)
    while not driver.done():
        if state.placed >= orders or state.blocks >= blocks:
            return False
        driver.block()
        progress.at(state)
    return True


def stretch_end(placed: int, blocks: int) -> tuple[int, int]:
    """(orders, blocks): with the one or the other a stretch ends that began with these."""
    return placed + max(_FEWEST_ORDERS, placed // _PART), blocks + max(_FEWEST_BLOCKS, blocks // _PART)


def _kept_economies(economies: dict[str, Signing]) -> dict[str, Economy]:
    return {
        coin: Economy(economy.outpoints(), sorted(economy.awaited.items()), sorted(economy.own))
        for coin, economy in economies.items()
    }


class _Progress:
    """Orders and the time that is left, as far as this process can tell."""

    def __init__(self, show: Show | None, state: State, orders: int) -> None:
        self._show, self._orders, self._first, self._began = show, orders, state.placed, time.monotonic()

    def at(self, state: State) -> None:
        if self._show is None:
            return
        done, passed = state.placed - self._first, time.monotonic() - self._began
        left = "" if not done else f", about {spoken(int(passed * (self._orders - state.placed) / done))} left"
        self._show(f"day {state.elapsed // 86_400 + 1}{left}; orders", state.placed, self._orders)

    def stage(self, what: str) -> None:
        if self._show is not None:
            self._show(f"{what}; orders", self._orders, self._orders)


def spoken(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"


# -- the dataset ------------------------------------------------------------------------------------------------------


def _export(
    driver: Driver, economies: dict[str, Signing], scenario: Scenario, name: str, seed: int, orders: int, out: Path
) -> Path:
    house, zero = driver.house, driver.house.clock.now() - driver.state.elapsed
    state = driver.state
    details = details_of("signed", scenario, seed, orders, state.refused, state.unpaid, zero, zero + state.elapsed)
    about = dataset.About(seed, name, house.lightning is not None and house.lightning.model, details)

    def more(rows: Rows) -> Rows:
        found = {"owner": _owners(economies, rows), "split": splits(rows["order"], scenario, orders, zero)}
        found["raw_block"] = observed.raw_blocks(house.chains)
        if scenario.services.xmrto:
            swap = house.policies["xmrto"].swap
            found["price"] = prices(swap, house.vault, scenario, zero, driver.state.elapsed)
        return found

    with house.store.snapshot() as records:
        manifest = dataset.export(records, house.chains, house.policies, about, out, more)
    card.write(manifest)
    return manifest


def details_of(
    mode: str, scenario: Scenario, seed: int, orders: int, refused: int, unpaid: int, begin: int, end: int
) -> dict[str, Any]:
    """What the manifest says of a run."""
    return {
        "mode": mode,
        "orders": orders,
        "refused": refused,
        "unpaid": unpaid,
        "begin": begin,
        "end": end,
        "seed_is_for": _SEEDS.get(seed % 10, "train"),
        "splits": {"version": 1, "table": "answers/split.parquet", "folds": sorted(SERVICES)},
        "settings": msgspec.to_builtins(scenario),
    }


def _owners(economies: dict[str, Signing], rows: Rows) -> list[dict[str, Any]]:
    """Of addresses that the chain shows."""
    seen = {(row["coin"], row["name"]) for row in rows["address"]}
    return [
        {"coin": coin, "address": address, "owner": owner, "role": role}
        for coin, economy in economies.items()
        for address, owner, role in economy.owners()
        if (coin, address) in seen
    ]


def splits(orders: list[dict[str, Any]], scenario: Scenario, count: int, zero: int) -> list[dict[str, Any]]:
    """One row an order."""
    volumes, periods = divided(np.array([row["created"] for row in orders], np.int64) - zero, scenario, count)
    return [
        {"service": row["service"], "order_id": row["order_id"], "volume": volume, "period": period}
        for row, volume, period in zip(orders, volumes.tolist(), periods, strict=True)
    ]


def divided(created: Ints, scenario: Scenario, count: int) -> tuple[Ints, list[str]]:
    """(volume, period) of orders, which come in order and were placed so many seconds after the beginning: a period is
    by the time within its phase."""
    phases = scenario.days(count)
    ends = np.cumsum([seconds for _, _, seconds in phases])
    at = np.minimum(np.searchsorted(ends, np.maximum(created - TICK, 0), side="right"), len(phases) - 1)
    sizes = np.bincount(at, minlength=len(phases))
    first = np.cumsum(sizes) - sizes
    part = (np.arange(len(at)) - first[at]) * 100 // np.maximum(sizes[at], 1)
    limits = np.array([limit for _, limit in _PERIODS])
    names = np.array([name for name, _ in _PERIODS])[np.searchsorted(limits, part, side="right")]
    return np.array([volume for volume, _, _ in phases], np.int64)[at], names.tolist()


def prices(swap: SwapPolicy | None, vault: Vault, scenario: Scenario, zero: int, elapsed: int) -> list[dict[str, Any]]:
    """Rows of schemas.PRICE."""
    assert swap is not None
    seed, times = vault.derive("price"), range(zero, zero + elapsed + 1, scenario.block_seconds)
    rates = [price.rate(seed, when, swap.base_rate, swap.swing_ppm) for when in times]
    named = {"base": "xmr", "quote": "btc"}
    return [{"time": when, **named, "price": rate / 10**8} for when, rate in zip(times, rates, strict=True)]
