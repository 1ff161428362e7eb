"""Quotes, splits and prices: the documents' figures, and what holds for any figures."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from glasstumbler.engine import plan
from glasstumbler.engine.order import PlannedOutput, Terms
from glasstumbler.engine.policy import CodeTier, CoinPolicy, FeeRule, SwapPolicy, Tier
from glasstumbler.money import PPM, parse
from tests.engine.orders import order, shares, swap_order, wanted

XMR = 10**12
BEARER_SAMPLES = """
payouts        outputs  ppm    per output  flat   fee
500000         1        20000  0           0      10000
600000         1        20000  0           10440  22440
300000         2        20000  5000        0      16000
300000         2        20000  0           10000  16000
300000         2        30000  5000        0      19000
25             1        20000  0           0      1
24             1        20000  0           0      0
"""


@pytest.mark.parametrize("row", BEARER_SAMPLES.strip().splitlines()[1:])
def test_fee_on_payouts(row: str) -> None:
    """The three samples of documents 1 to 3, and where a half is rounded up."""
    total, outputs, ppm, per_output, flat, fee = map(int, row.split())
    assert plan.quote_on_payouts(total, outputs, ppm, per_output, flat) == fee


def test_exactly_amount_of_the_code_mixer() -> None:
    """Three outputs of 0.1 at 1.0001 % and 0.00202265 each: 0.30915986 (document 1's sample)."""
    total = parse("0.3", "btc")
    fee = plan.quote_on_received(total, 3, 10_001, parse("0.00202265", "btc"), 0)
    assert total + fee == parse("0.30915986", "btc")


AMOUNTS = st.integers(1, 10**20)
FEES = (st.integers(0, 500_000), st.integers(0, 10**6), st.integers(0, 10**6))
"""ppm, per_output, flat"""


@given(st.lists(AMOUNTS, min_size=1, max_size=10), *FEES)
def test_a_quote_covers_payouts_fee_and_network(amounts: list[int], ppm: int, per_output: int, flat: int) -> None:
    total, count = sum(amounts), len(amounts)
    network = per_output * count + flat
    fee = plan.quote_on_payouts(total, count, ppm, per_output, flat)
    assert abs(fee - network - Fraction(total * ppm, PPM)) <= Fraction(1, 2)
    received = total + plan.quote_on_received(total, count, ppm, per_output, flat)
    assert received - Fraction(received * ppm, PPM) >= total + network
    assert received - 1 - Fraction((received - 1) * ppm, PPM) < total + network, "not a unit more than it takes"


SHARES = st.lists(st.integers(1, 1000), min_size=1, max_size=10).map(
    lambda weights: [1000 - sum(parts := [w * 1000 // sum(weights) for w in weights][1:]), *parts]
)


@given(SHARES, st.integers(0, 10**20), st.integers(0, 500_000), st.integers(0, 10_000))
def test_shares_create_no_unit_and_lose_less_than_one_each(parts: list[int], received: int, ppm: int, net: int) -> None:
    assert sum(parts) == plan.WHOLE
    paid = plan.split_received(received, shares(*parts, network_fee=net), Terms(fee_ppm=ppm))
    pool = received - plan.percent(received, ppm)
    lost = pool - sum(paid) - net * len(parts)
    assert 0 <= lost < len(parts)
    for share, amount in zip(parts, paid, strict=True):
        assert 0 <= Fraction(pool * share, plan.WHOLE) - (amount + net) < 1


@given(st.integers(0, 10**20), st.integers(1, 10), *FEES)
def test_equal_parts_and_their_fee_fit_into_what_came_in(
    received: int, count: int, ppm: int, per_output: int, flat: int
) -> None:
    terms = Terms(fee_ppm=ppm, per_output=per_output, flat=flat)
    parts = plan.split_equally(received, shares(*[1] * count), terms)
    assert len(parts) == count and len(set(parts)) == 1 and parts[0] >= 0
    assume(parts[0])
    assert sum(parts) + plan.quote_on_payouts(sum(parts), count, ppm, per_output, flat) <= received
    more = sum(parts) + count
    assert more * (PPM + ppm) > (received - per_output * count - flat) * PPM, "no greater part would fit"


@given(SHARES, st.integers(1, 10**15), st.sampled_from(FeeRule), *FEES)
def test_the_least_deposit_leaves_no_dust(
    parts: list[int], least: int, rule: FeeRule, ppm: int, per_output: int, flat: int
) -> None:
    assume(min(parts) > 0)
    terms = Terms(fee_ppm=ppm, per_output=per_output, flat=flat)
    outputs = shares(*parts, network_fee=per_output)
    received = plan.least_received(outputs, terms, rule, least)
    for deposit in (received, received + 1, received * 2):
        assert min(plan.SPLITS[rule](deposit, outputs, terms)) >= least
    # Not needlessly much: a hundredth less would leave some output below the least.
    if least > 10_000:
        assert min(plan.SPLITS[rule](received * 99 // 100, outputs, terms)) < least


def test_what_an_order_uses_of_its_deposits() -> None:
    table = [
        (Terms(quote=100), 90, 90, 100),
        (Terms(quote=100), 150, 100, 100),
        (Terms(minimum=10, maximum=200), 150, 150, 10),
        (Terms(minimum=10, maximum=200), 250, 200, 10),
        (Terms(minimum=10), 10**20, 10**20, 10),
    ]
    for terms, credited, used, needed in table:
        mine = order(terms=terms, credited=credited)
        assert (plan.payable(mine), plan.needed(mine)) == (used, needed)


def test_amounts_of_each_kind_of_order() -> None:
    assert plan.amounts(order(outputs=wanted(3, 5), terms=Terms(quote=9)), FeeRule.ON_PAYOUTS) == [3, 5]
    assert plan.amounts(swap_order(), FeeRule.ON_PAYOUTS) == [10_000_000]
    open_order = order(outputs=shares(250, 750, network_fee=1), terms=Terms(fee_ppm=10_000), credited=1_000)
    assert plan.amounts(open_order, FeeRule.ON_RECEIVED) == [246, 741]
    equal = order(outputs=[PlannedOutput("a"), PlannedOutput("b")], terms=Terms(fee_ppm=10_000), credited=1_000)
    assert plan.amounts(equal, FeeRule.ON_PAYOUTS) == [495, 495]


# -- swaps ----------------------------------------------------------------------------------------------------------


def test_document_5s_price_sample() -> None:
    """10 XMR at 0.00701264 are 0.0701264 BTC, and back."""
    rate = plan.sat_per_xmr("0.00701264")
    assert rate == 701_264
    assert plan.btc_for(10 * XMR, rate) == parse("0.0701264", "btc")
    assert plan.xmr_for(parse("0.0701264", "btc"), rate, 7) == 10 * XMR


CONFIRMATIONS = """
btc         zero conf  confirmations
0.0701264   yes        0
0.1         yes        0
0.10000001  yes        1
0.15        yes        1
0.0701264   no         1
0.5         yes        1
0.50000001  yes        5
2           yes        5
20          yes        10
"""


@pytest.mark.parametrize("row", CONFIRMATIONS.strip().splitlines()[1:])
def test_confirmations_of_a_swap(row: str) -> None:
    amount, zero, wanted_depth = row.split()
    tiers = (Tier(50_000_000, 1), Tier(200_000_000, 5), Tier(None, 10))
    terms = SwapPolicy(zero_conf=zero == "yes", tiers=tiers)
    assert plan.confirmations_for(parse(amount, "btc"), terms) == int(wanted_depth)


@given(st.integers(1, 21 * 10**14), st.integers(1, 10**9), st.integers(0, 12))
def test_the_price_in_xmr_is_enough_and_not_a_step_too_much(sat: int, rate: int, places: int) -> None:
    piconero = plan.xmr_for(sat, rate, places)
    step = 10 ** (12 - places)
    assert piconero % step == 0
    assert plan.btc_for(piconero, rate) >= sat, "what was asked for buys the amount"
    assert Fraction(piconero - step) < Fraction(sat * XMR, rate) + 1


@given(st.integers(0, 10**19), st.integers(1, 10**9))
def test_xmr_buys_no_more_than_it_is_worth(piconero: int, rate: int) -> None:
    assert 0 <= Fraction(piconero * rate, XMR) - plan.btc_for(piconero, rate) < 1


@pytest.mark.parametrize(("seen", "bought"), [(0, 0), (1, 0), (7 * XMR, 4_999_995), (14 * XMR, 9_999_990)])
def test_a_partial_swap(seen: int, bought: int) -> None:
    mine = swap_order(seen=seen)
    before = (mine.terms.quote, mine.swap.amount if mine.swap else None)
    assert plan.partial(mine, 714_285) == bought
    terms, swap = plan.accept_partial(mine, 714_285)
    assert (terms.quote, swap.amount, swap.price) == (seen, bought, "0.00714285")
    assert before == (mine.terms.quote, mine.swap.amount if mine.swap else None), "the order itself is left alone"


def test_a_partial_swap_never_buys_more_than_the_order() -> None:
    assert plan.partial(swap_order(seen=100 * XMR), 714_285) == 10_000_000


# -- the code's discount ---------------------------------------------------------------------------------------------

COIN = CoinPolicy(deposit_kind="p2pkh", change_kind="p2pkh", fee_rate=1, min_fee_ppm=10_000)
TIERS = (CodeTier(10, 2_000), CodeTier(100, 5_000))
DISCOUNTS = """
coin  volume       least fee
btc   0            10000
btc   9.99999999   10000
btc   10           8000
btc   99.99999999  8000
btc   100          5000
btc   100000       5000
eth   10           8000
eth   9.999999999  10000
"""


@pytest.mark.parametrize("row", DISCOUNTS.strip().splitlines()[1:])
def test_a_code_lowers_the_least_fee(row: str) -> None:
    coin, volume, fee = row.split()
    assert plan.least_fee(COIN, parse(volume, coin), coin, TIERS) == int(fee)


def test_a_discount_stops_at_nothing_and_the_best_tier_counts() -> None:
    assert plan.least_fee(COIN, 10**9, "btc", (CodeTier(1, 50_000),)) == 0
    assert plan.least_fee(COIN, 10**9, "btc", (CodeTier(1, 5_000), CodeTier(2, 1_000))) == 5_000
    assert plan.least_fee(COIN, 10**20, "btc", ()) == 10_000
