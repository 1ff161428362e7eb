"""Ethereum formats against their published vectors and other libraries; the rules of the in-process chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains import eth_format
from glasstumbler.chains.base import Outpoint, Output, Place, Signed, Spend
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.chains.eth import GAS_LIMIT, EthChain, Header, read_block
from glasstumbler.chains.eth_format import (
    GWEI,
    EthFormat,
    checksum_address,
    own_address,
    parse_address,
    read_transfer,
    rlp_decode,
    rlp_encode,
    sign_transfer,
)
from glasstumbler.chains.keys import KeyRing
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import BadAddress, BlockRefused, ChainError, NoFunds, TransactionRefused

RING = KeyRing(b"Ethereum tests of the chain")
ETHER = 10**18
FEE = 2 * GWEI
ALICE, BOB = b"\x01" * 32, b"\x02" * 32
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
FIELDS: dict[str, Any] = {
    "type": 2, "chainId": 31337, "nonce": 7, "maxFeePerGas": FEE, "maxPriorityFeePerGas": FEE, "gas": 21000,
    "to": own_address(BOB), "value": ETHER,
}  # fmt: skip

EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]

RLP = [
    (b"dog", "83646f67"),
    ([b"cat", b"dog"], "c88363617483646f67"),
    (b"", "80"),
    ([], "c0"),
    (b"\x00", "00"),
    (b"\x0f", "0f"),
    (b"\x04\x00", "820400"),
    ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
    (b"Lorem ipsum dolor sit amet, consectetur adipisicing elit", "b8384c6f72656d20697073756d20646f6c6f72207369742061"
     "6d65742c20636f6e7365637465747572206164697069736963696e6720656c6974"),
]  # fmt: skip


# Formats


@pytest.mark.parametrize("address", EIP_55)
def test_checksums_of_eip_55(address: str) -> None:
    key = parse_address(address)
    assert checksum_address(key) == address or address[2:] in (address[2:].lower(), address[2:].upper())
    assert checksum_address(key) == to_checksum_address(address)


@pytest.mark.parametrize("address", EIP_55[4:])
def test_one_letter_of_the_wrong_case_is_noticed(address: str) -> None:
    for at in range(2, 42):
        changed = address[:at] + address[at].swapcase() + address[at + 1 :]
        if changed != address:
            with pytest.raises(BadAddress, match="EIP-55"):
                parse_address(changed)


@pytest.mark.parametrize(
    "address", ["", "0x", "0x12", EIP_55[0][2:], EIP_55[0] + "00", "0x" + "zz" * 20, "0x" + " 1" * 20]
)
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(address)


@pytest.mark.parametrize(("item", "encoded"), RLP)
def test_published_rlp(item: eth_format.Item, encoded: str) -> None:
    assert rlp_encode(item).hex() == encoded
    assert rlp_decode(bytes.fromhex(encoded)) == item


ITEMS = st.recursive(st.binary(max_size=80), lambda children: st.lists(children, max_size=6), max_leaves=12)


@given(ITEMS)
def test_rlp_is_the_librarys(item: eth_format.Item) -> None:
    assert rlp_encode(item) == rlp.encode(item)


@given(st.binary(max_size=40) | ITEMS.map(rlp.encode).map(lambda data: data[:-1]) | ITEMS.map(rlp.encode))
def test_rlp_reads_what_the_library_reads(data: bytes) -> None:
    try:
        expected = rlp.decode(data, strict=True)
    except rlp.exceptions.RLPException:
        with pytest.raises(ValueError):
            rlp_decode(data)
        return
    try:
        assert rlp_decode(data) == expected
    except ValueError as problem:
        assert "nested too deep" in str(problem)


@given(st.integers(1, 2**256 - 2**33), st.integers(0, 2**60), st.integers(1, 2**60), st.integers(0, 2**100))
def test_signatures_are_those_of_eth_account(secret: int, nonce: int, max_fee: int, value: int) -> None:
    key = (secret % (ORDER - 1) + 1).to_bytes(32, "big")
    signed = sign_transfer(key, nonce, own_address(BOB), value, max_fee)
    fields = FIELDS | {"nonce": nonce, "maxFeePerGas": max_fee, "maxPriorityFeePerGas": max_fee, "value": value}
    theirs = Account.sign_transaction(fields, key)
    assert bytes(theirs.raw_transaction) == signed.raw
    assert "0x" + bytes(theirs.hash).hex() == signed.txid
    assert (
        Account.recover_transaction(signed.raw) == checksum_address(own_address(key)) == Account.from_key(key).address
    )


def test_a_transfer_is_read_as_it_was_signed() -> None:
    raw = bytes(Account.sign_transaction(FIELDS | {"maxPriorityFeePerGas": GWEI}, ALICE).raw_transaction)
    transfer = read_transfer(raw)
    assert (transfer.nonce, transfer.max_fee, transfer.priority_fee, transfer.gas) == (7, FEE, GWEI, 21000)
    assert (transfer.to, transfer.value, transfer.sender) == (own_address(BOB), ETHER, own_address(ALICE))
    assert transfer.cost == ETHER + 21000 * FEE
    assert [transfer.price(base) for base in (0, GWEI // 2, GWEI, FEE)] == [GWEI, GWEI * 3 // 2, FEE, FEE]
    tx = transfer.tx()
    assert tx.inputs == (Outpoint("0x" + own_address(ALICE).hex(), 7),)
    assert tx.outputs == (Output(own_address(BOB), ETHER),)


def flip_signature(raw: bytes) -> bytes:
    """The same signature with s above half the order."""
    fields = rlp.decode(raw[1:])
    fields[9] = b"" if fields[9] else b"\x01"
    fields[11] = (ORDER - int.from_bytes(fields[11], "big")).to_bytes(32, "big")
    return b"\x02" + bytes(rlp.encode(fields))


def refused(raw: bytes) -> str:
    with pytest.raises(TransactionRefused) as refusal:
        read_transfer(raw)
    return refusal.value.reason


def test_what_is_no_plain_transfer_is_refused() -> None:
    def signed(**fields: Any) -> bytes:
        return bytes(Account.sign_transaction(FIELDS | fields, ALICE).raw_transaction)

    legacy = {key: FIELDS[key] for key in ("nonce", "gas", "to", "value", "chainId")} | {"gasPrice": FEE}
    assert refused(signed(data=b"\x01")) == "other"
    assert refused(signed(to=b"")) == "other"
    assert refused(signed(accessList=[{"address": own_address(BOB), "storageKeys": []}])) == "other"
    assert refused(bytes(Account.sign_transaction(legacy, ALICE).raw_transaction)) == "malformed"
    assert refused(flip_signature(signed())) == "bad-signature"
    fields = rlp.decode(signed()[1:])
    assert refused(b"\x02" + rlp.encode([*fields, b""])) == "malformed"
    assert refused(b"\x02" + rlp.encode([*fields[:5], b"\x01" * 19, *fields[6:]])) == "malformed"
    assert refused(b"\x02" + rlp.encode([fields[0], b"\x00\x01", *fields[2:]])) == "malformed"
    assert refused(b"\x02" + rlp.encode([*fields[:8], b"", *fields[9:]])) == "malformed"
    assert refused(b"\x02" + rlp.encode([*fields[:10], b"", b""])) == "bad-signature"


@given(st.binary(max_size=200).map(b"\x02".__add__))
def test_random_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(TransactionRefused):
        read_transfer(raw)


def test_the_format_signs_payout_change_and_fee() -> None:
    coins = EthFormat()
    own, target = coins.own_key("account", ALICE), coins.own_key("account", BOB)
    fee = coins.fee(["account"], [target], FEE)
    assert fee == 21000 * FEE == coins.fee(["account"] * 2, [target] * 3, FEE)
    spend = Spend(Outpoint("0x" + own.hex(), 3), ETHER, "account", ALICE)
    signed = coins.sign([spend], [Output(target, ETHER // 4), Output(own, ETHER * 3 // 4 - fee)])
    transfer = read_transfer(signed.raw)
    assert (signed.fee, transfer.nonce, transfer.max_fee, transfer.priority_fee) == (fee, 3, FEE, FEE)
    assert signed == coins.sign([spend], [Output(target, ETHER // 4), Output(own, ETHER * 3 // 4 - fee)], 0)
    assert coins.sign([spend], [Output(target, ETHER - fee)]).fee == fee, "nothing left: no change"


def test_parts_that_do_not_fit_are_not_signed() -> None:
    coins = EthFormat()
    own, target = own_address(ALICE), own_address(BOB)
    spend = Spend(Outpoint("0x" + own.hex(), 0), ETHER, "account", ALICE)
    wrong: list[tuple[list[Spend], list[Output]]] = [
        ([spend, spend], [Output(target, 1)]),
        ([spend], []),
        ([spend], [Output(target, ETHER - 21000 * FEE - 1)]),
        ([spend], [Output(target, ETHER), Output(own, 21000)]),
        ([spend], [Output(target, 1), Output(target, ETHER - 1 - 21000 * FEE)]),
        ([spend._replace(secret=BOB)], [Output(target, ETHER - 21000 * FEE)]),
    ]
    for spends, outputs in wrong:
        with pytest.raises(ChainError):
            coins.sign(spends, outputs)
    with pytest.raises(ChainError):
        coins.own_key("p2pkh", ALICE)


# The chain


@pytest.fixture
def chain() -> Iterator[EthChain]:
    chain = EthChain(RING, VirtualClock())
    yield chain
    chain.close()


def funded(chain: EthChain, secret: bytes, amount: int = ETHER) -> str:
    address = checksum_address(own_address(secret))
    chain.pay(address, amount)
    chain.mine()
    return address


def transfer(secret: bytes, nonce: int, value: int = 1, max_fee: int = FEE, to: bytes | None = None) -> Signed:
    return sign_transfer(secret, nonce, own_address(BOB) if to is None else to, value, max_fee)


def refusal(chain: EthChain, raw: bytes) -> str:
    before = chain.mempool()
    with pytest.raises(TransactionRefused) as refused:
        chain.broadcast(raw)
    assert chain.mempool() == before
    return refused.value.reason


def supply(chain: EthChain) -> int:
    return sum(account.balance for account in chain._state.accounts().values())


def test_the_fee_is_exact_and_only_the_base_fee_is_burnt(chain: EthChain) -> None:
    address = funded(chain, ALICE)
    base_fee, before = chain.base_fee(), supply(chain)
    chain.broadcast(transfer(ALICE, 0, ETHER // 3).raw)
    chain.mine()
    assert chain.account(address) == (ETHER - ETHER // 3 - 21000 * FEE, 1)
    assert chain.account(checksum_address(own_address(BOB))).balance == ETHER // 3
    assert before - supply(chain) == 21000 * base_fee


def test_others_may_offer_a_lower_priority_fee(chain: EthChain) -> None:
    address = funded(chain, ALICE)
    base_fee = chain.base_fee()
    fields = FIELDS | {"nonce": 0, "maxPriorityFeePerGas": GWEI // 10, "value": 5, "gas": 50_000}
    chain.broadcast(bytes(Account.sign_transaction(fields, ALICE).raw_transaction))
    chain.mine()
    assert chain.account(address) == (ETHER - 5 - 21000 * (base_fee + GWEI // 10), 1), "unused gas is given back"


def test_later_nonces_wait_for_the_earlier(chain: EthChain) -> None:
    funded(chain, ALICE)
    signed = [transfer(ALICE, nonce) for nonce in range(4)]
    for nonce in (3, 1, 2):
        chain.broadcast(signed[nonce].raw)
    chain.mine()
    assert chain.mempool() == tuple(signed[nonce].txid for nonce in (3, 1, 2))
    chain.broadcast(signed[0].raw)
    chain.mine()
    assert chain.mempool() == ()
    assert [tx.txid for tx in chain.block(chain.tip()[1]).txs] == [tx.txid for tx in signed]


def test_a_nonce_is_replaced_for_ten_percent_more(chain: EthChain) -> None:
    funded(chain, ALICE)
    first, short, enough = (transfer(ALICE, 0, max_fee=FEE * percent // 100) for percent in (100, 109, 110))
    chain.broadcast(first.raw)
    assert refusal(chain, short.raw) == "conflict"
    chain.broadcast(enough.raw)
    assert chain.mempool() == (enough.txid,)
    chain.mine()
    assert chain.place(enough.txid) == Place(*chain.tip())
    assert refusal(chain, first.raw) == "nonce"


def test_refusals(chain: EthChain) -> None:
    funded(chain, ALICE)
    other_chain = bytes(Account.sign_transaction(FIELDS | {"chainId": 1}, ALICE).raw_transaction)
    inverted = bytes(Account.sign_transaction(FIELDS | {"maxPriorityFeePerGas": FEE + 1}, ALICE).raw_transaction)
    little_gas = bytes(Account.sign_transaction(FIELDS | {"gas": 20_999}, ALICE).raw_transaction)
    assert refusal(chain, other_chain) == "other"
    assert refusal(chain, inverted) == "malformed"
    assert refusal(chain, little_gas) == "other"
    assert refusal(chain, transfer(ALICE, 0, max_fee=chain.base_fee() - 1).raw) == "fee-too-low"
    assert refusal(chain, transfer(ALICE, 0, ETHER - 21000 * FEE + 1).raw) == "funds"
    assert refusal(chain, transfer(ALICE, 20_000).raw) == "chain-limit"
    assert refusal(chain, transfer(ALICE, 0, to=(2).to_bytes(20, "big")).raw) == "other"
    chain.broadcast(transfer(ALICE, 0, ETHER // 2).raw)
    assert refusal(chain, transfer(ALICE, 1, ETHER // 2).raw) == "funds", "with what waits already"


def test_the_evm_itself_refuses_what_the_mempool_would(chain: EthChain) -> None:
    funded(chain, ALICE)
    foreign = read_transfer(
        bytes(Account.sign_transaction(FIELDS | {"nonce": 0, "chainId": 5, "value": 1}, ALICE).raw_transaction)
    )
    for wrong, reason in (
        (foreign, "other"),
        (read_transfer(transfer(ALICE, 1).raw), "nonce"),
        (read_transfer(transfer(ALICE, 0, ETHER).raw), "funds"),
    ):
        header = chain._header
        parent = bytes.fromhex(chain.tip()[1][2:])
        place = (header.height + 1, 21000, header.time + 1, 9, chain.base_fee())
        block = Header(parent, bytes(32), keccak(rlp_encode([wrong.raw])), *place)
        raw = rlp_encode([block.rlp(), [wrong.raw], []])
        state = chain._state.accounts()
        with pytest.raises(BlockRefused, match=reason):
            chain._connect(raw, read_block(raw))
        assert chain._state.accounts() == state


@pytest.mark.parametrize("fault", ["value", "root", "base fee", "missing transaction"])
def test_a_corrupt_block_is_refused(chain: EthChain, fault: str) -> None:
    funded(chain, ALICE)
    chain.broadcast(transfer(ALICE, 0, ETHER // 2).raw)
    chain.mine()
    header, raws = chain._header, [tx.raw for tx in chain.block(chain.tip()[1]).txs]
    chain.reorg(1)
    chain._pop()
    chain._pop()
    if fault == "value":
        raws = [transfer(ALICE, 0, ETHER // 3).raw]
    elif fault == "root":
        header = header._replace(state_root=bytes(32))
    elif fault == "base fee":
        header = header._replace(base_fee=header.base_fee + 1)
    else:
        raws = []
    raw = rlp_encode([header.rlp(), list[eth_format.Item](raws), []])
    with pytest.raises(BlockRefused, match="does not fit"):
        chain._connect(raw, read_block(raw))


def test_base_fee_follows_eip_1559() -> None:
    def after(base_fee: int, gas_used: int) -> int:
        return Header(bytes(32), bytes(32), bytes(32), 1, gas_used, 0, 0, base_fee).next_base_fee()

    target = GAS_LIMIT // 2
    assert after(1_000_000_000, target) == 1_000_000_000
    assert after(1_000_000_000, GAS_LIMIT) == 1_125_000_000
    assert after(1_000_000_000, 0) == 875_000_000
    assert after(1_000_000_000, target + target // 2) == 1_062_500_000
    assert after(7, 0) == 7
    assert after(1, target + 1) == 2, "at least one"


def test_a_hash_is_the_keccak_of_the_header(chain: EthChain) -> None:
    funded(chain, ALICE)
    height, tip = chain.tip()
    logged = chain._log.find(tip)
    assert logged is not None
    header, raws, _ = rlp.decode(logged.raw)
    assert "0x" + keccak(rlp.encode(header)).hex() == tip
    assert "0x" + header[0].hex() == chain.block_hash(height - 1)
    assert header[4] == keccak(rlp.encode(raws))
    assert int.from_bytes(header[8], "big") == height


def test_a_deep_reorganisation_restores_the_state(chain: EthChain) -> None:
    chain.mine()
    fork, before = chain.tip(), chain._state.accounts()
    txids = []
    for number in range(100):
        txids.append(chain.pay(chain.fresh_address(), ETHER + number))
        chain.mine()
    after = chain._state.accounts()
    assert chain.reorg(100) == 102
    assert chain.block_hash(fork[0]) == fork[1]
    assert chain._state.accounts() == before
    assert list(chain.mempool()) == txids
    chain.mine()
    assert chain.mempool() == ()
    assert [(key, account.nonce) for key, account in chain._state.accounts().items()] == [
        (key, account.nonce) for key, account in after.items()
    ]


def test_what_lived_on_a_forgotten_deposit_goes_with_it(chain: EthChain) -> None:
    address = checksum_address(own_address(ALICE))
    for forget in (False, True):
        deposit = chain.pay(address, ETHER)
        chain.mine()
        sweep = transfer(ALICE, 0, ETHER // 2 + forget)
        chain.broadcast(sweep.raw)
        chain.mine()
        chain.reorg(2, [deposit] if forget else [])
        assert chain.mempool() == (() if forget else (deposit, sweep.txid))
        if not forget:
            chain.mine()
            assert chain.place(deposit) == chain.place(sweep.txid) == Place(*chain.tip())
            chain.reorg(1, [deposit, sweep.txid])


def test_forgetting_one_faucet_payment_does_not_hold_up_the_later(chain: EthChain) -> None:
    txids = [chain.pay(chain.fresh_address(), ETHER) for _ in range(130)]
    chain.mine()
    chain.reorg(1, txids[:3])
    chain.mine()
    assert chain.mempool() == ()
    assert [chain.place(txid) is not None for txid in txids] == [False] * 3 + [True] * 127


def test_a_full_block_leaves_the_rest_for_the_next(chain: EthChain) -> None:
    room = GAS_LIMIT // 21000
    chain.pay_many([Output(own_address(BOB), 1)] * (room + 10))
    chain.mine()
    assert len(chain.block(chain.tip()[1]).txs) == room
    assert len(chain.mempool()) == 10
    assert chain.base_fee() > chain._header.base_fee
    chain.mine()
    assert chain.mempool() == ()
    assert chain.account(checksum_address(own_address(BOB))).balance == room + 10


def test_the_faucet_has_its_limits(chain: EthChain) -> None:
    with pytest.raises(NoFunds):
        chain.pay(chain.fresh_address(), 10**9 * ETHER)
    with pytest.raises(ChainError):
        chain.fresh_address("p2wpkh")


def live(chain: EthChain) -> None:
    for number in range(5):
        chain.pay(chain.fresh_address(), ETHER + number)
        chain.mine()
    chain.reorg(2)
    chain.pay(chain.fresh_address(), ETHER)


def test_same_calls_same_bytes(tmp_path: Path) -> None:
    tips = []
    for name in ("a", "b"):
        chain = EthChain(RING, VirtualClock(), tmp_path / name)
        live(chain)
        tips.append((chain.tip(), chain.mempool()))
        chain.close()
    assert tips[0] == tips[1]


def test_another_process_reads_the_blocks_while_the_chain_runs(tmp_path: Path) -> None:
    chain = EthChain(RING, VirtualClock(), tmp_path)
    live(chain)
    reader = BlockLog.read_only(tmp_path / "eth.blocks", "eth")
    blocks = [read_block(logged.raw) for logged in reader.chain()]
    reader.close()
    assert [block.hash for block in blocks] == [chain.block_hash(height) for height in range(chain.tip()[0] + 1)]
    assert blocks == [chain.block(block.hash) for block in blocks]
    chain.close()


def test_a_folder_of_another_seed_or_a_damaged_block_is_refused(tmp_path: Path) -> None:
    chain = EthChain(RING, VirtualClock(), tmp_path)
    live(chain)
    chain.close()
    with pytest.raises(BlockRefused, match="another seed"):
        EthChain(KeyRing(b"some other seed of 16 bytes"), VirtualClock(), tmp_path)
    connection = sqlite3.connect(tmp_path / "eth.blocks")
    raw = connection.execute("SELECT raw FROM blocks WHERE height = 1").fetchone()[0]
    connection.execute("UPDATE blocks SET raw = ? WHERE height = 1", (raw[:-40] + b"\x00" + raw[-39:],))
    connection.commit()
    connection.close()
    (tmp_path / "eth.snapshot").unlink()
    with pytest.raises(BlockRefused):
        EthChain(RING, VirtualClock(), tmp_path)
