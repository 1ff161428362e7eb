"""Opening orders and moving them by their deposits, without a store or a chain."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasstumbler.engine import desk, plan
from glasstumbler.engine.commands import OpenMix, Wish
from glasstumbler.engine.desk import Draft
from glasstumbler.engine.order import Event, Order, OutputState, State, Terms
from glasstumbler.engine.policy import FeeRule, Policy
from glasstumbler.errors import (
    BadAddress,
    BadAmount,
    BadCurrency,
    BadDelay,
    BadFee,
    BadShares,
    Malformed,
    NotATestNetwork,
    OutOfBounds,
    Rejection,
)
from glasstumbler.money import text
from tests.engine.orders import NOW, order, policy, shares, swap_order, wanted

DUST = 546
LIMITS = {"min_payout": 1_000, "max_payout": 10**8, "min_deposit": 2_000, "max_deposit": 2 * 10**8, "per_output": 5_000}


def key_of(address: str) -> bytes:
    if address.startswith("main"):
        raise NotATestNetwork("address", "a main network's", "test networks")
    if not address.startswith("test"):
        raise BadAddress("not an address")
    return address.lower().encode()


def fixed(*amounts: Any, coin: str = "btc", **more: Any) -> OpenMix:
    wishes = tuple(Wish(f"test{n}", amount=amount, field=f"output[{n}]") for n, amount in enumerate(amounts))
    return OpenMix(coin, wishes, True, **more)


def open_amount(*parts: int | None, **more: Any) -> OpenMix:
    wishes = tuple(Wish(f"test{n}", share=share, field=f"output[{n}]") for n, share in enumerate(parts))
    return OpenMix("btc", wishes, False, **more)


def planned(command: OpenMix, mine: Policy | None = None, least: int = 0, seed: int = 1) -> Draft:
    return desk.plan_mix(command, mine or policy(coin=LIMITS), key_of, least, DUST, random.Random(seed))


def test_a_fixed_order_is_quoted() -> None:
    draft = planned(fixed("0.002", "0.001"))
    assert (draft.terms.quote, draft.terms.fee) == (316_000, 16_000)
    assert [output.wanted for output in draft.outputs] == [200_000, 100_000]


def test_an_open_order_has_limits_that_leave_no_dust() -> None:
    mine = policy(FeeRule.ON_RECEIVED, coin=LIMITS, choose_fee=True)
    draft = planned(open_amount(100, 900, fee_ppm=10_000), mine)
    assert draft.terms.maximum == 2 * 10**8
    paid = plan.split_received(draft.terms.minimum, draft.outputs, draft.terms)
    assert DUST <= min(paid) <= DUST + 10


def test_a_floating_network_fee_is_drawn_between_half_and_all_of_it() -> None:
    mine = policy(FeeRule.ON_RECEIVED, coin=LIMITS, floating_network_fee=True)
    drawn = {o.network_fee for seed in range(300) for o in planned(open_amount(500, 500), mine, seed=seed).outputs}
    assert min(drawn) >= 2_500 and max(drawn) <= 5_000 and len(drawn) > 200
    again = [planned(open_amount(500, 500), mine, seed=5).outputs for _ in range(2)]
    assert again[0] == again[1]


def wish(**more: Any) -> OpenMix:
    return OpenMix("btc", (Wish(**{"address": "test0", "amount": "0.1", "field": "here", **more}),), True)


CHOOSE = policy(coin={**LIMITS, "min_fee_ppm": 10_000, "max_fee_ppm": 50_000}, choose_fee=True)
REFUSED: list[tuple[str, OpenMix, type[Rejection], str]] = [
    ("another coin", fixed("1", coin="doge"), BadCurrency, "coin"),
    ("no outputs", fixed(), Malformed, "outputs"),
    ("eleven outputs", fixed(*["0.1"] * 11), Malformed, "output"),
    ("no address", wish(address="nonsense"), BadAddress, "here"),
    ("a main network's address", wish(address="main0"), BadAddress, "here"),
    ("no amount", wish(amount=None), BadAmount, "here"),
    ("a word", wish(amount="much"), BadAmount, "here"),
    ("nothing", wish(amount="0"), BadAmount, "here"),
    ("less than nothing", wish(amount="-1"), BadAmount, "here"),
    ("a unit below the least", wish(amount="0.00000999"), OutOfBounds, "here"),
    ("a unit above the greatest", wish(amount="1.00000001"), OutOfBounds, "here"),
    ("a delay above the greatest", wish(delay=72 * 3600 + 1), BadDelay, "here"),
    ("a delay below nothing", wish(delay=-1), BadDelay, "here"),
    ("more than a deposit may be", fixed("1", "1"), OutOfBounds, "output[0]"),
    ("a share of nothing", open_amount(0, 1000), BadShares, "output[0]"),
    ("no share", open_amount(None, 1000), BadShares, "output[0]"),
    ("99.9 %", open_amount(500, 499), BadShares, "output"),
    ("100.1 %", open_amount(500, 501), BadShares, "output"),
]


@pytest.mark.parametrize(("command", "error", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused_names_its_field(command: OpenMix, error: type[Rejection], field: str) -> None:
    with pytest.raises(error) as refused:
        planned(command)
    assert refused.value.field == field


def test_the_same_key_twice_in_another_spelling() -> None:
    twice = OpenMix("btc", (Wish("testa", amount="0.1"), Wish("testA", amount="0.1", field="second")), True)
    with pytest.raises(BadAddress, match="occurs twice") as refused:
        planned(twice)
    assert refused.value.field == "second"


@pytest.mark.parametrize(
    ("fee", "least", "taken"), [(None, 10_000, 10_000), (10_000, 10_000, 10_000), (50_000, 0, 50_000)]
)
def test_a_chosen_fee(fee: int | None, least: int, taken: int) -> None:
    assert planned(fixed("0.1", fee_ppm=fee), CHOOSE, least).terms.fee_ppm == taken


@pytest.mark.parametrize(("fee", "least"), [(9_999, 10_000), (50_001, 10_000), (7_999, 8_000)])
def test_a_fee_out_of_range(fee: int, least: int) -> None:
    with pytest.raises(BadFee):
        planned(fixed("0.1", fee_ppm=fee), CHOOSE, least)


def test_a_fee_where_none_can_be_chosen_is_the_services_own() -> None:
    assert planned(fixed("0.1", fee_ppm=5)).terms.fee_ppm == 20_000


def test_shares_so_small_that_no_deposit_would_do() -> None:
    mine = policy(FeeRule.ON_RECEIVED, coin={**LIMITS, "max_deposit": 1_000_000})
    with pytest.raises(BadShares, match="dust at any amount"):
        planned(open_amount(1, 999), mine)


AMOUNT = st.integers(1_000, 10**7).map(lambda units: text(units, "btc"))


@given(st.lists(AMOUNT, min_size=1, max_size=10), st.sampled_from(FeeRule), st.integers(0, 50_000))
def test_paying_the_quote_pays_every_output_and_the_fee(amounts: list[str], rule: FeeRule, ppm: int) -> None:
    mine = policy(rule, coin=LIMITS, fee_ppm=ppm)
    draft = planned(fixed(*amounts), mine)
    assert draft.terms.quote is not None
    paid = order(outputs=draft.outputs, terms=draft.terms, credited=draft.terms.quote, seen=draft.terms.quote)
    desk.assess(paid, NOW, rule)
    closed = desk.close_bargain(paid, mine, NOW)
    income = -sum(p.amount for p in closed if p.account.startswith("income:"))
    assert income == draft.terms.fee
    assert sum(output.amount or 0 for output in paid.outputs) + income == draft.terms.quote


# -- deposits move an order -------------------------------------------------------------------------------------------

LEVELS = """
need  seen  credited  level
100   0     0         empty
100   99    0         short
100   99    99        short
100   100   0         funded
100   100   99        funded
100   100   100       confirmed
100   500   100       confirmed
0     0     0         empty
0     1     0         funded
0     1     1         confirmed
"""


@pytest.mark.parametrize("row", LEVELS.strip().splitlines()[1:])
def test_level(row: str) -> None:
    need, seen, credited, level = row.split()
    mine = order(terms=Terms(minimum=int(need)), seen=int(seen), credited=int(credited))
    assert desk.level(mine) is Event(level)


def delayed() -> Order:
    mine = order(outputs=wanted(60, 30), terms=Terms(quote=100))
    mine.outputs[1].delay = 600
    return mine


def test_a_funded_order_knows_its_amounts_and_times() -> None:
    mine = delayed()
    mine.seen = mine.credited = 100
    desk.assess(mine, NOW, FeeRule.ON_PAYOUTS)
    assert (mine.state, mine.funded, mine.updated) == (State.WAITING, NOW, NOW)
    assert [(output.amount, output.due) for output in mine.outputs] == [(60, NOW), (30, NOW + 600)]
    assert desk.wake(mine) == NOW


def test_more_money_does_not_put_the_time_off() -> None:
    mine = delayed()
    mine.seen = mine.credited = 100
    desk.assess(mine, NOW, FeeRule.ON_PAYOUTS)
    mine.seen = mine.credited = 150
    desk.assess(mine, NOW + 300, FeeRule.ON_PAYOUTS)
    assert (mine.funded, mine.updated, mine.outputs[1].due) == (NOW, NOW, NOW + 600)


def test_more_money_makes_the_shares_of_an_open_order_grow() -> None:
    mine = order(outputs=shares(400, 600), terms=Terms(minimum=100, maximum=1000), seen=500, credited=500)
    for credited, paid in ((500, [200, 300]), (900, [360, 540]), (2000, [400, 600])):
        mine.seen = mine.credited = credited
        desk.assess(mine, NOW, FeeRule.ON_RECEIVED)
        assert [output.amount for output in mine.outputs] == paid


@pytest.mark.parametrize(
    ("seen", "credited", "state"), [(0, 0, "awaiting"), (50, 50, "underpaid"), (100, 0, "confirming")]
)
def test_a_reorganisation_before_the_payout_unfixes_the_order(seen: int, credited: int, state: str) -> None:
    mine = delayed()
    mine.seen = mine.credited = 100
    desk.assess(mine, NOW, FeeRule.ON_PAYOUTS)
    mine.seen, mine.credited = seen, credited
    desk.assess(mine, NOW + 10, FeeRule.ON_PAYOUTS)
    assert (mine.state, mine.funded, mine.updated) == (State(state), None, NOW + 10)
    assert {(output.amount, output.due) for output in mine.outputs} == {(None, None)}
    assert desk.wake(mine) == (mine.expires if state != "confirming" else None)


def test_an_order_wakes_for_the_earliest_output_that_is_left() -> None:
    mine = delayed()
    mine.seen = mine.credited = 100
    desk.assess(mine, NOW, FeeRule.ON_PAYOUTS)
    mine.state, mine.outputs[0].state = State.PAYING, OutputState.CLAIMED
    assert desk.wake(mine) == NOW + 600
    mine.outputs[1].state = OutputState.CLAIMED
    assert desk.wake(mine) is None


def test_settled_piece_by_piece_and_taken_back() -> None:
    mine = delayed()
    mine.state = State.PAYING
    for output in mine.outputs:
        output.state = OutputState.CLAIMED
    desk.settle(mine, [0], NOW)
    assert mine.state is State.PAYING
    desk.settle(mine, [1], NOW + 1)
    assert (mine.state, mine.updated) == (State.COMPLETED, NOW + 1)
    desk.unsettle(mine, [1], NOW + 2)
    assert (mine.state, [output.state for output in mine.outputs]) == (State.PAYING, ["confirmed", "claimed"])
    desk.settle(mine, [1], NOW + 3)
    assert mine.state is State.COMPLETED


def test_accepting_a_partial_swap_waits_for_its_confirmations() -> None:
    mine = swap_order(State.UNDERPAID, seen=7 * 10**12)
    desk.accept_partial(mine, NOW, FeeRule.ON_PAYOUTS)
    assert (mine.state, mine.outputs[0].amount) == (State.CONFIRMING, None)
    mine.credited = mine.seen
    desk.assess(mine, NOW, FeeRule.ON_PAYOUTS)
    assert (mine.state, mine.outputs[0].amount) == (State.WAITING, 4_999_995)
