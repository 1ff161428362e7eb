"""Monero keys and addresses against published vectors and PyPI `monero`; the rules of the Monero model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monero.address import address as oracle_address  # type: ignore[import-untyped]
from monero.backends.offline import OfflineWallet  # type: ignore[import-untyped]
from monero.seed import Seed  # type: ignore[import-untyped]
from monero.wallet import Wallet  # type: ignore[import-untyped]
from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from glasstumbler.chains import monero_keys, monero_tx
from glasstumbler.chains.base import Outpoint, Output, Place, Spend
from glasstumbler.chains.blocklog import BlockLog
from glasstumbler.chains.keys import KeyRing
from glasstumbler.chains.monero import EMISSION, FEE_PER_PART, XMR, MoneroChain, MoneroFormat, read_block
from glasstumbler.chains.monero_keys import (
    decode_address,
    encode_address,
    integrated_address,
    keys_of,
    subaddress,
    subaddress_key,
    subaddress_secret,
)
from glasstumbler.chains.monero_tx import MoneroBlock, MoneroTx, Source, coinbase, read_tx, sign
from glasstumbler.clock import VirtualClock
from glasstumbler.errors import BadAddress, BlockRefused, ChainError, NoFunds, NotATestNetwork, TransactionRefused

RING = KeyRing(b"Monero tests of the chain")
SEED = bytes.fromhex("a8733c61797115db4ec8a5ce39fb811f81dd4ec163b880526683e059c7e62503")
"""The stagenet wallet of monero-python's test_address.py and test_offline.py."""
PRIMARY = "52jzuBBUMty3xPL3JsQxGP74LDuV6E1LS8Zda1PbdqQjGzFmH6N9ep9McbFKMALujVT9S5mKpbEgC5VPhfoAiVj8LdAqbp6"
FIRST = "7AeQwvrLtPeYoXVPRkEu8oEL7N9wnqHjYKwSvTf6YKbHgYmw6AJMsjggzVLo21egMK9qcoV1mxCTfP4FbaGb7JEMDfpLetk"
INTEGRATED = (
    "5CSfuyzxyAV3xPL3JsQxGP74LDuV6E1LS8Zda1PbdqQjGzFmH6N9ep9McbFKMALujVT9S5mKpbEgC5VPhfoAiVj8Vz8ySmoqYgTE8dR1yS"
)
PAYMENT_ID = bytes.fromhex("4a6f686e47616c74")
FOREIGN = [
    "47ewoP19TN7JEEnFKUJHAYhGxkeTRH82sf36giEp9AcNfDBfkAtRLX7A6rZz18bbNHPNV7ex6WYbMN3aKisFRJZ8Ebsmgef",
    "84LooD7i35SFppgf4tQ453Vi3q5WexSUXaVgut69ro8MFnmHwuezAArEZTZyLr9fS6QotjqkSAxSF6d1aDgsPoX849izJ7m",
    "4HMcpBpe4ddJEEnFKUJHAYhGxkeTRH82sf36giEp9AcNfDBfkAtRLX7A6rZz18bbNHPNV7ex6WYbMN3aKisFRJZ8M7yKhzQhKW3ECCLWQw",
]
"""Main-network forms: primary, subaddress, integrated."""
SEEDS = st.binary(min_size=32, max_size=32).filter(any)


# Keys and addresses


def test_published_stagenet_wallet() -> None:
    keys = keys_of(SEED)
    assert keys.spend == SEED
    assert keys.view.hex() == "fd5c0d25f8f994268079a4f7844274dc870a7c2b88fbfc24ba318375e1d9430f"
    assert keys.public_spend.hex() == "180c1d7bbf7f2e11aa90d0f61bf49024370e01cd54f33f2d36bba0357c9c205f"
    assert keys.public_view.hex() == "94b66a81e646927b3da74392306f789c5024734b4ce6351ad74c4c7d7351b3ad"
    assert subaddress(SEED, 0) == PRIMARY
    assert subaddress(SEED, 1) == FIRST
    assert integrated_address(SEED, PAYMENT_ID) == INTEGRATED


def test_published_keys_of_a_mnemonic() -> None:
    keys = keys_of(bytes.fromhex("482700617ba810f94035d7f4d7ccc1a29878e165b4867872b705204c85406906"))
    assert keys.view.hex() == "09ed72c713d3e9e19bef2f5204cf85f6cb25de7842aa0722abeb12697f171903"
    assert keys.public_spend.hex() == "4ee576f52b9c6a824a3d5c2832d117177d2bb9992507c2c78788bb8dbaf4b640"
    assert keys.public_view.hex() == "e1ef99d66312ec0b16b17c66c591ab59594e21621588b63b62fa69fe615a768e"


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_wallets_are_those_of_the_library(seed: bytes, index: int, account: int) -> None:
    theirs = Seed(seed.hex())
    primary = theirs.public_address("stage")
    wallet = Wallet(OfflineWallet(primary, view_key=theirs.secret_view_key()))
    assert subaddress(seed, 0) == str(primary)
    assert subaddress(seed, index, account) == str(wallet.get_address(account, index))
    assert integrated_address(seed, PAYMENT_ID) == str(primary.with_payment_id(PAYMENT_ID.hex()))


