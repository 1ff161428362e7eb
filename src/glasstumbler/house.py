"""The whole laboratory in one object: chains, record, services, and the turn that moves them on.

A turn takes in what the chains have done, pays what is due, and goes on until nothing moves. It runs in one thread at
a time; requests are answered beside it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from glasstumbler import keys, log, services, settings
from glasstumbler.agreed import Agreed, Rates
from glasstumbler.behaviour import Behaviour, Behaviours
from glasstumbler.chains.base import LabChain, Output
from glasstumbler.clock import Clock, SystemChance
from glasstumbler.engine import ledger
from glasstumbler.engine.policy import Policy
from glasstumbler.errors import ChainError, NodeAway, SettingsError
from glasstumbler.ground import CHAINS, ChainName, Chains, Ground, Lent, Own, open_chains
from glasstumbler.limits import Limits
from glasstumbler.metrics import Metrics
from glasstumbler.nodes.endpoint import NAMES, NodeSettings
from glasstumbler.opening import Opener
from glasstumbler.pay import Payer, Task
from glasstumbler.place import NodeKind
from glasstumbler.recent import Recent
from glasstumbler.service import Service, Surroundings
from glasstumbler.sharing import Sharing
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records, Watched
from glasstumbler.store.url import open_store
from glasstumbler.vault import Vault, key_row
from glasstumbler.wallet import Wallet
from glasstumbler.watch import Watch

_MOST_ROUNDS = 1_000


class HouseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the laboratory as a whole."""

    rate_limits: Literal["documented", "off"] = "documented"
    """`documented`, or `off` for load tests."""
    chains: tuple[ChainName, ...] = CHAINS
    """Which chains run; a service offers the coins that are there."""
    limits: Limits = Limits()
    node: dict[str, NodeSettings] = msgspec.field(default_factory=lambda: dict.fromkeys(NAMES, NodeSettings()))
    """Nodes that somebody else has started, in place of those that `nodes="real"` starts."""


def lab_settings(tables: Mapping[str, Any]) -> HouseSettings:
    return settings.over(HouseSettings(), tables.get("lab", {}), "lab")


