"""Random lives of a laboratory: orders of all five services, deposits of every kind, blocks, reorganisations, time.

After every step the record is whole and equal to the chains, nothing is paid twice, and what is due is paid.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from glasstumbler.chains.base import Output
from glasstumbler.engine.order import Order, State
from glasstumbler.engine.payment import PaymentState
from glasstumbler.errors import TransactionRefused
from glasstumbler.money import percent
from tests.laboratory import BEARERS, SERVICES, Customer, Laboratory, Payout, Refused, need

STEPS = 30
TIMES = (60, 900, 3_600, 6 * 3_600, 6 * 3_600, 25 * 3_600, 80 * 3_600)
PARTS = (1_000_000, 1_000_000, 1_000_000, 500_000, 1_300_000, 100_000, 3_000_000)
"""What is deposited, in ppm of what the order needs."""
LEAST = {"btc": 1_000_000, "ltc": 6_000_000, "bch": 2_000_000, "eth": 10**17}
BARE = ("coinjoin", "whir")
ENDED = {State.COMPLETED, State.EXPIRED, State.FAILED}
pick = st.integers(0, 10**6)
begun = st.sampled_from((0, 1, 2, 2, 2))
"""How far an order is brought at once: opened, paid, mined."""


class HouseMachine(RuleBasedStateMachine):
    chains: ClassVar[tuple[str, ...]]
    mixed: ClassVar[tuple[str, ...]]
    """Coins of the code mixer's orders."""

    @initialize()
    def begin(self) -> None:
        self.lab = self.laboratory()
        self.orders: list[Order] = []
        self.codes: list[str] = [""]
        self.forgotten: list[tuple[str, bytes]] = []
        self.customer = Customer(self.lab, self.coins[0])
        self.rate = 2

    def laboratory(self) -> Laboratory:
        return Laboratory(*self.chains)

    @property
    def coins(self) -> tuple[str, ...]:
        return tuple(coin for coin in self.chains if coin != "lightning")

    def teardown(self) -> None:
        try:
            if hasattr(self, "lab"):
                self.let_everything_end()
        finally:
            if hasattr(self, "lab"):
                self.lab.close()

    def let_everything_end(self) -> None:
        for slug in SERVICES:
            self.lab.behave(slug, None)
        for _ in range(4):
            self.lab.settle()
            self.lab.house.advance(80 * 3_600)
        self.lab.settle()
        self.lab.check()
        for order in self.lab.orders():
            assert order.state in ENDED, order

    # -- opening --------------------------------------------------------------------------------------------------

    @precondition(lambda self: "btc" in self.chains)
    @rule(
        slug=st.sampled_from(BEARERS),
        amounts=st.one_of(st.lists(st.sampled_from((100_000, 250_001, 700_000)), min_size=1, max_size=3), pick),
        hours=st.sampled_from((0, 0, 1, 5)),
        ref=st.sampled_from((None, "FRIEND1")),
        far=begun,
    )
    def open_bearer(self, slug: str, amounts: list[int] | int, hours: int, ref: str | None, far: int) -> None:
        if isinstance(amounts, int):  # bare addresses, which btcmix does not take
            slug, amounts = BARE[amounts % 2], 1 + amounts % 3
        self.bring(self.lab.bearer(slug, amounts, hours, ref), far)

    @rule(
        coin=pick,
        shares=st.sampled_from(((1000,), (500, 500), (333, 334, 333))),
        fixed=st.booleans(),
        minutes=st.sampled_from((0, 0, 30, 600)),
        code=pick,
        far=begun,
    )
    def open_codes(self, coin: int, shares: tuple[int, ...], fixed: bool, minutes: int, code: int, far: int) -> None:
        mixed = self.mixed[coin % len(self.mixed)]
        amounts = [LEAST[mixed]] * len(shares) if fixed else None
        name = self.codes[code % len(self.codes)]
        order = self.lab.codes(mixed, shares, minutes, name, amounts)
        self.codes.append(order.code or "")
        self.bring(order, far)

    @precondition(lambda self: {"btc", "xmr"} <= set(self.chains))
    @rule(sat=st.sampled_from((100_000, 5_000_000, 30_000_000)), far=begun)
    def open_swap(self, sat: int, far: int) -> None:
        with suppress(Refused):  # the service has too few coins just now
            self.bring(self.lab.swap(sat), far)

    @precondition(lambda self: {"lightning", "xmr"} <= set(self.chains))
    @rule(sat=st.sampled_from((15_000, 500_000)), far=begun)
    def open_lightning(self, sat: int, far: int) -> None:
        with suppress(Refused):  # no route is likely
            self.bring(self.lab.swap_lightning(sat), far)

    def bring(self, order: Order, far: int) -> None:
        self.orders.append(order)
        if far:
            self.lab.pay(order)
        if far > 1:
            self.lab.mine(order.coin)

    # -- deposits -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.orders)
    @rule(which=pick, part=st.sampled_from(PARTS))
    def deposit(self, which: int, part: int) -> None:
        order = self.orders[-1 - which % len(self.orders)]
        self.lab.pay(order, percent(need(order), part))

    @precondition(lambda self: self.orders)
    @rule(which=st.lists(pick, min_size=2, max_size=4), part=st.sampled_from(PARTS))
    def deposit_to_several(self, which: list[int], part: int) -> None:
        several = [self.orders[-1 - number % len(self.orders)] for number in which]
        coin = several[0].coin
        chain = self.lab.house.chains[coin]
        outputs = [
            Output(chain.format.key(order.address), percent(need(order), part))
            for order in several
            if order.coin == coin
        ]
        chain.pay_many(outputs)
        self.lab.house.turn()

    @precondition(lambda self: any(order.coin == self.customer.coin for order in self.orders))
    @rule(which=pick)
    def deposit_replaceably(self, which: int) -> None:
        """Each time from the same coin with a higher fee: what was there before is replaced, unless it is mined."""
        mine = [order for order in self.orders if order.coin == self.customer.coin]
        order = mine[-1 - which % len(mine)]
        self.rate += 3
        with suppress(TransactionRefused):
            self.customer.pay([(order, need(order))], self.rate)

    @precondition(lambda self: any(order.swap for order in self.orders))
    @rule(which=pick)
    def take_partial(self, which: int) -> None:
        swaps = [order for order in self.orders if order.swap]
        with suppress(Refused):
            self.lab.take_partial(swaps[which % len(swaps)])

    @precondition(lambda self: self.orders)
    @rule(which=pick)
    def look(self, which: int) -> None:
        order = self.orders[which % len(self.orders)]
        if order.service in BEARERS:
            self.lab.ask(order.service, "GET", f"/api/transaction/{order.id}")
        elif order.swap:
            self.lab.ask("xmrto", "POST", "/api/v3/xmr2btc/order_status_query/", {"uuid": order.id})
        else:
            body = {"api_key": self.lab.house.vault.first_key("bestmixer"), "order_id": order.id}
            self.lab.ask("bestmixer", "POST", "/api/ext/order/info", body)

    # -- the world ------------------------------------------------------------------------------------------------

    @rule(coin=pick, blocks=st.sampled_from((1, 1, 1, 3)))
    def mine(self, coin: int, blocks: int) -> None:
        self.lab.mine(self.coins[coin % len(self.coins)], blocks)

    @rule(coin=pick, depth=st.sampled_from((1, 2, 3, 6)), forget=st.sampled_from(("", "payouts", "deposits", "some")))
    def reorg(self, coin: int, depth: int, forget: str) -> None:
        """Some of what the lost blocks held (coinbases aside) is forgotten."""
        name = self.coins[coin % len(self.coins)]
        chain = self.lab.house.chains[name]
        top = chain.tip()[0]
        hashes = [chain.block_hash(height) or "" for height in range(top - depth + 1, top + 1)]
        lost = [tx for block in hashes for tx in chain.block(block).txs[(name != "eth") :]]
        ours = {payment.txid for payment in self.lab.payments()}
        gone = {
            "": [],
            "payouts": [tx for tx in lost if tx.txid in ours],
            "deposits": [tx for tx in lost if tx.txid not in ours],
            "some": lost[::2],
        }[forget]
        self.forgotten += [(name, tx.raw) for tx in gone]
        self.lab.reorg(name, depth, {tx.txid for tx in gone})

    @precondition(lambda self: self.forgotten)
    @rule(which=pick)
    def remember(self, which: int) -> None:
        """What a reorganisation forgot is sent again, where it still can be: all but payments of ours that were built
        anew since, which nobody else has kept."""
        coin, raw = self.forgotten.pop(which % len(self.forgotten))
        replaced = {payment.raw for payment in self.lab.payments() if payment.state is PaymentState.REPLACED}
        if raw.hex() not in replaced:
            with suppress(TransactionRefused):
                self.lab.broadcast(coin, raw)

    @rule(seconds=st.sampled_from(TIMES))
    def advance(self, seconds: int) -> None:
        self.lab.house.advance(seconds)

    @rule(slug=st.sampled_from(SERVICES), payout=st.sampled_from((None, None, "stall", "fail")))
    def behave(self, slug: str, payout: Payout) -> None:
        self.lab.behave(slug, payout)

    @invariant()
    def whole(self) -> None:
        if hasattr(self, "lab"):
            self.lab.check()


