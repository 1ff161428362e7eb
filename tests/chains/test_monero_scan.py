"""Monero's own transactions: read, scanned and opened, on blocks that monerod made and on outputs made here."""

import json
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)

from glasstumbler.chains.base import Output
from glasstumbler.chains.keccak import keccak256
from glasstumbler.chains.monero_keys import reduce_scalar, subaddress_key
from glasstumbler.chains.monero_rct import RctOutput, RctTx, read_rct_block, read_rct_tx
from glasstumbler.chains.monero_scan import (
    Opening,
    Wallet,
    is_node_block,
    log_block,
    open_tx,
    read_names,
    read_node_block,
    read_parts,
    show,
    viewer,
)
from glasstumbler.errors import BlockRefused, TransactionRefused

VECTORS = json.loads((Path(__file__).parent / "vectors" / "monero_blocks.json").read_text())
SEED = bytes.fromhex(VECTORS["seed"])
BLOCKS = VECTORS["blocks"]
H = bytes.fromhex("8b655970153799af2aeadc9ff1add0ea6c7251d54154cfa92c173a0dd39c1f94")


def wallet(seed: bytes) -> Wallet:
    return Wallet(viewer(seed))


@pytest.fixture(scope="module")
def ours() -> Wallet:
    return wallet(SEED)


def paid(block: dict[str, Any]) -> dict[tuple[str, int], Output]:
    return {(txid, vout): Output(subaddress_key(SEED, index), amount) for txid, vout, index, amount in block["paid"]}


@pytest.mark.parametrize("made", BLOCKS, ids=lambda made: made["height"])
def test_a_block_is_what_its_hash_says(made: dict[str, Any]) -> None:
    raw = bytes.fromhex(made["raw"])
    block = read_node_block(raw)
    assert is_node_block(raw) and list(read_names(raw)) == made["txids"] == [tx.txid for tx in block.txs]
    assert (block.height, block.hash, block.previous) == (made["height"], made["hash"], made["previous"])
    shown = {(tx.txid, vout): output for tx in block.txs for vout, output in enumerate(tx.outputs)}
    assert paid(made).items() <= shown.items()


@pytest.mark.parametrize("made", BLOCKS, ids=lambda made: made["height"])
def test_what_is_paid_to_us_is_found(made: dict[str, Any], ours: Wallet) -> None:
    block, logged = read_parts(bytes.fromhex(made["raw"]))
    seen = [open_tx(opened.rct, [ours]) for opened in logged]
    assert seen == list(logged)
    assert log_block(block, seen).hex() == made["raw"]
    found = {(o.tx.txid, n.number): o.tx.outputs[n.number] for o in seen for n in o.openings}
    assert found == paid(made)


def test_strangers_find_nothing() -> None:
    stranger = wallet(bytes(range(32)))
    for made in BLOCKS:
        for opened in read_parts(bytes.fromhex(made["raw"]))[1]:
            assert not open_tx(opened.rct, [stranger]).openings


@pytest.mark.parametrize("made", BLOCKS, ids=lambda made: made["height"])
def test_a_changed_byte_is_found_or_pays_nobody(made: dict[str, Any]) -> None:
    raw = bytearray.fromhex(made["raw"])
    for at in range(0, len(raw), 5):
        raw[at] ^= 1 << at % 8
        try:
            block = read_node_block(bytes(raw))
        except BlockRefused:
            pass
        else:
            shown = {(tx.txid, vout): output for tx in block.txs for vout, output in enumerate(tx.outputs)}
            assert block.hash != made["hash"] or not paid(made).items() <= shown.items(), at
        raw[at] ^= 1 << at % 8


def test_a_transaction_that_is_cut_or_longer_is_refused() -> None:
    raw = read_parts(bytes.fromhex(BLOCKS[0]["raw"]))[1][1].rct.raw
    for wrong in (*(raw[:size] for size in range(0, len(raw), 9)), raw + b"\0"):
        with pytest.raises(TransactionRefused, match="malformed"):
            read_rct_tx(wrong)
    with pytest.raises(BlockRefused):
        read_rct_block(raw)


# Outputs made here, as a sender makes them.


