"""The contract of every chain, on the Monero model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.chains.base import LabChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroChain
from glasstumbler.clock import VirtualClock
from tests.chains.contract import ChainContract

RING = KeyRing(b"Monero model of the contract")


class TestXmr(ChainContract):
    coin = "xmr"
    amount = 10**12
    spends = False
    persists = True
    main_network_addresses = (
        "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A",
        "888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H",
    )
    folder: Path

    @pytest.fixture
    def chain(self, tmp_path: Path) -> Iterator[LabChain]:
        self.folder = tmp_path
        chain = MoneroChain(RING, VirtualClock(), tmp_path)
        yield chain
        chain.close()

    def reopen(self, chain: LabChain) -> LabChain:
        chain.close()
        return MoneroChain(RING, VirtualClock(), self.folder)
