"""What one block, or one look at the mempool, does to the record. Always inside one unit of work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from glasstumbler.accounts import Accounts
from glasstumbler.chains.base import Chain, Tx
from glasstumbler.engine import desk, ledger
from glasstumbler.engine.coins import Coin, Origin
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.order import OPEN_STATES, Order, OutputState, State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.engine.policy import Policy
from glasstumbler.store.records import Records, Watched


class Arrival(NamedTuple):
    """An output of a transaction that pays to a key of ours."""

    watched: Watched
    txid: str
    vout: int
    amount: int
    height: int | None


def arrivals(records: Records, coin: str, txs: Iterable[Tx], height: int | None) -> list[Arrival]:
    """Outputs that pay to keys of ours, in order of the chain."""
    txs = list(txs)
    watched = records.watched(coin, {output.key for tx in txs for output in tx.outputs})
    if not watched:
        return []
    return [
        Arrival(watched[output.key], tx.txid, vout, output.amount, height)
        for tx in txs
        for vout, output in enumerate(tx.outputs)
        if output.key in watched
    ]


class Turn:
    """`height` is the chain's after the block."""

    def __init__(self, records: Records, chain: Chain, policies: Mapping[str, Policy], now: int, height: int) -> None:
        self._records, self._chain, self._policies = records, chain, policies
        self._coin, self._now, self._height = chain.coin, now, height
        self._accounts = Accounts(records, chain) if chain.format.one_to_one else None
        self._at: dict[tuple[str, int], Coin] | None = None
        """Our coins by outpoint, while a block's arrivals are taken in: read at once for all of them."""
        self._orders: dict[int, Order] = {}
        self._changes: dict[int, Coin] = {}
        """Orders and change of the payments that a block has mined, likewise."""

    # -- deposits -------------------------------------------------------------------------------------------------

    def arrived(self, found: list[Arrival]) -> None:
        """Deposits of orders, order by order; the float; and what nobody expected."""
        by_order: dict[int, list[Arrival]] = defaultdict(list)
        if self._accounts is not None:
            found = self._from_outside(found)
        else:
            coins = self._records.coins_in(self._coin, {arrival.txid for arrival in found})
            self._at = {(coin.txid, coin.vout): coin for coin in coins}
        for arrival in found:
            if arrival.watched.order is not None:
                by_order[arrival.watched.order].append(arrival)
            else:
                self._own_arrival(arrival)
        orders, deposits = self._records.orders_by_number(by_order), self._records.deposits_of_all(by_order)
        for number, mine in by_order.items():
            self._order_arrivals(orders[number], mine, deposits[number])
        self._at = None

    def _from_outside(self, found: Iterable[Arrival]) -> list[Arrival]:
        """Without what one account of ours filled another with."""
        found = list(found)
        own = self._records.payments_in(self._coin, {arrival.txid for arrival in found})
        fills = {payment.txid for payment in own if not payment.carried}
        return [arrival for arrival in found if arrival.txid not in fills]

    def _order_arrivals(self, order: Order, found: list[Arrival], known: list[Deposit]) -> None:
        deposits = {(d.txid, d.vout): d for d in known}
        postings: list[ledger.Posting] = []
        touched = False
        for arrival in found:
            deposit = deposits.get((arrival.txid, arrival.vout))
            if deposit is None:
                deposit = Deposit(
                    self._coin, arrival.txid, arrival.vout, order.number, order.service, arrival.amount, self._now
                )
                deposits[arrival.txid, arrival.vout] = deposit
            elif deposit.state is not DepositState.GONE and arrival.height in (None, deposit.height):
                continue  # known: the mempool is looked at anew after a restart or a reorganisation
            if deposit.state is DepositState.GONE:
                deposit.state = DepositState.SEEN
            deposit.height = arrival.height
            postings += self._credit_if_ripe(order, deposit, arrival.watched)
            touched = True
        if touched:
            self._reckon(order, deposits.values(), postings, "deposit")

    def mature(self) -> None:
        """Deposits and payments that are deep enough now."""
        by_order: dict[int, list[Deposit]] = defaultdict(list)
        for deposit in self._records.maturing(self._coin, self._height):
            by_order[deposit.order].append(deposit)
        for number, ripe in by_order.items():
            order = self._records.order_by_number(number)
            key = self._chain.format.key(order.address)
            watched = self._records.watched(self._coin, [key])[key]
            outpoints = {(d.txid, d.vout) for d in ripe}
            deposits = self._records.deposits_of(number)
            postings: list[ledger.Posting] = []
            for deposit in deposits:
                if (deposit.txid, deposit.vout) in outpoints:
                    postings += self._credit_if_ripe(order, deposit, watched)
            self._reckon(order, deposits, postings, "deposit credited")
        for payment in self._records.settling(self._coin, self._height):
            self._settle(payment)

    def _credit_if_ripe(self, order: Order, deposit: Deposit, watched: Watched) -> list[ledger.Posting]:
        """Book the deposit if it has its confirmations, and note it either way."""
        need = order.terms.confirmations
        postings: list[ledger.Posting] = []
        if deposit.state is DepositState.CREDITED:
            self._own_coin(order, deposit, watched)  # taken from the mempool before; a block has it now
        elif need == 0 or (deposit.height is not None and self._height >= deposit.height + need - 1):
            postings = desk.credit(order, deposit)
            self._own_coin(order, deposit, watched)
        mature = None
        if deposit.state is DepositState.SEEN and deposit.height is not None:
            mature = deposit.height + need - 1
        self._records.put_deposit(deposit, mature)
        return postings

    def _reckon(self, order: Order, deposits: Iterable[Deposit], postings: list[ledger.Posting], kind: str) -> None:
        """Sum the deposits anew, let the order move, append the entry."""
        mine = ledger.owed(order.number)
        counts = (None, mine) if order.state in OPEN_STATES else (mine,)
        live = [d for d in deposits if d.state is not DepositState.GONE and d.account in counts]
        order.seen = sum(d.amount for d in live)
        if order.deposit_txid not in {d.txid for d in live}:
            order.deposit_txid = min(live, key=lambda d: (d.first_seen, d.txid)).txid if live else None
        desk.assess(order, self._now, self._policies[order.service].fee_rule)
        self._records.save_order(order)
        self._records.append(ledger.Entry(kind, self._now, order.service, order.number, postings))

    def deposits_unmined(self, deposits: Iterable[Deposit]) -> None:
        """Their block is gone: what was booked for its sake is taken back until it returns."""
        for number, mine in _by_order(d for d in deposits if d.height is not None).items():
            order = self._records.order_by_number(number)
            everything = {(d.txid, d.vout): d for d in self._records.deposits_of(number)}
            postings: list[ledger.Posting] = []
            for each in mine:
                deposit = everything[each.txid, each.vout]
                deposit.height = None
                if deposit.state is DepositState.CREDITED and order.terms.confirmations > 0:
                    postings += desk.uncredit(order, deposit)
                    self._disown_coin(deposit)
                elif deposit.state is DepositState.CREDITED:
                    self._unmine_coin(deposit)
                self._records.put_deposit(deposit, None)
            self._reckon(order, everything.values(), postings, "deposit reorganised")

    def deposits_lost(self, deposits: Iterable[Deposit], mempool: Collection[str]) -> bool:
        """Those that neither the mempool nor a block holds any more."""
        gone = [
            d
            for d in deposits
            if d.state is not DepositState.GONE
            and d.height is None
            and d.txid not in mempool
            and self._chain.place(d.txid) is None
        ]
        for number, mine in _by_order(gone).items():
            order = self._records.order_by_number(number)
            everything = {(d.txid, d.vout): d for d in self._records.deposits_of(number)}
            postings: list[ledger.Posting] = []
            for each in mine:
                deposit = everything[each.txid, each.vout]
                if deposit.state is DepositState.CREDITED:
                    postings += desk.uncredit(order, deposit)
                    self._disown_coin(deposit)
                deposit.state = DepositState.GONE
                self._records.put_deposit(deposit, None)
            self._reckon(order, everything.values(), postings, "deposit lost")
        return bool(gone)

    # -- coins ----------------------------------------------------------------------------------------------------

    def _own_coin(self, order: Order, deposit: Deposit, watched: Watched) -> None:
        codes: tuple[int, ...] = ()
        if order.code and (code := self._records.code(order.service, order.code)) is not None:
            codes = (code.number,)
        self._add_coin(
            watched, deposit.txid, deposit.vout, deposit.amount, Origin.DEPOSIT, deposit.height, order.number, codes
        )

    def _add_coin(
        self,
        watched: Watched,
        txid: str,
        vout: int,
        amount: int,
        origin: Origin,
        height: int | None,
        order: int | None = None,
        codes: tuple[int, ...] = (),
    ) -> None:
        """The coin of an output of ours. Where accounts hold money, it joins what the account has."""
        if self._accounts is not None:
            self._accounts.add(watched, txid, amount, origin, height, order, codes)
            return
        coin = self._coin_at(txid, vout)
        if coin is not None:
            coin.height, coin.booked = height, True
            self._records.save_coin(coin)
            return
        coin = Coin(
            number=self._records.next("coin"),
            service=watched.service,
            coin=self._coin,
            txid=txid,
            vout=vout,
            amount=amount,
            kind=watched.kind,
            branch=watched.branch,
            index=watched.place,
            origin=origin,
            order=order,
            codes=codes,
            height=height,
        )
        self._records.add_coin(coin)
        if self._at is not None:
            self._at[txid, vout] = coin

    def _coin_at(self, txid: str, vout: int) -> Coin | None:
        return self._records.coin_at(self._coin, txid, vout) if self._at is None else self._at.get((txid, vout))

    def _disown_coin(self, deposit: Deposit) -> None:
        """The chain took the coin back: the ledger no longer counts it, and nothing spends it."""
        if self._accounts is not None:
            self._accounts.take(self._deposit_key(deposit), deposit.txid, deposit.amount)
            return
        coin = self._records.coin_at(self._coin, deposit.txid, deposit.vout)
        if coin is not None:
            coin.height, coin.booked = None, False
            self._records.save_coin(coin)

    def _unmine_coin(self, deposit: Deposit) -> None:
        if self._accounts is not None:
            self._accounts.unmine(self._deposit_key(deposit))
            return
        coin = self._records.coin_at(self._coin, deposit.txid, deposit.vout)
        if coin is not None:
            coin.height = None
            self._records.save_coin(coin)

    def _deposit_key(self, deposit: Deposit) -> bytes:
        return self._chain.format.key(self._records.order_by_number(deposit.order).address)

    def _own_arrival(self, arrival: Arrival) -> None:
        """A coin on a key that is not an order's: the float, our own change, or a stray payment."""
        if arrival.height is None:
            return  # counted when a block holds it
        made = self._coin_at(arrival.txid, arrival.vout)
        if made is not None and made.made_by:
            return  # change and sweeps are the payment's
        if made is not None and made.booked:
            return
        if self._accounts is not None and self._accounts.holds(arrival.watched.key, arrival.txid):
            return
        origin = Origin.FLOAT if arrival.watched.branch == "float" and made is None else Origin.STRAY
        if made is not None:
            origin = made.origin
        self._add_coin(arrival.watched, arrival.txid, arrival.vout, arrival.amount, origin, arrival.height)
        other = ledger.FLOAT if origin is Origin.FLOAT else ledger.STRAY
        postings = ledger.move(self._coin, (ledger.COINS, arrival.amount), (other, -arrival.amount))
        self._records.append(ledger.Entry(origin.value, self._now, arrival.watched.service, None, postings))

    def accounts_unmined(self, found: Iterable[Arrival]) -> None:
        """Float and strays of accounts whose block is gone."""
        if self._accounts is None:
            return
        for arrival in self._from_outside(found):
            watched = arrival.watched
            if watched.order is not None or not self._accounts.take(watched.key, arrival.txid, arrival.amount):
                continue
            origin, other = (Origin.FLOAT, ledger.FLOAT) if watched.branch == "float" else (Origin.STRAY, ledger.STRAY)
            postings = ledger.move(self._coin, (other, arrival.amount), (ledger.COINS, -arrival.amount))
            self._records.append(ledger.Entry(f"{origin} reorganised", self._now, watched.service, None, postings))

    def coins_unmined(self, coins: Iterable[Coin]) -> None:
        """Float and strays whose block is gone (deposits and change are seen to with their own documents)."""
        for coin in coins:
            if coin.origin not in (Origin.FLOAT, Origin.STRAY) or not coin.booked:
                continue
            coin.height, coin.booked = None, False
            self._records.save_coin(coin)
            account = ledger.FLOAT if coin.origin is Origin.FLOAT else ledger.STRAY
            postings = ledger.move(self._coin, (account, coin.amount), (ledger.COINS, -coin.amount))
            self._records.append(ledger.Entry(f"{coin.origin} reorganised", self._now, coin.service, None, postings))

    # -- payments -------------------------------------------------------------------------------------------------

    def payments_mined(self, payments: list[Payment]) -> None:
        """What a block mined. Orders and change are read at once, unless a payment comes back in another's place."""
        if all(payment.state is not PaymentState.REPLACED for payment in payments):
            self._orders = self._records.orders_by_number({c.order for payment in payments for c in payment.carried})
            self._changes = self._records.coins({p.change for p in payments if p.change is not None})
        for payment in payments:
            self._payment_mined(payment)
        self._orders, self._changes = {}, {}

    def _payment_mined(self, payment: Payment) -> None:
        if payment.state in (PaymentState.MINED, PaymentState.SETTLED):
            return
        if payment.state is PaymentState.REPLACED:
            self._reinstate(payment)
        payment.height = self._height
        payment.state = PaymentState.MINED
        if payment.change is not None:
            change = self._changes.get(payment.change) or self._records.coin(payment.change)
            change.height = self._height
            self._records.save_coin(change)
        depth = self._policies[payment.service].settle_confirmations
        if depth <= 1:
            self._settle(payment)
            return
        self._records.save_payment(payment, self._height + depth - 1)
        self._records.append(ledger.Entry("payment mined", self._now, payment.service))

    def _reinstate(self, payment: Payment) -> None:
        """Its replacement came too late: the block has the first one, whose coins and outputs are its own again."""
        carried = self._carried(payment)
        rivals = {order.outputs[index].payment for order, indexes in carried for index in indexes}
        freed = 0
        for number in rivals - {None, payment.number}:
            rival = self._records.payment(number or 0)
            self._give_way(rival)
            freed += rival.fee
        for order, indexes in carried:
            for index in indexes:
                order.outputs[index].payment = payment.number
            self._records.save_order(order)
        for coin in map(self._records.coin, payment.coins):
            coin.spent_by = payment.number
            self._records.save_coin(coin)
        if payment.change is not None:
            change = self._records.coin(payment.change)
            change.booked = True
            self._records.save_coin(change)
        difference = payment.fee - freed
        postings = ledger.move(self._coin, (ledger.MINER, difference), (ledger.COINS, -difference))
        self._records.append(ledger.Entry("payment reinstated", self._now, payment.service, None, postings))

    def _give_way(self, rival: Payment) -> None:
        rival.state, rival.reason = PaymentState.REPLACED, "came too late"
        self._records.save_payment(rival)
        for coin in map(self._records.coin, rival.coins):
            if coin.spent_by == rival.number:
                coin.spent_by = None
                self._records.save_coin(coin)
        if rival.change is not None:
            change = self._records.coin(rival.change)
            change.height, change.booked = None, False
            self._records.save_coin(change)

    def _settle(self, payment: Payment) -> None:
        payment.state = PaymentState.SETTLED
        self._records.save_payment(payment)
        for order, indexes in self._carried(payment):
            if order.state in (State.PAYING, State.FAILED):
                desk.settle(order, indexes, self._now)
                self._records.save_order(order)
        number = payment.carried[0].order if len(payment.carried) == 1 else None
        self._records.append(ledger.Entry("payment settled", self._now, payment.service, number))

    def payment_unmined(self, payment: Payment) -> None:
        """Its block is gone: it is on its way again."""
        if payment.state not in (PaymentState.MINED, PaymentState.SETTLED):
            return
        payment.state, payment.height = PaymentState.SENT, None
        self._records.save_payment(payment)
        if payment.change is not None:
            change = self._records.coin(payment.change)
            change.height = None
            self._records.save_coin(change)
        for order, indexes in self._carried(payment):
            if any(order.outputs[index].state is OutputState.CONFIRMED for index in indexes):
                desk.unsettle(order, indexes, self._now)
                self._records.save_order(order)
        self._records.append(ledger.Entry("payment reorganised", self._now, payment.service))

    def _carried(self, payment: Payment) -> list[tuple[Order, list[int]]]:
        indexes: dict[int, list[int]] = defaultdict(list)
        for each in payment.carried:
            indexes[each.order].append(each.output)
        orders = self._orders or self._records.orders_by_number(indexes)
        return [(orders[number], mine) for number, mine in indexes.items()]


def _by_order(deposits: Iterable[Deposit]) -> dict[int, list[Deposit]]:
    found: dict[int, list[Deposit]] = defaultdict(list)
    for deposit in deposits:
        found[deposit.order].append(deposit)
    return found