class BitcoinAndMonero(HouseMachine):
    chains = ("btc", "xmr", "lightning")
    mixed = ("btc",)


class Restarted(BitcoinAndMonero):
    """Closed and opened again in the middle of it all, now and then with a step of the chain unseen."""

    def laboratory(self) -> Laboratory:
        self.folder = TemporaryDirectory(prefix="glasstumbler-test-")
        return Laboratory(*self.chains, folder=Path(self.folder.name))

    @rule(coin=pick, unseen=st.sampled_from(("", "mine", "reorg")))
    def restart(self, coin: int, unseen: str) -> None:
        chain = self.lab.house.chains[self.coins[coin % len(self.coins)]]
        if unseen == "mine":
            chain.mine(1)
        elif unseen == "reorg":
            chain.reorg(2)
        self.lab.reopen()
        self.customer.chain = self.lab.house.chains[self.customer.coin]

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class Others(HouseMachine):
    chains = ("ltc", "bch", "eth")
    mixed = ("ltc", "bch", "eth")


class Ethereum(HouseMachine):
    chains = ("eth",)
    mixed = ("eth",)


def _settings(part: int) -> settings:
    """Each example is a laboratory: a part of the examples that other properties get."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return settings(stateful_step_count=STEPS, max_examples=profile.max_examples // part)


TestBitcoinAndMonero = BitcoinAndMonero.TestCase
TestBitcoinAndMonero.settings = _settings(8)
TestRestarted = Restarted.TestCase
TestRestarted.settings = _settings(20)
TestOthers = Others.TestCase
TestOthers.settings = _settings(16)
TestEthereum = Ethereum.TestCase
TestEthereum.settings = _settings(8)
