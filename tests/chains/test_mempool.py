"""Relay rules beyond the contract: replacement, limits, order, standardness."""

from collections.abc import Iterator

import pytest

from glasstumbler.chains.base import Output, Signed, Spend
from glasstumbler.chains.networks import NETWORKS
from glasstumbler.chains.tx import parse, serialise, vsize
from glasstumbler.chains.utxo_chain import UtxoChain
from glasstumbler.errors import TransactionRefused
from tests.chains.forge import RING, change_of, coins, opened, own_key, spend

OPT_IN = 0xFFFFFFFD


@pytest.fixture(scope="module")
def btc() -> Iterator[UtxoChain]:
    chain = opened("btc")
    yield chain
    chain.close()


@pytest.fixture(autouse=True)
def emptied(btc: UtxoChain) -> Iterator[None]:
    yield
    btc.mine()
    assert len(btc.mempool()) == 0


def refusal(chain: UtxoChain, raw: bytes) -> str:
    before = chain.mempool()
    with pytest.raises(TransactionRefused) as refused:
        chain.broadcast(raw)
    assert chain.mempool() == before
    return refused.value.reason


def sent(chain: UtxoChain, signed: Signed) -> Signed:
    chain.broadcast(signed.raw)
    return signed


def size(signed: Signed) -> int:
    return vsize(parse(signed.raw))


# Fees


