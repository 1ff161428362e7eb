"""The contract's fixtures for Core-style nodes: one node a module, and one folder with our block log."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from glasstumbler.audit_blocks import LoggedBlocks
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

    def test_the_audit_reads_every_block_of_the_log(self, chain: LabChain) -> None:
        """Also those from before the votes for segwit were counted, and one that a reorganisation took out."""
        chain.pay(chain.fresh_address(), self.amount)
        chain.mine()
        stale = chain.tip()[1]
        chain.reorg(1)
        log = LoggedBlocks(self.folder / f"{self.coin}.blocks", self.coin)
        assert log.tip() == chain.tip()
        for height in range(chain.tip()[0] + 1):
            block_hash = chain.block_hash(height)
            assert block_hash is not None and log.block(block_hash) == chain.block(block_hash)
        assert log.block(stale) == chain.block(stale)
        log.close()
