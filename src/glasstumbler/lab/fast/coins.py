"""A chain of coins put together: the services' transactions, the customers' deposits and everybody else's payments.

Customers pay from the coins that the background economy leaves them and spend what services pay them; where they have
too little, the faucet pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from glasstumbler.chains.formats import FORMATS
from glasstumbler.errors import RecordError
from glasstumbler.lab.economy import OUTSIDE, Made
from glasstumbler.lab.fast import people as places
from glasstumbler.lab.fast.chains import COINBASE, Gathered, Put, Txs, in_order, with_txids
from glasstumbler.lab.fast.flows import Flow, deposits, first_keys, first_names, payouts
from glasstumbler.lab.fast.left import NONE, Side
from glasstumbler.lab.fast.purses import FaucetEmptyError, Purses
from glasstumbler.lab.fast.shard import BEFORE
from glasstumbler.lab.population import Ints, Population, customers
from glasstumbler.lab.scenario import Scenario

SUBSIDY: Final = 50 * 10**8
_FLOATS, _GRANTS = BEFORE - 1, BEFORE
"""Heights at which services and people get their first coins."""
_GRANTED: Final = 500
"""Outputs in one transaction of the faucet."""
_SPARE: Final = 10**8
_MOST_DOUBLED: Final = 8


def put_together(
    coin: str, scenario: Scenario, people: Population, seed: int, sides: Mapping[str, Side], blocks: int
) -> tuple[Putting, Put]:
    """`blocks`: how many come behind the first ones. Where payments that take several of the faucet's coins leave it
    with too few for a block, everything is put together again with twice as many."""
    for doubled in range(_MOST_DOUBLED):
        putting = Putting(coin, scenario, people, seed, sides, 2**doubled)
        try:
            return putting, putting.put(blocks)
        except FaucetEmptyError:
            continue
    raise RecordError(None, f"the faucet of {coin} cannot pay for this scenario; fewer orders in a day would do")


class Putting:
    """`times`: by which the faucet has more than its payments add up to."""

    def __init__(
        self, coin: str, scenario: Scenario, people: Population, seed: int, sides: Mapping[str, Side], times: int
    ) -> None:
        self._times = times
        self._coin, self._people, self._seed, self._sides = coin, people, seed, sides
        self._lives, self._seconds = coin in scenario.economy.coins, scenario.block_seconds
        guests = customers(scenario, len(people)) if self._lives else 0
        self.economy = Purses(scenario.economy, guests, seed, coin, scenario.block_seconds)
        self.economy.first_address(places.PAYOUTS * len(people))
        self._homes = places.homes(people)
        self._gathered = Gathered()
        self._output_of_coin = np.zeros(1 << 12, np.int64)
        self._first_name, names = first_names(sides)
        self._first_key, self._first_person = first_keys(sides)
        self._output_of_named = np.full(names, NONE, np.int64)
        self._tx_of_named = np.full(names, NONE, np.int64)

    def put(self, blocks: int) -> Put:
        """`blocks`: how many come behind the first ones."""
        parts = {slug: self._payments(slug, side) for slug, side in self._sides.items()}
        incoming, outgoing = deposits(self._sides, self._first_name, self._first_key), self._payouts()
        self._begin(incoming)
        self._floats()
        if self._lives:
            owner, amount = self.economy.grants()
            first = np.append(np.arange(0, len(owner), _GRANTED), len(owner))
            self._add(self.economy.faucet_pays(first, owner, amount, 0), _GRANTS)
        self.economy.mined()
        for block in range(1, blocks + 1):
            self._block(block, incoming.at(BEFORE + block), outgoing.at(BEFORE + block))
        self._spend(parts)
        self._coinbases(BEFORE + blocks)
        return self._finish()

    # -- what the services did ------------------------------------------------------------------------------------

    def _payments(self, slug: str, side: Side) -> int:
        """Which part of what was gathered has them; what they spend is found when everything is there."""
        count = len(side.payment_height)
        named = self._first_name[slug] + len(side.txids) - count + np.arange(count)
        number = self._people_numbers(side)
        address = np.where(
            side.output_order == NONE, self._first_key[slug] + side.output_key, self._first_person + number
        )
        nothing = np.full(len(side.input_tx), NONE, np.int64)
        part = Txs(
            side.payment_height, side.payment_fee, named, side.first_input, nothing, nothing, nothing, nothing,
            side.first_output, address, side.output_amount,
        )  # fmt: skip
        txs, outputs = self._gathered.add(part)
        self._tx_of_named[named] = txs
        self._output_of_named[named] = np.append(outputs, NONE)[side.first_output[:-1]]
        return len(self._gathered.parts) - 1

    def _people_numbers(self, side: Side) -> Ints:
        """Of the address that each output of a service's payment pays; nonsense for its own."""
        return places.numbers(self._people, self._homes, side.output_order, side.output_place)

    def _payouts(self) -> Flow:
        numbers = {slug: self._people_numbers(side) for slug, side in self._sides.items()}
        return payouts(self._sides, self._first_name, self._output_of_named, numbers)

    def _spend(self, parts: Mapping[str, int]) -> None:
        """RecordError if a service's wallet had another coin than the chain has."""
        amounts = np.concatenate([part.amount for part in self._gathered.parts])
        for slug, number in parts.items():
            side, part = self._sides[slug], self._gathered.parts[number]
            made = self._output_of_named[self._first_name[slug] + side.input_tx]
            deposited = side.input_tx < len(side.deposit_order)
            spends = made + np.where(deposited, 0, side.input_vout)
            if not np.array_equal(amounts[spends], side.input_amount):
                raise RecordError(None, f"{slug} spends {self._coin} that its chain does not have")
            self._gathered.parts[number] = part._replace(spends=spends)

    # -- what everybody else did ----------------------------------------------------------------------------------

    def _begin(self, incoming: Flow) -> None:
        """The faucet's coins: as many as it will pay in one block, and each with enough."""
        _, granted = self.economy.grants()
        floats = np.concatenate([side.float_amount for side in self._sides.values()])
        at_once = int(np.bincount(incoming.height, minlength=1).max()) + len(granted) // _GRANTED + len(self._sides) + 1
        largest = max(int(each.sum()) for each in (granted[:_GRANTED], granted[-_GRANTED:], floats))
        needed = int(incoming.amount.sum()) + int(granted.sum()) + int(floats.sum())
        each = max(2 * needed // at_once, largest // 20, int(incoming.amount.max(initial=0))) + _SPARE
        at_once *= self._times
        faucet = np.full(at_once, self.economy.faucet, np.int64)
        address = np.full(at_once, int(self.economy.fresh(faucet[:1])[0]), np.int64)
        amount = np.full(at_once, each, np.int64)
        self._coinbase(np.zeros(1, np.int64), np.array([0, at_once]), address, amount)
        coins = self.economy.receive(faucet, address, amount)
        self._note(coins, np.arange(self._gathered.outputs - at_once, self._gathered.outputs))
        self.economy.mined()

    def _floats(self) -> None:
        for slug, side in self._sides.items():
            count = len(side.float_amount)
            if count:
                outside, first = np.full(count, OUTSIDE, np.int64), np.array([0, count])
                named = np.array([self._first_name[slug] + len(side.deposit_order)])
                made = self.economy.faucet_pays(first, outside, side.float_amount, -1)
                self._add(made, _FLOATS, named, self._first_key[slug] + side.float_key)

    def _block(self, block: int, incoming: Flow, outgoing: Flow) -> None:
        height = BEFORE + block
        if len(incoming.height):
            self._pay(block, incoming)
        if self._lives:
            for made in self.economy.step(block, block * self._seconds):
                if len(made):
                    self._add(made, height)
            owner = self._people.customer[outgoing.order]
            self._note(self.economy.receive(owner, outgoing.what, outgoing.amount), outgoing.named)
        self.economy.mined()

    def _pay(self, block: int, incoming: Flow) -> None:
        """Deposits, from their customers' own coins or from the faucet."""
        height, poor = BEFORE + block, np.ones(len(incoming.height), np.bool_)
        if self._lives:
            made, good = self.economy.pay_all(self._people.customer[incoming.order], incoming.amount, block)
            self._add(made, height, incoming.named[good], incoming.what[good])
            poor = ~good
        if poor.any():
            first = np.arange(int(poor.sum()) + 1)
            outside = np.full(len(first) - 1, OUTSIDE, np.int64)
            made = self.economy.faucet_pays(first, outside, incoming.amount[poor], block)
            self._add(made, height, incoming.named[poor], incoming.what[poor])

    def _add(self, made: Made, height: int, named: Ints | None = None, outside: Ints | None = None) -> None:
        """`named`: rows of the txids that are known already; `outside`: names of the services' keys that are paid."""
        count, inside = len(made), made.owner != OUTSIDE
        address = self._first_person + made.address
        if outside is not None:
            address[~inside] = outside
        nothing = np.full(len(made.inputs), NONE, np.int64)
        part = Txs(
            np.full(count, height), made.fee, np.full(count, NONE) if named is None else named, made.first_input,
            self._output_of_coin[made.inputs], nothing, nothing, nothing, made.first_output, address, made.amount,
        )  # fmt: skip
        txs, outputs = self._gathered.add(part)
        self._note(made.output[inside], outputs[inside])
        if named is not None and count:
            self._tx_of_named[named] = txs
            paid = np.repeat(np.arange(count), np.diff(made.first_output))[~inside]
            self._output_of_named[named[paid[::-1]]] = outputs[~inside][::-1]  # the first one's stays

    def _note(self, coins: Ints, outputs: Ints) -> None:
        while len(coins) and int(coins[-1]) >= len(self._output_of_coin):
            self._output_of_coin = np.concatenate([self._output_of_coin, np.zeros_like(self._output_of_coin)])
        self._output_of_coin[coins] = outputs

    def _coinbase(self, height: Ints, first: Ints, address: Ints, amount: Ints) -> None:
        none, begin = np.zeros(0, np.int64), np.zeros(len(height) + 1, np.int64)
        fee = np.full(len(height), COINBASE)
        self._gathered.add(
            Txs(
                height, fee, np.full(len(height), NONE), begin, none, none, none, none, first,
                self._first_person + address, amount,
            )
        )  # fmt: skip

    def _coinbases(self, tip: int) -> None:
        """Every block's but the first one's."""
        height = np.concatenate([part.height for part in self._gathered.parts])
        fee = np.concatenate([part.fee for part in self._gathered.parts])
        fees = np.bincount(height[fee != COINBASE], fee[fee != COINBASE], tip + 1).astype(np.int64)[1:]
        address = np.full(tip, self.economy.home[self.economy.faucet])
        self._coinbase(np.arange(1, tip + 1), np.arange(tip + 1), address, SUBSIDY + fees)

    # -- the whole ------------------------------------------------------------------------------------------------

    def _finish(self) -> Put:
        own = np.concatenate([np.repeat(self._people.customer, places.PAYOUTS), *self.economy.owner_of])
        kinds = len(FORMATS[self._coin].kinds)
        key_kinds = [side.kinds for side in self._sides.values()]
        whole = self._gathered.whole()
        self._gathered = Gathered()
        known = np.concatenate([side.txids for side in self._sides.values()])
        txid = with_txids(whole.named, known, self._seed, self._coin)
        chain = in_order(whole, txid, self._first_person + len(own))
        return Put(
            chain,
            np.concatenate([*key_kinds, own % kinds]),
            np.concatenate([side.keys for side in self._sides.values()]),
            own,
            {slug: chain.tx_of[self._of(slug, self._tx_of_named)] for slug in self._sides},
            {slug: chain.output_of[self._of(slug, self._output_of_named)] for slug in self._sides},
            self._first_key,
        )

    def _of(self, slug: str, named: Ints) -> Ints:
        first = self._first_name[slug]
        return named[first : first + len(self._sides[slug].txids)]


def check_wallet(slug: str, coin: str, side: Side, put: Put) -> None:
    """RecordError unless what the chain pays to a service and does not spend again is what the record says it has."""
    first, chain = put.first_key[slug], put.chain
    name = chain.known[chain.address]
    mine = (name >= first) & (name < first + len(side.keys))
    mine[chain.spends] = False
    held = int(chain.amount[mine].sum())
    if held != int(side.unspent[0]):
        raise RecordError(None, f"{slug} holds {held} {coin} on its chain; the record says {int(side.unspent[0])}")
