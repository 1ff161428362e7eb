"""A laboratory without HTTP sockets: a House in memory (or in a folder) that tests drive and check."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from glasstumbler.audit import Report
from glasstumbler.audit_house import audit_house
from glasstumbler.chains.base import Outpoint, Output, Signed, Spend
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import GENESIS_TIME, VirtualClock
from glasstumbler.dialects.base import Request, Response
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.ledger import Entry, read
from glasstumbler.engine.order import Order, OutputState, State
from glasstumbler.engine.payment import Payment
from glasstumbler.errors import NoFunds
from glasstumbler.house import House
from glasstumbler.money import parse, text
from glasstumbler.place import NodeKind
from glasstumbler.vault import Vault

BEARERS = ("btcmix", "coinjoin", "whir")
SERVICES = ("bestmixer", *BEARERS, "xmrto")
FLOAT_PIECES = 6
BURIED = 7
"""Blocks on top of the float, so that reorganisations of up to six leave it alone."""
DAY = 24 * 3600
Payout = Literal["fail", "stall"] | None


def small_floats(*coins: str) -> dict[str, Any]:
    """Settings: every service begins with few coins, so that a House opens quickly."""
    offered = {"bestmixer": ("btc", "bch", "ltc", "eth"), **dict.fromkeys(BEARERS, ("btc",)), "xmrto": ("btc",)}
    return {
        slug: {"coins": {coin: {"float_pieces": FLOAT_PIECES} for coin in mine if coin in coins}}
        for slug, mine in offered.items()
        if set(mine) & set(coins)
    }


class Refused(Exception):
    """A request that the service did not take."""


class Laboratory:
    def __init__(
        self,
        *chains: str,
        folder: Path | None = None,
        seed: int = 1,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        store: str | None = None,
        nodes: NodeKind = "in-process",
        start: int = GENESIS_TIME,
    ) -> None:
        """`store`: the record's address, by default in memory or in the folder. `start`: the clock's first time."""
        self.coins = tuple(coin for coin in chains if coin != "lightning")
        settings: dict[str, Any] = small_floats(*self.coins)
        for slug, table in (tables or {}).items():
            settings[slug] = merged(settings.get(slug, {}), table)
        settings["lab"] = merged(settings.get("lab", {}), {"chains": list(chains), "rate_limits": "off"})
        self._folder, self._seed, self._settings, self._store = folder, seed, settings, store
        self._nodes, self._start = nodes, start
        self.house = self._open()
        self.house.start()
        for coin in self.coins:
            self.mine(coin, BURIED)

    def _open(self) -> House:
        clock = VirtualClock(self._start)
        return House(self._folder, Vault(b"x" * 32), clock, self._seed, self._settings, self._store, nodes=self._nodes)

    def close(self) -> None:
        self.house.close()

    def reopen(self) -> None:
        """Close, and go on with what the folder keeps."""
        self.house.close()
        self.house = self._open()
        self.house.start()

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(self, slug: str, method: str, path: str, body: object = None) -> Any:
        """The reply's JSON; Refused with its text if it is an error."""
        headers = {"content-type": "application/json"}
        if slug in BEARERS:
            headers["authorization"] = f"Bearer {self.house.vault.first_key(slug)}"
        raw = b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, [], headers, raw, "127.0.0.1")
        response: Response = asyncio.run(self.house.services[slug].handle(request))
        found = json.loads(response.body)
        if response.status >= 400 or (slug == "bestmixer" and found["error"]):
            raise Refused(response.body.decode())
        return found

    def bearer(self, slug: str, amounts: Sequence[int] | int, hours: int = 0, ref: str | None = None) -> Order:
        """Amounts in sat for each output; a number is so many bare addresses with an open amount."""
        count = amounts if isinstance(amounts, int) else len(amounts)
        addresses = [self.address("btc") for _ in range(count)]
        payouts: object = addresses
        if not isinstance(amounts, int):
            payouts = {address: text(units, "btc") for address, units in zip(addresses, amounts, strict=True)}
        body = {"delay": str(hours), "payouts": payouts, **({"refCode": ref} if ref else {})}
        return self.order(slug, self.ask(slug, "POST", "/api/createTransaction", body)["id"])

    def codes(
        self,
        coin: str,
        shares: Sequence[int] = (1000,),
        minutes: int = 0,
        code: str = "",
        amounts: Sequence[int] | None = None,
        fee: str = "4.5",
    ) -> Order:
        """Shares per mille of what comes in, or exact amounts in base units. Each output waits `minutes` more than
        the one before."""
        parts: Sequence[tuple[str, object]] = (
            [("percent", share / 10) for share in shares]
            if amounts is None
            else [("amount", text(units, coin)) for units in amounts]
        )
        body = {
            "api_key": self.house.vault.first_key("bestmixer"),
            "bm_code": code,
            "coin": coin,
            "fee": fee,
            "output": [
                {"address": self.address(coin), name: part, "delay": minutes * (number + 1)}
                for number, (name, part) in enumerate(parts)
            ],
        }
        verb = "create" if amounts is None else "create_fixed"
        return self.order(
            "bestmixer", self.ask("bestmixer", "POST", f"/api/ext/order/{verb}", body)["data"]["order_id"]
        )

    def swap(self, sat: int) -> Order:
        body = {"btc_dest_address": self.address("btc"), "amount": text(sat, "btc"), "amount_currency": "BTC"}
        return self.order("xmrto", self.ask("xmrto", "POST", "/api/v3/xmr2btc/order_create/", body)["uuid"])

    def swap_lightning(self, sat: int) -> Order:
        assert self.house.lightning is not None
        body = {"ln_invoice": self.house.lightning.invoice(sat * 1000, 365 * DAY)}
        return self.order("xmrto", self.ask("xmrto", "POST", "/api/v3/xmr2btc/order_create_ln/", body)["uuid"])

    def take_partial(self, order: Order) -> None:
        self.ask("xmrto", "POST", "/api/v3/xmr2btc/order_partial_payment/", {"uuid": order.id})
        self.house.turn()

    # -- doing ----------------------------------------------------------------------------------------------------

    def address(self, coin: str) -> str:
        return self.house.chains[coin].fresh_address()

    def pay(self, order: Order, amount: int | None = None) -> str:
        """A deposit from the faucet; without an amount what the order needs. Its txid."""
        txid = self.house.chains[order.coin].pay(order.address, need(order) if amount is None else amount)
        self.house.turn()
        return txid

    def mine(self, coin: str, blocks: int = 1) -> None:
        self.house.chains[coin].mine(blocks)
        self.house.turn()

    def reorg(self, coin: str, depth: int, forget: Collection[str] = ()) -> None:
        self.house.chains[coin].reorg(depth, forget)
        self.house.turn()

    def broadcast(self, coin: str, raw: bytes) -> str:
        txid = self.house.chains[coin].broadcast(raw)
        self.house.turn()
        return txid

    def behave(self, slug: str, payout: Payout) -> None:
        self.house.behaviours.of(slug).payout = payout
        self.house.turn()

    def fund(self, order: Order, amount: int | None = None) -> str:
        """Pay and mine."""
        txid = self.pay(order, amount)
        self.mine(order.coin)
        return txid

    def settle(self, *coins: str) -> None:
        for coin in coins or self.coins:
            self.mine(coin)

    # -- looking --------------------------------------------------------------------------------------------------

    def order(self, slug: str, name: str) -> Order:
        found = self.house.store.read(lambda records: records.order(slug, name))
        assert found is not None
        return found

    def now(self, order: Order) -> Order:
        return self.order(order.service, order.id)

    def state(self, order: Order) -> str:
        return self.now(order).state.value

    def orders(self) -> list[Order]:
        return list(self.house.store.read(lambda records: list(records.all_orders())))

    def payments(self) -> list[Payment]:
        return list(self.house.store.read(lambda records: list(records.all_payments())))

    def coins_of(self, slug: str, coin: str) -> list[Coin]:
        return [each for each in self._coins(coin) if each.service == slug]

    def _coins(self, coin: str) -> list[Coin]:
        everything = self.house.store.read(lambda records: list(records.all_coins()))
        return [each for each in everything if each.coin == coin]

    def deposits(self, order: Order) -> list[Deposit]:
        return self.house.store.read(lambda records: records.deposits_of(order.number))

    def entries(self) -> list[Entry]:
        return [read(raw) for _, raw, _ in self.house.store.read(lambda records: list(records.entries()))]

    def balance(self, slug: str, account: str, coin: str) -> int:
        """Of the ledger: assets +, liabilities -."""
        return sum(
            amount
            for entry in self.entries()
            if entry.service == slug
            for name, of, amount in entry.postings
            if (name, of) == (account, coin)
        )

    def paid(self, coin: str, address: str) -> list[tuple[str, int]]:
        """(txid, amount) of every output to an address, in the active chain and the mempool."""
        chain = self.house.chains[coin]
        key = chain.format.key(address)
        heights = range(chain.tip()[0] + 1)
        txs = [tx for height in heights for tx in chain.block(chain.block_hash(height) or "").txs]
        txs += [tx for txid in chain.mempool() if (tx := chain.transaction(txid)) is not None]
        return [(tx.txid, output.amount) for tx in txs for output in tx.outputs if output.key == key]

    # -- checking -------------------------------------------------------------------------------------------------

    def audit(self) -> Report:
        return audit_house(self.house)

    def check(self) -> None:
        """What must hold whenever the laboratory is at rest."""
        report = self.audit()
        assert report.clean, "\n".join(report.lines())
        self.check_paid_once()
        self.check_paid_in_time()

    def check_paid_once(self) -> None:
        """No payout address is paid twice or by another amount, and each payout is known by its payment."""
        found = {coin: self._outputs(coin) for coin in self.coins}
        payments = {payment.number: payment for payment in self.payments()}
        for order in self.orders():
            if order.payout_coin not in found:
                continue
            form = self.house.chains[order.payout_coin].format
            for index, output in enumerate(order.outputs):
                there = found[order.payout_coin].get(form.key(output.address), [])
                where = f"order {order.number} ({order.service}, {order.state}), output {index}: {there}"
                assert len(there) <= 1, f"paid twice: {where}"
                if there:
                    assert output.payment is not None, f"paid, and no payment is noted: {where}"
                    payment = payments[output.payment]
                    assert there == [(payment.txid, output.amount)], f"not as noted: {where}, {payment}"
                    assert (order.number, index) in {(each.order, each.output) for each in payment.carried}, where
                if output.state is OutputState.CONFIRMED:
                    assert there, f"confirmed, and not on the chain: {where}"

    def _outputs(self, coin: str) -> dict[bytes, list[tuple[str, int]]]:
        chain = self.house.chains[coin]
        txs = [
            tx
            for height in range(chain.tip()[0] + 1)
            for tx in chain.block(chain.block_hash(height) or "").txs
            if height
        ]
        txs += [tx for txid in chain.mempool() if (tx := chain.transaction(txid)) is not None]
        found: dict[bytes, list[tuple[str, int]]] = {}
        for tx in txs:
            for output in tx.outputs:
                found.setdefault(output.key, []).append((tx.txid, output.amount))
        return found

    def check_paid_in_time(self) -> None:
        """What is due is claimed, unless the service was told to stall or has no coins that may pay for it."""
        now = self.house.clock.now()
        for order in self.orders():
            if order.state not in (State.WAITING, State.PAYING) or self.house.behaviours.payout(order.service):
                continue
            late = [o for o in order.outputs if o.state is OutputState.PENDING and o.due is not None and o.due <= now]
            if late:
                assert not self.can_pay(order, [o.amount or 0 for o in late]), f"due and not paid: {order}"

    def can_pay(self, order: Order, amounts: Sequence[int]) -> bool:
        """Whether the service has confirmed coins for one of these amounts and its fee."""
        policy, coin = self.house.policies[order.service], order.payout_coin
        if coin == "msat":
            return True
        form = self.house.chains[coin].format
        code = self.house.store.read(lambda records: records.code(order.service, order.code or ""))
        ready = [
            each.amount
            for each in self.house.store.read(lambda records: records.ready_coins(order.service, coin, 10_000))
            if code is None or code.number not in each.codes
        ]
        rate = policy.coins[coin].fee_rate
        kinds = [policy.coins[coin].deposit_kind] * (1 if form.one_to_one else len(ready))
        keys = [form.key(output.address) for output in order.outputs]
        fee = form.fee(kinds, [*keys, keys[0]], rate) if ready else 0
        have = max(ready, default=0) if form.one_to_one else sum(ready)
        need = min(amounts) if form.one_to_one else sum(amounts)
        return have >= need + fee


