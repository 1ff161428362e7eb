"""The chains of one folder from several processes: here two shares in one process, and real processes that die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from glasstumbler.chains.base import LabChain, Output
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import (
    BadInvoice,
    ChainError,
    HostGone,
    InvoiceUsed,
    NotATestNetwork,
    StoreError,
    TransactionRefused,
)
from glasstumbler.ground import CHAINS, open_chains
from glasstumbler.sharing import Sharing
from glasstumbler.vault import Vault
from tests.chains.test_contract_btc import TestBtc as BtcContract
from tests.chains.test_contract_eth import TestEth as EthContract

VAULT = Vault(b"s" * 32)
PAYERS = ["xmrto"]


def share(folder: Path, *names: str, vault: Vault = VAULT, clock: VirtualClock | None = None) -> Sharing:
    chosen = [name for name in CHAINS if name in (names or CHAINS)]
    clock = clock or VirtualClock()
    opening = partial(open_chains, chosen, vault, clock, PAYERS, folder)
    return Sharing(folder, vault.derive("chain host"), clock, chosen, opening)


class _Shared:
    """The contract of a chain, asked from the share that does not hold it."""

    coin: str
    persists = True

    @pytest.fixture
    def chain(self, tmp_path: Path) -> Iterator[LabChain]:
        self._folder = tmp_path
        self._open()
        yield self._asking.chains.onchain[self.coin]
        self._asking.close()
        self._holding.close()

    def _open(self) -> None:
        self._holding, self._asking = share(self._folder, self.coin), share(self._folder, self.coin)
        assert self._holding.holding and not self._asking.holding

    def reopen(self, chain: LabChain) -> LabChain:
        """The holder goes; whoever asks next takes over."""
        self._holding.close()
        assert chain.tip()[0] >= 0
        assert self._asking.holding
        self._holding, self._asking = self._asking, share(self._folder, self.coin)
        return self._asking.chains.onchain[self.coin]


class TestSharedBtc(_Shared, BtcContract):
    pass


class TestSharedEth(_Shared, EthContract):
    pass


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Sharing, Sharing]]:
    holding, asking = share(tmp_path), share(tmp_path)
    yield holding, asking
    asking.close()
    holding.close()


def test_one_holds_and_both_see_the_same(two: tuple[Sharing, Sharing]) -> None:
    holding, asking = two
    assert (holding.holding, asking.holding) == (True, False)
    for coin, chain in asking.chains.onchain.items():
        mine = holding.chains.onchain[coin]
        assert chain.mine(1) == mine.tip()[0]
        assert chain.tip() == mine.tip()
        assert (chain.node, chain.network, chain.model) == (mine.node, mine.network, mine.model)
        assert chain.block(chain.tip()[1]) == mine.block(mine.tip()[1])


def test_amounts_beyond_64_bits_arrive(two: tuple[Sharing, Sharing]) -> None:
    eth = two[1].chains.onchain["eth"]
    wei = 21 * 10**18 + 1
    txid = eth.pay_many([Output(eth.format.key(eth.fresh_address()), wei)])
    tx = eth.transaction(txid)
    assert tx is not None
    assert tx.outputs[0].amount == wei


def test_errors_arrive_as_what_they_are(two: tuple[Sharing, Sharing]) -> None:
    asking = two[1].chains
    btc, network = asking.onchain["btc"], asking.lightning
    assert network is not None
    with pytest.raises(TransactionRefused) as refused:
        btc.broadcast(b"\x01")
    assert refused.value.reason == "malformed"
    said = btc.broadcast_all([b"\x01"])[0]
    assert said is not None
    assert (said.reason, str(said)) == ("malformed", str(refused.value))
    with pytest.raises(NotATestNetwork):
        btc.pay("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", 10_000)
    with pytest.raises(ChainError, match="no block"):
        btc.block("00" * 32)
    with pytest.raises(BadInvoice):
        network.invoice(0)
    invoice = network.invoice(1_000_000)
    paid = network.pay("xmrto", invoice, "key")
    assert network.pay("xmrto", invoice, "key") == paid == network.paid("key")
    with pytest.raises(InvoiceUsed):
        network.check_route(invoice, "xmrto")


def test_the_holders_time_follows_whoever_moves_the_chains(tmp_path: Path) -> None:
    late, early = VirtualClock(), VirtualClock()
    holding, asking = share(tmp_path, "btc", clock=late), share(tmp_path, "btc", clock=early)
    early.advance(86_400)
    chain = asking.chains.onchain["btc"]
    chain.mine(1)
    assert chain.block(chain.tip()[1]).time >= early.now()
    asking.close()
    holding.close()


def test_a_stranger_on_the_port_learns_nothing(two: tuple[Sharing, Sharing], tmp_path: Path) -> None:
    """Without the laboratory's key nobody is answered, and nobody else is kept waiting."""
    port = int((tmp_path / "host").read_text())
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as end:
        end.sendall(b"\x00\x00\x00\x20" + b"n" * 32 + b"\x00\x00\x00\x20" + b"m" * 32 + b'\x00\x00\x00\x04["b"')
        heard = bytearray()
        with suppress(ConnectionResetError):  # what it had sent beyond the proof was not read
            while part := end.recv(4096):
                heard += part
    assert len(heard) == 2 * (4 + 32)  # a nonce, and the proof that it has the key; no answer
    assert two[1].chains.onchain["btc"].tip()[0] > 0
    for each in silent:
        each.close()


def test_another_laboratory_does_not_get_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glasstumbler.sharing.PATIENCE", 0.3)
    holding, stranger = share(tmp_path, "btc"), share(tmp_path, "btc", vault=Vault(b"t" * 32))
    with pytest.raises(ChainError, match="nobody answers"):
        stranger.chains.onchain["btc"].tip()
    stranger.close()
    holding.close()


def test_who_cannot_say_where_it_answers_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        share(tmp_path, "btc")
    (tmp_path / "host").rmdir()
    again = share(tmp_path, "btc")
    assert again.holding
    again.close()


def _hold(folder: Path, ready: Event) -> None:
    mine = share(folder, "btc")
    mine.chains.onchain["btc"].mine(3)
    ready.set()
    signal.pause()


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[tuple[Sharing, Callable[[], None]]]:
    """A share beside another process's, which holds the chain; and what kills that process."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()

    def kill() -> None:
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()

    try:
        assert ready.wait(60)
        asking = share(tmp_path, "btc")
        assert not asking.holding
        yield asking, kill
        asking.close()
    finally:
        holder.kill()
        holder.join()


def test_when_the_holder_is_killed_another_takes_over(beside: tuple[Sharing, Callable[[], None]]) -> None:
    asking, kill = beside
    chain = asking.chains.onchain["btc"]
    before = chain.tip()
    txid = chain.pay(chain.fresh_address(), 100_000)
    kill()
    assert chain.tip() == before
    assert asking.holding
    assert txid in chain.mempool()


def test_what_would_be_done_twice_is_not_asked_again(beside: tuple[Sharing, Callable[[], None]]) -> None:
    """The answer to `mine` is lost: whether it was done is told by nobody but the chain."""
    asking, kill = beside
    chain = asking.chains.onchain["btc"]
    height = chain.tip()[0]
    kill()
    with pytest.raises(HostGone, match="went away during 'mine'"):
        chain.mine(1)
    assert chain.mine(1) == height + 1
