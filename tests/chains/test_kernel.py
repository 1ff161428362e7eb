"""Bitcoin Core's engine behind our wrapper, and the program without it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasstumbler.chains import blocks, kernel, miner
from glasstumbler.chains.base import Outpoint, Output, Spend
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.kernel import Kernel
from glasstumbler.chains.networks import NETWORKS
from glasstumbler.chains.tx import parse, serialise
from glasstumbler.errors import BlockRefused, ChainError, TransactionRefused

BTC = NETWORKS["btc"]
KEY = FORMATS["btc"].own_key("p2wpkh", b"\x01" * 32)
START = 1_700_000_000


@pytest.fixture
def engine() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def empty_block(height: int, previous: str, when: int | None = None, number: int = 0) -> bytes:
    place = miner.Place(height, previous, when or START + height, number)
    return miner.build(BTC, place, (), KEY)


def extend(engine: Kernel, count: int, number: int = 0) -> list[bytes]:
    made = []
    for _ in range(count):
        height, tip = engine.tip()
        made.append(empty_block(height + 1, tip, number=number))
        engine.process(made[-1], blocks.block_hash(made[-1]))
    return made


def test_it_begins_with_our_genesis(engine: Kernel) -> None:
    assert engine.tip() == (0, blocks.block_hash(BTC.genesis))
    assert engine.raw_block(0) == BTC.genesis


def test_blocks_are_connected_and_read_back(engine: Kernel) -> None:
    made = extend(engine, 5)
    assert engine.tip() == (5, blocks.block_hash(made[-1]))
    assert list(engine.raw_blocks(1)) == made
    assert engine.hash_at(3) == blocks.block_hash(made[2])


def test_a_block_without_its_parent_is_refused(engine: Kernel) -> None:
    orphan = empty_block(1, "11" * 32)
    with pytest.raises(BlockRefused):
        engine.process(orphan, blocks.block_hash(orphan))


@pytest.mark.parametrize("raw", [b"", b"\0" * 80, b"no block"])
def test_bytes_that_are_no_block_are_refused(engine: Kernel, raw: bytes) -> None:
    with pytest.raises(BlockRefused):
        engine.process(raw, "00" * 32)


def test_the_longer_branch_wins(engine: Kernel) -> None:
    extend(engine, 3)
    old_tip = engine.tip()[1]
    previous = engine.hash_at(1)
    branch = []
    for height in (2, 3, 4):
        branch.append(empty_block(height, previous, number=7))
        previous = blocks.block_hash(branch[-1])
    engine.process(branch[0], old_tip)
    engine.process(branch[1], old_tip)
    engine.process(branch[2], previous)
    assert engine.tip() == (4, previous)


def test_a_tip_that_is_not_as_expected_is_told(engine: Kernel) -> None:
    raw = empty_block(1, engine.tip()[1])
    with pytest.raises(BlockRefused, match="tip is"):
        engine.process(raw, "22" * 32)


def test_a_clock_that_is_days_ahead_is_followed(engine: Kernel) -> None:
    raw = empty_block(1, engine.tip()[1], when=int(time.time()) + 30 * 86400)
    engine.process(raw, blocks.block_hash(raw))
    assert engine.tip()[0] == 1
    assert kernel.latest_time() is None


def test_a_folder_keeps_the_chain(tmp_path: Path) -> None:
    first = Kernel(tmp_path)
    extend(first, 4)
    tip = first.tip()
    first.close()
    second = Kernel(tmp_path)
    assert second.tip() == tip
    second.close()


AHEAD = """
import sys, time
from pathlib import Path
from glasstumbler.chains import blocks
from glasstumbler.chains.kernel import Kernel
from tests.chains.test_kernel import empty_block
ahead = int(time.time()) + 5 * 86400
engine = Kernel(Path(sys.argv[1]), ahead)
height, tip = engine.tip()
raw = empty_block(height + 1, tip, when=ahead + height)
engine.process(raw, blocks.block_hash(raw))
engine.close()
print(height)
"""


@pytest.mark.skipif(kernel.latest_time() is not None, reason="the engine's clock cannot be told to follow")
def test_a_folder_of_a_laboratory_whose_time_is_ahead_opens_again(tmp_path: Path) -> None:
    """In a process each: the engine's test clock is the process's."""
    for height in (0, 1):
        done = subprocess.run([sys.executable, "-c", AHEAD, str(tmp_path)], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"{height}\n", done.stderr


def test_a_folder_in_use_is_reported(tmp_path: Path) -> None:
    first = Kernel(tmp_path)
    with pytest.raises(ChainError, match="cannot open"):
        Kernel(tmp_path)
    first.close()


def test_the_temporary_folder_goes_with_the_engine() -> None:
    made = Kernel()
    folder = made._temporary
    assert folder is not None and folder.is_dir()
    made.close()
    made.close()
    assert not folder.exists()


@pytest.mark.parametrize("coin", ["btc", "ltc"])
@pytest.mark.parametrize("kind", ["p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh"])
def test_scripts_of_every_kind_are_judged(coin: str, kind: str) -> None:
    form = FORMATS[coin]
    secret = b"\x05" * 32
    key = form.own_key(kind, secret)
    spends = [Spend(Outpoint(f"{n:02d}" * 32, n), 50_000 + n, kind, secret) for n in (1, 2)]
    signed = form.sign(spends, [Output(key, 90_000)])
    spent = [Output(key, 50_001), Output(key, 50_002)]
    kernel.verify_inputs(signed.raw, spent)
    tx = parse(signed.raw)
    changed = serialise(tx._replace(outputs=(Output(key, 90_001),)))
    for raw, outputs in ((changed, spent), (signed.raw, [spent[0], Output(KEY, 50_002)])):
        with pytest.raises(TransactionRefused) as refused:
            kernel.verify_inputs(raw, outputs)
        assert refused.value.reason == "bad-signature"


def test_it_cannot_read_what_is_no_transaction() -> None:
    with pytest.raises(TransactionRefused, match="malformed"):
        kernel.verify_inputs(b"nothing", [Output(KEY, 1)])


def test_nothing_is_written_to_the_terminal() -> None:
    code = "from glasstumbler.chains.kernel import Kernel; k = Kernel(); k.close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout == done.stderr == b""


WITHOUT = """
import sys
sys.modules["pbk"] = None  # as where no wheel exists: the import fails
from glasstumbler.chains import kernel
from tests.chains.forge import assemble, coins, opened, spend
from glasstumbler.errors import TransactionRefused
assert not kernel.AVAILABLE
for coin in ("btc", "ltc"):
    chain = opened(coin)
    assert chain.node == "in-process, own checks only"
    for kind in ("p2wpkh", "p2tr", "p2pkh", "p2sh-p2wpkh"):
        chain.broadcast(spend(chain, coins(chain, 1, kind=kind)).raw)
    (coin_,) = coins(chain, 1)
    try:
        chain.broadcast(spend(chain, [coin_._replace(secret=bytes(31) + b"1")]).raw)
        raise AssertionError("taken")
    except TransactionRefused as error:
        assert error.reason == "bad-signature"
    chain.mine()
    chain.reorg(3)
    chain.submit(assemble(chain))
    chain.close()
print("done")
"""


def test_the_chains_run_without_the_engine() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, timeout=120, text=True)
    assert done.stdout == "done\n", done.stderr
