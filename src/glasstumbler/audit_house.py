"""The audit of a laboratory that runs in this process, its chains in memory or not."""

from __future__ import annotations

from glasstumbler.audit import Audit, Progress, Report
from glasstumbler.audit_crew import Alone
from glasstumbler.errors import PaymentFailed
from glasstumbler.house import House


def audit_house(house: House, progress: Progress | None = None) -> Report:
    """Lightning is compared well only at rest."""
    tips = {coin: chain.tip() for coin, chain in house.chains.items()}
    network = None if house.lightning is None else _Network(house)
    with house.store.snapshot() as records:
        return Audit(records, Alone(records), progress).run(None, house.chains, tips, network, None)


class _Network:
    def __init__(self, house: House) -> None:
        assert house.lightning is not None
        self._network = house.lightning

    def sendable(self, payer: str) -> int:
        return self._network.sendable(payer)

    def settled(self, key: str) -> int | None:
        try:
            paid = self._network.paid(key)
        except PaymentFailed:
            return None
        return None if paid is None else paid.fee_msat
