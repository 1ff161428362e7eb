"""Digests, signatures and their judgement: BIP 143, 340 and 341's vectors, BitCash's transactions, refusals."""

import csv
import json
from pathlib import Path

import pytest
from coincurve import PrivateKey, PublicKeyXOnly
from embit import script as embit_script
from embit.transaction import Transaction
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains import script as scripts
from glasstumbler.chains import signing
from glasstumbler.chains import tx as txs
from glasstumbler.chains.base import Outpoint, Output, Spend
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import public_key
from glasstumbler.chains.tx import RawIn, RawTx
from glasstumbler.errors import TransactionRefused

VECTORS = Path(__file__).parent / "vectors"
BIP143 = json.loads((VECTORS / "bip143.json").read_text())["vectors"]
BIP341 = json.loads((VECTORS / "bip341.json").read_text())
BITCASH = json.loads((VECTORS / "bch_bitcash.json").read_text())["vectors"]
with (VECTORS / "bip340.csv").open() as file:
    BIP340 = list(csv.DictReader(file))

SECRET = bytes(range(1, 33))
ALL_TYPES = (0x01, 0x02, 0x03, 0x81, 0x82, 0x83)


@pytest.mark.parametrize("row", BIP143, ids=lambda row: row["name"])
def test_bip_143_digests_and_signatures(row):
    tx = txs.parse(bytes.fromhex(row["unsigned"]))
    digest = signing.Digests(tx).segwit(
        row["index"], bytes.fromhex(row["script_code"]), row["amount"], row["hash_type"]
    )
    assert digest.hex() == row["digest"]
    assert signing.ecdsa(bytes.fromhex(row["secret"]), digest).hex() == row["signature"]


@pytest.mark.parametrize("row", [row for row in BIP143 if "signed" in row], ids=lambda row: row["name"])
def test_bip_143_signed_transactions_are_judged_right(row):
    tx = txs.parse(bytes.fromhex(row["signed"]))
    unknown = Output(b"", 625000000)
    spent = [unknown] * row["index"] + [Output(bytes.fromhex(row["script_pubkey"]), row["amount"])]
    signing.verify_input(tx, row["index"], spent, "btc")
    wrong = [*spent[:-1], spent[-1]._replace(amount=row["amount"] + 1)]
    with pytest.raises(TransactionRefused):
        signing.verify_input(tx, row["index"], wrong, "btc")


@pytest.mark.parametrize("row", BIP340, ids=lambda row: row["index"])
def test_bip_340_with_the_library_that_we_sign_and_judge_with(row):
    message, signature = bytes.fromhex(row["message"]), bytes.fromhex(row["signature"])
    if row["secret key"]:
        made = PrivateKey(bytes.fromhex(row["secret key"])).sign_schnorr(message, bytes.fromhex(row["aux_rand"]))
        assert made == signature
    try:
        fits = PublicKeyXOnly(bytes.fromhex(row["public key"])).verify(signature, message)
    except ValueError:
        fits = False
    assert fits == (row["verification result"] == "TRUE")


@pytest.mark.parametrize("row", BIP341["scriptPubKey"])
def test_bip_341_output_keys(row):
    internal = bytes.fromhex(row["given"]["internalPubkey"])
    assert scripts.tap_tweak(internal).hex() == row["intermediary"]["tweak"]
    for head in (b"\2", b"\3"):
        assert scripts.taproot_output_key(head + internal).hex() == row["intermediary"]["tweakedPubkey"]
    script = scripts.output_script("p2tr", scripts.taproot_output_key(b"\2" + internal))
    assert script.hex() == row["expected"]["scriptPubKey"]


KEY_PATH = BIP341["keyPathSpending"]
TAPROOT_TX = txs.parse(bytes.fromhex(KEY_PATH["auxiliary"]["fullySignedTx"]))
TAPROOT_SPENT = [
    Output(bytes.fromhex(row["scriptPubKey"]), row["amountSats"]) for row in KEY_PATH["given"]["utxosSpent"]
]