@given(SEEDS, st.integers(0, 1000), st.integers(0, 3))
def test_the_secret_is_that_of_the_public_key(seed: bytes, index: int, account: int) -> None:
    public = crypto_scalarmult_ed25519_base_noclamp(subaddress_secret(seed, index, account))
    assert public == subaddress_key(seed, index, account)[:32]


@given(st.binary(min_size=64, max_size=64), st.sampled_from([b"", PAYMENT_ID]), st.sampled_from([24, 25, 36]))
def test_addresses_round_trip(key: bytes, payment_id: bytes, byte: int) -> None:
    decoded = decode_address(encode_address(byte, key, payment_id))
    assert decoded == (byte, key[:32], key[32:], payment_id)


@given(st.integers(0, 94), st.sampled_from("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0OIl é"))
def test_one_wrong_letter_is_noticed(at: int, letter: str) -> None:
    changed = FIRST[:at] + letter + FIRST[at + 1 :]
    if changed != FIRST:
        with pytest.raises(BadAddress):
            decode_address(changed)


@pytest.mark.parametrize("text", ["", "7", FIRST[:-1], FIRST + "1", FIRST * 2, "z" * 95, "bcrt1qxyz"])
def test_malformed_addresses_are_refused(text: str) -> None:
    with pytest.raises(BadAddress):
        MoneroFormat().key(text)


@pytest.mark.parametrize("text", FOREIGN)
def test_main_network_addresses_are_well_formed_and_refused(text: str) -> None:
    assert str(oracle_address(text)) == text
    assert encode_address(*_parts(text)) == text
    with pytest.raises(NotATestNetwork, match="network byte"):
        MoneroFormat().key(text)


def _parts(text: str) -> tuple[int, bytes, bytes]:
    decoded = decode_address(text)
    return decoded.network_byte, decoded.public_spend + decoded.public_view, decoded.payment_id


def test_an_integrated_address_can_lead_to_a_subaddress() -> None:
    coins = MoneroFormat()
    assert coins.key(integrated_address(SEED, PAYMENT_ID, 1)) == coins.key(FIRST) == subaddress_key(SEED, 1)
    assert coins.key(INTEGRATED) == coins.key(PRIMARY)
    assert coins.address(coins.key(FIRST)) == FIRST
    for wrong in (b"", b"1234567", b"123456789"):
        with pytest.raises(ValueError, match="8 bytes"):
            integrated_address(SEED, wrong)
    with pytest.raises(ValueError, match="32 bytes"):
        keys_of(SEED[:-1])
    with pytest.raises(ValueError, match="order"):
        keys_of(bytes(32))


def test_services_cannot_spend_monero() -> None:
    coins = MoneroFormat()
    spend = Spend(Outpoint("00" * 32, 0), 1, "subaddress", SEED)
    for attempt in (
        lambda: coins.own_key("subaddress", SEED),
        lambda: coins.fee(["subaddress"], [b""], 1),
        lambda: coins.sign([spend], []),
    ):
        with pytest.raises(ChainError):
            attempt()


# Transactions

OUTPUTS = st.lists(
    st.builds(Output, st.binary(min_size=64, max_size=64), st.integers(0, 2**64 - 1)), min_size=1, max_size=4
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 9)), max_size=3),
    OUTPUTS,
    st.binary(max_size=64),
)
def test_transactions_round_trip(sources: list[tuple[bytes, int]], outputs: list[Output], extra: bytes) -> None:
    secret = keys_of(SEED).spend
    tx = sign([(Source(txid.hex(), number), secret) for txid, number in sources], outputs, extra)
    assert read_tx(tx.raw) == tx
    assert tx.tx().inputs == () and tx.tx().outputs == tuple(outputs)
    assert all(monero_tx.verify(tx, number, subaddress_key(SEED, 0)) for number in range(len(sources)))
    assert not any(monero_tx.verify(tx, number, subaddress_key(SEED, 1)) for number in range(len(sources)))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(b"GTX1".__add__))
