"""Arithmetic of orders: quotes, splits, prices. Integers only, in base units; every rounding is named.

Sources: spec of the code mixer, section 5 (exactly_amount); of the bearer mixers, section 5; of XMR.to, section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from glasstumbler.engine.order import Order, PlannedOutput, Swap, Terms
from glasstumbler.engine.policy import CodeTier, CoinPolicy, FeeRule, SwapPolicy
from glasstumbler.money import PLACES, PPM, ceil_div, percent

PICO = 10**12
"""Piconero of 1 XMR."""
WHOLE = 1000
"""All of an order's shares, per mille."""


def quote_on_payouts(total: int, outputs: int, fee_ppm: int, per_output: int, flat: int) -> int:
    """Fee on top of the payouts: percent rounded half up, plus the network part."""
    return percent(total, fee_ppm) + per_output * outputs + flat


def quote_on_received(total: int, outputs: int, fee_ppm: int, per_output: int, flat: int) -> int:
    """Fee so that (deposit less its percentage) covers payouts and network part; the deposit is rounded up."""
    return ceil_div((total + per_output * outputs + flat) * PPM, PPM - fee_ppm) - total


QUOTES: dict[FeeRule, Callable[[int, int, int, int, int], int]] = {
    FeeRule.ON_PAYOUTS: quote_on_payouts,
    FeeRule.ON_RECEIVED: quote_on_received,
}


def split_received(received: int, outputs: Sequence[PlannedOutput], terms: Terms) -> list[int]:
    """Shares of what came in, after the service fee; each rounded down, less its own network part."""
    pool = received - percent(received, terms.fee_ppm)
    return [pool * (output.share or 0) // WHOLE - output.network_fee for output in outputs]


def split_equally(received: int, outputs: Sequence[PlannedOutput], terms: Terms) -> list[int]:
    """Equal parts such that parts + fee on them + network part fit into what came in."""
    left = received - terms.per_output * len(outputs) - terms.flat
    part = max(left, 0) * PPM // (PPM + terms.fee_ppm) // len(outputs)
    return [part] * len(outputs)


SPLITS: dict[FeeRule, Callable[[int, Sequence[PlannedOutput], Terms], list[int]]] = {
    FeeRule.ON_PAYOUTS: split_equally,
    FeeRule.ON_RECEIVED: split_received,
}


def least_received(outputs: Sequence[PlannedOutput], terms: Terms, rule: FeeRule, least: int) -> int:
    """The smallest deposit from which every output gets at least `least`."""
    if rule is FeeRule.ON_PAYOUTS:
        fee = quote_on_payouts(least * len(outputs), len(outputs), terms.fee_ppm, terms.per_output, terms.flat)
        return least * len(outputs) + fee + 1
    pool = max(ceil_div((least + output.network_fee) * WHOLE, output.share or 1) for output in outputs)
    return ceil_div(pool * PPM, PPM - terms.fee_ppm) + 1


def payable(order: Order) -> int:
    """What of the credited deposits the order itself uses; the rest is excess."""
    limit = order.terms.quote if order.terms.quote is not None else order.terms.maximum
    return order.credited if limit is None else min(order.credited, limit)


def needed(order: Order) -> int:
    """What must come in before the order goes on."""
    return order.terms.quote if order.terms.quote is not None else order.terms.minimum


def amounts(order: Order, rule: FeeRule) -> list[int]:
    """Payouts of a funded order, in base units of the payout coin."""
    if order.swap is not None:
        return [order.swap.amount_msat if order.swap.amount_msat is not None else order.swap.amount]
    if order.terms.quote is not None:
        return [output.wanted or 0 for output in order.outputs]
    return SPLITS[rule](payable(order), order.outputs, order.terms)


def xmr_for(btc: int, rate: int, places: int) -> int:
    """Piconero that buy `btc` sat at `rate` sat for 1 XMR, rounded up to `places` decimals."""
    step: int = 10 ** (12 - places)
    return ceil_div(ceil_div(btc * PICO, rate), step) * step


def btc_for(xmr: int, rate: int) -> int:
    """Sat that `xmr` piconero buy, rounded down."""
    return xmr * rate // PICO


def confirmations_for(btc: int, policy: SwapPolicy) -> int:
    if policy.zero_conf and btc <= policy.zero_conf_max:
        return 0
    return next(int(tier.confirmations) for tier in policy.tiers if tier.amount is None or btc <= tier.amount)


def partial(order: Order, rate: int) -> int:
    """Sat that what is in sight buys, at most the order."""
    assert order.swap is not None
    return min(btc_for(order.seen, rate), order.swap.amount)


def accept_partial(order: Order, rate: int) -> tuple[Terms, Swap]:
    """The bargain of an underpaid swap cut down to what was paid."""
    assert order.swap is not None
    swap = Swap(**{field: getattr(order.swap, field) for field in Swap.__struct_fields__})
    swap.amount = partial(order, rate)
    terms = Terms(**{field: getattr(order.terms, field) for field in Terms.__struct_fields__})
    terms.quote = order.seen
    return terms, swap


def sat_per_xmr(price: str) -> int:
    """Rate of a plain decimal price, BTC for 1 XMR."""
    return int(Fraction(price) * 10**8)


def least_fee(policy: CoinPolicy, volume: int, coin: str, tiers: Sequence[CodeTier]) -> int:
    """The lowest service fee, ppm, for a customer who has mixed `volume` base units under a code."""
    whole = 10 ** PLACES[coin]
    discount = max((tier.discount_ppm for tier in tiers if volume >= tier.volume * whole), default=0)
    return max(policy.min_fee_ppm - discount, 0)