class House:
    def __init__(
        self,
        folder: Path | None,
        vault: Vault,
        clock: Clock,
        seed: int | None = None,
        tables: Mapping[str, Any] | None = None,
        store: Store | str | Path | None = None,
        chains: Chains | None = None,
        nodes: NodeKind = "in-process",
        say: Callable[[str], None] = lambda line: None,
        only: Collection[str] = tuple(services.SERVICES),
        wallet: type[Wallet] = Wallet,
    ) -> None:
        """`folder` None: nothing outlives the run. `seed` None: randomness is the system's. `store`: the record's
        address, by default a file in the folder, or the store itself. `chains`: those of another owner, who closes
        them; by default the house opens its own, on these `nodes` (real ones need a folder, and
        `say` what is being started). `only`: the services that it has; `wallet`: how their keys are made."""
        self.folder, self.vault, self.clock, self.nodes = folder, vault, clock, nodes
        self._seed = seed
        self._chances: dict[str, random.Random] = {}
        tables = dict(tables or {})
        self.settings = lab_settings(tables)
        tables.pop("lab", None)
        unknown = sorted(set(tables) - set(services.SERVICES))
        if unknown:
            raise SettingsError(f"no service is called {unknown[0]!r}; known: lab, {', '.join(services.SERVICES)}")
        self.policies, dialect_settings = policies_of(tables, self.settings.chains, only)
        place = store or (folder / "record.db" if folder else None)
        owner = vault.fingerprint
        self.store = open_store(place, owner) if place is None or isinstance(place, str | Path) else place
        self.metrics, self.recent = Metrics(), Recent()
        self.store.on_group = self.metrics.group
        self.behaviours = Behaviours()
        self.rates = Rates(vault.derive("price"), clock)
        self._agreed = Agreed(self.store, clock, self.behaviours, self.rates)
        self.ground = Lent(chains) if chains else self._open_ground(nodes, say)
        self.chains, self.lightning = self.ground.chains.onchain, self.ground.chains.lightning
        _check_kinds(self.policies, self.chains)
        self.wallet = wallet(vault.wallet_seed, self.chains)
        watches = {coin: Watch(self.store, chain, self.policies, clock) for coin, chain in self.chains.items()}
        self._payer = Payer(
            self.store, self.chains, self.policies, self.wallet, clock, self._chance("coins"), self.behaviours,
            self.lightning,
        )  # fmt: skip
        watching = {f"watch {coin}": Task(watch.due, watch.sync) for coin, watch in watches.items()}
        self._tasks = watching | self._payer.tasks()
        self.services = self._open_services(dialect_settings)
        self._turning = threading.Lock()
        self._away: dict[str, str] = {}
        """Tasks that the last turn left undone, and why."""

    # -- putting together -----------------------------------------------------------------------------------------

    def _chance(self, purpose: str) -> random.Random:
        if self._seed is None:
            return SystemChance()
        found = self._chances[purpose] = random.Random(f"{self._seed}:{purpose}")  # noqa: S311
        return found

    def reseed(self, seed: int) -> None:
        """Draw on as a house that was opened with this seed does."""
        for purpose, chance in self._chances.items():
            chance.seed(f"{seed}:{purpose}")

    def _open_ground(self, nodes: NodeKind, say: Callable[[str], None]) -> Ground:
        folder, chosen = self.folder / "chains" if self.folder else None, self.settings
        payers = [slug for slug, policy in self.policies.items() if "msat" in policy.coins]
        opening = partial(open_chains, chosen.chains, self.vault, self.clock, payers, folder)
        if nodes == "real":
            from glasstumbler.fleet import open_fleet  # seldom wanted, and much to load

            if self.folder is None:
                raise SettingsError("real nodes need a folder")
            receivers = [slug for slug, policy in self.policies.items() if "xmr" in policy.coins]
            opening = partial(
                open_fleet, self.folder, chosen.chains, chosen.node, self.vault, self.clock, payers, receivers, say
            )
        elif named := [name for name, node in chosen.node.items() if node.url]:
            raise SettingsError(f"[lab.node.{named[0]}] names a node, but these chains are in-process (--nodes real)")
        if folder is not None and self.store.shared:
            return Sharing(folder, self.vault.derive("chain host"), self.clock, chosen.chains, opening)
        return Own(opening())

    def _open_services(self, dialect_settings: Mapping[str, msgspec.Struct]) -> dict[str, Service]:
        around = Surroundings(
            self.store, self.chains, self.lightning, self.rates, self.clock, self.vault, self.behaviours, self.metrics,
            self.recent,
        )  # fmt: skip
        found: dict[str, Service] = {}
        for slug, policy in self.policies.items():
            opener = Opener(
                slug, policy, self.chains, self.wallet, self._chance(f"orders {slug}"), self.vault.letter_key
            )
            dialect = services.SERVICES[slug].dialect(dialect_settings[slug])
            found[slug] = Service(opener, dialect, around, self.settings.rate_limits == "documented")
        return found

    # -- moving on ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """First keys and the services' own coins, where they are not there yet; then catch up."""
        self.turn()
        with self.store.hold("start", wait=True):  # processes that start together give once
            for slug, policy in self.policies.items():
                self._give_first_key(slug)
                for coin in policy.coins:
                    self._give_float(slug, coin)
        self.turn()

    def turn(self, wait: bool = True) -> None:
        """Until nothing moves: chains are watched, what is due is paid. What another process is at is waited for, or
        else left to it."""
        with self._turning, self.metrics.turning():
            self._agreed.follow()
            away: dict[str, str] = {}
            for _ in range(_MOST_ROUNDS):
                moved = [self._do(name, wait, away) for name in self._tasks if name not in away]
                if not any(moved):
                    self._note_away(away)
                    return
            raise ChainError("the laboratory does not come to rest")

    def _do(self, name: str, wait: bool, away: dict[str, str]) -> bool:
        """A node that is away keeps back what is done with it, and nothing else."""
        task = self._tasks[name]
        try:
            if not wait and not task.due():
                return False
            with self.store.hold(name, wait) as mine:
                return mine and task.run()
        except NodeAway as error:
            away[name] = str(error)
            return False

    def _note_away(self, away: dict[str, str]) -> None:
        for name in away.keys() - self._away.keys():
            log.warning("left until the node is back", task=name, reason=away[name])
        for name in self._away.keys() - away.keys():
            log.warning("goes on: the node is back", task=name)
        self._away = away

    def advance(self, seconds: int) -> int:
        """Let time pass; everything due on the way happens at its own time. The new time."""
        goal = self.clock.now() + seconds
        while (wake := self._next_due(goal)) is not None:
            self._pass_time(wake - self.clock.now())
        self._pass_time(goal - self.clock.now())
        return goal

    def _pass_time(self, seconds: int) -> None:
        self._agreed.advance(seconds)
        self.turn()

    def behave(self, slug: str, behaviour: Behaviour) -> None:
        """What a service is to do wrong from now on."""
        self._agreed.behave(slug, behaviour)
        self.turn()

    def set_price(self, rate: int | None) -> None:
        """Sat for 1 XMR; None: the price follows its walk again."""
        self._agreed.set_price(rate)

    def _next_due(self, goal: int) -> int | None:
        wake = self.store.read(lambda records: records.next_wake(self.clock.now()))
        return wake if wake is not None and wake <= goal else None

    def close(self) -> None:
        self.store.close()
        self.ground.close()

    # -- the first time -------------------------------------------------------------------------------------------

    def _give_first_key(self, slug: str) -> None:
        row = key_row(slug, self.vault.first_key(slug), self.clock.now())

        def unit(records: Records) -> None:
            if records.key(slug, row.key_hash) is None:
                keys.add(records, row)

        if self.services[slug].keyed:
            self.store.write(unit)

    def _give_float(self, slug: str, coin: str) -> None:
        """The keys are stored first; what the chain then still owes them is paid (again after a crash)."""
        if coin == "msat":
            self._note_channel(slug)
            return
        policy, done = self.policies[slug].coins[coin], f"floated:{slug}:{coin}"
        if not policy.float_pieces or self.store.read(lambda records: records.meta(done)):
            return
        planned = self.store.write(partial(self._plan_float, slug, coin))
        chain = self.chains[coin]
        chain.mine(1)
        self.turn()
        have = self.store.read(lambda records: records.float_places(slug, coin))
        missing = [Output(key.key, policy.float_amount) for key in planned if key.place not in have]
        if missing:
            chain.pay_many(missing)
            chain.mine(1)
            self.turn()
        self.store.write(partial(self._note_float, slug, done))

    def _note_float(self, slug: str, done: str, records: Records) -> None:
        records.set_meta(done, "yes")
        records.append(ledger.Entry("float complete", self.clock.now(), slug))

    def _plan_float(self, slug: str, coin: str, records: Records) -> list[Watched]:
        planned = records.float_keys(slug, coin)
        if planned:
            return planned
        policy, now = self.policies[slug].coins[coin], self.clock.now()
        planned = [
            self.wallet.watch_new(records, coin, slug, policy.change_kind, "float") for _ in range(policy.float_pieces)
        ]
        records.append(ledger.Entry("float planned", now, slug))
        return planned

    def _note_channel(self, slug: str) -> None:
        if self.lightning is None:
            return
        capacity, now = self.lightning.sendable(slug), self.clock.now()

        def unit(records: Records) -> None:
            if records.meta(f"channel:{slug}") is None:
                records.set_meta(f"channel:{slug}", str(capacity))
                postings = ledger.move("msat", (ledger.CHANNEL, capacity), (ledger.FLOAT, -capacity))
                records.append(ledger.Entry("float", now, slug, None, postings))

        self.store.write(unit)