def test_one_sat_per_virtual_byte_is_enough(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    least = size(spend(btc, [coin]))
    assert refusal(btc, spend(btc, [coin], least - 2).raw) == "fee-too-low"
    sent(btc, spend(btc, [coin], least))


def test_more_out_than_in(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    richer = coin._replace(amount=coin.amount + 5000)
    assert refusal(btc, spend(btc, [richer]).raw) == "funds"


# Replacement


def test_a_replacement_pays_for_what_it_puts_out_and_for_itself(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    first = sent(btc, spend(btc, [coin], 1000, sequence=OPT_IN))
    child = sent(btc, spend(btc, [change_of(first)], 500))
    least = 1500 + size(first)
    assert refusal(btc, spend(btc, [coin], least - 2, sequence=OPT_IN).raw) == "fee-too-low"
    better = sent(btc, spend(btc, [coin], least, sequence=OPT_IN))
    assert list(btc.mempool()) == [better.txid]
    assert btc.place(child.txid) is None


def test_a_larger_fee_at_a_lower_rate_does_not_replace(btc: UtxoChain) -> None:
    one, *others = coins(btc, 12)
    sent(btc, spend(btc, [one], 2000, sequence=OPT_IN))
    assert refusal(btc, spend(btc, [one, *others], 3500).raw) == "fee-too-low"


def test_without_opting_in_nothing_is_replaced(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    sent(btc, spend(btc, [coin], 1000, sequence=0xFFFFFFFE))
    assert refusal(btc, spend(btc, [coin], 90_000).raw) == "conflict"


def test_opting_in_is_inherited(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    parent = sent(btc, spend(btc, [coin], sequence=OPT_IN))
    sent(btc, spend(btc, [change_of(parent)]))
    better = sent(btc, spend(btc, [change_of(parent)], 5000))
    assert list(btc.mempool()) == [parent.txid, better.txid]


def test_a_replacement_cannot_spend_what_it_puts_out(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    first = sent(btc, spend(btc, [coin], sequence=OPT_IN))
    both = spend(btc, [coin, change_of(first)], 50_000)
    assert refusal(btc, both.raw) == "conflict"


def test_one_replacement_for_two(btc: UtxoChain) -> None:
    pair = coins(btc, 2)
    for coin in pair:
        sent(btc, spend(btc, [coin], sequence=OPT_IN))
    better = sent(btc, spend(btc, pair, 9000))
    assert list(btc.mempool()) == [better.txid]


def test_at_most_a_hundred_are_put_out(btc: UtxoChain) -> None:
    many = coins(btc, 101)
    for coin in many:
        sent(btc, spend(btc, [coin], 200, sequence=OPT_IN))
    assert refusal(btc, spend(btc, many, 10**6).raw) == "conflict"
    better = sent(btc, spend(btc, many[:100], 10**6))
    assert len(btc.mempool()) == 2 and better.txid in btc.mempool()


# Relatives


def chain_of(btc: UtxoChain, coin: Spend, length: int) -> Signed:
    last = sent(btc, spend(btc, [coin]))
    for _ in range(length - 1):
        last = sent(btc, spend(btc, [change_of(last)]))
    return last


def test_a_chain_has_at_most_25(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    last = chain_of(btc, coin, 25)
    assert refusal(btc, spend(btc, [change_of(last)]).raw) == "chain-limit"


def test_a_transaction_has_at_most_24_descendants(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    parent = sent(btc, spend(btc, [coin], 2000, outputs=30))
    for vout in range(24):
        sent(btc, spend(btc, [change_of(parent, vout)]))
    assert refusal(btc, spend(btc, [change_of(parent, 24)]).raw) == "chain-limit"


def test_replacing_the_last_of_a_full_chain(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    last = sent(btc, spend(btc, [change_of(chain_of(btc, coin, 24))], sequence=OPT_IN))
    (before,) = (change_of(signed) for signed in [_waiting(btc, 23)])
    better = sent(btc, spend(btc, [before], 5000))
    assert btc.place(last.txid) is None and better.txid in btc.mempool()


def _waiting(btc: UtxoChain, at: int) -> Signed:
    txid = list(btc.mempool())[at]
    tx = btc.transaction(txid)
    assert tx is not None
    return Signed(txid, tx.raw, 0)


def test_a_long_chain_is_mined_whole_and_comes_back_whole(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    last = chain_of(btc, coin, 25)
    btc.mine()
    further = chain_of(btc, change_of(last), 25)
    height = btc.mine()
    assert btc.reorg(2) == height + 1
    assert len(btc.mempool()) == 50
    btc.mine()
    place = btc.place(further.txid)
    assert place is not None and place.height == height + 2


# Form


def with_outputs(btc: UtxoChain, coin: Spend, *keys: bytes) -> bytes:
    return btc.format.sign([coin], [Output(key, 10_000) for key in keys]).raw


def test_standard_outputs_only(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    for odd in (b"\x51", b"\x6a\x04data", b"", b"\x52\x20" + bytes(32), b"\x00\x14" + bytes(21)):
        assert refusal(btc, with_outputs(btc, coin, odd)) == "other"
    wsh = b"\x00\x20" + b"\x11" * 32
    p2sh = b"\xa9\x14" + b"\x11" * 20 + b"\x87"
    btc.broadcast(with_outputs(btc, coin, wsh, p2sh, own_key(btc, "p2tr"), own_key(btc, "p2pkh")))


def test_what_is_only_payable_is_not_spent(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    wsh, p2sh = b"\x00\x20" + b"\x11" * 32, b"\xa9\x14" + b"\x11" * 20 + b"\x87"
    paid = parse(with_outputs(btc, coin, wsh, p2sh))
    txid = btc.broadcast(serialise(paid))
    for vout in (0, 1):
        taken = Spend(coin.outpoint._replace(txid=txid, vout=vout), 10_000, "p2wpkh", coin.secret)
        assert refusal(btc, spend(btc, [taken]).raw) == "other"


def test_a_coinbase_is_no_transaction_to_relay(btc: UtxoChain) -> None:
    coinbase = btc.block(btc.tip()[1]).txs[0]
    stripped = parse(coinbase.raw)
    other = stripped._replace(locktime=7, inputs=(stripped.inputs[0]._replace(witness=()),))
    assert refusal(btc, serialise(other)) == "other"


def test_immature_and_locked(btc: UtxoChain) -> None:
    young = btc.block(btc.tip()[1]).txs[0]
    secret = RING.secret("btc", "faucet", "float", 0)
    kind = NETWORKS["btc"].funding_kind
    reward = Spend(coins(btc, 1)[0].outpoint._replace(txid=young.txid, vout=0), young.outputs[0].amount, kind, secret)
    assert refusal(btc, spend(btc, [reward]).raw) == "immature"
    (coin,) = coins(btc, 1)
    waits = spend(btc, [coin], sequence=3)
    assert refusal(btc, waits.raw) == "locked"
    btc.mine()
    assert refusal(btc, waits.raw) == "locked"
    btc.mine()
    btc.broadcast(waits.raw)
    by_time = spend(btc, [change_of(waits)], sequence=(1 << 22) | 1)
    assert refusal(btc, by_time.raw) == "locked"


def test_an_unknown_version(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    odd = parse(spend(btc, [coin]).raw)._replace(version=9)
    assert refusal(btc, serialise(odd)) == "other"


def test_segwit_has_no_place_on_bch() -> None:
    chain = opened("bch")
    (coin,) = coins(chain, 1)
    plain = parse(spend(chain, [coin]).raw)
    with_witness = plain._replace(inputs=(plain.inputs[0]._replace(witness=(b"w",)),))
    assert refusal(chain, serialise(with_witness)) == "malformed"
    chain.close()
