"""Who looks at the four promises after every step, with eyes of its own on the chains.

After each step: the new entries (chain of hashes, sums), the balances against the documents, no output carried by two
live payments, coins against the chain's outputs, every acknowledged order, every payout that stands on a chain. The
full audit and the links cost more and are left to every so many steps and to the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import floor

from glasstumbler.audit_house import audit_house
from glasstumbler.chains.base import Block, LabChain, Outpoint, Tx
from glasstumbler.chains.lightning import LightningNetwork
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Coin
from glasstumbler.engine.order import OPEN_STATES, Order, OutputState, State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.engine.policy import FeeRule
from glasstumbler.errors import BadAddress, NotATestNetwork
from glasstumbler.ground import Chains
from glasstumbler.house import House
from glasstumbler.lab.truth import links
from glasstumbler.store.records import Records
from glasstumbler.torture.people import Promise

TEST_NETWORKS, ACCOUNTED, LINKED, PAID_ONCE, LIVE = (
    "test networks only",
    "every coin is accounted for",
    "every link is known",
    "paid once",
    "every order ends",
)
ENDED = frozenset((State.COMPLETED, State.EXPIRED, State.FAILED))
_LIVE = frozenset((PaymentState.STORED, PaymentState.SENT, PaymentState.MINED, PaymentState.SETTLED))


class Broken(Exception):
    """A promise was broken."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


class ChainReader:
    """Outputs and spenders on one chain, block by block, followed through reorganisations."""

    def __init__(self, chain: LabChain) -> None:
        self.chain = chain
        self._from = chain.tip()[0] + 1
        self._blocks: list[Block] = []
        self.outputs: dict[bytes, dict[Outpoint, int]] = defaultdict(dict)
        """Amounts by key and outpoint, in the active chain."""
        self.amounts: dict[Outpoint, int] = {}
        self.spent: dict[Outpoint, str] = {}

    def follow(self) -> None:
        while self._blocks and self.chain.block_hash(self._blocks[-1].height) != self._blocks[-1].hash:
            for tx in self._blocks.pop().txs:
                self._take(tx)
        while (block_hash := self.chain.block_hash(self._from + len(self._blocks))) is not None:
            block = self.chain.block(block_hash)
            self._blocks.append(block)
            for tx in block.txs:
                self._put(tx)

    def _put(self, tx: Tx) -> None:
        for vout, output in enumerate(tx.outputs):
            self.outputs[output.key][Outpoint(tx.txid, vout)] = output.amount
            self.amounts[Outpoint(tx.txid, vout)] = output.amount
        self.spent.update((outpoint, tx.txid) for outpoint in tx.inputs)

    def _take(self, tx: Tx) -> None:
        for vout, output in enumerate(tx.outputs):
            del self.outputs[output.key][Outpoint(tx.txid, vout)]
            del self.amounts[Outpoint(tx.txid, vout)]
        for outpoint in tx.inputs:
            self.spent.pop(outpoint, None)

    def waiting(self) -> dict[bytes, dict[Outpoint, int]]:
        found: dict[bytes, dict[Outpoint, int]] = defaultdict(dict)
        for txid in self.chain.mempool():
            tx = self.chain.transaction(txid)
            for vout, output in enumerate(tx.outputs if tx is not None else ()):
                found[output.key][Outpoint(txid, vout)] = output.amount
        return found


