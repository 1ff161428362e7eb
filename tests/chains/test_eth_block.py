"""Blocks of Ethereum nodes; tests/nodes holds the same against a real node's."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from glasstumbler.chains.base import Outpoint, Output
from glasstumbler.chains.eth_block import Unsigned, make, read_block, read_transaction, read_unsigned, trie_root
from glasstumbler.chains.eth_format import GWEI, Item, own_address, read_transfer, rlp_encode, sign_transfer
from glasstumbler.chains.keccak import keccak256
from glasstumbler.errors import BlockRefused, TransactionRefused

ALICE, BOB = b"\x01" * 32, own_address(b"\x02" * 32)
PLAIN = {"nonce": 7, "gas": 21_000, "to": BOB, "value": 5, "chainId": 31337}
FEES = {"maxFeePerGas": 2 * GWEI, "maxPriorityFeePerGas": GWEI}
ZERO, SMALL = "0x" + "00" * 32, "0x" + "00" * 20


def raw_of(**fields: Any) -> bytes:
    return bytes(Account.sign_transaction({**PLAIN, **fields}, ALICE).raw_transaction)


def test_published_roots() -> None:
    assert trie_root([]).hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    leaf = rlp_encode([b"\x20\x80", b"value"])  # the one key is 0x80: two nibbles, even, a leaf
    assert trie_root([b"value"]) == keccak256(leaf)


def test_a_root_depends_on_every_value_and_its_place() -> None:
    values = [bytes([number]) * 40 for number in range(1, 200)]
    roots = {trie_root(values)}
    for at in (0, 1, 15, 16, 127, 128, 198):
        roots.add(trie_root([*values[:at], b"other", *values[at + 1 :]]))
    roots.add(trie_root(values[::-1]))
    roots.add(trie_root(values[:-1]))
    assert len(roots) == 10


@pytest.mark.parametrize(
    "raw",
    [
        raw_of(gasPrice=GWEI),
        raw_of(gasPrice=GWEI, accessList=[], type=1),
        raw_of(**FEES),
        raw_of(**FEES, accessList=[{"address": BOB, "storageKeys": []}]),
        bytes(Account.sign_transaction({**PLAIN, "gasPrice": GWEI} | {"chainId": None}, ALICE).raw_transaction),
    ],
)
def test_a_plain_transfer_pays_whatever_its_type(raw: bytes) -> None:
    tx = read_transaction(raw)
    assert tx.inputs == (Outpoint("0x" + own_address(ALICE).hex(), 7),)
    assert tx.outputs == (Output(BOB, 5),)
    assert (tx.raw, tx.txid) == (raw, "0x" + keccak256(raw).hex())


def test_our_own_are_as_the_chain_in_this_process_shows_them() -> None:
    signed = sign_transfer(ALICE, 3, BOB, 9, GWEI)
    assert read_transaction(signed.raw) == read_transfer(signed.raw).tx()


@pytest.mark.parametrize("fields", [{"data": b"\x01"}, {"to": b"", "data": b"\x60\x01"}])
def test_calls_and_creations_pay_nobody(fields: dict[str, Any]) -> None:
    tx = read_transaction(raw_of(**FEES, **fields))
    assert tx.outputs == ()
    assert tx.inputs[0].vout == 7


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x7f\xc0", b"\x02\xc0", b"\xc0", b"\x01" + b"\xc8" + b"\x80" * 8])
def test_what_is_no_transaction_is_refused(raw: bytes) -> None:
    with pytest.raises(TransactionRefused):
        read_transaction(raw)


def shown(raws: list[bytes], **fields: str) -> dict[str, Any]:
    """A block as a node of London's rules shows it."""
    numbers = {"difficulty": "0x0", "number": "0x5", "gasLimit": "0x1c9c380", "gasUsed": hex(21_000 * len(raws))}
    hashes = ("sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash", "parentHash")
    header: dict[str, Any] = dict.fromkeys(hashes, ZERO) | numbers
    header |= {"miner": SMALL, "logsBloom": "0x" + "00" * 256, "extraData": "0x", "nonce": "0x" + "00" * 8}
    header |= {"timestamp": "0x6553f101", "baseFeePerGas": "0x7", "transactionsRoot": "0x" + trie_root(raws).hex()}
    order = (
        *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
        *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas"),
    )
    counts = {*numbers, "timestamp", "baseFeePerGas"}
    flat: list[Item] = []
    for name in order:
        digits = header[name][2:]
        if name in counts:
            digits = digits.lstrip("0")
            digits = digits if len(digits) % 2 == 0 else "0" + digits
        flat.append(bytes.fromhex(digits))
    return header | {"hash": "0x" + keccak256(rlp_encode(flat)).hex()} | fields


def test_a_block_comes_back_from_its_bytes() -> None:
    raws = [sign_transfer(ALICE, nonce, BOB, nonce, GWEI).raw for nonce in range(300)]
    made, raw = make(shown(raws), raws)
    assert read_block(raw) == made
    assert [tx.raw for tx in made.block.txs] == raws
    assert (made.block.height, made.block.time, made.base_fee) == (5, 0x6553F101, 7)
    assert (made.gas_used, made.gas_limit) == (300 * 21_000, 30_000_000)


def test_a_transaction_that_nobody_signed() -> None:
    bare = rlp_encode([b"\x7a\x69", b"", b"\x01", b"\x01", b"\x52\x08", BOB, b"\x05", b"", [], b"", b"", b""])
    unsigned = Unsigned("0x" + "ee" * 32, "0x" + "ab" * 20, b"\x02" + bare)
    made, raw = make(shown([unsigned.raw]), [unsigned])
    assert made.block.txs == (read_unsigned(unsigned),) == read_block(raw).block.txs
    assert made.block.txs[0].inputs == (Outpoint("0x" + "ab" * 20, 0),)
    with pytest.raises(BlockRefused):
        make(shown([unsigned.raw]), [unsigned.raw])


@pytest.mark.parametrize(
    "fields", [{"hash": ZERO}, {"number": "0x6"}, {"miner": "0x00"}, {"stateRoot": "hello"}, {"gasUsed": "x"}]
)
def test_a_header_that_its_hash_is_not_of_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(BlockRefused):
        make(shown([], **fields), [])


def test_other_transactions_than_the_headers_are_refused() -> None:
    raws = [sign_transfer(ALICE, nonce, BOB, 1, GWEI).raw for nonce in range(3)]
    for others in (raws[:2], raws[::-1], [*raws, raws[0]]):
        with pytest.raises(BlockRefused, match="does not fit"):
            make(shown(raws), others)