def need(order: Order) -> int:
    """What an order asks for: its quote, or the least of an open amount."""
    return order.terms.quote if order.terms.quote is not None else order.terms.minimum


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables within tables: the second's values where both have one."""
    both = dict(base)
    for name, value in over.items():
        mine = both.get(name)
        both[name] = merged(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return both


class Customer:
    """Somebody with a wallet of their own, who can replace and double-spend."""

    def __init__(self, lab: Laboratory, coin: str = "btc", amount: str = "3") -> None:
        self.lab, self.coin, self.chain = lab, coin, lab.house.chains[coin]
        self._secret = KeyRing(b"a customer's seed").secret(coin, "lab", "lab", 0)
        self._kind = "account" if coin == "eth" else "p2pkh"
        self.key = self.chain.format.own_key(self._kind, self._secret)
        units = parse(amount, coin)
        txid = self.chain.pay(self.chain.format.address(self.key), units)
        lab.mine(coin)
        tx = self.chain.transaction(txid)
        if tx is None:
            raise NoFunds("the faucet did not pay")
        vout = next(number for number, output in enumerate(tx.outputs) if output.key == self.key)
        outpoint = Outpoint(txid, vout)
        if coin == "eth":
            outpoint = Outpoint("0x" + self.key.hex(), 0)
        self._spend = Spend(outpoint, units, self._kind, self._secret)

    def sign(self, outputs: Sequence[Output], rate: int) -> Signed:
        """Always the same coin, so that two of these conflict."""
        form = self.chain.format
        fee = form.fee([self._kind], [*(output.key for output in outputs), self.key], rate)
        change = self._spend.amount - sum(output.amount for output in outputs) - fee
        return form.sign([self._spend], [*outputs, Output(self.key, change)])

    def pay(self, orders: Sequence[tuple[Order, int]], rate: int) -> Signed:
        """Broadcast a payment to these orders."""
        signed = self.sign([Output(self.chain.format.key(order.address), amount) for order, amount in orders], rate)
        self.lab.broadcast(self.coin, signed.raw)
        return signed