def test_other_bytes_are_refused(raw: bytes) -> None:
    try:
        tx = read_tx(raw)
    except TransactionRefused as refused:
        assert refused.reason == "malformed"
    else:
        assert coinbase(tx.outputs, tx.extra).raw == raw or tx.inputs, "only what would be written so"


# The chain


@pytest.fixture
def chain() -> Iterator[MoneroChain]:
    chain = MoneroChain(RING, VirtualClock())
    yield chain
    chain.close()


def funded(chain: MoneroChain, blocks: int = 10) -> tuple[Source, bytes]:
    """A coin of 1 XMR at SEED's first subaddress, and the key that spends it."""
    txid = chain.pay(FIRST, XMR)
    chain.mine(blocks)
    tx = chain.transaction(txid)
    assert tx is not None
    return Source(txid, [output.key for output in tx.outputs].index(subaddress_key(SEED, 1))), subaddress_secret(
        SEED, 1
    )


def spend(coin: tuple[Source, bytes], amount: int = XMR - 2 * FEE_PER_PART, extra: bytes = b"") -> MoneroTx:
    return sign([coin], [Output(subaddress_key(SEED, 2), amount)], extra)


def refusal(chain: MoneroChain, tx: MoneroTx) -> str:
    before = chain.mempool()
    with pytest.raises(TransactionRefused) as refused:
        chain.broadcast(tx.raw)
    assert chain.mempool() == before
    return refused.value.reason


def test_outputs_are_locked_for_ten_blocks(chain: MoneroChain) -> None:
    coin = funded(chain, blocks=0)
    assert chain.unlock_height(coin[0].txid) is None
    assert refusal(chain, spend(coin)) == "locked", "it waits itself"
    mined = chain.mine()
    assert chain.unlock_height(coin[0].txid) == mined + 10
    assert chain.mine(8) == mined + 8
    assert refusal(chain, spend(coin)) == "locked"
    chain.mine()
    tx = spend(coin)
    assert chain.broadcast(tx.raw) == tx.txid
    chain.mine()
    assert chain.place(tx.txid) == Place(mined + 10, chain.tip()[1])


def test_coinbases_are_locked_for_sixty_blocks(chain: MoneroChain) -> None:
    height = chain.mine()
    reward = chain.block(chain.tip()[1]).txs[0]
    assert chain.unlock_height(reward.txid) == height + 60
    secret = keys_of(RING.secret("xmr", "faucet", "float", 0)).spend
    tx = sign([(Source(reward.txid, 0), secret)], [Output(subaddress_key(SEED, 1), EMISSION - 2 * FEE_PER_PART)])
    chain.mine(58)
    assert refusal(chain, tx) == "locked"
    chain.mine()
    chain.broadcast(tx.raw)
    assert chain.mempool() == (tx.txid,)


def test_an_output_is_spent_once(chain: MoneroChain) -> None:
    coin = funded(chain)
    first, second = spend(coin), spend(coin, extra=b"otherwise")
    chain.broadcast(first.raw)
    assert refusal(chain, second) == "conflict"
    chain.mine()
    assert refusal(chain, second) == "missing-inputs"
    assert refusal(chain, sign([coin, coin], [Output(FIRST_KEY, XMR)])) == "conflict"


FIRST_KEY = subaddress_key(SEED, 1)


def test_refusals(chain: MoneroChain) -> None:
    coin = funded(chain)
    assert refusal(chain, spend((coin[0], keys_of(SEED).spend))) == "bad-signature"
    assert refusal(chain, spend(coin, XMR - 2 * FEE_PER_PART + 1)) == "fee-too-low"
    assert refusal(chain, spend(coin, XMR + 1)) == "funds"
    assert refusal(chain, spend(coin, 0)) == "dust"
    assert refusal(chain, spend((Source("12" * 32, 0), coin[1]))) == "missing-inputs"
    assert refusal(chain, spend((coin[0]._replace(number=9), coin[1]))) == "missing-inputs"
    assert refusal(chain, coinbase([Output(FIRST_KEY, XMR)], b"free money")) == "malformed"
    assert refusal(chain, sign([coin], [])) == "malformed"
    good = spend(coin)
    changed = read_tx(good.raw.replace(subaddress_key(SEED, 2), subaddress_key(SEED, 3)))
    assert refusal(chain, changed) == "bad-signature"


