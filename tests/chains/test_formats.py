"""The formats of btc, ltc and bch: what we sign is judged by Bitcoin Core's script engine; fees; speed."""

import pbk
import pbk.script
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.chains import addresses, signing
from glasstumbler.chains import tx as txs
from glasstumbler.chains.base import Format, Outpoint, Output, Spend
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.errors import BadAddress, NotATestNetwork, TransactionRefused

RING = KeyRing(bytes(range(32)))
SECRETS = [RING.secret("btc", "test", "lab", index) for index in range(40)]


def _spends(kinds, amount=100_000):
    return [Spend(Outpoint(f"{at:02x}" * 32, at), amount + at, kind, SECRETS[at]) for at, kind in enumerate(kinds)]


def _spent(form, spends):
    return [Output(form.own_key(spend.kind, spend.secret), spend.amount) for spend in spends]


def _core_takes(raw, spent):
    """Bitcoin Core's engine on every input."""
    tx = pbk.Transaction(raw)
    coins = [pbk.TransactionOutput(pbk.ScriptPubkey(output.key), output.amount) for output in spent]
    data = pbk.script.PrecomputedTransactionData(tx, coins)
    flags = pbk.script.ScriptVerificationFlags.ALL
    return all(
        pbk.ScriptPubkey(output.key).verify(output.amount, tx, data, index, flags) for index, output in enumerate(spent)
    )


@st.composite
def payments(draw):
    form = FORMATS[draw(st.sampled_from(["btc", "ltc", "bch"]))]
    kinds = draw(st.lists(st.sampled_from(form.kinds), min_size=1, max_size=5))
    outs = draw(st.lists(st.sampled_from(form.kinds), min_size=1, max_size=12))
    keys = [form.own_key(kind, SECRETS[20 + at]) for at, kind in enumerate(outs)]
    return form, kinds, keys


@pytest.mark.parametrize("coin", ["btc", "ltc", "bch"])
def test_each_is_a_format(coin):
    form: Format = FORMATS[coin]
    assert form.coin == coin
    assert not form.one_to_one
    for kind in form.kinds:
        key = form.own_key(kind, SECRETS[0])
        assert form.key(form.address(key)) == key


@pytest.mark.parametrize("kind", FORMATS["btc"].kinds)
@pytest.mark.parametrize("coin", ["btc", "ltc"])
def test_core_takes_every_kind(coin, kind):
    form = FORMATS[coin]
    spends = _spends([kind] * 3)
    signed = form.sign(spends, [Output(form.own_key(kind, SECRETS[9]), 5000)])
    spent = _spent(form, spends)
    assert _core_takes(signed.raw, spent)
    wrong = [*spent[:-1], Output(form.own_key(kind, SECRETS[30]), spent[-1].amount)]
    assert not _core_takes(signed.raw, wrong)


@given(payments())
def test_what_we_sign_is_valid(payment):
    form, kinds, keys = payment
    spends = _spends(kinds)
    signed = form.sign(spends, [Output(key, 700 + at) for at, key in enumerate(keys)])
    spent, tx = _spent(form, spends), txs.parse(signed.raw)
    assert signed.txid == txs.txid(tx)
    assert signed.fee == sum(output.amount for output in spent) - sum(output.amount for output in tx.outputs)
    assert [item.outpoint for item in tx.inputs] == [spend.outpoint for spend in spends]
    assert {item.sequence for item in tx.inputs} == {0xFFFFFFFD}
    signing.verify(tx, spent, form.coin)
    if form.coin != "bch":
        assert _core_takes(signed.raw, spent)


@given(payments(), st.integers(1, 500))
def test_the_fee_is_never_under_the_rate_and_hardly_over(payment, rate):
    form, kinds, keys = payment
    fee = form.fee(kinds, keys, rate)
    tx = txs.parse(form.sign(_spends(kinds), [Output(key, 700) for key in keys]).raw)
    size = txs.vsize(tx)
    # An ECDSA signature is 70 to 72 bytes, seldom less; one of p2pkh counts four times.
    assert size * rate <= fee <= (size + 4 * len(kinds) + 1) * rate


