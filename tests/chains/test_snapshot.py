"""A snapshot saves time and changes nothing else: not the state, not its order, and nothing when it is bad."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glasstumbler import log
from glasstumbler.chains import snapshot
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.chains.eth import EthChain
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import MoneroChain
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import ChainError, StoreError

RING = KeyRing(b"chains with snapshots")
AMOUNT = {"eth": 10**12, "xmr": 10**12}
AnyChain = UtxoChain | EthChain | MoneroChain
Open = Callable[[Path], AnyChain]


def open_chain(coin: str, folder: Path, ring: KeyRing = RING) -> AnyChain:
    if coin == "eth":
        return EthChain(ring, VirtualClock(), folder)
    return (
        MoneroChain(ring, VirtualClock(), folder)
        if coin == "xmr"
        else UtxoChain.open(coin, ring, VirtualClock(), folder, start=110)
    )


@pytest.fixture(params=["btc", "ltc", "bch", "eth", "xmr"])
def coin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log, "warning", lambda event, **fields: lines.append(f"{event}: {fields['reason']}"))
    return lines


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is connected, block by block."""
    seen: list[object] = []
    weigh = snapshot.Snapshots.weigh

    def counted(self: snapshot.Snapshots, raw: bytes) -> None:
        seen.append(raw)
        weigh(self, raw)

    monkeypatch.setattr(snapshot.Snapshots, "weigh", counted)
    return seen


def state(chain: AnyChain) -> list[Any]:
    """All that a chain knows, in its order, but for its coins: that order is only seen in the faucet's."""
    height, _ = chain.tip()
    seen: list[Any] = [[chain.block_hash(at) for at in range(height + 1)], list(chain.mempool())]
    if isinstance(chain, UtxoChain):
        view, faucet = chain._view, chain._faucet
        seen += [dict(view.coins), list(view.standing.items()), view.times]
        return [*seen, list(faucet._purse), list(faucet._vault), list(faucet._maturing)]
    seen.append(list(chain._standing.items()))
    if isinstance(chain, EthChain):
        return [*seen, chain._state.accounts(), chain._header]
    return [*seen, dict(chain._coins), list(chain._purse), chain._locked]


def pay(chain: AnyChain) -> str:
    return chain.pay(chain.fresh_address(), AMOUNT.get(chain.coin, 50_000))


def lived(coin: str, folder: Path, blocks: int = 5) -> AnyChain:
    chain = open_chain(coin, folder)
    for _ in range(blocks):
        pay(chain)
        chain.mine()
    return chain


def without(folder: Path, coin: str) -> list[Any]:
    """The state that the log alone gives."""
    copy = folder.with_name("log alone")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.snapshot*"))
    chain = open_chain(coin, copy)
    try:
        return state(chain)
    finally:
        chain.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_restored_chain_is_the_replayed_one(
    coin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, told: list[str]
) -> None:
    monkeypatch.setattr(snapshot, "_LEAST", 10_000)
    monkeypatch.setattr(snapshot, "_SHARE", 10**9)
    chance, folder = random.Random(seed), tmp_path / "chain"
    chain = lived(coin, folder)
    acts: list[Callable[[], object]] = [
        lambda: pay(chain),
        lambda: chain.mine(chance.randint(1, 3)),
        lambda: chain.reorg(chance.randint(1, min(6, chain.tip()[0]))),
    ]
    for turn in range(4):
        for _ in range(20):
            chance.choices(acts, weights=(5, 3, 1))[0]()
        killed = tmp_path / f"killed {turn}"
        assert chain._kept._writer is not None, "one was written on the way"
        chain._kept._writer.join()
        shutil.copytree(folder, killed)
        expected, again = without(killed, coin), open_chain(coin, killed)
        assert state(again) == expected
        again.close()
        chain.close()
        chain = open_chain(coin, folder)
        assert state(chain) == without(folder, coin)
    assert not told
    chain.close()


