"""Clients who order, pay and ask at all five services at once, and a hand that mines, reorganises and lets time pass.

Everything goes over HTTP and into the history. What is paid is decided here: each order at most once, and again only
after the chains have shown that a payment of unknown outcome did not happen.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.faults.check import Looks, funded, promises
from tests.faults.customers import Customers, Look, Promise
from tests.faults.history import History
from tests.faults.wire import Unknown, Wire
from tests.faults.world import World

COINS = ("btc", "bch", "ltc", "eth", "xmr")
CLIENTS = 3
PAUSE = 0.08
"""Seconds that a client rests between two requests, at most."""
_STEP = 6 * 3600
_MOST_STEPS = 40


class Driver:
    def __init__(self, wire: Wire, history: History, keys: Mapping[str, str], seed: str) -> None:
        self.wire, self.history, self._seed = wire, history, seed
        self.customers = Customers(wire, history, keys, seed)
        self._lock = threading.Lock()
        self._unpaid: list[Promise] = []
        self._unsure: list[Promise] = []
        self._runs = 0

    # -- load ---------------------------------------------------------------------------------------------------------

    def during(self, act: Callable[[], None]) -> None:
        """The load runs while `act` does, and ends with it."""
        self._runs += 1
        over = threading.Event()
        work = [(self._client, f"client {number}") for number in range(CLIENTS)] + [(self._hand, "hand")]
        threads = [threading.Thread(target=what, args=(name, over)) for what, name in work]
        for thread in threads:
            thread.start()
        try:
            act()
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _client(self, name: str, over: threading.Event) -> None:
        chance = random.Random(f"{self._seed}:{self._runs}:{name}")
        while not over.is_set():
            roll = chance.random()
            if roll < 0.4:
                made = self.customers.create(name, chance)
                if made is not None:
                    with self._lock:
                        self._unpaid.append(made)
            elif roll < 0.75:
                self._pay_one(name, chance)
            elif known := promises(self.history):
                self.ask(name, chance.choice(known))
            time.sleep(chance.random() * PAUSE)

    def _hand(self, name: str, over: threading.Event) -> None:
        chance = random.Random(f"{self._seed}:{self._runs}:{name}")
        while not over.is_set():
            act = chance.choices((self.mine, self.advance, self.reorg), (8, 2, 1))[0]
            act(chance)
            time.sleep(chance.random() * PAUSE)

    def _pay_one(self, client: str, chance: random.Random) -> None:
        with self._lock:
            if not self._unpaid:
                return
            promise = self._unpaid.pop(chance.randrange(len(self._unpaid)))
        if promise.address is None:
            self.ask(client, promise)
        if self._pay(client, promise) == "fail":
            with self._lock:
                self._unpaid.append(promise)

    def _pay(self, client: str, promise: Promise) -> str:
        if promise.address is None or not promise.need:
            return "fail"
        body = {"address": promise.address, "amount": f"{promise.need:f}"}
        with self.history.op(client, "pay", coin=promise.coin, order=promise.name, **body) as op:
            try:
                op.ok(txid=self.wire.post(f"/lab/v1/chains/{promise.coin}/pay", body)["txid"])
            except Unknown:
                with self._lock:
                    self._unsure.append(promise)
                raise
        return op.outcome

    def ask(self, client: str, promise: Promise) -> None:
        with self.history.op(client, "ask", order=promise.name) as op:
            op.ok(there=self._look(promise) is not None)

    # -- the laboratory's hand ----------------------------------------------------------------------------------------

    def mine(self, chance: random.Random) -> None:
        self._lab("mine", chance.choice(COINS), blocks=chance.randint(1, 2))

    def reorg(self, chance: random.Random) -> None:
        self._lab("reorg", chance.choice(COINS), depth=chance.randint(1, 3))

    def advance(self, chance: random.Random) -> None:
        seconds = chance.choice((600, 3600, 7200))
        with self.history.op("hand", "advance", seconds=seconds) as op:
            op.ok(**self.wire.post("/lab/v1/clock/advance", {"seconds": seconds}))

    def _lab(self, kind: str, coin: str, **body: Any) -> None:
        with self.history.op("hand", kind, coin=coin, **body) as op:
            op.ok(**self.wire.post(f"/lab/v1/chains/{coin}/{kind}", body))

    # -- looking ------------------------------------------------------------------------------------------------------

    def settle_doubts(self, world: World) -> None:
        """Payments of unknown outcome: what the chains do not show did not happen, now that the server has ended."""
        with self._lock:
            self._unpaid += [promise for promise in self._unsure if not funded(promise, world)]
            self._unsure.clear()

    def funded(self, world: World) -> list[Promise]:
        return [promise for promise in promises(self.history) if funded(promise, world)]

    def look_at_all(self) -> Looks:
        """Every acknowledged order asked for; Unknown if the server does not answer."""
        return {promise.name: self._look(promise) for promise in promises(self.history)}

    def _look(self, promise: Promise) -> Look | None:
        """What is said for the first time is a promise too."""
        look = self.customers.look(promise)
        if look is not None and promise.address is None:
            promise.need, promise.terms = look.need, {**look.terms, **promise.terms}
            promise.address = look.address
        return look

    def finish(self, world: World) -> bool:
        """Blocks and time pass until every funded order is done; False if some never are."""
        waiting = self.funded(world)
        for _ in range(_MOST_STEPS):
            for coin in COINS:
                self.wire.post(f"/lab/v1/chains/{coin}/mine", {"blocks": 2})
            looks = {promise.name: self.customers.look(promise) for promise in waiting}
            waiting = [p for p in waiting if (look := looks[p.name]) is None or not (look.done or look.failed)]
            if not waiting:
                for coin in COINS:  # what was sent last is mined
                    self.wire.post(f"/lab/v1/chains/{coin}/mine", {"blocks": 2})
                return True
            self.wire.post("/lab/v1/clock/advance", {"seconds": _STEP})
        return False
