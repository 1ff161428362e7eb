"""The background economy as real transactions on a chain of coins: keys, signatures, broadcasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from glasstumbler.chains.base import LabChain, Outpoint, Output, Signed, Spend
from glasstumbler.chains.keys import KeyRing
from glasstumbler.errors import ChainError
from glasstumbler.lab.economy import OUTSIDE, Background, Made
from glasstumbler.lab.population import Ints

_GRANTS = 500
"""Outputs in one transaction of the faucet."""
_PEOPLE = "people"


class _Coin(NamedTuple):
    outpoint: Outpoint
    owner: int
    address: int
    amount: int


class Signing:
    """`economy` decides; this signs and sends. A block's transactions spend only what earlier blocks made."""

    def __init__(self, chain: LabChain, economy: Background, ring: KeyRing) -> None:
        self.chain, self.economy, self._ring = chain, economy, ring
        self.coins: dict[int, _Coin] = {}
        """By number, those that the economy can spend."""
        self.awaited: dict[int, int] = {}
        """Addresses that services were asked to pay to, and their owners."""
        self._keys: dict[bytes, int] = {}
        self.own: set[str] = set()
        """Txids of what it sent and no block has yet."""
        self.inputs = 0
        """Signed so far by this process."""
        self._secret = cache(self._secret_of)

    def begin(self) -> None:
        """The faucet gives everybody their first coins."""
        owner, amount = self.economy.grants()
        address = self.economy.fresh(owner)
        for at in range(0, len(owner), _GRANTS):
            part = slice(at, at + _GRANTS)
            outputs = [
                Output(self.key(int(a), int(o)), int(units))
                for a, o, units in zip(address[part], owner[part], amount[part], strict=True)
            ]
            txid = self.chain.pay_many(outputs)
            places = [Outpoint(txid, vout) for vout in range(len(outputs))]
            self._receive(places, owner[part], address[part], amount[part])
            self.own.add(txid)

    def fresh_address(self, owner: int) -> str:
        """Where a service is to pay this owner."""
        (address,) = (int(a) for a in self.economy.fresh(np.array([owner], np.int64)))
        self.awaited[address] = owner
        key = self.key(address, owner)
        self._keys[key] = address
        return self.chain.format.address(key)

    def pay(self, owner: int, address: str, amount: int, block: int, serial: int) -> str | None:
        """A deposit from the owner's own coins; None if they do not suffice."""
        made = self.economy.pay(owner, amount, block, serial)
        if made is None:
            return None
        (txid,) = self.send(made, self.sign(made, self.chain.format.key(address)))
        return txid

    def step(self, block: int, seconds: int) -> int:
        """What else happens before the next block; how many transactions."""
        return sum(len(self.send(made, self.sign(made))) for made in self.economy.step(block, seconds))

    def mined(self) -> None:
        """Take in the chain's last block: what it pays to people can be spent."""
        found: list[tuple[int, int, int]] = []
        places: list[Outpoint] = []
        for tx in self.chain.block(self.chain.tip()[1]).txs:
            if tx.txid in self.own:
                self.own.discard(tx.txid)
                continue
            for vout, output in enumerate(tx.outputs):
                if (address := self._keys.get(output.key)) is not None:
                    found.append((self.awaited[address], address, output.amount))
                    places.append(Outpoint(tx.txid, vout))
        if found:
            owner, address_, amount = (np.array(column, np.int64) for column in zip(*found, strict=True))
            self._receive(places, owner, address_, amount)
        self.economy.mined()

    def outpoints(self) -> list[tuple[str, int]]:
        """Of the economy's coins, in its order: what `restore` wants back."""
        coins = (self.coins[number] for number in self.economy.number.tolist())
        return [(coin.outpoint.txid, coin.outpoint.vout) for coin in coins]

    def owners(self) -> Iterator[tuple[str, int, str]]:
        """(address, owner, role) of every address that was ever given to somebody."""
        for number, owner in enumerate(np.concatenate([*self.economy.owner_of]).tolist()):
            yield self.chain.format.address(self.key(number, owner)), owner, self.economy.role(owner)

    def restore(
        self, outpoints: Sequence[tuple[str, int]], awaited: Iterable[tuple[int, int]], own: Iterable[str]
    ) -> None:
        """Go on with an economy that was restored."""
        self.coins.clear()
        self._note(self.economy.number, [Outpoint(*place) for place in outpoints], *self._columns())
        self.awaited, self.own = dict(awaited), set(own)
        self._keys = {self.key(address, owner): address for address, owner in self.awaited.items()}

    # -- within ---------------------------------------------------------------------------------------------------

    def send(self, made: Made, signed: Sequence[Signed]) -> list[str]:
        """Txids. ChainError if the chain takes one of them not: the economy makes none that it would not."""
        for refused in self.chain.broadcast_all([each.raw for each in signed]):
            if refused is not None:
                raise ChainError(f"the {self.chain.coin} chain refuses the background economy: {refused}")
        for number, each in enumerate(signed):
            first, end = int(made.first_output[number]), int(made.first_output[number + 1])
            places = [Outpoint(each.txid, vout) for vout in range(end - first)]
            part = slice(first, end)
            self._note(made.output[part], places, made.owner[part], made.address[part], made.amount[part])
            self.own.add(each.txid)
        return [each.txid for each in signed]

    def sign(self, made: Made, outside: bytes = b"") -> list[Signed]:
        """In their order; outputs outside go to the key `outside`. What they spend is forgotten."""
        coins = [self.coins.pop(number) for number in made.inputs.tolist()]
        spends = [Spend(c.outpoint, c.amount, self._kind(c.owner), self._secret(c.address)) for c in coins]
        columns = zip(made.owner.tolist(), made.address.tolist(), made.amount.tolist(), strict=True)
        outputs = [Output(outside if owner == OUTSIDE else self.key(a, owner), units) for owner, a, units in columns]
        self.inputs += len(spends)
        ins, outs = made.first_input.tolist(), made.first_output.tolist()
        return [
            self.chain.format.sign(spends[ins[n] : ins[n + 1]], outputs[outs[n] : outs[n + 1]])
            for n in range(len(made))
        ]

    def _receive(self, places: Sequence[Outpoint], owner: Ints, address: Ints, amount: Ints) -> None:
        self._note(self.economy.receive(owner, address, amount), places, owner, address, amount)

    def _note(self, numbers: Ints, places: Sequence[Outpoint], *columns: Ints) -> None:
        for number, place, owner, address, amount in zip(
            numbers.tolist(), places, *(column.tolist() for column in columns), strict=True
        ):
            if number != OUTSIDE:
                self.coins[number] = _Coin(place, owner, address, amount)

    def _columns(self) -> tuple[Ints, Ints, Ints]:
        return self.economy.owner, self.economy.address, self.economy.amount

    def key(self, address: int, owner: int) -> bytes:
        return self.chain.format.own_key(self._kind(owner), self._secret(address))

    def _kind(self, owner: int) -> str:
        """Everybody's wallet makes one type of address."""
        kinds = self.chain.format.kinds
        return kinds[owner % len(kinds)]

    def _secret_of(self, address: int) -> bytes:
        return self._ring.secret(self.chain.coin, _PEOPLE, "lab", address)