@pytest.mark.parametrize(
    ("coin", "kind", "inputs", "outputs", "vsize"),
    [
        # Known sizes: 68 vB an input and 31 an output of p2wpkh, 57.5 and 43 of p2tr, 148 and 34 of p2pkh.
        ("btc", "p2wpkh", 1, 2, 141),
        ("btc", "p2wpkh", 2, 2, 209),
        ("btc", "p2tr", 1, 2, 154),
        ("btc", "p2pkh", 1, 2, 226),
        ("btc", "p2sh-p2wpkh", 1, 2, 166),
        ("bch", "p2pkh", 1, 2, 226),
        ("ltc", "p2wpkh", 1, 10, 389),
    ],
)
def test_sizes(coin, kind, inputs, outputs, vsize):
    form = FORMATS[coin]
    assert form.fee([kind] * inputs, [form.own_key(kind, SECRETS[0])] * outputs, 3) == vsize * 3


def test_the_fee_counts_long_numbers_of_inputs_and_outputs():
    form = FORMATS["btc"]
    key = form.own_key("p2wpkh", SECRETS[0])
    inputs, outs = ["p2wpkh"] * 253, [Output(key, 700)] * 253
    spends = [Spend(Outpoint("aa" * 32, at), 100_000, "p2wpkh", SECRETS[0]) for at in range(253)]
    size = txs.vsize(txs.parse(form.sign(spends, outs).raw))
    assert size <= form.fee(inputs, [key] * 253, 1) <= size + 2 * 253


def test_the_same_coins_and_outputs_give_the_same_bytes():
    for form in FORMATS.values():
        kinds, outs = form.kinds * 2, [Output(form.own_key(form.kinds[0], SECRETS[0]), 1000)]
        assert form.sign(_spends(kinds), outs) == form.sign(_spends(kinds), outs)


def test_a_replacement_spends_the_same_inputs_under_another_txid():
    form, spends = FORMATS["btc"], _spends(["p2wpkh", "p2tr"])
    key = form.own_key("p2wpkh", SECRETS[0])
    first, second = (form.sign(spends, [Output(key, amount)]) for amount in (150_000, 149_000))
    assert first.txid != second.txid
    assert second.fee == first.fee + 1000
    assert txs.to_tx(first.raw).inputs == txs.to_tx(second.raw).inputs


def test_a_sequence_may_be_given():
    form = FORMATS["btc"]
    signed = form.sign(_spends(["p2wpkh"]), [Output(b"\x51", 1)], sequence=0xFFFFFFFF)
    assert txs.parse(signed.raw).inputs[0].sequence == 0xFFFFFFFF


def test_nothing_is_paid_that_is_not_there():
    with pytest.raises(TransactionRefused, match="1 more") as refusal:
        FORMATS["btc"].sign(_spends(["p2wpkh"]), [Output(b"\x51", 100_001)])
    assert refusal.value.reason == "funds"


@pytest.mark.parametrize("kind", ["p2wpkh", "p2tr", "p2sh-p2wpkh", "p2wsh"])
def test_bch_has_p2pkh_only(kind):
    form = FORMATS["bch"]
    with pytest.raises(ValueError, match="no addresses of kind"):
        form.own_key(kind, SECRETS[0])
    with pytest.raises(ValueError, match="no addresses of kind"):
        form.sign([Spend(Outpoint("aa" * 32, 0), 10, kind, SECRETS[0])], [Output(b"\x51", 1)])


def test_addresses_are_the_guarded_ones():
    with pytest.raises(NotATestNetwork):
        FORMATS["btc"].key("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
    with pytest.raises(BadAddress):
        FORMATS["btc"].key("nonsense")
    key = FORMATS["ltc"].own_key("p2wpkh", SECRETS[0])
    assert FORMATS["ltc"].address(key) == addresses.address("ltc", key)