@pytest.mark.parametrize("fault", ["inflated", "spent twice", "no coinbase", "not signed", "elsewhere"])
def test_a_corrupt_block_is_refused(chain: MoneroChain, fault: str) -> None:
    coin = funded(chain)
    height, tip = chain.tip()
    good, fee = spend(coin), 2 * FEE_PER_PART
    txs = [good]
    reward = EMISSION + fee
    if fault == "inflated":
        reward += 1
    elif fault == "spent twice":
        txs, reward = [good, spend(coin, extra=b"otherwise")], reward + fee
    elif fault == "not signed":
        txs = [spend((coin[0], keys_of(SEED).spend))]
    elif fault == "elsewhere":
        tip = "00" * 32
    mark = b"" if fault == "no coinbase" else (height + 1).to_bytes(8, "little") + (99).to_bytes(8, "little")
    block = MoneroBlock(height + 1, tip, 2_000_000_000, 99, (coinbase([Output(FIRST_KEY, reward)], mark), *txs))
    coins = dict(chain._coins)
    with pytest.raises(BlockRefused):
        chain._connect(block.raw(), block.block())
    assert chain._coins == coins
    sound = coinbase([Output(FIRST_KEY, EMISSION + fee)], (height + 1).to_bytes(8, "little") + bytes(8))
    block = MoneroBlock(height + 1, chain.tip()[1], 2_000_000_000, 0, (sound, good))
    chain._connect(block.raw(), block.block())


def test_no_coin_comes_from_nowhere(chain: MoneroChain) -> None:
    def total() -> int:
        return sum(coin.amount for coin in chain._coins.values())

    before = total()
    for number in range(20):
        chain.pay_many([Output(subaddress_key(SEED, number + 1), XMR * number + 1), Output(FIRST_KEY, 7)])
    chain.mine(3)
    assert total() == before + 3 * EMISSION


def test_hundreds_of_payments_wait_at_once_also_large_ones(chain: MoneroChain) -> None:
    txids = [chain.pay(FIRST, XMR) for _ in range(500)]
    big = chain.pay(FIRST, 5_000 * XMR)
    chain.mine()
    assert chain.mempool() == ()
    assert {tx.txid for tx in chain.block(chain.tip()[1]).txs[1:]} == {*txids, big}
    with pytest.raises(NoFunds):
        chain.pay(FIRST, 10_000_000 * XMR)
    assert chain.pay(FIRST, XMR)


def test_change_comes_back_to_the_faucet(chain: MoneroChain) -> None:
    first = chain._purse[0][0]
    txid = chain.pay(FIRST, XMR)
    assert first not in [source for source, _ in chain._purse]
    count = len(chain._purse)
    chain.mine(9)
    assert len(chain._purse) == count
    chain.mine()
    assert txid in [source.txid for source, _ in chain._purse]


def test_a_deep_reorganisation_restores_the_coins(chain: MoneroChain) -> None:
    chain.mine()
    before, purse = dict(chain._coins), sorted(chain._purse)
    txids = []
    for number in range(100):
        txids.append(chain.pay(FIRST, XMR + number))
        chain.mine()
    fork = chain.block_hash(1)
    assert chain.reorg(100) == 102
    assert chain.block_hash(1) == fork
    assert list(chain.mempool()) == txids
    forgotten = dict(chain._coins)
    for height in range(2, 103):
        del forgotten[Source(chain.block(chain.block_hash(height) or "").txs[0].txid, 0)]
    assert forgotten == before
    assert len(chain._purse) == len(purse) + 43 - 100, "without what waits, with the coinbases that unlocked"
    chain.mine()
    assert chain.mempool() == ()


def test_what_spent_a_removed_output_goes_with_it(chain: MoneroChain) -> None:
    coin = funded(chain)
    tx = spend(coin)
    chain.broadcast(tx.raw)
    chain.mine()
    chain.reorg(11)
    assert chain.mempool() == (coin[0].txid,)


def test_same_calls_same_bytes_and_others_can_read_them(tmp_path: Path) -> None:
    tips = []
    for name in ("a", "b"):
        chain = MoneroChain(RING, VirtualClock(), tmp_path / name)
        for number in range(5):
            chain.pay(chain.fresh_address(), XMR + number)
            chain.mine()
        chain.reorg(2)
        reader = BlockLog.read_only(tmp_path / name / "xmr.blocks", "xmr")
        blocks = [read_block(logged.raw) for logged in reader.chain()]
        assert blocks == [chain.block(block.hash) for block in blocks]
        tips.append((chain.tip(), chain.mempool(), blocks))
        reader.close()
        chain.close()
    assert tips[0] == tips[1]
    with pytest.raises(BlockRefused, match="another seed"):
        MoneroChain(KeyRing(b"some other seed of 16 bytes"), VirtualClock(), tmp_path / "a")


def test_network_bytes_are_the_guards() -> None:
    for byte in (monero_keys.PRIMARY, monero_keys.INTEGRATED, monero_keys.SUBADDRESS):
        assert MoneroFormat().key(encode_address(byte, FIRST_KEY, PAYMENT_ID if byte == 25 else b"")) == FIRST_KEY
