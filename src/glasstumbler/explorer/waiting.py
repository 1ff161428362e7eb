"""What waits in a chain's mempool: which transactions touch an address, and which spend an output."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator

from glasstumbler.chains.base import Chain, Outpoint, Tx
from glasstumbler.explorer.chain_index import id_bytes


class Waiting:
    """Of one chain, brought up with it at each look. Only what is new is asked for."""

    def __init__(self, chain: Chain) -> None:
        self._chain, self._accounts = chain, chain.format.one_to_one
        self._lock = threading.Lock()
        self._seen: Collection[str] = ()
        self._txs: dict[str, Tx] = {}
        self._spenders: dict[Outpoint, str] = {}

    def txs(self) -> list[Tx]:
        """In order of arrival."""
        with self._lock:
            self._look()
            return list(self._txs.values())

    def spender(self, txid: str, vout: int) -> str | None:
        with self._lock:
            self._look()
            return self._spenders.get(Outpoint(txid, vout))

    def touching(self, key: bytes) -> Iterator[Tx]:
        """Those that pay to a key or, where accounts hold money, spend from it."""
        for tx in self.txs():
            senders = [id_bytes(account) for account, _ in tx.inputs] if self._accounts else []
            if key in senders or any(output.key == key for output in tx.outputs):
                yield tx

    def _look(self) -> None:
        now = self._chain.mempool()
        if now is self._seen:
            return
        known, self._txs = self._txs, {}
        for txid in now:
            tx = known.get(txid) or self._chain.transaction(txid)
            if tx is not None:
                self._txs[txid] = tx
        self._spenders = {spent: tx.txid for tx in self._txs.values() for spent in tx.inputs}
        self._seen = now