def _check_kinds(policies: Mapping[str, Policy], chains: Mapping[str, LabChain]) -> None:
    """SettingsError for an address type that a chain does not have."""
    for slug, policy in policies.items():
        for coin, chosen in policy.coins.items():
            kinds = chains[coin].format.kinds if coin in chains else (chosen.deposit_kind, chosen.change_kind)
            for name in ("deposit_kind", "change_kind"):
                if getattr(chosen, name) not in kinds:
                    raise SettingsError(f"[{slug}.coins.{coin}] {name}: {coin} has the types {', '.join(kinds)}")


def policies_of(
    tables: Mapping[str, Any], chains: tuple[str, ...], only: Collection[str]
) -> tuple[dict[str, Policy], dict[str, msgspec.Struct]]:
    """Each service's policy and dialect settings; coins whose chain does not run are left out."""
    policies: dict[str, Policy] = {}
    dialects: dict[str, msgspec.Struct] = {}
    here = {"msat" if chain == "lightning" else chain for chain in chains}
    for slug, kind in services.SERVICES.items():
        if slug not in only:
            continue
        table = tables.get(slug, {})
        if not isinstance(table, Mapping):
            raise SettingsError(f"[{slug}] is a table of settings, not {table!r}")
        table = dict(table)
        api = table.pop("api", {})
        policy = settings.over(kind.policy, table, slug)
        coins = {coin: value for coin, value in policy.coins.items() if coin in here}
        policies[slug] = msgspec.structs.replace(policy, coins=coins)
        dialects[slug] = settings.over(kind.settings(), api, f"{slug}.api")
    return policies, dialects