def test_only_the_blocks_behind_it_are_connected(coin: str, tmp_path: Path, connected: list[object]) -> None:
    chain = lived(coin, tmp_path / "chain")
    chain.close()
    kept = (tmp_path / "chain" / f"{coin}.snapshot").read_bytes()
    chain = open_chain(coin, tmp_path / "chain")
    chain.mine(3)
    chain.close()
    (tmp_path / "chain" / f"{coin}.snapshot").write_bytes(kept)
    connected.clear()
    chain = open_chain(coin, tmp_path / "chain")
    assert len(connected) == 3
    assert state(chain) == without(tmp_path / "chain", coin)
    chain.close()


def test_a_snapshot_on_a_branch_that_was_left_is_walked_back(
    coin: str, tmp_path: Path, connected: list[object], told: list[str]
) -> None:
    folder = tmp_path / "chain"
    chain = lived(coin, folder)
    chain.close()
    kept = (folder / f"{coin}.snapshot").read_bytes()
    chain = open_chain(coin, folder)
    chain.reorg(4)
    chain.close()
    (folder / f"{coin}.snapshot").write_bytes(kept)
    connected.clear()
    chain = open_chain(coin, folder)
    assert len(connected) == 5
    assert state(chain) == without(folder, coin)
    assert not told
    chain.close()


