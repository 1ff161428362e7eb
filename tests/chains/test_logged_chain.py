"""What Ethereum and the Monero model share: any sequence of payments, blocks and reorganisations, and coming back."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from glasstumbler.chains.eth import EthChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroChain
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import StoreError

RING = KeyRing(b"what account chains share")
AMOUNT = 10**12
AnyChain = EthChain | MoneroChain
Make = Callable[[Path], AnyChain]


@pytest.fixture(params=[EthChain, MoneroChain], ids=["eth", "xmr"])
def make(request: pytest.FixtureRequest) -> Make:
    def made(folder: Path) -> AnyChain:
        chain: AnyChain = request.param(RING, VirtualClock(), folder)
        return chain

    return made


def state(chain: AnyChain) -> object:
    return chain._state.accounts() if isinstance(chain, EthChain) else chain._coins


def seen(chain: AnyChain) -> tuple[object, ...]:
    height, _ = chain.tip()
    hashes = [chain.block_hash(at) for at in range(height + 1)]
    return hashes, chain.mempool(), state(chain)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_chain_adds_up_and_comes_back(make: Make, tmp_path: Path, seed: int) -> None:
    chance, chain = random.Random(seed), make(tmp_path / "chain")
    paid: set[str] = set()
    forgotten: set[str] = set()

    def reorg() -> None:
        depth = chance.randint(1, min(chain.tip()[0], 8))
        lost: Collection[str] = chance.sample(sorted(paid), min(len(paid), chance.randint(0, 3)))
        chain.reorg(depth, lost)
        forgotten.update(txid for txid in lost if chain.place(txid) is None)

    acts: list[Callable[[], object]] = [
        lambda: paid.add(chain.pay(chain.fresh_address(), AMOUNT + len(paid))),
        lambda: chain.mine(chance.randint(1, 4)),
        lambda: reorg() if chain.tip()[0] else None,
    ]
    for _ in range(150):
        chance.choices(acts, weights=(6, 3, 1))[0]()
    chain.mine()
    for txid in paid - forgotten:
        place = chain.place(txid)
        assert place is not None, "no payment is lost that nobody forgot"
        assert place.block is not None and txid in {tx.txid for tx in chain.block(place.block).txs}
    assert all(chain.place(txid) is None for txid in forgotten)
    chain.pay(chain.fresh_address(), AMOUNT)
    before = seen(chain)
    shutil.copytree(tmp_path / "chain", tmp_path / "killed")
    chain.close()
    for name in ("chain", "killed"):
        chain = make(tmp_path / name)
        assert seen(chain) == before, name
        chain.close()


def test_dying_in_a_reorganisation_loses_no_transaction(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = make(tmp_path / "chain")
    mined, lost = chain.pay(chain.fresh_address(), AMOUNT), chain.pay(chain.fresh_address(), AMOUNT)
    chain.mine()
    waiting = chain.pay(chain.fresh_address(), AMOUNT)
    monkeypatch.setattr(chain, "_bring_back", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        chain.reorg(1, [lost])
    chain.close()
    chain = make(tmp_path / "chain")
    assert chain.tip()[0] == 2
    assert set(chain.mempool()) == {mined, waiting}
    chain.mine()
    assert chain.mempool() == ()
    chain.close()


def test_a_block_that_cannot_be_written_was_never_mined(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = make(tmp_path)
    chain.pay(chain.fresh_address(), AMOUNT)
    chain.mine(3)
    txid = chain.pay(chain.fresh_address(), AMOUNT)
    before = seen(chain)

    def full(*_: object) -> None:
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(chain._log, "append", full)
        with pytest.raises(StoreError):
            chain.mine(3)
        with pytest.raises(StoreError):
            chain.reorg(2)
    assert seen(chain) == before
    assert chain.place(txid) == (None, None)
    chain.mine(70)
    assert not isinstance(chain, MoneroChain) or all(source in chain._coins for source, _ in chain._purse)
    assert chain.mempool() == ()
    chain.close()
