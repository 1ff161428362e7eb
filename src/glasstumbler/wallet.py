"""Keys of the services: one seed, a branch for each purpose, a form for each chain."""

from __future__ import annotations

from collections.abc import Mapping

from glasstumbler.chains import monero_keys
from glasstumbler.chains.base import Chain, Outpoint, Spend
from glasstumbler.chains.keys import KeyRing
from glasstumbler.engine.coins import Coin
from glasstumbler.store.records import Records, Watched

SUBADDRESS = "subaddress"


class Wallet:
    """Derives what a service is paid to and what it signs with. Nothing is stored but the index of each key."""

    def __init__(self, seed: bytes, chains: Mapping[str, Chain]) -> None:
        self._seed_bytes, self._ring, self._chains = seed, KeyRing(seed), chains

    def key(self, coin: str, service: str, kind: str, branch: str, index: int) -> bytes:
        if kind == SUBADDRESS:
            address = monero_keys.subaddress(self._seed(coin, service), index)
            return self._chains[coin].format.key(address)
        return self._chains[coin].format.own_key(kind, self._ring.secret(coin, service, branch, index))

    def watch_new(self, records: Records, coin: str, service: str, kind: str, branch: str) -> Watched:
        """A fresh key of the service's own (change, sweep, float), noted in the record."""
        place = records.next(f"{branch}:{service}:{coin}")
        key = self.key(coin, service, kind, branch, place)
        watched = Watched(coin, key, service, branch, place, kind, None)
        records.watch(watched)
        return watched

    def spend(self, coin: Coin) -> Spend:
        secret = self._ring.secret(coin.coin, coin.service, coin.branch, coin.index)
        return Spend(Outpoint(coin.txid, coin.vout), coin.amount, coin.kind, secret)

    def integrated(self, coin: str, service: str, payment_id: bytes, index: int) -> str:
        """An integrated address of the same subaddress, so that a payment to either reaches the order."""
        return monero_keys.integrated_address(self._seed(coin, service), payment_id, index)

    def _seed(self, coin: str, service: str) -> bytes:
        return self._ring.secret(coin, service, "deposit", 0)
