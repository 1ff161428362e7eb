"""Claiming what is due: coins are chosen and reserved, a transaction is signed and stored, the entry is written.

Everything here happens inside one unit of work; nothing is sent.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import NamedTuple

from glasstumbler.chains.base import Chain, Output, Signed
from glasstumbler.engine import desk, ledger
from glasstumbler.engine.coins import Choice, Coin, Origin, arrange, choose, choose_account
from glasstumbler.engine.order import Order, OutputState, State
from glasstumbler.engine.payment import Carried, Payment, PaymentState
from glasstumbler.engine.policy import CoinPolicy, Grouping, Policy
from glasstumbler.errors import NoFunds
from glasstumbler.store.records import Records
from glasstumbler.wallet import Wallet

_PURSE = 2_000
"""Coins that are looked at for one page of orders."""
LIGHTNING = "msat"
_ON_ITS_WAY = frozenset((PaymentState.STORED, PaymentState.SENT, PaymentState.MINED, PaymentState.SETTLED))


class Due(NamedTuple):
    """Outputs of one order whose time has come."""

    order: Order
    indexes: list[int]


class Claim:
    """Payments of one service in one coin, inside one unit of work."""

    def __init__(
        self,
        records: Records,
        service: str,
        policy: Policy,
        coin: str,
        chain: Chain | None,
        wallet: Wallet,
        chance: random.Random,
        now: int,
    ) -> None:
        """`chain` is None for Lightning, where a node chooses the way."""
        self._records, self._service, self._policy, self._coin = records, service, policy, coin
        self._chain, self._wallet, self._chance, self._now = chain, wallet, chance, now
        self._purse: dict[int, Coin] | None = None
        self._shape: bytes | None = None
        self.signed: list[bytes] = []
        """Transactions stored so far."""
        self._rate = policy.coins[coin].fee_rate

    @property
    def _coins(self) -> CoinPolicy:
        return self._policy.coins[self._coin]

    def pay(self, due: list[Due]) -> bool:
        if self._coin == LIGHTNING:
            for each in due:
                self._intend_lightning(each)
            return True
        moved = False
        for group in GROUPS[self._policy.grouping](due, self._policy, self._format_is_one_to_one()):
            paid = self._pay_group(group)
            if not paid and len(group) > 1:  # too much for the coins that are there, but one by one some may do
                paid = sum(self._pay_group([each]) for each in group) > 0
            moved = paid or moved
        return moved

    def _format_is_one_to_one(self) -> bool:
        return self._chain is not None and self._chain.format.one_to_one

    def _pay_group(self, group: list[Due]) -> bool:
        """One transaction. False, and nothing changed, if the service has no coins for it now."""
        carried = [(each.order, index, each.order.outputs[index]) for each in group for index in each.indexes]
        outputs = [Output(self._key(output.address), output.amount or 0) for _, _, output in carried]
        codes = self._codes(group)
        try:
            choice = self._choose(outputs, codes)
        except NoFunds:
            return False
        postings: list[ledger.Posting] = []
        for order, _, _ in {id(order): (order, 0, 0) for order, _, _ in carried}.values():
            if order.state is State.WAITING:
                postings += desk.close_bargain(order, self._policy, self._now)
                self._count_volume(order)
        number = self._records.next("payment")
        signed, change = self._sign(number, choice, outputs, "change", Origin.CHANGE)
        for order, _, output in carried:
            output.state, output.payment = OutputState.CLAIMED, number
            order.updated = self._now
        postings += self._postings([(order.number, output.amount or 0) for order, _, output in carried], signed.fee)
        parts = [
            Carried(order.number, index, output.amount or 0, vout)
            for vout, (order, index, output) in enumerate(carried)
        ]
        self._store_payment(number, signed, choice, parts, change, sorted(codes))
        for each in group:
            self._records.save_order(each.order)
        single = group[0].order.number if len(group) == 1 else None
        self._records.append(
            ledger.Entry("payout", self._now, self._service, single, postings, detail={"txid": signed.txid})
        )
        return True

    def sweep(self, ready: list[Coin]) -> bool:
        """Gather coins into one."""
        assert self._chain is not None
        target = self._wallet.watch_new(self._records, self._coin, self._service, self._coins.change_kind, "sweep")
        fee = self._chain.format.fee([c.kind for c in ready], [target.key], self._rate)
        total = sum(coin.amount for coin in ready)
        if total - fee < self._chain.format.dust:
            return False
        number = self._records.next("payment")
        output = Output(target.key, total - fee)
        signed = self._chain.format.sign([self._wallet.spend(coin) for coin in ready], [output])
        choice = Choice(tuple(ready), signed.fee, 0)
        self._spend(choice.coins, number)
        made = self._make_coin(signed.txid, 0, output.amount, target.kind, "sweep", target.place, Origin.SWEEP, choice)
        made.made_by = number
        self._records.add_coin(made)
        self._store_payment(number, signed, choice, [], made.number, [])
        self._records.append(
            ledger.Entry(
                "sweep", self._now, self._service, None, self._postings([], signed.fee), detail={"txid": signed.txid}
            )
        )
        return True

    def bump(self, old: Payment) -> bool:
        """Pay twice the fee rate for a payment that waits too long; the same coins, so only one can be mined. False
        if the change is spent already, by a payment that would fall; NoFunds as for `replace`."""
        if old.change is not None and self._records.coin(old.change).spent_by is not None:
            return False
        self._rate = 2 * max(old.rate, self._rate)
        self.replace(old, "waits too long")
        return True

    def replace(self, old: Payment, reason: str) -> None:
        """Build a payment anew whose coins are (partly) gone. It spends one of the first's coins for as long as the
        chain has any, be it in the mempool, so that only one of the two can be mined. NoFunds if there are no coins,
        or if the first can still come back: the unit of work must then leave nothing behind, and is tried again."""
        coins = [coin for coin in map(self._records.coin, old.coins) if coin.spent_by == old.number]
        for coin in coins:
            coin.spent_by = None
        left = [coin for coin in coins if self._is_there(coin)]
        if old.carried and not left and any(map(self._may_come_back, coins)):
            raise NoFunds("what the payment spends is on its way")
        self._purse = {coin.number: coin for coin in [*left, *self._load()]}
        orders = self._records.orders_by_number({each.order for each in old.carried})
        outputs = [
            Output(self._key(orders[each.order].outputs[each.output].address), each.amount) for each in old.carried
        ]
        if not outputs:
            self._drop(old, coins, reason)
            return
        choice = self._choose(outputs, frozenset(old.codes))
        if left and not any(coin in choice.coins for coin in left):
            raise NoFunds("the coins do not suffice beside those of the first payment")
        for coin in coins:
            self._records.save_coin(coin)
        number = self._records.next("payment")
        self._void_change(old)
        signed, change = self._sign(number, choice, outputs, "change", Origin.CHANGE)
        old.state, old.reason = PaymentState.REPLACED, reason
        self._records.save_payment(old)
        self._store_payment(number, signed, choice, old.carried, change, old.codes, old.number)
        for each in old.carried:
            orders[each.order].outputs[each.output].payment = number
        for order in orders.values():
            self._records.save_order(order)
        difference = signed.fee - old.fee
        postings = ledger.move(self._coin, (ledger.MINER, difference), (ledger.COINS, -difference))
        self._records.append(
            ledger.Entry(
                "payout replaced",
                self._now,
                self._service,
                None,
                postings,
                detail={"txid": signed.txid, "replaces": old.txid, "reason": reason},
            )
        )

    def has_lost(self, old: Payment) -> bool:
        """Whether a coin under this payment is gone. If the chain refuses it all the same, then the record is behind
        the chain, or the node is: a payment in its place would fare no better."""
        coins = map(self._records.coin, old.coins)
        return not all(coin.spent_by == old.number and self._is_there(coin) for coin in coins)

    def fill(self, short: Payment) -> bool:
        """Bring an account what it lacks for a payment, from another one: a reorganisation took a deposit back that
        it had paid with. A payment at a nonce is never built anew, so that nothing can be paid twice. False if the
        account lacks nothing, or only until a block comes; NoFunds if no other has as much."""
        account = next(self._records.account_coins(self._coin, short.inputs[0][0]), None)
        if account is None or account.amount >= 0:
            return False
        spent = self._records.coin(short.coins[0])
        waiting = self._records.open_payments(self._coin, (PaymentState.STORED, PaymentState.SENT))
        codes = frozenset(code for each in waiting if each.inputs[0][0] == account.txid for code in each.codes)
        output = Output(self._key(account.txid), -account.amount)
        choice = self._choose([output], codes)
        number = self._records.next("payment")
        signed, change = self._sign(number, choice, [output], "change", Origin.CHANGE)
        account.amount = 0
        account.codes = tuple(sorted({*account.codes, *choice.coins[0].codes}))
        self._records.save_coin(account)
        spent.filled_by.append(number)
        self._records.save_coin(spent)
        self._store_payment(number, signed, choice, [], change, sorted(codes))
        postings = self._postings([], signed.fee)
        detail = {"txid": signed.txid, "for": short.txid}
        self._records.append(ledger.Entry("account filled", self._now, self._service, None, postings, detail=detail))
        return True

    # -- inside ---------------------------------------------------------------------------------------------------

    def _is_there(self, coin: Coin) -> bool:
        assert self._chain is not None
        return (coin.booked and coin.height is not None) or self._chain.place(coin.txid) is not None

    def _may_come_back(self, coin: Coin) -> bool:
        """Whether a payment of ours that makes this coin is still sent again and again."""
        return coin.made_by is not None and self._records.payment(coin.made_by).state in _ON_ITS_WAY

    def _drop(self, old: Payment, coins: list[Coin], reason: str) -> None:
        """A sweep whose coins are gone is not needed any more."""
        for coin in coins:
            self._records.save_coin(coin)
        self._void_change(old)
        old.state, old.reason = PaymentState.REPLACED, reason
        self._records.save_payment(old)
        postings = ledger.move(self._coin, (ledger.MINER, -old.fee), (ledger.COINS, old.fee))
        self._records.append(ledger.Entry("sweep dropped", self._now, self._service, None, postings))

    def _void_change(self, old: Payment) -> None:
        if old.change is not None:
            change = self._records.coin(old.change)
            change.height, change.booked = None, False
            self._records.save_coin(change)

    def _choose(self, outputs: list[Output], codes: frozenset[int]) -> Choice:
        assert self._chain is not None
        form = self._chain.format
        keys = [output.key for output in outputs]
        change_key = self._change_shape()
        target = sum(output.amount for output in outputs)

        def fee_of(kinds: Sequence[str], with_change: bool) -> int:
            return form.fee(kinds, [*keys, change_key] if with_change else keys, self._rate)

        if form.one_to_one:
            return choose_account(self._load_purse(), target, fee_of, codes)
        return choose(
            self._load_purse(),
            target,
            fee_of,
            form.dust,
            self._policy.max_inputs,
            codes,
        )

    def _change_shape(self) -> bytes:
        """Any key of the change's form: only its length matters for the fee."""
        if self._shape is None:
            self._shape = self._wallet.key(self._coin, self._service, self._coins.change_kind, "change", 0)
        return self._shape

    def _sign(
        self, number: int, choice: Choice, outputs: list[Output], branch: str, origin: Origin
    ) -> tuple[Signed, int | None]:
        """Sign, reserve the coins, make the change coin; its number."""
        assert self._chain is not None
        form = self._chain.format
        spends = [self._wallet.spend(coin) for coin in choice.coins]
        self._spend(choice.coins, number)
        if form.one_to_one:
            coin = choice.coins[0]
            own = form.own_key(coin.kind, spends[0].secret)
            signed = form.sign(spends, [*outputs, Output(own, choice.change)])
            made = self._make_coin(
                coin.txid, coin.vout + 1, choice.change, coin.kind, coin.branch, coin.index, origin, choice
            )
        elif choice.change:
            watched = self._wallet.watch_new(self._records, self._coin, self._service, self._coins.change_kind, branch)
            signed = form.sign(spends, [*outputs, Output(watched.key, choice.change)])
            made = self._make_coin(
                signed.txid, len(outputs), choice.change, watched.kind, branch, watched.place, origin, choice
            )
        else:
            return form.sign(spends, outputs), None
        made.made_by = number
        self._records.add_coin(made)
        return signed, made.number

    def _make_coin(
        self,
        txid: str,
        vout: int,
        amount: int,
        kind: str,
        branch: str,
        index: int,
        origin: Origin,
        choice: Choice,
    ) -> Coin:
        codes = tuple(sorted({code for coin in choice.coins for code in coin.codes}))
        return Coin(
            number=self._records.next("coin"),
            service=self._service,
            coin=self._coin,
            txid=txid,
            vout=vout,
            amount=amount,
            kind=kind,
            branch=branch,
            index=index,
            origin=origin,
            codes=codes,
        )

    def _spend(self, coins: tuple[Coin, ...], number: int) -> None:
        for coin in coins:
            coin.spent_by = number
            self._records.save_coin(coin)
            if self._purse is not None:
                self._purse.pop(coin.number, None)

    def _postings(self, paid: list[tuple[int, int]], fee: int) -> list[ledger.Posting]:
        total = sum(amount for _, amount in paid)
        legs = [(ledger.owed(order), amount) for order, amount in paid]
        return ledger.move(self._coin, *legs, (ledger.MINER, fee), (ledger.COINS, -total - fee))

    def _store_payment(
        self,
        number: int,
        signed: Signed,
        choice: Choice,
        carried: list[Carried],
        change: int | None,
        codes: list[int],
        replaces: int | None = None,
    ) -> None:
        self.signed.append(signed.raw)
        self._records.add_payment(
            Payment(
                number=number,
                service=self._service,
                coin=self._coin,
                txid=signed.txid,
                raw=signed.raw.hex(),
                fee=signed.fee,
                created=self._now,
                inputs=[(coin.txid, coin.vout) for coin in choice.coins],
                coins=[coin.number for coin in choice.coins],
                carried=carried,
                change=change,
                rate=self._rate,
                replaces=replaces,
                excluded=[(coin.txid, coin.vout) for coin in choice.excluded],
                codes=codes,
            )
        )

    def _count_volume(self, order: Order) -> None:
        """What is mixed under a code lowers its fee from now on."""
        code = self._records.code(order.service, order.code) if order.code else None
        if code is not None:
            code.volume[order.coin] = code.volume.get(order.coin, 0) + order.credited
            self._records.put_code(code)

    def _codes(self, group: list[Due]) -> frozenset[int]:
        names = {each.order.code for each in group if each.order.code}
        found = (self._records.code(self._service, name) for name in names)
        return frozenset(code.number for code in found if code is not None)

    def _key(self, address: str) -> bytes:
        assert self._chain is not None
        return self._chain.format.key(address)

    def _load(self) -> list[Coin]:
        coins = self._records.ready_coins(self._service, self._coin, _PURSE)
        return arrange(coins, self._policy.selection, self._chance)

    def _load_purse(self) -> Collection[Coin]:
        if self._purse is None:
            self._purse = {coin.number: coin for coin in self._load()}
        return self._purse.values()

    def _intend_lightning(self, due: Due) -> None:
        """Store what is to be paid, under the invoice's payment hash, before anything is sent."""
        order, now = due.order, self._now
        assert order.swap is not None
        postings = desk.close_bargain(order, self._policy, now) if order.state is State.WAITING else []
        number = self._records.next("payment")
        amount = order.outputs[0].amount or 0
        payment = Payment(
            number=number,
            service=self._service,
            coin=LIGHTNING,
            txid=str((order.extra or {})["payment_hash"]),
            raw=order.swap.invoice or "",
            fee=0,
            created=now,
            inputs=[],
            coins=[],
            carried=[Carried(order.number, 0, amount, 0)],
        )
        self._records.add_payment(payment)
        order.outputs[0].state, order.outputs[0].payment = OutputState.CLAIMED, number
        order.updated = now
        self._records.save_order(order)
        postings += ledger.move(LIGHTNING, (ledger.owed(order.number), amount), (ledger.CHANNEL, -amount))
        self._records.append(ledger.Entry("lightning intent", now, self._service, order.number, postings))


def _by_order(due: list[Due], policy: Policy, one_to_one: bool) -> list[list[Due]]:
    return _by_output(due, policy, one_to_one) if one_to_one else [[each] for each in due]


def _by_output(due: list[Due], policy: Policy, one_to_one: bool) -> list[list[Due]]:
    return [[Due(each.order, [index])] for each in due for index in each.indexes]


def _by_batch(due: list[Due], policy: Policy, one_to_one: bool) -> list[list[Due]]:
    if one_to_one:
        return _by_output(due, policy, one_to_one)
    groups: list[list[Due]] = []
    size = policy.max_batch
    for each in due:
        if size + len(each.indexes) > policy.max_batch:
            groups.append([])
            size = 0
        groups[-1].append(each)
        size += len(each.indexes)
    return groups


GROUPS = {Grouping.ORDER: _by_order, Grouping.OUTPUT: _by_output, Grouping.BATCH: _by_batch}