class Witness:
    """`chains` are the laboratory's own: no line lies between."""

    def __init__(self, chains: Chains) -> None:
        self._readers = {coin: ChainReader(chain) for coin, chain in chains.onchain.items()}
        self._lightning = chains.lightning if isinstance(chains.lightning, LightningNetwork) else None
        self._number, self._hash = 0, ledger.GENESIS_HASH
        self._balances: dict[tuple[str, str, str], int] = defaultdict(int)
        self._addresses: set[str] = set()

    # -- after every step -----------------------------------------------------------------------------------------

    def look(self, house: House, promises: Sequence[Promise]) -> None:
        for reader in self._readers.values():
            reader.follow()
        with house.store.snapshot() as records:
            self._entries(records)
            orders = {order.number: order for order in records.all_orders()}
            payments = {payment.number: payment for payment in records.all_payments()}
            coins = list(records.all_coins())
            cursors = {coin: records.cursor(coin) for coin in self._readers}
        self._sums(orders, coins)
        self._carried(payments)
        for coin, reader in self._readers.items():
            if cursors[coin] == reader.chain.tip() and not reader.chain.format.one_to_one:
                self._wallet(reader, [each for each in coins if each.coin == coin], payments)
        self._acknowledged(orders, promises)
        self._test_forms(orders)
        self._paid(house, orders, payments)

    def _entries(self, records: Records) -> None:
        """What was seen once stands for good, whatever died since; what is new follows from it and adds up."""
        known = next(records.entries(self._number), None) if self._number else (0, b"", ledger.GENESIS_HASH)
        if known is None or known[0] != self._number or known[2] != self._hash:
            raise Broken(ACCOUNTED, f"entry {self._number} was there, and is not there any more")
        for number, raw, link in records.entries(self._number + 1):
            if number != self._number + 1 or link != ledger.link(self._hash, number, raw):
                raise Broken(ACCOUNTED, f"entry {number} does not follow from the one before")
            entry = ledger.read(raw)
            sums: dict[str, int] = defaultdict(int)
            for account, coin, amount in entry.postings:
                sums[coin] += amount
                self._balances[entry.service, account, coin] += amount
            if any(sums.values()):
                raise Broken(ACCOUNTED, f"entry {number} ({entry.kind}) is out of balance")
            self._number, self._hash = number, link

    def _sums(self, orders: Mapping[int, Order], coins: Sequence[Coin]) -> None:
        held: dict[tuple[str, str, str], int] = defaultdict(int)
        for coin in coins:
            held[coin.service, ledger.COINS, coin.coin] += coin.amount * (coin.booked - (coin.spent_by is not None))
        for order in orders.values():
            for coin_name, amount in _owed(order).items():
                held[order.service, ledger.owed(order.number), coin_name] -= amount
        kept = {
            account: amount
            for account, amount in self._balances.items()
            if account[1] == ledger.COINS or account[1].startswith("order:")
        }
        for account in {*held, *kept}:
            if held.get(account, 0) != kept.get(account, 0):
                service, name, coin_name = account
                raise Broken(
                    ACCOUNTED,
                    f"{service}: {name} is {kept.get(account, 0)} {coin_name} in the ledger, "
                    f"{held.get(account, 0)} by the documents",
                )

    def _carried(self, payments: Mapping[int, Payment]) -> None:
        seen: dict[tuple[int, int], int] = {}
        for payment in payments.values():
            for each in payment.carried if payment.state in _LIVE else ():
                other = seen.setdefault((each.order, each.output), payment.number)
                if other != payment.number:
                    raise Broken(
                        PAID_ONCE,
                        f"order {each.order}, output {each.output} is carried by payments {other} and {payment.number}",
                    )

    def _wallet(self, reader: ChainReader, coins: Sequence[Coin], payments: Mapping[int, Payment]) -> None:
        """A mined coin stands on the chain; it is spent there by the payment that the record names or by nothing."""
        for coin in coins:
            if coin.height is None or not coin.booked:
                continue
            outpoint = Outpoint(coin.txid, coin.vout)
            there = reader.amounts.get(outpoint) == coin.amount
            spender = reader.spent.get(outpoint)
            by = payments[coin.spent_by].txid if coin.spent_by is not None else None
            if not there or spender not in (None, by):
                raise Broken(
                    ACCOUNTED,
                    f"coin {coin.number} ({coin.coin} {coin.txid}:{coin.vout}, spent by {by}): "
                    f"{'there' if there else 'not there'} on the chain, spent by {spender}",
                )

    def _acknowledged(self, orders: Mapping[int, Order], promises: Sequence[Promise]) -> None:
        by_name = {(order.service, order.id): order for order in orders.values()}
        for promise in promises:
            order = by_name.get((promise.service, promise.id))
            if order is None:
                raise Broken(PAID_ONCE, f"{promise.service} order {promise.id} was acknowledged and is gone")
            targets = tuple(output.address for output in order.outputs)
            if (order.address, targets) != (promise.address, promise.targets):
                raise Broken(PAID_ONCE, f"{promise.service} order {promise.id} is not what was acknowledged")
            for output, wanted in zip(order.outputs, promise.amounts, strict=True):
                partly = order.swap is not None and order.swap.amount != wanted
                if wanted is not None and output.amount not in (None, wanted) and not partly:
                    raise Broken(
                        PAID_ONCE, f"{promise.service} order {promise.id}: {wanted} was asked for, not {output.amount}"
                    )

    def _test_forms(self, orders: Mapping[int, Order]) -> None:
        for order in orders.values():
            places = [(order.coin, order.address)]
            places += [(order.payout_coin, output.address) for output in order.outputs if order.payout_coin != "msat"]
            for coin, address in places:
                if address in self._addresses:
                    continue
                self._addresses.add(address)
                try:
                    self._readers[coin].chain.format.key(address)
                except (NotATestNetwork, BadAddress) as error:
                    raise Broken(TEST_NETWORKS, str(error)) from None

    # -- the chains' word -----------------------------------------------------------------------------------------

    def _paid(self, house: House, orders: Mapping[int, Order], payments: Mapping[int, Payment]) -> None:
        """Every payout on a chain is the only one of its output, and of the right amount."""
        waiting = {coin: reader.waiting() for coin, reader in self._readers.items()}
        for order in orders.values():
            if order.payout_coin == "msat":
                self._paid_lightning(order)
                continue
            reader = self._readers[order.payout_coin]
            rule = house.policies[order.service].fee_rule
            for index, output in enumerate(order.outputs):
                key = reader.chain.format.key(output.address)
                found = {**reader.outputs.get(key, {}), **waiting[order.payout_coin].get(key, {})}
                where = f"order {order.number} ({order.service}, {order.state}), output {index}"
                if len(found) > 1:
                    raise Broken(PAID_ONCE, f"{where} is paid {len(found)} times: {_listed(found)}")
                if found and list(found.values()) != [due := _due(order, index, rule)]:
                    raise Broken(PAID_ONCE, f"{where} is paid {_listed(found)}, and {due} is due")

    def _paid_lightning(self, order: Order) -> None:
        assert self._lightning is not None
        paid = self._lightning.lookup(str((order.extra or {})["payment_hash"])) == "paid"
        if paid and order.state is State.FAILED:
            raise Broken(PAID_ONCE, f"order {order.number} is paid by Lightning, and failed in the record")
        if not paid and order.outputs[0].state is OutputState.CONFIRMED:
            raise Broken(PAID_ONCE, f"order {order.number} is not paid by Lightning, and is in the record")

    # -- now and then ---------------------------------------------------------------------------------------------

    def audit(self, house: House) -> None:
        report = audit_house(house)
        if not report.clean:
            raise Broken(ACCOUNTED, f"the audit: {report.differences[0]}")

    def links(self, house: House) -> None:
        """Every payout of ours that stands on a chain is a link, whose parts add up to it."""
        with house.store.snapshot() as records:
            known = {(link.coin, link.txid, link.vout): link for link in links(records)}
            payments = [payment for payment in records.all_payments() if payment.coin in self._readers]
        for link in known.values():
            if sum(part.amount for part in link.parts) != link.amount and link.parts:
                raise Broken(LINKED, f"the parts of {link.outpoint} do not add up to {link.amount}")
        for payment in payments:
            place = self._readers[payment.coin].chain.place(payment.txid)
            for each in payment.carried if place is not None and place.height is not None else ():
                if payment.state is PaymentState.SETTLED and (payment.coin, payment.txid, each.vout) not in known:
                    raise Broken(LINKED, f"{payment.coin} {payment.txid}:{each.vout} has no link")

    def ended(self, house: House, promises: Sequence[Promise]) -> None:
        """When the world has been kind for long enough."""
        with house.store.snapshot() as records:
            orders = list(records.all_orders())
            coins = (*self._readers, "msat")
            on_their_way = [number for coin in coins for number, _, _ in records.on_their_way(coin, 100)]
        for order in orders:
            if order.state not in ENDED:
                raise Broken(LIVE, f"order {order.number} ({order.service}) is still {order.state}")
            if order.payout_coin != "msat" and order.state is State.COMPLETED:
                self._stands(order)
        if on_their_way:
            raise Broken(LIVE, f"payment {on_their_way[0]} is still on its way")

    def _stands(self, order: Order) -> None:
        reader = self._readers[order.payout_coin]
        for index, output in enumerate(order.outputs):
            if not reader.outputs.get(reader.chain.format.key(output.address)):
                raise Broken(PAID_ONCE, f"order {order.number} is completed, and output {index} is in no block")


