"""The contract of every chain, on a real Ethereum node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.chains.base import LabChain, Outpoint, Signed, Spend
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import VirtualClock
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.ethereum import EthNode
from tests.chains.contract import FINAL, ChainContract

RING = KeyRing(b"Ethereum node of the contract")


class TestAnvil(ChainContract):
    coin = "eth"
    amount = 10**18
    rate = 2 * 10**9
    kinds = ("account",)
    chains_unconfirmed = False
    replaces = True
    refuses_dust = False
    one_transaction = False
    persists = True
    folder: Path
    endpoint: Endpoint

    @pytest.fixture
    def chain(self, anvil: Endpoint, tmp_path: Path) -> Iterator[LabChain]:
        self.folder, self.endpoint = tmp_path, anvil
        chain = self.open()
        yield chain
        chain._link.drop_all()  # what waits is not the next test's
        chain.close()

    def open(self) -> EthNode:
        return EthNode.open("eth", self.endpoint, RING, VirtualClock(), self.folder)

    def reopen(self, chain: LabChain) -> LabChain:
        chain.close()
        return self.open()

    def outpoint(self, chain: LabChain, txid: str, key: bytes) -> Outpoint:
        return Outpoint("0x" + key.hex(), 0)

    def spend(self, chain: LabChain, spend: Spend, rate: int | None = None, sequence: int = FINAL) -> Signed:
        """Here a coin is an account at a nonce: another's cannot even be named."""
        own = Outpoint("0x" + chain.format.own_key(spend.kind, spend.secret).hex(), spend.outpoint.vout)
        return super().spend(chain, spend._replace(outpoint=own), rate, sequence)
