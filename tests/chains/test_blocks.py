"""Blocks as bytes: a known genesis block, merkle roots, coinbases that Core's engine takes, malformed bytes."""

from dataclasses import dataclass
from hashlib import sha256

import pbk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains import blocks
from glasstumbler.chains import tx as txs
from glasstumbler.chains.base import Outpoint, Output, Spend
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.tx import RawIn, RawTx
from glasstumbler.errors import BlockRefused

REGTEST_GENESIS = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
REGTEST_TIME = 1296688602
EASIEST = 0x207FFFFF
KEY = FORMATS["btc"].own_key("p2wpkh", bytes(31) + b"\1")
GENESIS_ROOT = bytes.fromhex("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")[::-1]


def _hash(data):
    return sha256(sha256(data).digest()).digest()


def _tx(number, witness=(b"w",)):
    return txs.serialise(RawTx(2, (RawIn(Outpoint("22" * 32, number), b"", 0, witness),), (Output(KEY, number),)))


def test_the_genesis_header_of_regtest():
    header = blocks.Header(1, "00" * 32, GENESIS_ROOT, REGTEST_TIME, EASIEST, 2)
    raw = blocks.header_bytes(header)
    assert len(raw) == blocks.HEADER_SIZE
    assert blocks.block_hash(raw) == REGTEST_GENESIS
    assert blocks.parse_header(raw) == header


def test_merkle_roots():
    a, b, c = (bytes([number]) * 32 for number in (1, 2, 3))
    assert blocks.merkle_root([a]) == a
    assert blocks.merkle_root([a, b]) == _hash(a + b)
    # An odd one is paired with itself.
    assert blocks.merkle_root([a, b, c]) == _hash(_hash(a + b) + _hash(c + c))


@pytest.mark.parametrize(
    ("number", "push"),
    [
        (0, "00"),
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (255, "02ff00"),
        (256, "020001"),
        (32767, "02ff7f"),
        (32768, "03008000"),
        (8388608, "0400008000"),
    ],
)
def test_heights_are_pushed_as_bip_34_wants(number, push):
    assert blocks.script_number(number).hex() == push


@given(
    height=st.integers(0, 10_000_000),
    keys=st.lists(st.binary(min_size=22, max_size=34), min_size=1, max_size=3),
    segwit=st.booleans(),
    extra=st.binary(max_size=70),
)
def test_coinbases_are_large_enough_everywhere(height, keys, segwit, extra):
    outs = tuple(Output(key, 1) for key in keys)
    tx = blocks.coinbase(height, outs, [] if segwit else None, extra)
    bare = txs.serialise(tx, with_witness=False)
    assert len(bare) >= 100
    assert 2 <= len(tx.inputs[0].script) <= 100
    assert tx.inputs[0].script.startswith(blocks.script_number(height))
    assert tx.inputs[0].outpoint == Outpoint("00" * 32, 0xFFFFFFFF)
    assert tx.outputs[: len(outs)] == outs
    assert len(tx.outputs) == len(outs) + segwit
    assert txs.parse(txs.serialise(tx)) == tx


def test_extra_bytes_make_another_coinbase_and_have_a_limit():
    outs = (Output(KEY, 1),)
    assert txs.txid(blocks.coinbase(5, outs, [], b"a")) != txs.txid(blocks.coinbase(5, outs, [], b"b"))
    with pytest.raises(ValueError, match="too long"):
        blocks.coinbase(5, outs, [], bytes(120))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8, unique=True))
def test_blocks_round_trip(numbers):
    raws = [_tx(number) for number in numbers]
    header = blocks.Header(0x20000000, "11" * 32, bytes(32), 1, EASIEST, 7)
    found, transactions = blocks.parse_block(blocks.block_bytes(header, raws))
    assert found == header
    assert transactions == tuple(txs.to_tx(raw) for raw in raws)


_BLOCK = blocks.block_bytes(blocks.Header(1, "11" * 32, bytes(32), 1, EASIEST, 0), [_tx(1), _tx(2)])


@given(st.integers(0, len(_BLOCK) - 1))
def test_a_truncated_block_is_refused(cut):
    with pytest.raises(BlockRefused):
        blocks.parse_block(_BLOCK[:cut])


@pytest.mark.parametrize("raw", [_BLOCK + b"\0", _BLOCK[:80] + b"\0", _BLOCK[:80] + b"\xff" * 9, _BLOCK[:80] + b"\xfd"])
def test_malformed_blocks_are_refused(raw):
    with pytest.raises(BlockRefused):
        blocks.parse_block(raw)


@dataclass
class Miner:
    """Blocks on top of each other for Core's engine; `spendable` are the coinbases, oldest first."""

    chainman: pbk.ChainstateManager
    previous: str = REGTEST_GENESIS
    height: int = 0

    def mine(self, raws=(), witness=None):
        """The coinbase of the new block. `witness` stands in for what the commitment should cover."""
        coinbase = blocks.coinbase(
            self.height + 1, (Output(KEY, 50 * 10**8),), list(raws) if witness is None else witness
        )
        whole = [txs.serialise(coinbase), *raws]
        root = blocks.merkle_root([bytes.fromhex(txs.to_tx(raw).txid)[::-1] for raw in whole])
        header = blocks.Header(0x20000000, self.previous, root, REGTEST_TIME + 600 * (self.height + 1), EASIEST, 0)
        while int(blocks.block_hash(blocks.header_bytes(header)), 16) >> 255:
            header = header._replace(nonce=header.nonce + 1)
        raw = blocks.block_bytes(header, whole)
        self.chainman.process_block(pbk.Block(raw))
        if self.chainman.get_active_chain().height == self.height + 1:
            self.previous, self.height = blocks.block_hash(raw), self.height + 1
        return coinbase


@pytest.fixture
def miner(tmp_path):
    return Miner(pbk.load_chainman(tmp_path, pbk.ChainType.REGTEST))


def _spend(coinbase, number):
    coin = Spend(Outpoint(txs.txid(coinbase), 0), 50 * 10**8, "p2wpkh", bytes(31) + b"\1")
    return FORMATS["btc"].sign([coin], [Output(KEY, 49 * 10**8 + number)]).raw


def test_core_takes_our_blocks_with_witnesses_inside(miner):
    coinbases = [miner.mine() for _ in range(103)]
    assert miner.height == 103
    miner.mine([_spend(coinbases[0], 1), _spend(coinbases[1], 2), _spend(coinbases[2], 3)])
    assert miner.height == 104


def test_core_refuses_a_block_whose_commitment_is_of_other_witnesses(miner):
    coinbases = [miner.mine() for _ in range(101)]
    raw = _spend(coinbases[0], 1)
    with pytest.raises(pbk.ProcessBlockException):
        miner.mine([raw], witness=[])
    assert miner.height == 101
    miner.mine([raw])
    assert miner.height == 102