def output(key: bytes, amount: int, number: int = 0, promised: int | None = None) -> tuple[RctOutput, bytes]:
    """To a subaddress (64 bytes), and the public key R = r D that belongs to it. `promised`: what the commitment is to,
    if not to the amount."""
    spend, view, secret = key[:32], key[32:], reduce_scalar(keccak256(b"sender"))
    derivation = crypto_scalarmult_ed25519_noclamp(reduce_scalar((8).to_bytes(32, "little")), view)
    derivation = crypto_scalarmult_ed25519_noclamp(secret, derivation)
    shared = reduce_scalar(keccak256(derivation + bytes((number,))))
    hidden = amount ^ int.from_bytes(keccak256(b"amount" + shared)[:8], "little")
    mask = crypto_scalarmult_ed25519_base_noclamp(reduce_scalar(keccak256(b"commitment_mask" + shared)))
    value = amount if promised is None else promised
    commitment = (
        crypto_core_ed25519_add(mask, crypto_scalarmult_ed25519_noclamp(value.to_bytes(32, "little"), H))
        if value
        else mask
    )
    one_time = crypto_core_ed25519_add(crypto_scalarmult_ed25519_base_noclamp(shared), spend)
    tag = keccak256(b"view_tag" + derivation + bytes((number,)))[0]
    made = RctOutput(one_time, tag, 0, hidden.to_bytes(8, "little"), commitment)
    return made, crypto_scalarmult_ed25519_noclamp(secret, spend)


def transaction(*outputs: RctOutput, main_keys: tuple[bytes, ...] = (), output_keys: tuple[bytes, ...] = ()) -> RctTx:
    return RctTx("00" * 32, 0, None, (b"",), outputs, main_keys, output_keys, b"")


@pytest.mark.parametrize("index", [1, 2047, 2048, 5000])
def test_a_subaddress_is_found_however_far_ahead(index: int) -> None:
    made, public = output(subaddress_key(SEED, index), 7)
    [opening] = open_tx(transaction(made, main_keys=(public,)), [wallet(SEED)]).openings
    assert opening.public_view == subaddress_key(SEED, index)[32:]


def test_outputs_with_keys_of_their_own(ours: Wallet) -> None:
    keys = [subaddress_key(SEED, 3), subaddress_key(bytes(range(32)), 1), subaddress_key(SEED, 4)]
    made = [output(key, 0 if at == 2 else 10**12, at) for at, key in enumerate(keys)]
    tx = transaction(*(one for one, _ in made), main_keys=(H,), output_keys=tuple(public for _, public in made))
    assert open_tx(tx, [ours]).tx.outputs == (
        Output(keys[0], 10**12),
        Output(tx.outputs[1].key, 0),
        Output(keys[2], 0),
    )


def test_an_amount_that_was_not_committed_to_is_not_ours(ours: Wallet) -> None:
    made, public = output(subaddress_key(SEED, 3), 10**12, promised=1)
    assert not open_tx(transaction(made, main_keys=(public,)), [ours]).openings


def test_what_its_sender_has_locked_is_passed_over(ours: Wallet) -> None:
    made, public = output(subaddress_key(SEED, 3), 10**12)
    tx = transaction(made, main_keys=(public,))
    assert open_tx(tx, [ours]).openings
    assert not open_tx(tx._replace(unlock=10**6), [ours]).openings
    assert open_tx(tx._replace(unlock=160, height=100), [ours]).openings, "a coinbase always is"


def test_another_view_tag_is_not_ours(ours: Wallet) -> None:
    made, public = output(subaddress_key(SEED, 3), 10**12)
    assert made.tag is not None
    assert not open_tx(transaction(made._replace(tag=made.tag ^ 1), main_keys=(public,)), [ours]).openings
    assert open_tx(transaction(made._replace(tag=None), main_keys=(public,)), [ours]).openings, "before view tags"


def test_a_public_key_that_is_no_point_is_passed_over(ours: Wallet) -> None:
    made, public = output(subaddress_key(SEED, 3), 10**12)
    assert len(open_tx(transaction(made, main_keys=(b"\x02" + bytes(31), bytes(32), public)), [ours]).openings) == 1


def test_an_output_is_not_opened_to_what_it_does_not_hold(ours: Wallet) -> None:
    made, public = output(subaddress_key(SEED, 3), 10**12)
    tx = transaction(made, main_keys=(public,))
    [opening] = open_tx(tx, [ours]).openings
    for wrong in (Opening(0, H, opening.public_view), opening._replace(number=1)):
        with pytest.raises(BlockRefused):
            show(tx, [wrong])