@pytest.mark.parametrize("row", KEY_PATH["inputSpending"], ids=lambda row: str(row["given"]["txinIndex"]))
def test_bip_341_digests_and_signatures(row):
    given_, between = row["given"], row["intermediary"]
    unsigned = TAPROOT_TX._replace(inputs=tuple(item._replace(witness=(), script=b"") for item in TAPROOT_TX.inputs))
    digest = signing.Digests(unsigned).taproot(given_["txinIndex"], TAPROOT_SPENT, given_["hashType"])
    assert digest.hex() == between["sigHash"]
    signature = PrivateKey(bytes.fromhex(between["tweakedPrivkey"])).sign_schnorr(digest, bytes(32))
    tail = bytes([given_["hashType"]]) if given_["hashType"] else b""
    assert [(signature + tail).hex()] == row["expected"]["witness"]
    signing.verify_input(TAPROOT_TX, given_["txinIndex"], TAPROOT_SPENT, "btc")


def test_bip_341_private_keys_without_scripts():
    rows = [row for row in KEY_PATH["inputSpending"] if row["given"]["merkleRoot"] is None]
    assert rows
    for row in rows:
        secret = bytes.fromhex(row["given"]["internalPrivkey"])
        assert scripts.taproot_secret(secret).hex() == row["intermediary"]["tweakedPrivkey"]


@given(st.integers(1, 2**128).map(lambda number: number.to_bytes(32, "big")))
def test_taproot_secret_belongs_to_the_output_key(secret):
    assert public_key(scripts.taproot_secret(secret))[1:] == scripts.taproot_output_key(public_key(secret))


def _bitcash(row):
    spent = [
        Output(scripts.key_script("p2pkh", public_key(bytes.fromhex(row["secret"]))), amount)
        for _, _, amount in row["spent"]
    ]
    return txs.parse(bytes.fromhex(row["raw"])), spent


@pytest.mark.parametrize("row", BITCASH, ids=lambda row: f"{len(row['spent'])} inputs")
def test_transactions_of_bitcash_are_judged_right(row):
    """BitCash is another library for Bitcoin Cash; bch_bitcash.json says how it made these."""
    tx, spent = _bitcash(row)
    assert txs.txid(tx) == row["txid"]
    assert FORMATS["bch"].address(spent[0].key) == row["address"]
    signing.verify(tx, spent, "bch")
    for index, output in enumerate(spent):
        wrong = list(spent)
        wrong[index] = output._replace(amount=output.amount + 1)
        with pytest.raises(TransactionRefused, match=f"input {index}"):
            signing.verify(tx, wrong, "bch")


@pytest.mark.parametrize("row", BITCASH, ids=lambda row: f"{len(row['spent'])} inputs")
def test_bch_signatures_are_byte_for_byte_those_of_bitcash(row):
    tx, spent = _bitcash(row)
    digests = signing.Digests(tx)
    for index, (key, amount) in enumerate(spent):
        signature = signing.ecdsa(bytes.fromhex(row["secret"]), digests.segwit(index, key, amount, 0x41)) + b"\x41"
        assert tx.inputs[index].script[1:].startswith(signature)


@st.composite
def unsigned_transactions(draw):
    points = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))
    inputs = [RawIn(Outpoint("ab" * 32, vout), b"", draw(st.integers(0, 2**32 - 1))) for vout in points]
    outs = [Output(draw(st.binary(max_size=34)), draw(st.integers(0, 2**50))) for _ in range(draw(st.integers(1, 4)))]
    return RawTx(draw(st.integers(1, 2)), tuple(inputs), tuple(outs), draw(st.integers(0, 2**32 - 1)))