def test_a_reorganisation_reaches_below_it(coin: str, tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    chain = lived(coin, folder, blocks=20)
    chain.close()
    chain = open_chain(coin, folder)
    chain.reorg(18)
    chain.mine()
    again = without(folder, coin)
    assert state(chain)[0] == again[0]
    chain.close()
    chain = open_chain(coin, folder)
    assert state(chain) == again
    chain.close()


def spoilt(path: Path, way: str) -> None:
    raw = path.read_bytes()
    changed = bytearray(raw)
    changed[len(raw) // 2] ^= 1
    path.write_bytes(
        {
            "torn": raw[: len(raw) // 2],
            "empty": b"",
            "changed": bytes(changed),
            "other form": raw.replace(b"snapshot 1", b"snapshot 0", 1),
        }[way]
    )


@pytest.mark.parametrize(
    ("way", "reason"),
    [("torn", "checksum"), ("empty", "another form"), ("changed", "checksum"), ("other form", "another form")],
)
def test_a_bad_one_is_passed_over_and_told(coin: str, tmp_path: Path, way: str, reason: str, told: list[str]) -> None:
    folder = tmp_path / "chain"
    lived(coin, folder).close()
    expected = without(folder, coin)
    spoilt(folder / f"{coin}.snapshot", way)
    chain = open_chain(coin, folder)
    assert state(chain) == expected
    assert len(told) == 1 and reason in told[0]
    chain.close()


def test_one_with_another_secret_cannot_bring_coins(tmp_path: Path, told: list[str]) -> None:
    """Whoever can write the file cannot make money with it."""
    folder = tmp_path / "chain"
    chain = lived("ltc", folder)
    assert isinstance(chain, UtxoChain)
    held = chain._view.held()
    chain.close()
    forged = snapshot.Snapshots(folder, "ltc", KeyRing(b"somebody else's secret"))
    forged.weigh(b"")
    forged.close(lambda: held._replace(coins={}))
    chain = open_chain("ltc", folder)
    assert state(chain) == without(folder, "ltc")
    assert len(told) == 1 and "another laboratory" in told[0]
    chain.close()


def test_one_of_another_coin_is_passed_over(tmp_path: Path, told: list[str]) -> None:
    folder = tmp_path / "chain"
    lived("ltc", folder).close()
    lived("bch", folder).close()
    shutil.copy(folder / "bch.snapshot", folder / "ltc.snapshot")
    chain = open_chain("ltc", folder)
    assert state(chain) == without(folder, "ltc")
    assert len(told) == 1
    chain.close()


def test_one_that_is_ahead_of_the_log_is_passed_over(coin: str, tmp_path: Path, told: list[str]) -> None:
    folder = tmp_path / "chain"
    lived(coin, folder).close()
    shutil.copy(folder / f"{coin}.blocks", folder / "older")
    chain = open_chain(coin, folder)
    chain.mine(3)
    chain.close()
    shutil.move(folder / "older", folder / f"{coin}.blocks")
    shutil.rmtree(folder / f"{coin}-engine", ignore_errors=True)
    chain = open_chain(coin, folder)
    assert state(chain) == without(folder, coin)
    assert len(told) == 1 and "no block" in told[0]
    chain.close()


def test_a_chain_goes_on_where_none_can_be_written(coin: str, tmp_path: Path, told: list[str]) -> None:
    (tmp_path / f"{coin}.snapshot-new").mkdir()
    chain = lived(coin, tmp_path)
    tip = chain.tip()
    chain.close()
    assert any("cannot be written" in line for line in told)
    chain = open_chain(coin, tmp_path)
    assert chain.tip() == tip
    chain.close()


def test_none_is_written_once_the_state_is_in_doubt(coin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = lived(coin, tmp_path)
    chain.close()
    before = (tmp_path / f"{coin}.snapshot").read_bytes()
    chain = open_chain(coin, tmp_path)
    chain.mine()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chain._log, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        chain.mine()
    monkeypatch.undo()
    chain.close()
    assert (tmp_path / f"{coin}.snapshot").read_bytes() == before


def change(path: Path, coin: str, sql: str) -> None:
    changed = BlockLog(path, coin)
    changed._connection.execute(sql)
    changed.close()


def test_a_changed_block_below_it_is_found_when_it_is_read(coin: str, tmp_path: Path) -> None:
    chain = lived(coin, tmp_path)
    height = chain.tip()[0] - 3
    name = chain.block_hash(height) or ""
    txids = [tx.txid for tx in chain.block(name).txs]
    chain.close()
    change(
        tmp_path / f"{coin}.blocks", coin,
        f"UPDATE blocks SET raw = (SELECT raw FROM blocks WHERE height = {height - 1}) WHERE height = {height}",
    )  # fmt: skip
    chain = open_chain(coin, tmp_path)
    with pytest.raises(StoreError, match="damaged at height"):
        chain.block(name)
    for txid in txids:
        with pytest.raises(StoreError, match="damaged at height"):
            chain.transaction(txid)
    chain.close()
    (tmp_path / f"{coin}.snapshot").unlink()
    with pytest.raises((StoreError, ChainError), match=f"damaged at height {height}"):
        open_chain(coin, tmp_path)


def test_a_lost_block_below_it_is_named(coin: str, tmp_path: Path) -> None:
    chain = lived(coin, tmp_path)
    height = chain.tip()[0] - 3
    name = chain.block_hash(height) or ""
    txid = chain.block(name).txs[-1].txid
    chain.close()
    change(tmp_path / f"{coin}.blocks", coin, f"DELETE FROM blocks WHERE height = {height}")
    chain = open_chain(coin, tmp_path)
    with pytest.raises(ChainError, match="no block"):
        chain.block(name)
    with pytest.raises(StoreError, match="has lost block"):
        chain.transaction(txid)
    chain.close()


@pytest.mark.parametrize("coin", ["ltc", "bch"])
def test_a_log_that_spends_what_is_not_there_is_reported(tmp_path: Path, coin: str) -> None:
    chain = lived(coin, tmp_path)
    height, tip = chain.tip()
    paid = chain.block(tip).txs[-1]
    chain.close()
    spent = bytes.fromhex(paid.inputs[0].txid)[::-1]
    raw = paid.raw
    log_ = BlockLog(tmp_path / f"{coin}.blocks", coin)
    found = log_.find(tip)
    assert found is not None and spent in raw
    log_._connection.execute(
        "UPDATE blocks SET raw = ? WHERE hash = ?", (found.raw.replace(spent, bytes(31) + b"\1"), tip)
    )
    log_.close()
    (tmp_path / f"{coin}.snapshot").unlink()
    with pytest.raises(StoreError, match=f"damaged at height {height}"):
        open_chain(coin, tmp_path)
