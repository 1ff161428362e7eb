"""A scenario: which chains and services run, who orders how, and what goes on around them. TOML, checked.

Each table of the file is one class below; docs/scenarios.md describes every field. Unknown names are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from glasstumbler import settings
from glasstumbler.errors import SettingsError
from glasstumbler.ground import ChainName
from glasstumbler.money import parse

DAY: Final = 24 * 3600
MOST_DAYS: Final = 700
"""That a run may last: its virtual time must stay behind the machine's, or nodes refuse its blocks."""
MOST_ORDERS: Final = 1_000_000
_TICK: Final = 60

Weight = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Volume = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Range = tuple[str, str]
"""The least and the most, as decimal strings."""
EconomyCoin = Literal["btc", "bch", "ltc"]


def units(field: str, given: tuple[str, str], coin: str) -> tuple[int, int]:
    """Base units of a range; ValueError names the field."""
    try:
        least, most = (parse(value, coin) for value in given)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None
    if not 0 < least <= most < 1 << 62:
        raise ValueError(f"{field}: amounts are above 0, the least first, and no more than there can be")
    return least, most


class Services(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[services]: how the orders divide among them, as weights."""

    bestmixer: Weight = 0
    btcmix: Weight = 0
    coinjoin: Weight = 0
    whir: Weight = 0
    xmrto: Weight = 0


class Coins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[coins]: how the orders of bestmixer divide among its coins, as weights."""

    btc: Weight = 1
    bch: Weight = 0
    ltc: Weight = 0
    eth: Weight = 0


class Amounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[amounts]: of an order, from the least to the most; every doubling between them is equally frequent."""

    btc: Range = ("0.02", "1")
    bch: Range = ("0.1", "5")
    ltc: Range = ("0.5", "20")
    eth: Range = ("0.5", "4")
    swap: Range = ("0.005", "0.3")
    lightning: Range = ("0.0002", "0.005")

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            units(name, getattr(self, name), {"swap": "btc", "lightning": "btc"}.get(name, name))


class Customers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[customers]: their habits."""

    orders_each: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 3
    loyal: Percent = 75
    most_payouts: Annotated[int, msgspec.Meta(ge=1, le=5)] = 4
    delayed: Percent = 60
    most_delay_hours: Annotated[int, msgspec.Meta(ge=1, le=24)] = 12
    exact: Percent = 50
    code: Percent = 50
    reuse: Percent = 10
    most_wait_minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 12
    lightning: Percent = 0
    partial: Percent = 50


class Funding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[funding]: how orders are paid, as weights."""

    one: Weight = 80
    several: Weight = 10
    late: Weight = 3
    short: Weight = 3
    excess: Weight = 4

    def __post_init__(self) -> None:
        if not any(msgspec.structs.astuple(self)):
            raise ValueError("all weights are 0")


class Economy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[economy]: what else happens on the chains."""

    coins: tuple[EconomyCoin, ...] = ("btc",)
    people: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 100
    funds: str = "4"
    payments_a_day: Count = 200
    payment: Range = ("0.001", "0.2")
    reuse: Percent = 20
    exchanges: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    exchange_funds: str = "50"
    to_exchanges: Percent = 15
    withdrawal_batches_a_day: Count = 6
    withdrawals_each: Annotated[int, msgspec.Meta(ge=1, le=200)] = 8
    consolidate_at: Annotated[int, msgspec.Meta(ge=2, le=400)] = 30
    payrolls: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    payroll_people: Annotated[int, msgspec.Meta(ge=1, le=200)] = 15
    peel_chains: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    coinjoins_a_day: Count = 0
    coinjoin_people: Annotated[int, msgspec.Meta(ge=2, le=50)] = 5
    coinjoin_amount: str = "0.1"
    most_fee_rate: Annotated[int, msgspec.Meta(ge=1, le=500)] = 20

    def __post_init__(self) -> None:
        units("payment", self.payment, "btc")
        for name in ("funds", "exchange_funds", "coinjoin_amount"):
            units(name, (getattr(self, name),) * 2, "btc")
        if self.coinjoin_people > self.people:
            raise ValueError(f"coinjoin_people ({self.coinjoin_people}) is above people ({self.people})")


class Reorgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[reorgs]: blocks that the chains of coins lose."""

    every_blocks: Count = 0
    depth: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str = ""
    chains: tuple[ChainName, ...] = ("btc",)
    block_seconds: Annotated[int, msgspec.Meta(ge=60, le=3600)] = 600
    volumes: Annotated[tuple[Volume, ...], msgspec.Meta(min_length=1, max_length=20)] = (100,)
    services: Services = Services()
    coins: Coins = Coins()
    amounts: Amounts = Amounts()
    customers: Customers = Customers()
    funding: Funding = Funding()
    economy: Economy = Economy()
    reorgs: Reorgs = Reorgs()
    settings: dict[str, Any] = msgspec.field(default_factory=dict)

    def days(self, orders: int) -> list[tuple[int, int, int]]:
        """The phases of a run: orders a day, how many orders, seconds. SettingsError if that is too long."""
        share, over = divmod(orders, len(self.volumes))
        counts = [share + (number < over) for number in range(len(self.volumes))]
        phases = [
            (volume, count, -(-count * DAY // volume)) for volume, count in zip(self.volumes, counts, strict=True)
        ]
        whole = sum(seconds for _, _, seconds in phases) // DAY
        if whole > MOST_DAYS:
            raise SettingsError(
                f"{orders} orders at these volumes take {whole} days, and a run lasts {MOST_DAYS} at most: "
                "ask for fewer --orders, or raise volumes"
            )
        return phases


TABLES: Final = {
    "services": Services,
    "coins": Coins,
    "amounts": Amounts,
    "customers": Customers,
    "funding": Funding,
    "economy": Economy,
    "reorgs": Reorgs,
}
"""By their names in the file."""


def ready() -> list[str]:
    """Names of the scenarios that come with the program."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Scenario:
    """A file, or a ready scenario by its name. SettingsError says where it is wrong."""
    if name in ready():
        with_path = _folder() / f"{name}.toml"
        return read(settings.load(Path(str(with_path)), {}), name)
    path = Path(name)
    if not path.exists():
        raise SettingsError(f"no scenario {name!r}: neither a file nor one of {', '.join(ready())}")
    return read(settings.load(path, {}), name)


def read(tables: Mapping[str, Any], where: str) -> Scenario:
    """`tables` as TOML has them; `where` they come from, for errors."""
    plain = {name: value for name, value in tables.items() if name not in TABLES and name != "settings"}
    try:
        found = settings.over(Scenario(), plain, where)
        made = {
            name: settings.over(kind(), tables[name], f"{where}: {name}")
            for name, kind in TABLES.items()
            if name in tables
        }
    except SettingsError as error:
        raise SettingsError(f"scenario {error}") from None
    scenario = msgspec.structs.replace(found, **made, settings=tables.get("settings", {}))
    for wrong in _wrong(scenario):
        raise SettingsError(f"scenario [{where}: {wrong[0]}] {wrong[1]}")
    return scenario


def _wrong(scenario: Scenario) -> list[tuple[str, str]]:
    """What does not fit together: (table, what)."""
    services, coins, chains = scenario.services, scenario.coins, scenario.chains
    found: list[tuple[str, str]] = []
    if not any(msgspec.structs.astuple(services)):
        found.append(("services", "all weights are 0: no service gets an order"))
    if len(set(chains)) != len(chains):
        found.append(("chains", "a chain is named twice"))
    if scenario.block_seconds % _TICK:
        found.append(("block_seconds", f"{scenario.block_seconds} is no multiple of {_TICK}"))
    wants = [("services", slug, "btc") for slug in ("btcmix", "coinjoin", "whir") if getattr(services, slug)]
    if services.xmrto:
        wants += [("services", "xmrto", coin) for coin in ("xmr", "btc")]
        wants += [("customers", "lightning", "lightning")] * (scenario.customers.lightning > 0)
    if services.bestmixer:
        wants += [("coins", coin, coin) for coin in coins.__struct_fields__ if getattr(coins, coin)]
        if not any(msgspec.structs.astuple(coins)):
            found.append(("coins", "all weights are 0, and bestmixer gets orders"))
    wants += [("economy", "coins", coin) for coin in scenario.economy.coins]
    for table, field, chain in wants:
        if chain not in chains:
            found.append((table, f"{field}: needs the chain {chain!r}, and chains does not name it"))
    if not isinstance(scenario.settings, dict) or "lab" in scenario.settings:
        found.append(("settings", "is a table of the services' tables"))
    return found


def _folder() -> Any:
    return files("glasstumbler.lab") / "scenarios"