@given(tx=unsigned_transactions(), data=st.data())
def test_digests_agree_with_embit(tx, data):
    index = data.draw(st.integers(0, len(tx.inputs) - 1))
    amount = data.draw(st.integers(0, 2**50))
    key = scripts.key_script("p2pkh", public_key(SECRET))
    theirs, ours = Transaction.parse(txs.serialise(tx)), signing.Digests(tx)
    script = embit_script.Script(key)
    assert ours.original(index, key) == theirs.sighash_legacy(index, script)
    for hash_type in ALL_TYPES:
        assert ours.segwit(index, key, amount, hash_type) == theirs.sighash_segwit(index, script, amount, hash_type)
    taproot = [Output(key, amount + at) for at in range(len(tx.inputs))]
    digest = theirs.sighash_taproot(index, [script] * len(taproot), [output.amount for output in taproot], sighash=0)
    assert ours.taproot(index, taproot) == digest


# Judging


def _signed(coin, kind):
    form = FORMATS[coin]
    spend = Spend(Outpoint("cd" * 32, 1), 100_000, kind, SECRET)
    key = form.own_key(kind, SECRET)
    return txs.parse(form.sign([spend], [Output(key, 90_000)]).raw), [Output(key, 100_000)]


CASES = [(coin, kind) for coin in ("btc", "ltc", "bch") for kind in FORMATS[coin].kinds]


@pytest.mark.parametrize(("coin", "kind"), CASES)
def test_a_changed_transaction_is_refused(coin, kind):
    tx, spent = _signed(coin, kind)
    signing.verify(tx, spent, coin)
    first = tx.inputs[0]
    changed = {
        "an output's amount": tx._replace(outputs=(tx.outputs[0]._replace(amount=90_001),)),
        "an output's key": tx._replace(outputs=(tx.outputs[0]._replace(key=b"\x51"),)),
        "the outpoint": tx._replace(inputs=(first._replace(outpoint=Outpoint("cd" * 32, 2)),)),
        "the sequence": tx._replace(inputs=(first._replace(sequence=0),)),
        "the locktime": tx._replace(locktime=1),
        "the version": tx._replace(version=1),
        "no signature": tx._replace(inputs=(first._replace(script=b"", witness=()),)),
        "another script": tx._replace(inputs=(first._replace(script=b"\x51"),)),
        "another witness": tx._replace(inputs=(first._replace(witness=(b"", b"")),)),
    }
    for name, wrong in changed.items():
        with pytest.raises(TransactionRefused) as refusal:
            signing.verify(wrong, spent, coin)
        assert refusal.value.reason == "bad-signature", name


@pytest.mark.parametrize(("coin", "kind"), CASES)
def test_another_key_is_refused(coin, kind):
    tx, _ = _signed(coin, kind)
    other = [Output(FORMATS[coin].own_key(kind, bytes(31) + b"\5"), 100_000)]
    with pytest.raises(TransactionRefused):
        signing.verify(tx, other, coin)


@given(data=st.data(), case=st.sampled_from(CASES))
def test_any_changed_byte_of_the_proof_is_refused(data, case):
    coin, kind = case
    tx, spent = _signed(coin, kind)
    first = tx.inputs[0]
    parts = [first.script, *first.witness]
    which = data.draw(st.sampled_from([at for at, part in enumerate(parts) if part]))
    at = data.draw(st.integers(0, len(parts[which]) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != parts[which][at]))
    parts[which] = parts[which][:at] + bytes([value]) + parts[which][at + 1 :]
    wrong = first._replace(script=parts[0], witness=tuple(parts[1:]))
    with pytest.raises(TransactionRefused):
        signing.verify(tx._replace(inputs=(wrong,)), spent, coin)


def _pushed(signature, public):
    return bytes([len(signature)]) + signature + bytes([len(public)]) + public


