"""The faucet: the miner's own wallet, with one key. It pays out of many small coins, so that thousands of payments
can wait at once without building long chains of each other's change.

`purse` holds coins of about one coin each, `vault` the mature coinbases that it is refilled from. `resting` are coins
until the next block: with too many waiting ancestors, or spent by a payment that a reorganisation made the faucet
forget and somebody sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from glasstumbler.chains.base import Format, Outpoint, Output, Signed, Spend, Tx
from glasstumbler.chains.coinview import Coin, CoinView
from glasstumbler.chains.mempool import Mempool
from glasstumbler.chains.networks import COIN, MATURITY
from glasstumbler.errors import NoFunds

RATE = 2
"""sat/vB of every payment."""
_PURSE = 400
_LOW = 200
"""Coins in the purse: after a refill, and when the next one is due."""
_LARGEST = 4 * COIN
"""Of a coin in the purse."""
_MOST_INPUTS = 500
_MOST_ANCESTORS = 10
"""Far below the limit of 25, which also counts what receivers build on a payment."""


class Faucet:
    """Not safe from several threads. What it signs must be broadcast, or `recount` be called."""

    def __init__(self, coins: Format, kind: str, secret: bytes, mempool: Mempool) -> None:
        self._format, self._kind, self._secret, self._mempool = coins, kind, secret, mempool
        self.key = coins.own_key(kind, secret)
        self._purse: deque[Spend] = deque()
        self._vault: deque[Spend] = deque()
        self._resting: list[Spend] = []
        self._maturing: deque[tuple[int, Spend]] = deque()

    def recount(self, view: CoinView) -> None:
        """Look through chain and mempool for all coins anew: on start, after a reorganisation or a refusal."""
        self._purse, self._vault, self._resting, self._maturing = deque(), deque(), [], deque()
        for outpoint, coin in self._in_order(view):
            spend = self._spend(outpoint, coin.amount)
            if coin.coinbase and view.height + 1 - coin.height < MATURITY:
                self._maturing.append((coin.height, spend))
            else:
                self._put(spend)
        self._maturing = deque(sorted(self._maturing))
        for entry in self._mempool.entries.values():
            for spend in self._own(entry.tx):
                if self._mempool.spender(spend.outpoint) is None:
                    self._put(spend)

    def _in_order(self, view: CoinView) -> list[tuple[Outpoint, Coin]]:
        """Its unspent coins on the chain, in the chain's order, whatever way it came about."""
        own = [
            (*view.standing[outpoint.txid][:2], outpoint.vout, outpoint, coin)
            for outpoint, coin in view.coins.items()
            if coin.key == self.key and self._mempool.spender(outpoint) is None
        ]
        return [each[3:] for each in sorted(own)]

    def mined(self, txs: Sequence[Tx], height: int) -> None:
        """A block came: its coinbase begins to mature, older ones are mature now, resting coins wake."""
        self._maturing += [(height, spend) for tx in txs[:1] for spend in self._own(tx)]
        while self._maturing and height + 1 - self._maturing[0][0] >= MATURITY:
            self._put(self._maturing.popleft()[1])
        for spend in self._resting:
            self._put(spend)
        self._resting.clear()

    def sign(self, outputs: Sequence[Output]) -> Signed:
        """A payment to these outputs, change to the faucet. NoFunds if the coins do not suffice."""
        amount = sum(output.amount for output in outputs)
        keys = [output.key for output in outputs] + [self.key]
        spends: list[Spend] = []
        have, fee = 0, 0
        for spend in self._draw(amount):
            spends.append(spend)
            have += spend.amount
            fee = self._format.fee([self._kind] * len(spends), keys, RATE)
            if have >= amount + fee:
                break
        else:
            for spend in spends:
                self._put(spend)
            raise NoFunds(f"the faucet cannot pay {amount} now")
        change = have - amount - fee
        own = [Output(self.key, change)] if change >= self._format.dust else []
        return self._format.sign(spends, [*outputs, *own])

    def sent(self, tx: Tx) -> None:
        """A payment of the faucet's was broadcast: its change can be spent."""
        for spend in self._own(tx):
            self._put(spend)

    def refills(self) -> Iterator[Signed]:
        """Transactions that split the vault's coins where the purse runs low: broadcast each before the next."""
        due = len(self._purse) < _LOW
        while due and self._vault and len(self._purse) < _PURSE:
            spend = self._vault.popleft()
            if self._is_free(spend):
                yield self._split(spend)

    def _split(self, spend: Spend) -> Signed:
        parts = spend.amount // COIN - 1
        outputs = [Output(self.key, COIN)] * parts
        fee = self._format.fee([self._kind], [self.key] * (parts + 1), RATE)
        return self._format.sign([spend], [*outputs, Output(self.key, spend.amount - parts * COIN - fee)])

    def _draw(self, amount: int) -> Iterator[Spend]:
        """Coins, best first, taken out of the wallet one by one."""
        small_first = (self._purse, self._vault)
        for store in small_first if amount < COIN * 2 else small_first[::-1]:
            for _ in range(min(len(store), _MOST_INPUTS)):
                spend = store.popleft()
                if self._is_free(spend):
                    yield spend

    def _is_free(self, spend: Spend) -> bool:
        """If not it rests, or is let go of when it is no coin any more."""
        if self._mempool.spender(spend.outpoint) is None and not self._is_deep(spend):
            return self._mempool.has(spend.outpoint)
        self._resting.append(spend)
        return False

    def _is_deep(self, spend: Spend) -> bool:
        waiting = spend.outpoint.txid in self._mempool.entries
        if not waiting:
            return False
        ancestors = self._mempool.ancestors((spend.outpoint.txid,))
        return len(ancestors) > _MOST_ANCESTORS or len(self._mempool.descendants(ancestors)) > _MOST_ANCESTORS

    def _own(self, tx: Tx) -> Iterator[Spend]:
        for vout, (key, amount) in enumerate(tx.outputs):
            if key == self.key:
                yield self._spend(Outpoint(tx.txid, vout), amount)

    def _spend(self, outpoint: Outpoint, amount: int) -> Spend:
        return Spend(outpoint, amount, self._kind, self._secret)

    def _put(self, spend: Spend) -> None:
        (self._purse if spend.amount <= _LARGEST else self._vault).append(spend)
