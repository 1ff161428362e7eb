"""Transactions and blocks as bytes: round trips, embit as an oracle, malformed bytes, speed."""

from hashlib import sha256

import pytest
from embit.transaction import Transaction
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains import tx as txs
from glasstumbler.chains.base import Outpoint, Output
from glasstumbler.chains.tx import RawIn, RawTx
from glasstumbler.errors import TransactionRefused

# BIP 143's first example, signed: one input with a script, one with a witness.
SIGNED = bytes.fromhex(
    "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b"
    "9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc"
    "22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a"
    "0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000"
    "001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f"
    "32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121"
    "025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000"
)

u32 = st.integers(0, 2**32 - 1)
scripts = st.one_of(st.binary(max_size=60), st.integers(252, 300).map(bytes))
outpoints = st.builds(Outpoint, st.binary(min_size=32, max_size=32).map(bytes.hex), u32)
outputs = st.builds(Output, scripts, st.integers(0, 2**63 - 1))
witnesses = st.lists(scripts, max_size=3).map(tuple)


@st.composite
def transactions(draw):
    points = draw(st.lists(outpoints, min_size=1, max_size=4, unique=True))
    segwit = draw(st.booleans())
    inputs = [RawIn(point, draw(scripts), draw(u32), draw(witnesses) if segwit else ()) for point in points]
    outs = draw(st.lists(outputs, min_size=1, max_size=4))
    return RawTx(draw(u32), tuple(inputs), tuple(outs), draw(u32))


@given(transactions())
def test_round_trip(tx):
    raw = txs.serialise(tx)
    assert txs.parse(raw) == tx
    assert txs.identify(tx) == (txs.txid(tx), raw)


@given(transactions())
def test_agrees_with_embit(tx):
    raw = txs.serialise(tx)
    theirs = Transaction.parse(raw)
    assert theirs.serialize() == raw
    assert theirs.txid().hex() == txs.txid(tx)
    assert txs.wtxid(tx) == sha256(sha256(raw).digest()).digest()[::-1].hex()


@given(before=st.binary(max_size=9), tx=transactions(), after=st.binary(max_size=9))
def test_reading_inside_a_block(before, tx, after):
    raw = txs.serialise(tx)
    found, end = txs.read(before + raw + after, len(before))
    assert end == len(before) + len(raw)
    assert found == txs.to_tx(raw)
    assert found.raw == raw
    assert found.txid == txs.txid(tx)
    assert found.inputs == tuple(item.outpoint for item in tx.inputs)
    assert found.outputs == tx.outputs


@given(tx=transactions(), data=st.data())
def test_a_truncated_transaction_is_malformed(tx, data):
    raw = txs.serialise(tx)
    cut = data.draw(st.integers(0, len(raw) - 1))
    for reader in (txs.to_tx, txs.parse):
        with pytest.raises(TransactionRefused) as refusal:
            reader(raw[:cut])
        assert refusal.value.reason == "malformed"


@given(st.one_of(st.binary(max_size=120), st.binary(max_size=120).map(lambda tail: SIGNED[:60] + tail)))
def test_any_other_bytes_are_malformed_or_read_back_the_same(raw):
    try:
        tx = txs.parse(raw)
    except TransactionRefused as refusal:
        assert refusal.reason == "malformed"
    else:
        assert txs.serialise(tx) == raw


def _with_input_count(count):
    return SIGNED[:6] + count + SIGNED[7:]


LEGACY = txs.serialise(txs.parse(SIGNED), with_witness=False)

MALFORMED = {
    "empty": b"",
    "bytes after the end": SIGNED + b"\0",
    "no inputs": bytes.fromhex("02000000000100000000000000000000000000"),
    "no inputs, segwit": _with_input_count(b"\0"),
    "no outputs": RawTx(2, (RawIn(Outpoint("11" * 32, 0), b"", 0),), ()),
    "an unknown flag": SIGNED[:5] + b"\2" + SIGNED[6:],
    "a size longer than needed": LEGACY[:4] + b"\xfd\x02\x00" + LEGACY[5:],
    "a size of four bytes for two": LEGACY[:4] + b"\xfe\x02\x00\x00\x00" + LEGACY[5:],
    "more inputs than bytes": LEGACY[:4] + b"\xff" + b"\xff" * 8 + LEGACY[5:],
    "a script longer than memory": LEGACY[:41] + b"\xff" + b"\xff" * 8 + LEGACY[42:],
    "segwit without a witness": LEGACY[:4] + b"\0\1" + LEGACY[4:-4] + b"\0\0" + LEGACY[-4:],
    "an input twice": RawTx(2, (RawIn(Outpoint("11" * 32, 0), b"", 0),) * 2, (Output(b"", 1),)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    case = MALFORMED[name]
    raw = txs.serialise(case) if isinstance(case, RawTx) else case
    for reader in (txs.to_tx, txs.parse):
        with pytest.raises(TransactionRefused) as refusal:
            reader(raw)
        assert refusal.value.reason == "malformed"


def test_a_known_transaction():
    """The figures of BIP 143's example as embit has them, and the txid without the witness."""
    tx = txs.parse(SIGNED)
    assert tx.inputs[0].sequence == 0xFFFFFFEE
    assert [len(item) for item in tx.inputs[1].witness] == [71, 33]
    assert tx.outputs[0].amount == 112340000
    assert tx.locktime == 17
    assert txs.txid(tx) == sha256(sha256(LEGACY).digest()).digest()[::-1].hex()
    assert txs.weight(tx) == 3 * len(LEGACY) + len(SIGNED)
    assert txs.vsize(tx) == -(-txs.weight(tx) // 4)


def test_a_transaction_without_witness_weighs_four_times_its_size():
    tx = txs.parse(LEGACY)
    assert txs.serialise(tx) == LEGACY
    assert txs.weight(tx) == 4 * len(LEGACY)
    assert txs.wtxid(tx) == txs.txid(tx)


@pytest.mark.parametrize("number", [0, 0xFC, 0xFD, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x100000000, 2**64 - 1])
def test_compact_sizes(number):
    raw = txs.compact_size(number)
    assert txs.read_compact_size(b"?" + raw, 1) == (number, 1 + len(raw))
