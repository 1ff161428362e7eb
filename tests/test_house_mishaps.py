"""What the chains can do to a laboratory that pays: each of these once left the record or a payout wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from glasstumbler import condition
from glasstumbler.engine import ledger
from glasstumbler.engine.order import OutputState, State
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.errors import NodeAway, PaymentWaits
from glasstumbler.lab.custody import Book, walk
from tests.laboratory import DAY, Laboratory, need

ETHER = 10**18


@pytest.fixture
def eth() -> Iterator[Laboratory]:
    lab = Laboratory("eth")
    yield lab
    lab.close()


@pytest.fixture
def btc() -> Iterator[Laboratory]:
    lab = Laboratory("btc")
    yield lab
    lab.close()


def payouts(lab: Laboratory) -> list[Payment]:
    return [payment for payment in lab.payments() if payment.carried]


def spend_the_first_deposit(lab: Laboratory) -> Payment:
    """Two orders; the second is paid from the account that the first was paid to."""
    first = lab.codes("eth")
    lab.fund(first, ETHER // 10)
    second = lab.codes("eth")
    lab.fund(second, ETHER // 20)
    payment = payouts(lab)[-1]
    assert payment.inputs[0][0] == first.address.lower()
    return payment


def test_a_deposit_whose_account_has_paid_since_can_be_reorganised(eth: Laboratory) -> None:
    spend_the_first_deposit(eth)
    eth.mine("eth")
    eth.check()
    eth.reorg("eth", 4)
    eth.check()
    eth.mine("eth")
    eth.check()
    assert {order.state for order in eth.orders()} == {State.COMPLETED}


def test_an_account_whose_deposit_is_forgotten_is_filled_from_another(eth: Laboratory) -> None:
    """The payout itself is never built anew: whoever kept it can send it again, and it is the same one."""
    payment = spend_the_first_deposit(eth)
    deposit = eth.deposits(eth.orders()[0])[0]
    eth.reorg("eth", 4, {deposit.txid})
    eth.check()
    fill = eth.payments()[-1]
    assert fill.inputs[0][0] != payment.inputs[0][0] and not fill.carried
    assert [coin.filled_by for coin in eth.coins_of("bestmixer", "eth") if coin.spent_by == payment.number] == [
        [fill.number]
    ]
    eth.mine("eth")
    eth.check()
    eth.mine("eth")
    eth.check()
    assert eth.now(eth.orders()[1]).state is State.COMPLETED
    assert {each.state for each in eth.payments()} == {PaymentState.SETTLED}
    with eth.house.store.snapshot() as records:
        hops = walk(Book(records), payment).hops
    assert [(hop.level, hop.txid) for hop in hops] == [(1, payment.txid), (2, fill.txid)]


def test_an_account_whose_deposit_waits_again_is_left_alone(eth: Laboratory) -> None:
    payment = spend_the_first_deposit(eth)
    eth.reorg("eth", 4, {payment.txid})
    eth.check()
    eth.mine("eth", 2)
    eth.mine("eth")
    eth.check()
    assert all(each.carried for each in eth.payments())
    assert {order.state for order in eth.orders()} == {State.COMPLETED}


def test_a_filled_account_can_be_reorganised_and_its_deposit_come_back(eth: Laboratory) -> None:
    spend_the_first_deposit(eth)
    deposit = eth.deposits(eth.orders()[0])[0]
    tx = eth.house.chains["eth"].transaction(deposit.txid)
    assert tx is not None
    eth.reorg("eth", 4, {deposit.txid})
    eth.mine("eth", 2)
    eth.reorg("eth", 3)
    eth.check()
    eth.broadcast("eth", tx.raw)
    eth.mine("eth")
    eth.check()
    eth.mine("eth")
    eth.check()
    assert {order.state for order in eth.orders()} == {State.COMPLETED}


def test_an_account_is_used_again_after_its_deposit_came_back(eth: Laboratory) -> None:
    spend_the_first_deposit(eth)
    deposit = eth.deposits(eth.orders()[0])[0]
    raw = eth.house.chains["eth"].transaction(deposit.txid)
    assert raw is not None
    eth.reorg("eth", 4, {deposit.txid})
    eth.broadcast("eth", raw.raw)
    eth.mine("eth", 2)
    third = eth.codes("eth")
    eth.fund(third, ETHER // 20)
    eth.mine("eth")
    eth.check()
    assert eth.state(third) == "completed"


def test_two_payouts_from_one_account_whose_deposit_is_forgotten(eth: Laboratory) -> None:
    """The second waits for the first one's nonce: the account is filled, and both go through as they are."""
    first = eth.codes("eth")
    eth.fund(first, ETHER // 20)
    eth.fund(first, ETHER // 10)  # stays when the other is forgotten
    code = ""
    for _ in range(2):
        order = eth.codes("eth", code=code)  # under one code: the second order's account cannot pay the third
        code = order.code or ""
        eth.fund(order, ETHER // 20)
        eth.mine("eth")
    used = [payment.inputs[0] for payment in payouts(eth)]
    account = first.address.lower()
    assert (account, 0) in used and (account, 1) in used
    eth.check()
    forgotten = eth.deposits(first)[1]
    eth.reorg("eth", 6, {forgotten.txid})
    eth.check()
    eth.mine("eth", 2)
    eth.check()
    eth.fund(eth.codes("eth"), ETHER // 20)
    eth.mine("eth", 2)
    eth.check()
    assert {order.state for order in eth.orders()} == {State.COMPLETED}


def test_a_stray_payment_to_an_account_can_be_forgotten(eth: Laboratory) -> None:
    coin = eth.coins_of("bestmixer", "eth")[0]
    chain = eth.house.chains["eth"]
    txid = chain.pay(coin.txid, ETHER)
    eth.mine("eth")
    eth.check()
    eth.reorg("eth", 2, {txid})
    eth.check()


def test_a_payout_that_waits_while_no_coin_can_raise_its_fee() -> None:
    """Raising the fee needs more coins than there are: it goes on waiting, and so does nobody else."""
    lab = Laboratory("btc", tables={"btcmix": {"coins": {"btc": {"float_pieces": 1, "float_amount": 100_000}}}})
    try:
        order = lab.bearer("btcmix", [309_000])
        lab.fund(order)
        lab.mine("btc", 6)
        lab.reorg("btc", 6)
        lab.check()
        lab.mine("btc")
        assert lab.state(order) == "completed"
    finally:
        lab.close()


def test_a_payout_whose_change_is_spent_keeps_its_fee() -> None:
    """Raising it would take the ground from under the payment that spends its change."""
    lab = Laboratory("btc", tables={"btcmix": {"coins": {"btc": {"float_pieces": 1}}}})
    try:
        for amount in (3_000_000, 4_000_000):
            lab.fund(lab.bearer("btcmix", [amount]))
            lab.mine("btc")
        first, second = payouts(lab)
        assert first.change in second.coins
        lab.mine("btc", 3)
        lab.reorg("btc", 6)
        lab.check()
        lab.mine("btc")
        lab.check()
        assert {order.state for order in lab.orders()} == {State.COMPLETED}
        assert [each.state for each in payouts(lab)] == [PaymentState.SETTLED] * 2
    finally:
        lab.close()


@pytest.mark.parametrize("amounts", [(3_000_000,), (3_000_000, 50_000)])
def test_a_payout_with_a_higher_fee_spends_a_coin_of_the_first_though_no_block_has_it(
    btc: Laboratory, amounts: tuple[int, ...]
) -> None:
    """Else both could be mined. The last payout's coin is a deposit, or the change of another payout."""
    for amount in amounts:
        btc.fund(btc.codes("btc", amounts=[amount]))
        btc.mine("btc")
    last = payouts(btc)[-1]
    btc.mine("btc", 6)
    btc.reorg("btc", 10)
    btc.check()
    replacing = payouts(btc)[-1]
    assert (replacing.replaces, set(replacing.inputs) >= set(last.inputs)) == (last.number, True)
    btc.mine("btc")
    btc.check()
    assert {order.state for order in btc.orders()} == {State.COMPLETED}


@pytest.mark.parametrize("mined", [False, True])
def test_a_reorganisation_reaches_a_payout_of_an_order_that_failed_later(btc: Laboratory, mined: bool) -> None:
    order = btc.codes("btc", amounts=[1_000_000, 1_000_000], minutes=30)
    btc.fund(order)
    btc.house.advance(1_800)
    btc.mine("btc", int(mined))
    btc.behave("bestmixer", "fail")
    btc.house.advance(1_800)
    assert btc.state(order) == "failed"
    btc.check()
    btc.mine("btc", 2)
    btc.check()
    btc.reorg("btc", 4)
    btc.check()
    btc.mine("btc", 2)
    btc.check()
    first, second = btc.now(order).outputs
    assert (first.state, second.state) == (OutputState.CONFIRMED, OutputState.FAILED)


def test_a_payment_is_mined_just_after_it_was_replaced(btc: Laboratory) -> None:
    """The block came between the replacement's storing and its sending: the first one counts."""
    order = btc.bearer("btcmix", [1_000_000])
    btc.fund(order)
    (first,) = payouts(btc)
    chain, store = btc.house.chains["btc"], btc.house.store
    payer = btc.house._payer
    store.write(lambda records: payer._bump(first.number, records))
    assert [payment.state for payment in payouts(btc)] == [PaymentState.REPLACED, PaymentState.STORED]
    chain.mine()
    btc.house.turn()
    btc.check()
    assert [payment.state for payment in payouts(btc)] == [PaymentState.SETTLED, PaymentState.REPLACED]
    assert btc.state(order) == "completed"
    btc.reorg("btc", 1)
    btc.mine("btc")
    btc.check()


def test_a_reorganised_deposit_counts_once_for_its_code(btc: Laboratory) -> None:
    order = btc.codes("btc", amounts=[1_000_000], minutes=30)
    btc.fund(order)
    for _ in range(3):
        btc.reorg("btc", 1)
        btc.mine("btc")
    btc.house.advance(1_800)
    code = btc.house.store.read(lambda records: records.code("bestmixer", order.code or ""))
    assert code is not None
    assert code.volume == {"btc": need(order)}


def test_a_batch_that_is_too_much_for_the_coins_is_paid_in_part() -> None:
    lab = Laboratory(
        "btc", "xmr", tables={"xmrto": {"coins": {"btc": {"float_pieces": 1, "float_amount": 50_000_000}}}}
    )
    try:
        lab.behave("xmrto", "stall")
        swaps = [lab.swap(30_000_000) for _ in range(2)]
        for swap in swaps:
            lab.fund(swap)
        lab.behave("xmrto", None)
        lab.check()
        assert [lab.state(swap) for swap in swaps] == ["paying", "waiting"]
    finally:
        lab.close()


def test_many_small_coins_do_not_keep_a_large_payout_waiting() -> None:
    """bestmixer takes its smallest coins first, and a transaction holds only so many."""
    lab = Laboratory("btc", tables={"bestmixer": {"max_inputs": 3}})
    try:
        for _ in range(5):
            lab.fund(lab.codes("btc", amounts=[1_000_000], minutes=4_000))
        order = lab.codes("btc", amounts=[900_000_000])
        lab.fund(order)
        lab.check()
        assert lab.state(order) == "paying"
        lab.mine("btc")
        lab.check()
        assert lab.state(order) == "completed"
    finally:
        lab.close()


def test_an_invoice_that_has_expired_before_its_payout_fails_the_order() -> None:
    lab = Laboratory("btc", "xmr", "lightning")
    try:
        lab.behave("xmrto", "stall")
        order = lab.swap_lightning(20_000)
        lab.pay(order)
        assert lab.state(order) == "waiting"
        lab.house.advance(366 * DAY)
        lab.behave("xmrto", None)
        lab.check()
        assert lab.state(order) == "failed"
        assert lab.balance("xmrto", ledger.UNPAID, "msat") == -20_000_000
        assert lab.balance("xmrto", ledger.owed(order.number), "msat") == 0
    finally:
        lab.close()


@pytest.mark.parametrize("expired", [False, True])
def test_a_worker_that_stood_still_books_nothing_again(expired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had paid, or failed to, when it was stopped; another one did the same and booked it before it woke up."""
    lab = Laboratory("btc", "xmr", "lightning")
    try:
        order = lab.swap_lightning(20_000)
        network, slow = lab.house.lightning, lab.house._payer
        assert network is not None
        pay = network.pay

        def pay_and_stand_still(payer: str, invoice: str, key: str) -> object:
            monkeypatch.setattr(network, "pay", pay)
            if expired:
                lab.house.clock.advance(400 * DAY)
            try:
                return pay(payer, invoice, key)
            finally:
                slow._send_lightning()  # what the other one does meanwhile

        monkeypatch.setattr(network, "pay", pay_and_stand_still)
        lab.fund(order)
        lab.check()
        assert lab.state(order) == ("failed" if expired else "completed")
        kinds = [entry.kind for entry in lab.entries() if entry.order == order.number]
        assert kinds.count("failed" if expired else "lightning paid") == 1
    finally:
        lab.close()


def test_a_lightning_payment_that_waits_stays_an_intent_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Laboratory("btc", "xmr", "lightning")
    try:
        slow, quick = lab.swap_lightning(20_000), lab.swap_lightning(30_000)
        network, waits = lab.house.lightning, [True]
        assert network is not None
        pay = network.pay

        def pay_later(payer: str, invoice: str, key: str) -> object:
            if waits[0] and slow.swap and invoice == slow.swap.invoice:
                raise PaymentWaits("still on its way")
            return pay(payer, invoice, key)

        monkeypatch.setattr(network, "pay", pay_later)
        lab.fund(slow)
        lab.fund(quick)
        assert (lab.state(slow), lab.state(quick)) == ("paying", "completed")
        waits[0] = False
        lab.house.turn()
        lab.check()
        assert lab.state(slow) == "completed"
    finally:
        lab.close()


def test_while_the_lightning_node_is_away_its_payments_stay_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Laboratory("btc", "xmr", "lightning")
    try:
        order, network = lab.swap_lightning(20_000), lab.house.lightning
        assert network is not None

        def away(payer: str, invoice: str, key: str) -> object:
            raise NodeAway("lnd", "nobody listens there")

        with monkeypatch.context() as patched:
            patched.setattr(network, "pay", away)
            lab.fund(order)
            assert lab.state(order) == "paying"
            assert [payment.state for payment in lab.payments() if payment.carried] == [PaymentState.STORED]
        lab.house.turn()
        lab.check()
        assert lab.state(order) == "completed"
        assert [entry.kind for entry in lab.entries() if entry.order == order.number].count("lightning paid") == 1
    finally:
        lab.close()


@pytest.mark.parametrize("asked", ["tip", "broadcast_all"])
def test_a_node_that_is_away_holds_up_no_other_chain(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from outside, too: the chain's height is not known, and why."""
    lab = Laboratory("btc", "ltc")
    try:
        first, second = lab.codes("btc"), lab.codes("ltc")
        chain = lab.house.chains["btc"]

        def away(*_: object) -> Any:
            raise NodeAway("btcd", "nobody listens there")

        lab.pay(first)
        lab.pay(second)
        with monkeypatch.context() as patched:
            for call in {asked, "broadcast"}:
                patched.setattr(chain, call, away)
            chain.mine()
            lab.mine("ltc")
            lab.mine("ltc")
            assert lab.state(second) == "completed"
            assert lab.state(first) in ("confirming", "paying")
            told = {each.coin: each for each in condition.of_house(lab.house, 0.0, turning=False).chains}
            assert told["ltc"].away is None
            if asked == "tip":
                assert (told["btc"].height, told["btc"].away) == (None, "the btcd node is away: nobody listens there")
        lab.house.turn()
        lab.settle()
        lab.check()
        assert lab.state(first) == "completed"
    finally:
        lab.close()