@pytest.mark.parametrize("hash_type", ALL_TYPES)
def test_bch_takes_every_hash_type_with_forkid_and_none_without(hash_type):
    tx, spent = _signed("bch", "p2pkh")
    digests, public = signing.Digests(tx), public_key(SECRET)
    for flag in (0, 0x40):
        digest = digests.segwit(0, spent[0].key, spent[0].amount, hash_type | flag)
        script = _pushed(signing.ecdsa(SECRET, digest) + bytes([hash_type | flag]), public)
        again = tx._replace(inputs=(tx.inputs[0]._replace(script=script),))
        if flag:
            signing.verify(again, spent, "bch")
        else:
            with pytest.raises(TransactionRefused):
                signing.verify(again, spent, "bch")


def test_bch_takes_no_signature_of_btc_and_no_witness():
    tx, spent = _signed("btc", "p2pkh")
    with pytest.raises(TransactionRefused):
        signing.verify(tx, spent, "bch")
    tx, spent = _signed("bch", "p2pkh")
    extra = tx._replace(inputs=(tx.inputs[0]._replace(witness=(b"x",)),))
    with pytest.raises(TransactionRefused):
        signing.verify(extra, spent, "bch")
    segwit, spent = _signed("btc", "p2wpkh")
    with pytest.raises(TransactionRefused, match="not known"):
        signing.verify(segwit, spent, "bch")


def test_an_uncompressed_key_may_sign_p2pkh():
    public = PrivateKey(SECRET).public_key.format(compressed=False)
    key = scripts.output_script("p2pkh", scripts.hash160(public))
    tx, spent = _signed("bch", "p2pkh")[0], [Output(key, 100_000)]
    signature = signing.ecdsa(SECRET, signing.Digests(tx).segwit(0, key, 100_000, 0x41)) + b"\x41"
    signed = tx._replace(inputs=(tx.inputs[0]._replace(script=_pushed(signature, public)),))
    signing.verify(signed, spent, "bch")


def test_a_high_s_signature_is_refused():
    tx, spent = _signed("bch", "p2pkh")
    digest = signing.Digests(tx).segwit(0, spent[0].key, spent[0].amount, 0x41)
    der = signing.ecdsa(SECRET, digest)
    size = der[3]
    r, s = der[4 : 4 + size], int.from_bytes(der[6 + size :], "big")
    high = (scripts.ORDER - s).to_bytes(33, "big")
    body = bytes([2, size]) + r + bytes([2, 33]) + high
    script = _pushed(bytes([0x30, len(body)]) + body + b"\x41", public_key(SECRET))
    with pytest.raises(TransactionRefused):
        signing.verify(tx._replace(inputs=(tx.inputs[0]._replace(script=script),)), spent, "bch")


def test_a_written_default_hash_type_is_refused():
    tx, spent = _signed("btc", "p2tr")
    padded = (tx.inputs[0].witness[0] + b"\0",)
    with pytest.raises(TransactionRefused):
        signing.verify(tx._replace(inputs=(tx.inputs[0]._replace(witness=padded),)), spent, "btc")


def test_taproot_single_without_an_output_has_no_digest():
    tx = RawTx(2, tuple(RawIn(Outpoint("ee" * 32, at), b"", 0) for at in range(2)), (Output(b"\x51", 1),))
    with pytest.raises(ValueError, match="no output"):
        signing.Digests(tx).taproot(1, [Output(b"\x51", 1)] * 2, 3)


@pytest.mark.parametrize("key", [b"", b"\x51", b"\x6a\1x", scripts.output_script("p2wsh", bytes(32))])
def test_kinds_beyond_the_table_are_refused(key):
    tx, _ = _signed("btc", "p2wpkh")
    with pytest.raises(TransactionRefused) as refusal:
        signing.verify(tx, [Output(key, 100_000)], "btc")
    assert refusal.value.reason == "bad-signature"


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytes(32)])
def test_no_private_key_no_signature(secret):
    with pytest.raises(ValueError):
        signing.ecdsa(secret, bytes(32))
