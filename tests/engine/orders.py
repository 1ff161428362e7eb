"""Orders as plain as a test needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glasstumbler.engine.order import Order, PlannedOutput, State, Swap, Terms
from glasstumbler.engine.policy import CoinPolicy, FeeRule, Policy

NOW = 1_700_000_000


def order(state: State = State.AWAITING, outputs: Sequence[PlannedOutput] = (), **more: Any) -> Order:
    plain = {"number": 7, "service": "any", "id": "ANY", "account": "", "coin": "btc", "payout_coin": "btc"}
    times = {"created": NOW, "updated": NOW, "expires": NOW + 3600}
    return Order(**{**plain, **times, "address": "addr", "terms": Terms(), **more}, state=state, outputs=list(outputs))


def wanted(*amounts: int) -> list[PlannedOutput]:
    return [PlannedOutput(f"address {n}", wanted=amount) for n, amount in enumerate(amounts)]


def shares(*per_mille: int, network_fee: int = 0) -> list[PlannedOutput]:
    return [PlannedOutput(f"address {n}", share=s, network_fee=network_fee) for n, s in enumerate(per_mille)]


def swap_order(state: State = State.AWAITING, **more: Any) -> Order:
    """0.1 BTC for 14 XMR at 0.00714285..., on chain unless `more` says otherwise."""
    bargain = Swap(price="0.00714285", amount=10_000_000)
    return order(
        state,
        [PlannedOutput("address 0", wanted=10_000_000)],
        **{"coin": "xmr", "swap": bargain, "terms": Terms(quote=14 * 10**12), **more},
    )


def policy(rule: FeeRule = FeeRule.ON_PAYOUTS, coin: dict[str, Any] | None = None, **more: Any) -> Policy:
    coins = CoinPolicy(**{"deposit_kind": "p2wpkh", "change_kind": "p2wpkh", "fee_rate": 5, **(coin or {})})
    return Policy(coins={"btc": coins}, fee_rule=rule, **more)
