"""A laboratory in a world that a schedule drives: chains that live on, a disk, processes that die, customers.

Everything that moves does so in one thread at a time, in an order that the seed decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from glasstumbler.behaviour import Behaviour
from glasstumbler.chains.base import LabChain, Output
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import GENESIS_TIME
from glasstumbler.engine.commands import AcceptPartial, FindOrder
from glasstumbler.engine.payment import PaymentState
from glasstumbler.errors import ChainError, NoFunds, Rejection, StoreError, TransactionRefused, Unavailable
from glasstumbler.ground import open_chains
from glasstumbler.house import House
from glasstumbler.money import percent
from glasstumbler.torture.disk import Disk, SimStore
from glasstumbler.torture.mischief import Crash, Machine, Mischief, Process, SimClock
from glasstumbler.torture.nodes import Trouble, lines
from glasstumbler.torture.people import People, Promise, gathered
from glasstumbler.torture.schedule import Schedule, Step
from glasstumbler.torture.witness import ENDED, Broken, Witness
from glasstumbler.vault import Vault

_FLOAT_PIECES = 6
_BURIED = 13
"""Blocks on top of the float and the customers' coins, so that no reorganisation reaches them."""
_OFFERED = {
    "bestmixer": ("btc", "bch", "ltc", "eth"),
    "btcmix": ("btc",),
    "coinjoin": ("btc",),
    "whir": ("btc",),
    "xmrto": ("btc",),
}
_FULL_LOOK = 10
"""Steps between two full audits."""
_QUIET_ROUNDS = 12
_QUIET_SECONDS = 30 * 3_600
BROKE = "the program works on"
_HOUR = 3_600


class Moves(NamedTuple):
    """What a step sets going: what each process, by name, does before its turn, and what goes on beside."""

    first: Mapping[str, Callable[[House], None]]
    beside: Sequence[Callable[[], None]]


_NOTHING = Moves({}, [])


