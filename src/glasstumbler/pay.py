"""Orders -> chain: what is due is signed, stored, sent and, where it has to be, sent again or built anew.

1. One unit of work claims due outputs, chooses and reserves coins, signs, stores the raw bytes and writes the entry.
2. The stored bytes are broadcast; doing it twice is harmless.
3. What is stored but not seen is broadcast again. What the chain refuses because a coin under it is gone is built
   anew from the coins that are left, sharing one with the first where any is left, so that only one can be mined.
4. The watch settles what is confirmed, and sends back here what a reorganisation took out.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol

from glasstumbler.behaviour import Behaviours
from glasstumbler.chains.base import Chain
from glasstumbler.claim import LIGHTNING, Claim, Due
from glasstumbler.clock import Clock
from glasstumbler.engine import desk, ledger
from glasstumbler.engine.order import Order, OutputState, State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.engine.policy import Policy
from glasstumbler.errors import NodeAway, NoFunds, PaymentFailed, PaymentWaits, Rejection, TransactionRefused
from glasstumbler.store.base import Store
from glasstumbler.store.records import Records
from glasstumbler.wallet import Wallet

_PAGE = 200
"""Orders in one unit of work."""
_OPEN = 2_000
"""Payments that are looked at in one round of sending."""
_BEFORE_ALL = (-1, 0)
_REBUILD = frozenset(("missing-inputs", "conflict", "nonce", "funds"))
"""Refusals that say a coin under the payment is gone."""


class LightningPaid(Protocol):
    @property
    def preimage(self) -> str: ...
    @property
    def fee_msat(self) -> int: ...


class LightningPayer(Protocol):
    def pay(self, payer: str, invoice: str, key: str) -> LightningPaid:
        """Idempotent by `key`, the payment hash. PaymentFailed or a Rejection if it cannot be paid; PaymentWaits if
        that is not known yet."""
        ...


class Task(NamedTuple):
    """Something that one process at a time does."""

    due: Callable[[], bool]
    """Whether there may be something to do: cheap, and asked without having the task."""
    run: Callable[[], bool]
    """Do it; True if anything moved."""


class _Page(NamedTuple):
    """A page of due orders, claimed."""

    last: tuple[int, int] | None
    """(wake, number) of the last order looked at; None: there was none any more."""
    moved: bool
    signed: dict[str, list[bytes]]
    """Transactions that were stored, by coin."""


class Payer:
    def __init__(
        self,
        store: Store,
        chains: Mapping[str, Chain],
        policies: Mapping[str, Policy],
        wallet: Wallet,
        clock: Clock,
        chance: random.Random,
        behaviours: Behaviours,
        lightning: LightningPayer | None = None,
    ) -> None:
        self._store, self._chains, self._policies, self._wallet = store, chains, policies, wallet
        self._clock, self._chance, self._behaviours, self._lightning = clock, chance, behaviours, lightning
        self._looked: dict[str, int] = {}
        """Height of each chain when all its waiting payments were last looked at."""

    def tasks(self) -> dict[str, Task]:
        """By name, in the order in which they are done."""
        return {
            "claim": Task(self._claim_due, self._claim_all),
            "sweep": Task(lambda: bool(self._sweeps_due()), self._sweep_all),
            **{f"send {coin}": Task(partial(self._send_due, coin), partial(self._send, coin)) for coin in self._chains},
            "send msat": Task(lambda: bool(self._intents(1)), self._send_lightning),
        }

    # -- claiming -------------------------------------------------------------------------------------------------

    def _claim_all(self) -> bool:
        """Page by page: claimed, then sent. (Sending one page while the next is claimed gains nothing: both are Python
        and wait for each other's lock.)"""
        if not self._claim_due():
            return False  # an idle turn writes nothing
        moved, now, after = False, self._clock.now(), _BEFORE_ALL
        while (page := self._store.write(partial(self._claim_page, now, after))).last is not None:
            after = page.last
            for coin, raws in page.signed.items():
                with suppress(NodeAway):  # `_send` sees to what is left, as to what is refused
                    self._chains[coin].broadcast_all(raws)
            moved = moved or page.moved
        return moved

    def _claim_due(self) -> bool:
        return bool(self._store.read(lambda records: records.due_orders(self._clock.now(), 1, _BEFORE_ALL)))

    def _claim_page(self, now: int, after: tuple[int, int], records: Records) -> _Page:
        orders = records.due_orders(now, _PAGE, after)
        if not orders:
            return _Page(None, False, {})
        last = orders[-1]
        place = (desk.wake(last) or now, last.number)
        moved = False
        signed: dict[str, list[bytes]] = defaultdict(list)
        due: dict[tuple[str, str], list[Due]] = defaultdict(list)
        for order in orders:
            if order.state in (State.AWAITING, State.UNDERPAID):
                moved = self._expire(records, order, now) or moved
            elif self._behaviours.payout(order.service) == "fail":
                self._fail(records, order, now, "the laboratory asked for it")
                moved = True
            elif self._behaviours.payout(order.service) != "stall":
                due[order.service, order.payout_coin].append(Due(order, _due_indexes(order, now)))
        for (service, coin), mine in due.items():
            claim = self._claim(records, service, coin, now)
            moved = claim.pay(mine) or moved
            if claim.signed:
                signed[coin] += claim.signed
        return _Page(place, moved, signed)

    def _expire(self, records: Records, order: Order, now: int) -> bool:
        postings = desk.expire(order, now)
        for deposit in records.deposits_of(order.number):
            if deposit.account == ledger.owed(order.number):
                deposit.account = ledger.SHORT
                records.put_deposit(deposit, None)
        records.save_order(order)
        records.append(ledger.Entry("expired", now, order.service, order.number, postings))
        return True

    def _fail(self, records: Records, order: Order, now: int, why: str) -> None:
        postings = desk.fail(order, now)
        records.save_order(order)
        records.append(ledger.Entry("failed", now, order.service, order.number, postings, detail={"reason": why}))

    def _claim(self, records: Records, service: str, coin: str, now: int) -> Claim:
        chain = self._chains.get(coin)
        return Claim(records, service, self._policies[service], coin, chain, self._wallet, self._chance, now)

    # -- sweeping -------------------------------------------------------------------------------------------------

    def _sweep_all(self) -> bool:
        moved = False
        for service, coin in self._sweeps_due():
            moved = self._store.write(partial(self._sweep, service, coin)) or moved
        return moved

    def _sweeps_due(self) -> list[tuple[str, str]]:
        """(service, coin) of those whose time has come."""
        sweeping = [
            (service, coin)
            for service, policy in self._policies.items()
            if policy.sweep_every is not None
            for coin in policy.coins
            if not self._chains[coin].format.one_to_one
        ]
        return self._store.read(lambda records: [pair for pair in sweeping if self._sweep_due(*pair, records)])

    def _sweep_due(self, service: str, coin: str, records: Records) -> bool:
        last = int(records.meta(_swept(service, coin)) or 0)
        return self._clock.now() >= last + (self._policies[service].sweep_every or 0)

    def _sweep(self, service: str, coin: str, records: Records) -> bool:
        if not self._sweep_due(service, coin, records):
            return False  # another worker was first
        now, policy = self._clock.now(), self._policies[service]
        records.set_meta(_swept(service, coin), str(now))
        ready = [c for c in records.ready_coins(service, coin, _OPEN) if c.branch == "deposit"][: policy.max_inputs]
        if len(ready) >= policy.sweep_least and self._claim(records, service, coin, now).sweep(ready):
            return True
        records.append(ledger.Entry("nothing to sweep", now, service))
        return False

    # -- sending --------------------------------------------------------------------------------------------------

    def _send_due(self, coin: str) -> bool:
        return bool(self._store.read(lambda records: records.on_their_way(coin, 1)))

    def _send(self, coin: str) -> bool:
        moved, chain = False, self._chains[coin]
        sent: list[int] = []
        height = chain.tip()[0]
        known = set(chain.mempool())
        for payment in self._to_look_at(coin, height, known):
            if payment.txid in known:
                if payment.state is PaymentState.STORED:
                    sent.append(payment.number)
                elif self._is_stuck(chain, payment, height):
                    moved = self._anew(partial(self._bump, payment.number)) or moved
            elif refusal := self._refusal(chain, bytes.fromhex(payment.raw)):
                if refusal in _REBUILD and self._anew(partial(self._rebuild, payment.number, refusal)):
                    moved = True
                    break  # others may have been built anew with it: look again
            elif payment.state is PaymentState.STORED:
                sent.append(payment.number)
        if sent:
            self._store.write(partial(self._mark_sent, sent, height))
        return bool(sent) or moved

    def _to_look_at(self, coin: str, height: int, known: Collection[str]) -> list[Payment]:
        """What is not in the mempool, or not known to be; at a new height everything, since it may be stuck now."""
        waiting = self._store.read(lambda records: records.on_their_way(coin, _OPEN))
        new_height = self._looked.get(coin) != height
        self._looked[coin] = height
        numbers = [
            number for number, txid, state in waiting if new_height or state is PaymentState.STORED or txid not in known
        ]
        found = self._store.read(lambda records: records.payments(numbers)) if numbers else {}
        return [found[number] for number in numbers]

    def _refusal(self, chain: Chain, raw: bytes) -> str | None:
        """Broadcast; why the network does not take it, if it does not."""
        try:
            chain.broadcast(raw)
        except TransactionRefused as refused:
            return refused.reason
        return None

    def _anew(self, unit: Callable[[Records], bool]) -> bool:
        """Build a payment anew, or leave everything as it is."""
        try:
            return self._store.write(unit)
        except NoFunds:
            return False

    def _mark_sent(self, numbers: list[int], height: int, records: Records) -> None:
        now, by_service = self._clock.now(), defaultdict(list)
        for payment in records.payments(numbers).values():
            if payment.state is PaymentState.STORED:
                payment.state, payment.sent_at = PaymentState.SENT, height
                records.save_payment(payment)
                by_service[payment.service].append(payment.txid)
        for service, txids in by_service.items():
            records.append(ledger.Entry("broadcast", now, service, detail={"txids": txids}))

    def _send_lightning(self) -> bool:
        """Intents become payments. The network knows a payment by its hash, so asking again pays nothing twice. What
        waits on its way, or for a channel, stays an intent and holds up no other; so do all while the node is away."""
        if self._lightning is None:
            return False
        moved = False
        for payment in self._intents(_OPEN):
            try:
                paid = self._lightning.pay(payment.service, payment.raw, payment.txid)
            except PaymentWaits:
                continue
            except (PaymentFailed, Rejection) as error:
                self._store.write(partial(self._lightning_failed, payment.number, str(error)))
            else:
                self._store.write(partial(self._lightning_paid, payment.number, paid.preimage, paid.fee_msat))
            moved = True
        return moved

    def _intents(self, most: int) -> list[Payment]:
        if self._lightning is None:
            return []
        return self._store.read(lambda records: records.open_payments(LIGHTNING, (PaymentState.STORED,), most))

    def _lightning_paid(self, number: int, preimage: str, fee: int, records: Records) -> None:
        payment, now = records.payment(number), self._clock.now()
        if payment.state is not PaymentState.STORED:
            return  # another worker has booked it
        payment.state, payment.preimage, payment.fee = PaymentState.SETTLED, preimage, fee
        records.save_payment(payment)
        order = records.order_by_number(payment.carried[0].order)
        desk.settle(order, [0], now)
        records.save_order(order)
        postings = ledger.move(LIGHTNING, (ledger.MINER, fee), (ledger.CHANNEL, -fee))
        records.append(ledger.Entry("lightning paid", now, payment.service, order.number, postings))

    def _lightning_failed(self, number: int, reason: str, records: Records) -> None:
        """What was set aside comes back, and is owed to nobody but booked as unpaid."""
        payment, now = records.payment(number), self._clock.now()
        if payment.state is not PaymentState.STORED:
            return
        payment.state, payment.reason = PaymentState.FAILED, reason
        records.save_payment(payment)
        order, amount = records.order_by_number(payment.carried[0].order), payment.carried[0].amount
        order.outputs[0].state = OutputState.PENDING
        postings = ledger.move(LIGHTNING, (ledger.CHANNEL, amount), (ledger.owed(order.number), -amount))
        postings += desk.fail(order, now)
        records.save_order(order)
        records.append(ledger.Entry("failed", now, payment.service, order.number, postings, detail={"reason": reason}))

    def _is_stuck(self, chain: Chain, payment: Payment, height: int) -> bool:
        after = self._policies[payment.service].bump_after
        return chain.format.replaceable and bool(payment.carried) and height >= (payment.sent_at or height) + after

    def _bump(self, number: int, records: Records) -> bool:
        old = records.payment(number)
        if old.state is not PaymentState.SENT:
            return False
        return self._claim(records, old.service, old.coin, self._clock.now()).bump(old)

    # -- building anew --------------------------------------------------------------------------------------------

    def _rebuild(self, number: int, reason: str, records: Records) -> bool:
        """A payment that can no longer be mined gives its outputs to a new one; an account gets what it lacks."""
        old = records.payment(number)
        if old.state not in (PaymentState.STORED, PaymentState.SENT):
            return False
        claim = self._claim(records, old.service, old.coin, self._clock.now())
        if self._chains[old.coin].format.one_to_one:
            return not self._may_come_back(records, old) and claim.fill(old)
        if not claim.has_lost(old):
            return False
        claim.replace(old, reason)
        return True

    def _may_come_back(self, records: Records, old: Payment) -> bool:
        """Whether a deposit to the account that pays waits for a block: once it has one, the payment holds."""
        coin = records.coin(old.coins[0])
        if coin.branch != "deposit":
            return False
        deposits = records.deposits_of(coin.index)
        return any(each.state is not desk.DepositState.GONE and each.height is None for each in deposits)


def _swept(service: str, coin: str) -> str:
    """Where the record keeps the time of the last sweep."""
    return f"swept:{service}:{coin}"


def _due_indexes(order: Order, now: int) -> list[int]:
    return [
        index
        for index, output in enumerate(order.outputs)
        if output.state is OutputState.PENDING and output.due is not None and output.due <= now
    ]
