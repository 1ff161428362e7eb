"""The contract of every chain, on the in-process Ethereum chain."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.chains.base import LabChain, Outpoint, Signed, Spend
from glasstumbler.chains.eth import EthChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import VirtualClock
from tests.chains.contract import FINAL, ChainContract

RING = KeyRing(b"Ethereum chain of the contract")


class TestEth(ChainContract):
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

    @pytest.fixture
    def chain(self, tmp_path: Path) -> Iterator[LabChain]:
        self.folder = tmp_path
        chain = EthChain(RING, VirtualClock(), tmp_path)
        yield chain
        chain.close()

    def reopen(self, chain: LabChain) -> LabChain:
        chain.close()
        return EthChain(RING, VirtualClock(), self.folder)

    def outpoint(self, chain: LabChain, txid: str, key: bytes) -> Outpoint:
        return Outpoint("0x" + key.hex(), 0)

    def spend(self, chain: LabChain, spend: Spend, rate: int | None = None, sequence: int = FINAL) -> Signed:
        """Here a coin is an account at a nonce: another's cannot even be named."""
        own = Outpoint("0x" + chain.format.own_key(spend.kind, spend.secret).hex(), spend.outpoint.vout)
        return super().spend(chain, spend._replace(outpoint=own), rate, sequence)
