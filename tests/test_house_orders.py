"""Orders of the five services from the request to the settled payout: one life in a row of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glasstumbler.chains.base import Output
from glasstumbler.engine import ledger
from glasstumbler.engine.coins import Origin
from glasstumbler.engine.desk import DepositState
from glasstumbler.engine.order import Order, OutputState, State
from glasstumbler.engine.payment import PaymentState
from glasstumbler.money import percent
from tests.laboratory import Customer, Laboratory, Payout, Refused, need

HOUR = 3_600
OPEN: dict[str, Callable[[Laboratory], Order]] = {
    "btcmix": lambda lab: lab.bearer("btcmix", [400_000, 600_000]),
    "coinjoin": lambda lab: lab.bearer("coinjoin", [700_000]),
    "coinjoin, open": lambda lab: lab.bearer("coinjoin", 3),
    "whir": lambda lab: lab.bearer("whir", [300_000, 300_001, 900_000]),
    "whir, 2 h": lambda lab: lab.bearer("whir", [500_000], hours=2),
    "bestmixer": lambda lab: lab.codes("btc", amounts=[1_000_000, 500_000]),
    "bestmixer, 30 min": lambda lab: lab.codes("btc", (250, 750), minutes=30),
    "xmrto": lambda lab: lab.swap(20_000_000),
    "xmrto, small": lambda lab: lab.swap(5_000_000),
    "xmrto, Lightning": lambda lab: lab.swap_lightning(500_000),
}
LIVES = """
service           | steps                                                   | state      | booked besides
btcmix            |                                                         | awaiting   |
btcmix            | pay 100                                                 | confirming |
btcmix            | pay 100, mine                                           | paying     |
btcmix            | pay 100, mine, mine                                     | completed  |
btcmix            | pay 60, mine                                            | underpaid  |
btcmix            | pay 60, mine, pay 40, mine, mine                        | completed  |
btcmix            | pay 60, mine, wait 73                                   | expired    | short 60
btcmix            | pay 60, mine, wait 73, pay 40, mine                     | expired    | short 60, late 40
btcmix            | wait 73, pay 100, mine                                  | expired    | late 100
btcmix            | wait 73, pay 100, mine, reorg 1                         | expired    |
btcmix            | pay 100, wait 73, mine, mine                            | completed  |
btcmix            | pay 130, mine, mine                                     | completed  | excess 30
btcmix            | pay 100, mine, pay 100, mine                            | completed  | repeat 100
btcmix            | pay 100, mine, mine, pay 50, mine                       | completed  | repeat 50
btcmix            | pay 50, pay 50, pay 50, mine, mine                      | completed  | excess 50
btcmix            | pay 100, lose                                           | awaiting   |
btcmix            | pay 100, mine, lose                                     | paying     | reorganised 100
btcmix            | pay 100, mine, mine, lose                               | paying     | reorganised 100
btcmix            | pay 100, mine, mine, lose, mine                         | completed  | reorganised 100
btcmix            | pay 100, mine, mine, reorg 2                            | paying     | reorganised 100
btcmix            | pay 100, mine, mine, reorg 2, mine                      | completed  |
btcmix            | pay 100, mine, mine, reorg 1                            | paying     |
btcmix            | pay 100, mine, mine, reorg 1, mine                      | completed  |
coinjoin          | pay 100, mine, mine                                     | completed  |
coinjoin, open    | pay 99, mine                                            | underpaid  |
coinjoin, open    | pay 400, mine, mine                                     | completed  |
whir              | pay 100, mine, mine                                     | completed  |
whir              | pay 100, fail, mine                                     | failed     | failed 100
whir              | pay 100, stall, mine, mine                              | waiting    |
whir              | pay 100, stall, mine, mine, resume, mine                | completed  |
whir, 2 h         | pay 100, mine                                           | waiting    |
whir, 2 h         | pay 100, mine, wait 1, mine                             | waiting    |
whir, 2 h         | pay 100, mine, wait 2                                   | paying     |
whir, 2 h         | pay 100, mine, wait 2, mine                             | completed  |
whir, 2 h         | pay 100, mine, reorg 1                                  | confirming |
whir, 2 h         | pay 100, mine, reorg 1, wait 3                          | confirming |
whir, 2 h         | pay 100, mine, reorg 1, mine, wait 2, mine              | completed  |
whir, 2 h         | pay 100, mine, lose                                     | awaiting   |
whir, 2 h         | pay 100, mine, lose, wait 80                            | expired    |
whir, 2 h         | pay 100, mine, pay 50, mine, wait 2, mine               | completed  | excess 50
bestmixer         | pay 100, mine, mine                                     | completed  |
bestmixer         | pay 90, mine, wait 25                                   | expired    | short 90
bestmixer         | pay 120, mine, mine                                     | completed  | excess 20
bestmixer, 30 min | pay 200, mine                                           | waiting    |
bestmixer, 30 min | pay 200, mine, wait 1, mine                             | completed  |
xmrto             | pay 100                                                 | confirming |
xmrto             | pay 100, mine                                           | paying     |
xmrto             | pay 100, mine, mine                                     | completed  |
xmrto             | pay 50, wait 1                                          | expired    | short 0
xmrto             | pay 50, mine, wait 1                                    | expired    | short 50
xmrto             | pay 110, mine, mine                                     | completed  | excess 10
xmrto, small      | pay 100                                                 | paying     |
xmrto, small      | pay 100, lose                                           | paying     | reorganised 100
xmrto, small      | pay 100, mine                                           | completed  |
xmrto, small      | pay 50, partial, mine                                   | completed  |
xmrto, small      | pay 50, partial, mine, pay 50, mine                     | completed  | repeat 50
xmrto, Lightning  | pay 100                                                 | completed  |
xmrto, Lightning  | pay 40, pay 60                                          | completed  |
"""
ACCOUNTS = {
    "short": ledger.SHORT,
    "late": ledger.LATE,
    "excess": ledger.EXCESS,
    "repeat": ledger.REPEAT,
    "failed": ledger.UNPAID,
    "reorganised": ledger.LOSS,
}


def lives() -> list[tuple[str, str, str, str]]:
    rows = [tuple(cell.strip() for cell in line.split("|")) for line in LIVES.strip().splitlines()[1:]]
    return [(service, steps, state, booked) for service, steps, state, booked in rows]


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    made = Laboratory("btc", "xmr", "lightning")
    yield made
    made.close()


def live(lab: Laboratory, order: Order, steps: str) -> None:
    """Do what the steps say to an order; amounts in percent of what it needs, times in hours."""
    behaviours: dict[str, Payout] = {"fail": "fail", "stall": "stall", "resume": None}
    deposits: list[str] = []
    for step in filter(None, steps.split(", ")):
        verb, number = (*step.split(), "0")[:2]
        if verb == "pay":
            deposits.append(lab.pay(order, percent(need(order), int(number) * 10_000)))
        elif verb == "mine":
            lab.settle()
        elif verb == "wait":
            lab.house.advance(int(number) * HOUR)
        elif verb == "reorg":
            lab.reorg(order.coin, int(number))
        elif verb == "lose":
            lab.reorg(order.coin, 4, deposits)
        elif verb == "partial":
            lab.take_partial(order)
        else:
            lab.behave(order.service, behaviours[verb])
        lab.check()


@pytest.mark.parametrize(("service", "steps", "state", "booked"), lives())
def test_life(lab: Laboratory, service: str, steps: str, state: str, booked: str) -> None:
    order = OPEN[service](lab)
    live(lab, order, steps)
    assert lab.state(order) == state
    wanted = {ACCOUNTS[name]: int(part) for name, part in (each.split() for each in booked.split(", ") if each)}
    for account in ACCOUNTS.values():
        amount = lab.balance(order.service, account, order.coin)
        assert abs(amount) == percent(need(order), wanted.get(account, 0) * 10_000), account
    if state == "completed":
        assert not any(
            lab.balance(order.service, ledger.owed(order.number), coin) for coin in (order.coin, order.payout_coin)
        )


@pytest.mark.parametrize("service", OPEN)
def test_each_output_is_paid_once_and_in_full(lab: Laboratory, service: str) -> None:
    order = OPEN[service](lab)
    live(lab, order, "pay 100, mine, wait 3, mine")
    done = lab.now(order)
    assert done.state is State.COMPLETED
    for output in done.outputs:
        assert output.state is OutputState.CONFIRMED
        if done.payout_coin == "btc":
            assert [amount for _, amount in lab.paid("btc", output.address)] == [output.amount]


def test_the_custody_of_a_payout_is_known_coin_by_coin(lab: Laboratory) -> None:
    order = lab.bearer("btcmix", [400_000, 600_000])
    lab.fund(order)
    (payment,) = (each for each in lab.payments() if each.carried)
    tx = lab.house.chains["btc"].transaction(payment.txid)
    assert tx is not None
    coins = {coin.number: coin for coin in lab.coins_of("btcmix", "btc")}
    assert [tuple(outpoint) for outpoint in tx.inputs] == payment.inputs
    assert payment.inputs == [(coins[number].txid, coins[number].vout) for number in payment.coins]
    assert payment.change is not None
    change = coins[payment.change]
    assert tx.outputs[change.vout].amount == change.amount
    spent = sum(coins[number].amount for number in payment.coins)
    assert spent == sum(output.amount for output in tx.outputs) + payment.fee


# -- deposits that change their mind ------------------------------------------------------------------------------


def test_a_deposit_replaced_by_a_higher_fee_counts_once(lab: Laboratory) -> None:
    customer = Customer(lab)
    order = lab.bearer("btcmix", [1_000_000])
    first = customer.pay([(order, need(order))], 3)
    assert lab.state(order) == "confirming"
    second = customer.pay([(order, need(order))], 9)
    lab.check()
    assert lab.state(order) == "confirming"
    assert {d.txid: d.state for d in lab.deposits(order)} == {
        first.txid: DepositState.GONE,
        second.txid: DepositState.SEEN,
    }
    lab.settle()
    lab.settle()
    lab.check()
    assert lab.state(order) == "completed"
    assert lab.now(order).deposit_txid == second.txid


def test_a_deposit_spent_elsewhere_never_counts(lab: Laboratory) -> None:
    customer = Customer(lab)
    order, other = lab.bearer("btcmix", [1_000_000]), lab.bearer("whir", [1_000_000])
    customer.pay([(order, need(order))], 3)
    customer.pay([(other, need(other))], 9)
    lab.check()
    assert (lab.state(order), lab.state(other)) == ("awaiting", "confirming")
    lab.settle()
    lab.settle()
    lab.check()
    assert (lab.state(order), lab.state(other)) == ("awaiting", "completed")


def test_a_reorganised_deposit_is_spent_elsewhere_after_the_payout(lab: Laboratory) -> None:
    """The payout stands, from other coins if need be, and the loss has a name."""
    customer = Customer(lab)
    order, other = lab.bearer("btcmix", [1_000_000]), lab.bearer("whir", [1_000_000])
    deposit = customer.pay([(order, need(order))], 3)
    lab.settle()
    lab.reorg("btc", 2, {deposit.txid})
    customer.pay([(other, need(other))], 9)
    lab.settle()
    lab.settle()
    lab.check()
    assert (lab.state(order), lab.state(other)) == ("completed", "completed")
    assert lab.balance("btcmix", ledger.LOSS, "btc") == need(order)


def test_one_transaction_pays_several_orders_and_one_of_them_twice(lab: Laboratory) -> None:
    orders = [lab.bearer("btcmix", [500_000]), lab.bearer("coinjoin", [500_000]), lab.codes("btc", amounts=[500_000])]
    chain = lab.house.chains["btc"]
    outputs = [Output(chain.format.key(order.address), need(order)) for order in [*orders, orders[0]]]
    txid = chain.pay_many(outputs)
    lab.house.turn()
    for _ in range(2):
        lab.settle()
        lab.check()
    assert [lab.state(order) for order in orders] == ["completed"] * 3
    assert [d.txid for d in lab.deposits(orders[0])] == [txid, txid]
    assert lab.balance("btcmix", ledger.EXCESS, "btc") == -need(orders[0])


def test_a_stray_payment_to_the_services_own_key_is_booked_as_such(lab: Laboratory) -> None:
    lab.fund(lab.bearer("btcmix", [500_000]))
    change = next(coin for coin in lab.coins_of("btcmix", "btc") if coin.origin is Origin.CHANGE)
    tx = lab.house.chains["btc"].transaction(change.txid)
    assert tx is not None
    address = lab.house.chains["btc"].format.address(tx.outputs[change.vout].key)
    lab.house.chains["btc"].pay(address, 12_345)
    lab.settle()
    lab.check()
    assert lab.balance("btcmix", ledger.STRAY, "btc") == -12_345
    lab.reorg("btc", 1)
    lab.check()
    assert lab.balance("btcmix", ledger.STRAY, "btc") == 0


# -- policies -----------------------------------------------------------------------------------------------------


def test_the_holder_of_a_code_is_never_paid_with_their_own_coins(lab: Laboratory) -> None:
    """bestmixer pays from its smallest coins: without the code, the first deposit would be the first choice."""
    first = lab.codes("btc", amounts=[2_000_000])
    lab.fund(first)
    lab.mine("btc")
    second = lab.codes("btc", amounts=[1_000_000], code=first.code or "")
    lab.fund(second)
    (own, payment) = (each for each in lab.payments() if each.carried)
    theirs = {(coin.txid, coin.vout) for coin in lab.coins_of("bestmixer", "btc") if coin.codes}
    for each in (own, payment):
        assert not theirs & set(each.inputs)
        assert set(each.excluded) <= theirs
    assert set(payment.excluded) == {(d.txid, d.vout) for order in (first, second) for d in lab.deposits(order)}
    stranger = lab.codes("btc", amounts=[1_000_000])
    lab.fund(stranger)
    last = lab.payments()[-1]
    assert theirs & set(last.inputs)
    lab.mine("btc")
    lab.check()
    change = next(coin for coin in lab.coins_of("bestmixer", "btc") if coin.number == last.change)
    assert change.codes == tuple(sorted({code for coin in lab.coins_of("bestmixer", "btc")
                                         if coin.number in last.coins for code in coin.codes}))  # fmt: skip


def test_a_referral_code_earns_its_share_of_the_service_fee(lab: Laboratory) -> None:
    order = lab.bearer("btcmix", [400_000, 600_000], ref="FRIEND1")
    lab.fund(order)
    service = percent(1_000_000, 20_000)
    share = percent(service, lab.house.policies["btcmix"].referral_ppm)
    assert lab.balance("btcmix", ledger.referral("FRIEND1"), "btc") == -share
    assert lab.balance("btcmix", ledger.FEE, "btc") == -(service - share)
    assert lab.balance("btcmix", ledger.NETWORK, "btc") == -10_000


def test_a_volume_under_a_code_lowers_its_fee(lab: Laboratory) -> None:
    order = lab.codes("btc", amounts=[1_100_000_000], fee="1.0")
    with pytest.raises(Refused):
        lab.codes("btc", amounts=[1_000_000], code=order.code or "", fee="0.8")
    lab.fund(order)
    assert lab.codes("btc", amounts=[1_000_000], code=order.code or "", fee="0.8").terms.fee_ppm == 8_000


def test_deposits_are_swept_together_after_a_while(lab: Laboratory) -> None:
    for _ in range(4):
        lab.fund(lab.bearer("whir", [300_000], hours=60))
    lab.house.advance(25 * HOUR)
    (sweep,) = (payment for payment in lab.payments() if not payment.carried)
    lab.settle()
    lab.check()
    coins = lab.coins_of("whir", "btc")
    assert len(sweep.coins) == 4
    assert [coin.origin for coin in coins if coin.number == sweep.change] == [Origin.SWEEP]
    lab.reorg("btc", 1)
    lab.check()
    lab.settle()
    lab.check()


def test_a_sweep_whose_deposits_are_gone_is_dropped(lab: Laboratory) -> None:
    orders = [lab.bearer("whir", [300_000], hours=60) for _ in range(4)]
    txids = [lab.pay(order) for order in orders]
    lab.settle()
    lab.house.advance(25 * HOUR)
    lab.settle()
    lab.check()
    lab.reorg("btc", 3, txids)
    lab.check()
    (sweep,) = (payment for payment in lab.payments() if not payment.carried)
    assert sweep.state is PaymentState.REPLACED
    assert [lab.state(order) for order in orders] == ["awaiting"] * 4


def test_swaps_that_are_due_together_share_a_transaction(lab: Laboratory) -> None:
    lab.behave("xmrto", "stall")
    swaps = [lab.swap(5_000_000) for _ in range(3)]
    for swap in swaps:
        lab.pay(swap)
    lab.behave("xmrto", None)
    (payment,) = (each for each in lab.payments() if each.carried)
    assert [each.order for each in payment.carried] == [swap.number for swap in swaps]
    lab.settle()
    lab.check()
    assert {lab.state(swap) for swap in swaps} == {"completed"}


def test_a_service_without_coins_pays_when_it_has_some() -> None:
    lab = Laboratory("btc", tables={"btcmix": {"coins": {"btc": {"float_pieces": 1, "float_amount": 100_000}}}})
    try:
        order = lab.bearer("btcmix", [50_000_000])
        deposit = lab.fund(order)
        assert lab.state(order) == "paying"  # with its own deposit
        lab.reorg("btc", 2, {deposit})
        lab.check()
        lab.mine("btc")
        assert lab.state(order) == "paying"
        lab.fund(lab.bearer("btcmix", [51_000_000], hours=5))
        lab.mine("btc")
        lab.check()
        assert lab.state(order) == "completed"
    finally:
        lab.close()


# -- restarts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", range(5))
def test_a_laboratory_goes_on_where_it_was_closed(tmp_path: Path, before: int) -> None:
    lab = Laboratory("btc", "xmr", folder=tmp_path)
    try:
        mix, swap = lab.bearer("whir", [500_000], hours=1), lab.swap(20_000_000)
        steps: list[Callable[[], object]] = [
            lambda: (lab.pay(mix), lab.pay(swap)),
            lab.settle,
            lambda: lab.house.advance(HOUR),
            lab.settle,
            lab.settle,
        ]
        for number, step in enumerate(steps):
            if number == before:
                lab.reopen()
                lab.check()
            step()
            lab.check()
        assert (lab.state(mix), lab.state(swap)) == ("completed", "completed")
    finally:
        lab.close()


def test_the_same_seed_gives_the_same_record() -> None:
    heads = []
    for _ in range(2):
        lab = Laboratory("btc", "xmr", seed=5)
        for order in (lab.bearer("whir", [500_000]), lab.codes("btc", (500, 500)), lab.swap(5_000_000)):
            lab.fund(order)
        lab.settle()
        heads.append(lab.house.store.read(lambda records: records.head()))
        lab.close()
    assert heads[0] == heads[1]