class Worker:
    """A process of ours: dead, or with a house open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.life = 0
        self.process = Process(name)
        self.house: House | None = None
        self.store: SimStore | None = None


class World:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._machine = Machine(GENESIS_TIME)
        self.mischief = Mischief(self._machine)
        self._vault = Vault(f"torture {schedule.seed}".encode().ljust(32, b"."))
        self._tables = _tables(schedule)
        self._chains = open_chains(
            schedule.chains, self._vault, SimClock(self._machine), ["xmrto"], None  # type: ignore[arg-type]
        )  # fmt: skip
        self._disk = Disk(self.mischief, self._chance("disk"))
        self._trouble = Trouble()
        self._passing: list[tuple[int, Callable[[], object]]] = []
        """Steps that a trouble still lasts, and what ends it."""
        self._forgotten: list[tuple[str, bytes]] = []
        self._workers = [Worker(name) for name in "AB"[: schedule.workers]]
        self._done = 0
        self._witness = Witness(self._chains)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _chance(self, purpose: object) -> random.Random:
        return random.Random(f"torture {self._schedule.seed} {purpose}")  # noqa: S311

    def _begin(self) -> None:
        with self.mischief.silence():
            self._open(self._workers[0])
            self.people = People(self._chains)
            for chain in self._chains.onchain.values():
                chain.mine(_BURIED)
            self._house(self._workers[0]).turn()

    def close(self) -> None:
        for worker in self._workers:
            if worker.store is not None:
                worker.store.close()
        self._chains.close()
        self._disk.close()

    # -- processes ------------------------------------------------------------------------------------------------

    def _open(self, worker: Worker) -> None:
        worker.life += 1
        worker.process = Process(worker.name)
        worker.process.alive = True
        worker.house = None
        worker.store = SimStore(self._disk, worker.process, self._schedule.workers > 1)
        chains = lines(self._chains, worker.process, self.mischief, self._trouble)
        seed = self._chance(f"{worker.name} {worker.life}").getrandbits(32)
        clock = SimClock(self._machine)
        worker.house = House(None, self._vault, clock, seed, self._tables, worker.store, chains)
        worker.house.start()

    def _house(self, worker: Worker) -> House:
        assert worker.house is not None
        return worker.house

    def _do(self, worker: Worker, what: Callable[[House], None], start: bool = True) -> None:
        """Something in a process, which is started first if it is dead. It may die of it, or fail where the world
        gave cause."""
        if not (start or (worker.process.alive and worker.house is not None)):
            return
        starting = not worker.process.alive
        try:
            if starting:
                self._open(worker)
                starting = False
            what(self._house(worker))
        except Crash:
            worker.process.alive = False
            if worker.store is not None:
                worker.store.die()
            self.mischief.trace.append(f"     {worker.name} is dead")
        except (StoreError, ChainError) as error:
            self._excuse(worker, error)
            worker.process.alive = not starting
        except (Broken, TransactionRefused):
            raise
        except Exception as error:
            raise Broken(BROKE, f"{type(error).__name__}: {error}") from error

    def _excuse(self, worker: Worker, error: Exception) -> None:
        if not self.mischief.excused or "come to rest" in str(error):
            raise Broken(BROKE, f"{type(error).__name__} for no reason: {error}") from error
        self.mischief.trace.append(f"     {worker.name}: {error}")

    def head(self) -> str:
        """Hash of the record's last entry."""
        with self.mischief.silence(), self._house(self._workers[0]).store.snapshot() as records:
            return records.head()[1].hex()

    def _bury(self) -> None:
        """After a step: what the dead had open is closed, as the system does it."""
        if self.mischief.power:
            for worker in self._workers:
                worker.process.alive = False
        dead = [worker for worker in self._workers if not worker.process.alive and worker.store is not None]
        if not dead and not self.mischief.power:
            return
        if not any(worker.process.alive for worker in self._workers):
            self._disk.moved()
        for worker in dead:
            assert worker.store is not None
            worker.store.close()
            worker.store = worker.house = None

    # -- the course of things -------------------------------------------------------------------------------------

    def take(self, step: Step) -> None:
        """One step with its faults; then everything is looked at. Broken if a promise is."""
        self.mischief.trace.append(str(step._replace(faults=())))
        self.mischief.lasting = bool(self._passing)
        self.mischief.begin(step.faults)
        chance = self._chance(step.number)
        first, beside = _MOVES[step.what](self, chance, **step.args) or _NOTHING
        wait = chance.random() < 0.5
        going = [worker for worker in self._workers if worker.name in first or chance.random() < 0.8]
        moving = [self._moving(worker, first.get(worker.name), wait) for worker in going]
        self.mischief.together(chance, [*moving, *beside])
        self._bury()
        self._pass_trouble()
        self._done += 1
        self._look(self._done % _FULL_LOOK == 0)

    def _moving(self, worker: Worker, first: Callable[[House], None] | None, wait: bool) -> Callable[[], None]:
        """`wait`: for what the other process is at. A server does not, and looks first whether anything is due."""

        def move() -> None:
            self._do(worker, first or (lambda house: None))
            self._do(worker, lambda house: house.turn(wait), start=False)

        return move

    def _pass_trouble(self) -> None:
        left = []
        for steps, end in self._passing:
            if steps > 1:
                left.append((steps - 1, end))
            else:
                end()
        self._passing = left

    def _look(self, closely: bool) -> None:
        alive = next((worker for worker in self._workers if worker.process.alive), None)
        if alive is None:
            return
        with self.mischief.silence():
            house = self._house(alive)
            self._witness.look(house, self.people.promises)
            if closely:
                self._witness.audit(house)
                self._witness.links(house)

    def settle(self) -> None:
        """The world is kind from now on: every order must come to its end."""
        self.mischief.trace.append("     the world is kind again")
        self.mischief.end()
        for _, end in self._passing:
            end()
        self._passing = []
        for _ in range(_QUIET_ROUNDS):
            for chain in self._chains.onchain.values():
                chain.mine()
            for worker in self._workers:
                self._do(worker, self._end_stall)
                self._do(worker, lambda house: house.turn())
            self._bury()
            self._look(closely=False)
            if self._is_at_rest():
                break
            self._machine.time += _QUIET_SECONDS
        self._look(closely=True)
        with self.mischief.silence():
            self._witness.ended(self._house(self._workers[0]), self.people.promises)

    def _end_stall(self, house: House) -> None:
        for slug in house.services:
            house.behave(slug, Behaviour())

    def _is_at_rest(self) -> bool:
        with self.mischief.silence(), self._house(self._workers[0]).store.snapshot() as records:
            waiting = any(records.on_their_way(coin, 1) for coin in (*self._chains.onchain, "msat"))
            return not waiting and all(order.state in ENDED for order in records.all_orders())

    # -- steps: what the customers do -----------------------------------------------------------------------------

    def open(self, chance: random.Random, requests: Sequence[Any]) -> Moves:
        written = [self.people.write(drawn) for drawn in requests]
        return self._asking(chance, lambda house: self.people.ask(house, written))

    def _asking(self, chance: random.Random, ask: Callable[[House], Any]) -> Moves:
        """Beside whatever else goes on; a dead process does not answer."""
        worker = chance.choice(self._workers)

        def run(house: House) -> None:
            for error in asyncio.run(ask(house)):
                if isinstance(error, Crash) or not isinstance(error, Rejection | Unavailable):
                    raise error

        return Moves({}, [lambda: self._do(worker, run, start=False)])

    def look_up(self, chance: random.Random, newest: int) -> Moves | None:
        promise = self._promise(newest)
        if promise is None:
            return None

        async def ask(house: House) -> list[BaseException]:
            return await gathered([self._answer(house, promise.service, FindOrder(promise.id))])

        return self._asking(chance, ask)

    async def _answer(self, house: House, service: str, command: Any) -> None:
        await house.services[service].answer(command, "somebody")

    def take_partial(self, chance: random.Random, newest: int) -> Moves | None:
        swaps = [promise for promise in self.people.promises if promise.service == "xmrto"]
        if not swaps:
            return None
        promise = swaps[-1 - newest % len(swaps)]

        async def ask(house: House) -> list[BaseException]:
            return await gathered([self._answer(house, "xmrto", AcceptPartial(promise.id))])

        return self._asking(chance, ask)

    def _promise(self, newest: int) -> Promise | None:
        promises = self.people.promises
        return promises[-1 - newest % len(promises)] if promises else None

    def pay(self, chance: random.Random, newest: int, part: int, how: str, mine: bool) -> None:
        promise = self._promise(newest)
        if promise is None:
            return
        with suppress(TransactionRefused, NoFunds):
            self.people.pay(promise, percent(promise.need, part), how == "own coin")
        if mine:
            self._chains.onchain[promise.coin].mine()

    def pay_several(self, chance: random.Random, newest: int, count: int, part: int) -> None:
        first = self._promise(newest)
        if first is None:
            return
        chain = self._chains.onchain[first.coin]
        several = [promise for promise in self.people.promises if promise.coin == first.coin][-count:]
        outputs = [Output(chain.format.key(each.address), percent(each.need, part)) for each in several]
        with suppress(TransactionRefused, NoFunds):
            chain.pay_many(outputs)

    def replace(self, chance: random.Random, **args: str) -> None:
        """A deposit of a customer's own coin is replaced: by the same with more fee, by less, by a payment to another
        order, or by one to the customer."""
        if not self.people.paid:
            return
        last, how = self.people.paid[-1], args["with"]
        others = [promise for promise in self.people.promises if promise.coin == last.coin]
        form = self._chains.onchain[last.coin].format
        ways: Mapping[str, Callable[[], Sequence[Output]]] = {
            "more fee": lambda: last.outputs,
            "less": lambda: [Output(output.key, max(output.amount // 2, form.dust)) for output in last.outputs],
            "another order": lambda: [Output(form.key(chance.choice(others).address), last.outputs[0].amount)],
            "elsewhere": lambda: self.people.elsewhere(last),
        }
        with suppress(TransactionRefused):
            self.people.replace(last, ways[how]())

    # -- steps: what the chains do --------------------------------------------------------------------------------

    def mine(self, chance: random.Random, coin: str, blocks: int) -> None:
        self._chains.onchain[coin].mine(blocks)

    def fee_spike(self, chance: random.Random, coin: str, blocks: int) -> None:
        """Blocks that are full of what pays more than our payouts do."""
        chain = self._chains.onchain[coin]
        if isinstance(chain, UtxoChain):
            chain.mine(blocks, least_rate=chance.choice((6, 9, 20, 50)))

    def reorg(self, chance: random.Random, coin: str, depth: int, forget: str) -> None:
        chain = self._chains.onchain[coin]
        top = chain.tip()[0]
        lost = [tx for height in range(top - depth + 1, top + 1) for tx in _block_txs(chain, height)]
        ours = self._our_txids()
        gone = {
            "nothing": [],
            "payouts": [tx for tx in lost if tx.txid in ours],
            "deposits": [tx for tx in lost if tx.txid not in ours],
            "some": lost[::2],
        }[forget]
        self._forgotten += [(coin, tx.raw) for tx in gone]
        chain.reorg(depth, {tx.txid for tx in gone})

    def _our_txids(self) -> set[str]:
        return {payment.txid for payment in self._payments()}

    def _payments(self) -> list[Any]:
        alive = next((worker for worker in self._workers if worker.process.alive), None)
        if alive is None:
            return []
        with self.mischief.silence(), self._house(alive).store.snapshot() as records:
            return list(records.all_payments())

    def remember(self, chance: random.Random) -> None:
        """What a reorganisation forgot is sent again by whoever kept it: all but payments of ours that were built
        anew, which nobody else has."""
        if not self._forgotten or not any(worker.process.alive for worker in self._workers):
            return
        coin, raw = self._forgotten.pop(chance.randrange(len(self._forgotten)))
        replaced = {payment.raw for payment in self._payments() if payment.state is PaymentState.REPLACED}
        if raw.hex() not in replaced:
            with suppress(TransactionRefused):
                self._chains.onchain[coin].broadcast(raw)

    def trouble(self, chance: random.Random, coin: str, mode: str, steps: int) -> None:
        if mode == "down":
            self._trouble.down.add(coin)
            self._last(steps, lambda: self._trouble.down.discard(coin))
        elif coin in self._chains.onchain:
            self._trouble.freeze(self._chains.onchain[coin])
            self._last(steps, lambda: self._trouble.stale.pop(coin, None))

    def _last(self, steps: int, end: Callable[[], object]) -> None:
        self._passing.append((steps, end))
        self.mischief.lasting = True

    # -- steps: what the machine does -----------------------------------------------------------------------------

    def wait(self, chance: random.Random, seconds: int) -> None:
        self._machine.time += seconds

    def advance(self, chance: random.Random, seconds: int) -> Moves:
        def pass_time(house: House) -> None:
            house.advance(seconds)

        return Moves({chance.choice(self._workers).name: pass_time}, [])

    def clock_goes_back(self, chance: random.Random, seconds: int) -> None:
        self._machine.time -= seconds

    def turn(self, chance: random.Random) -> Moves:
        return Moves({worker.name: lambda house: None for worker in self._workers}, [])

    def kill(self, chance: random.Random, process: int) -> None:
        self._workers[process % len(self._workers)].process.alive = False
        self._bury()

    def power_cut(self, chance: random.Random) -> None:
        self.mischief.power = True
        self._bury()

    def disk_is_full(self, chance: random.Random, pages: int, steps: int) -> None:
        self._disk.full = pages
        self._limit()
        self._last(steps, self._free)

    def _free(self) -> None:
        self._disk.full = None
        self._limit()

    def _limit(self) -> None:
        for worker in self._workers:
            if worker.store is not None:
                worker.store.limit()

    def stall(self, chance: random.Random, on: bool) -> Moves:
        slug = chance.choice(list(_OFFERED))

        def ask(house: House) -> None:
            house.behave(slug, Behaviour(payout="stall" if on else None))

        return Moves({"A": ask}, [])


def _block_txs(chain: LabChain, height: int) -> Sequence[Any]:
    """Of a block of the active chain, without the miner's own."""
    txs = chain.block(chain.block_hash(height) or "").txs
    return txs if chain.coin == "eth" else txs[1:]


def _tables(schedule: Schedule) -> dict[str, Any]:
    """Few coins to begin with, so that a laboratory opens quickly."""
    tables: dict[str, Any] = {
        slug: {"coins": {coin: {"float_pieces": _FLOAT_PIECES} for coin in offered if coin in schedule.chains}}
        for slug, offered in _OFFERED.items()
    }
    return {**tables, "lab": {"chains": list(schedule.chains), "rate_limits": "off"}}


_MOVES: Mapping[str, Callable[..., Moves | None]] = {
    "open": World.open,
    "pay": World.pay,
    "pay several": World.pay_several,
    "replace": World.replace,
    "take partial": World.take_partial,
    "look": World.look_up,
    "mine": World.mine,
    "fee spike": World.fee_spike,
    "reorg": World.reorg,
    "remember": World.remember,
    "wait": World.wait,
    "advance": World.advance,
    "clock goes back": World.clock_goes_back,
    "turn": World.turn,
    "kill": World.kill,
    "power cut": World.power_cut,
    "trouble": World.trouble,
    "disk is full": World.disk_is_full,
    "stall": World.stall,
}
