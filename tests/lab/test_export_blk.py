"""blk files: read back by Bitcoin Core's engine and by python-bitcoinlib; the same transactions in the same order."""

from __future__ import annotations

import hashlib
import io
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from bitcoin.core import CBlock, b2lx

from glasstumbler.chains import kernel
from glasstumbler.lab.exports import blk
from glasstumbler.lab.exports.formats import export
from glasstumbler.lab.scenario import read
from glasstumbler.lab.simulate import simulate
from glasstumbler.lab.tasks import Dataset
from tests.lab.conftest import rows_of
from tests.laboratory import small_floats

COINS = ("btc", "bch", "ltc")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a few orders on all three chains."""
    tables = {
        "chains": list(COINS),
        "volumes": [500],
        "services": {"bestmixer": 1},
        "coins": dict.fromkeys(COINS, 1),
        "economy": {"coins": ["btc"], "people": 5, "payments_a_day": 20},
        "settings": small_floats(*COINS),
    }
    out = tmp_path_factory.mktemp("signed") / "dataset"
    simulate("small", read(tables, "test"), 9, 1, out)
    return out


@pytest.fixture(scope="module")
def out(signed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("blk") / "out"
    export(signed, "blk", out)
    return out


def blocks(path: Path) -> Iterator[CBlock]:
    """Read by python-bitcoinlib, and whole."""
    with path.open("rb") as file:
        while head := file.read(8):
            magic, size = struct.unpack("<4sI", head)
            assert magic == bytes.fromhex("fabfb5da")
            raw = file.read(size)
            block = CBlock.stream_deserialize(io.BytesIO(raw))
            assert block.serialize() == raw
            yield block


@pytest.mark.parametrize("coin", COINS)
def test_another_library_reads_the_same_blocks(signed: Path, out: Path, coin: str) -> None:
    txids: dict[int, list[str]] = defaultdict(list)
    for row in rows_of(signed, "observer/tx"):
        if row["coin"] == coin:
            txids[row["height"]].append(row["txid"])
    known = [row for row in rows_of(signed, "observer/block") if row["coin"] == coin]
    read_ = list(blocks(out / coin / "blk00000.dat"))
    assert len(read_) == len(known)
    previous = "00" * 32
    for row, block in zip(known, read_, strict=True):
        assert b2lx(block.GetHash()) == row["hash"]
        assert b2lx(block.hashPrevBlock) == row["previous"] == previous
        assert [b2lx(tx.GetTxid()) for tx in block.vtx] == txids[row["height"]]
        assert block.calc_merkle_root() == block.hashMerkleRoot
        previous = row["hash"]


@pytest.mark.skipif(not kernel.AVAILABLE, reason="no wheel of Core's engine for this platform")
def test_bitcoin_core_imports_the_file_and_comes_to_the_same_tip(signed: Path, out: Path, tmp_path: Path) -> None:
    known = [row for row in rows_of(signed, "observer/block") if row["coin"] == "btc"]
    engine = kernel.Kernel(tmp_path, known[-1]["time"])
    try:
        engine._manager.import_blocks([str(out / "btc" / "blk00000.dat")])
        assert engine.tip() == (known[-1]["height"], known[-1]["hash"])
    finally:
        engine.close()


def test_a_full_file_is_followed_by_the_next(
    signed: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blk, "MOST_BYTES", 20_000)
    blk.write(Dataset(signed), tmp_path)
    for coin in COINS:
        parts = sorted((tmp_path / coin).iterdir())
        assert [path.name for path in parts] == [f"blk{number:05}.dat" for number in range(len(parts))]
        assert len(parts) > 1 and all(0 < path.stat().st_size <= 20_000 for path in parts)
        whole = hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()
        assert whole == hashlib.sha256((out / coin / "blk00000.dat").read_bytes()).hexdigest()