def _owed(order: Order) -> dict[str, int]:
    """What the documents say is owed to a customer."""
    if order.state in OPEN_STATES:
        return {order.coin: order.credited}
    if order.state is State.PAYING:
        left = [output for output in order.outputs if output.state is OutputState.PENDING]
        return {order.payout_coin: sum(output.amount or 0 for output in left)}
    return {}


def _listed(found: Mapping[Outpoint, int]) -> str:
    return ", ".join(f"{amount} in {outpoint.txid}:{outpoint.vout}" for outpoint, amount in sorted(found.items()))


def _due(order: Order, index: int, rule: FeeRule) -> int:
    """What an output is to get, reckoned in fractions and not as engine/plan.py does."""
    output = order.outputs[index]
    if order.swap is not None:
        return order.swap.amount
    if output.wanted is not None:
        return output.wanted
    return floor(_SHARES[rule](order, index)) - output.network_fee


def _share_of_received(order: Order, index: int) -> Fraction:
    fee = floor(Fraction(_used(order) * order.terms.fee_ppm, 10**6) + Fraction(1, 2))
    return Fraction((_used(order) - fee) * (order.outputs[index].share or 0), 1000)


def _equal_share(order: Order, index: int) -> Fraction:
    count = len(order.outputs)
    left = _used(order) - order.terms.per_output * count - order.terms.flat
    return Fraction(left * 10**6, (10**6 + order.terms.fee_ppm) * count)


def _used(order: Order) -> int:
    return order.credited if order.terms.maximum is None else min(order.credited, order.terms.maximum)


_SHARES: Mapping[FeeRule, Callable[[Order, int], Fraction]] = {
    FeeRule.ON_RECEIVED: _share_of_received,
    FeeRule.ON_PAYOUTS: _equal_share,
}
