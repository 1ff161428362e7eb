"""The contract's fixture for the in-process chains of btc, ltc and bch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.chains.base import LabChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from tests.chains.contract import ChainContract

RING = KeyRing(b"in-process chains of the contract")


class InProcessContract(ChainContract):
    persists = True
    folder: Path

    @pytest.fixture
    def chain(self, tmp_path: Path) -> Iterator[LabChain]:
        self.folder = tmp_path
        chain = self.open()
        yield chain
        chain.close()

    def open(self) -> UtxoChain:
        return UtxoChain.open(self.coin, RING, VirtualClock(), self.folder)

    def reopen(self, chain: LabChain) -> LabChain:
        chain.close()
        return self.open()
