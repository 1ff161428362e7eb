"""The contract's fixtures for Core-style nodes: one node a module, and one folder with our block log."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from glasstumbler.chains.base import LabChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import RealClock
from glasstumbler.nodes.core import CoreChain
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.running import Nodes
from tests.chains.contract import ChainContract

RING = KeyRing(b"real chains of the contract")


class CoreContract(ChainContract):
    software: ClassVar[str]
    persists = True
    endpoint: Endpoint
    folder: Path

    @pytest.fixture(scope="class")
    @classmethod
    def site(cls, own_nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Endpoint, Path]:
        return own_nodes.start(cls.software), tmp_path_factory.mktemp(cls.software)

    @pytest.fixture
    def chain(self, site: tuple[Endpoint, Path]) -> Iterator[LabChain]:
        """With nothing that waits: what the test before left is mined."""
        self.endpoint, self.folder = site
        chain = self.open()
        if chain.mempool():
            chain.mine()
        yield chain
        chain.close()

    def open(self) -> CoreChain:
        return CoreChain.open(self.coin, self.endpoint, RING, RealClock(), self.folder)

    def reopen(self, chain: LabChain) -> LabChain:
        chain.close()
        return self.open()
