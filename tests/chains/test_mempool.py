"""Relay rules beyond the contract: replacement, limits, order, standardness."""

from collections.abc import Iterator

import pytest

from glasstumbler.chains import standard
from glasstumbler.chains.base import Outpoint, Output, Signed, Spend
from glasstumbler.chains.keys import ORDER
from glasstumbler.chains.networks import NETWORKS
from glasstumbler.chains.tx import RawIn, RawTx, parse, serialise, vsize
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


def test_a_replacement_builds_on_nothing_new_that_waits(btc: UtxoChain) -> None:
    first, second = coins(btc, 2)
    sent(btc, spend(btc, [first], sequence=OPT_IN))
    other = sent(btc, spend(btc, [second]))
    assert refusal(btc, spend(btc, [first, change_of(other)], 9000).raw) == "conflict"
    sent(btc, spend(btc, [first], 9000))


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


def test_a_transaction_has_at_most_24_descendants_and_one_small_child_more(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    parent = sent(btc, spend(btc, [coin], 2000, outputs=30))
    children = [sent(btc, spend(btc, [change_of(parent, vout)])) for vout in range(24)]
    assert refusal(btc, spend(btc, [change_of(children[0])]).raw) == "chain-limit"
    sent(btc, spend(btc, [change_of(parent, 24)]))
    assert refusal(btc, spend(btc, [change_of(parent, 25)]).raw) == "chain-limit"


def test_relatives_have_at_most_101000_virtual_bytes(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1, amount=300_000_000)
    large = sent(btc, spend(btc, [coin], 100_000, outputs=2900))
    assert 88_000 < size(large) < 91_500
    half = [change_of(large, vout) for vout in range(300)]
    assert refusal(btc, spend(btc, half, 30_000).raw) == "chain-limit"
    sent(btc, spend(btc, half[:120], 10_000))


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
    for odd in (b"\x51", b"\x6a\x04dat", b"", b"\x52\x20" + bytes(32), b"\x00\x14" + bytes(21)):
        assert refusal(btc, with_outputs(btc, coin, odd)) == "other"
    wsh = b"\x00\x20" + b"\x11" * 32
    p2sh = b"\xa9\x14" + b"\x11" * 20 + b"\x87"
    btc.broadcast(with_outputs(btc, coin, wsh, p2sh, own_key(btc, "p2tr"), own_key(btc, "p2pkh")))


def test_data_in_one_output_up_to_83_bytes(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    data, longest = b"\x6a\x04data", b"\x6a\x4c\x50" + bytes(80)
    assert refusal(btc, with_outputs(btc, coin, data, data)) == "other"
    assert refusal(btc, with_outputs(btc, coin, b"\x6a\x4c\x51" + bytes(81))) == "other"
    assert refusal(btc, with_outputs(btc, coin, b"\x6a\x61")) == "other"
    btc.broadcast(with_outputs(btc, coin, longest, own_key(btc)))


@pytest.mark.parametrize(("kind", "least"), [("p2wpkh", 294), ("p2tr", 330), ("p2sh-p2wpkh", 540), ("p2pkh", 546)])
def test_what_is_dust_depends_on_what_spending_it_costs(btc: UtxoChain, kind: str, least: int) -> None:
    (coin,) = coins(btc, 1)
    for amount, reason in ((least - 1, "dust"), (least, "")):
        raw = btc.format.sign([coin], [Output(own_key(btc, kind), amount), Output(own_key(btc), 900_000)]).raw
        assert (refusal(btc, raw) if reason else btc.broadcast(raw) and "") == reason


def high_s(signature: bytes) -> bytes:
    size = signature[3]
    other = (ORDER - int.from_bytes(signature[6 + size : -1], "big")).to_bytes(33, "big")
    body = signature[2 : 4 + size] + b"\x02\x21" + other
    return b"\x30" + bytes([len(body)]) + body + signature[-1:]


def test_the_higher_s_is_not_relayed(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    right = parse(spend(btc, [coin]).raw)
    signature, public = right.inputs[0].witness
    odd = right._replace(inputs=(right.inputs[0]._replace(witness=(high_s(signature), public)),))
    assert refusal(btc, serialise(odd)) == "bad-signature"


def test_a_legacy_script_is_two_shortest_pushes(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1, kind="p2pkh")
    right = parse(spend(btc, [coin]).raw)
    script = right.inputs[0].script
    for odd in (b"\x4c" + script, b"\x51" + script, b"\x61" + script, script + b"\x61"):
        changed = right._replace(inputs=(right.inputs[0]._replace(script=odd),))
        assert refusal(btc, serialise(changed)) == "bad-signature"
    btc.broadcast(serialise(right))


def test_an_annex_is_not_relayed() -> None:
    spent = Output(b"\x51\x20" + bytes(32), 1000)
    item = RawIn(Outpoint("00" * 32, 0), b"", 0, (bytes(64),))
    standard.check_inputs(RawTx(2, (item,), (spent,)), [spent], NETWORKS["btc"])
    odd = item._replace(witness=(bytes(64), b"\x50"))
    with pytest.raises(TransactionRefused, match="standard form of p2tr"):
        standard.check_inputs(RawTx(2, (odd,), (spent,)), [spent], NETWORKS["btc"])


def test_too_small_without_its_witness(btc: UtxoChain) -> None:
    (coin,) = coins(btc, 1)
    assert refusal(btc, with_outputs(btc, coin, b"\x6a")) == "other"
    btc.broadcast(with_outputs(btc, coin, b"\x6a\x04data"))


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
