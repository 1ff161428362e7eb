"""Coins where accounts hold money (Ethereum): one coin for each nonce, of which the last holds what the account has.

What comes in joins the last coin and is noted there. If the chain takes it back, the last coin is poorer by it, even
below nothing while payments that were made with it wait to be mined again, or to be filled by another account.
"""

from __future__ import annotations

from collections.abc import Iterator

from glasstumbler.chains.base import Chain
from glasstumbler.engine.coins import Coin, Origin
from glasstumbler.store.records import Records, Watched


class Accounts:
    """The accounts of one chain, inside one unit of work."""

    def __init__(self, records: Records, chain: Chain) -> None:
        self._records, self._chain = records, chain
        self._coin = chain.coin

    def holds(self, key: bytes, txid: str) -> bool:
        """Whether this transaction's payment to the account is counted now."""
        holder = self._holder(key, txid)
        return holder is not None and txid not in holder.missing

    def add(
        self,
        watched: Watched,
        txid: str,
        amount: int,
        origin: Origin,
        height: int | None,
        order: int | None = None,
        codes: tuple[int, ...] = (),
    ) -> None:
        """A payment came in. Once for each, however often it is seen; what was taken back returns to its place."""
        last = self._last(watched.key)
        if last is None:
            self._records.add_coin(self._first(watched, txid, amount, origin, height, order, codes))
            return
        holder = self._holder(watched.key, txid)
        if holder is None:
            last.amount += amount
            last.sources.append(txid)
            last.codes = tuple(sorted({*last.codes, *codes}))
        elif txid in holder.missing:
            last.amount += amount
            self._forget(last, holder, txid)
        if last.height is None and not last.made_by:
            last.height = height
        self._records.save_coin(last)

    def take(self, key: bytes, txid: str, amount: int) -> bool:
        """The chain took a payment back; False if it was not counted."""
        holder = self._holder(key, txid)
        last = self._last(key)
        if holder is None or last is None or txid in holder.missing:
            return False
        if holder.number == last.number:
            holder = last
        last.amount -= amount
        holder.missing.append(txid)
        if not last.made_by and set(last.sources) <= set(last.missing):
            last.height = None
        self._records.save_coin(last)
        if holder is not last:
            self._records.save_coin(holder)
        return True

    def unmine(self, key: bytes) -> None:
        """A payment that was counted before any block had it waits for a block again."""
        last = self._last(key)
        if last is not None and not last.made_by:
            last.height = None
            self._records.save_coin(last)

    def _forget(self, last: Coin, holder: Coin, txid: str) -> None:
        """What was missing is there again."""
        if holder.number == last.number:
            last.missing.remove(txid)
            return
        holder.missing.remove(txid)
        self._records.save_coin(holder)

    def _last(self, key: bytes) -> Coin | None:
        return next(self._coins(key), None)

    def _holder(self, key: bytes, txid: str) -> Coin | None:
        return next((coin for coin in self._coins(key) if txid in coin.sources), None)

    def _coins(self, key: bytes) -> Iterator[Coin]:
        return self._records.account_coins(self._coin, self._address(key))

    def _address(self, key: bytes) -> str:
        return self._chain.format.address(key).lower()

    def _first(
        self,
        watched: Watched,
        txid: str,
        amount: int,
        origin: Origin,
        height: int | None,
        order: int | None,
        codes: tuple[int, ...],
    ) -> Coin:
        return Coin(
            number=self._records.next("coin"),
            service=watched.service,
            coin=self._coin,
            txid=self._address(watched.key),
            vout=0,
            amount=amount,
            kind=watched.kind,
            branch=watched.branch,
            index=watched.place,
            origin=origin,
            order=order,
            codes=codes,
            height=height,
            sources=[txid],
        )
