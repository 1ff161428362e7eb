"""What happens to an order: opening, deposits, expiry, the closing of the bargain, payouts. No I/O.

Functions here change an `Order` that they are given and return the ledger's postings; whoever calls stores both in
one transaction.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

import msgspec

from glasstumbler.engine import ledger, plan
from glasstumbler.engine.commands import OpenMix, Wish
from glasstumbler.engine.order import (
    OPEN_STATES,
    Event,
    Order,
    OutputState,
    PlannedOutput,
    State,
    Swap,
    Terms,
    after,
)
from glasstumbler.engine.policy import CoinPolicy, FeeRule, Policy
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
)
from glasstumbler.money import parse, percent, text

KeyOf = Callable[[str], bytes]
"""Key of a test-network address; BadAddress or NotATestNetwork otherwise."""


@dataclass
class Draft:
    """An order as planned: what it needs besides a number, a name and a deposit address."""

    coin: str
    payout_coin: str
    terms: Terms
    outputs: list[PlannedOutput]
    fixed: bool = False
    code: str | None = None
    ref: str | None = None
    swap: Swap | None = None
    extra: dict[str, object] = field(default_factory=dict)


_EXPIRING, _PAYING = (State.AWAITING, State.UNDERPAID), (State.WAITING, State.PAYING)


class DepositState(StrEnum):
    SEEN = "seen"  # in the mempool, or in a block but not deep enough
    CREDITED = "credited"  # booked
    GONE = "gone"  # replaced, double-spent or reorganised away; may come back


class Deposit(msgspec.Struct, omit_defaults=True):
    """One output that pays to an order's deposit address."""

    coin: str
    txid: str
    vout: int
    order: int
    service: str
    amount: int
    first_seen: int
    state: DepositState = DepositState.SEEN
    height: int | None = None
    account: str | None = None
    """The account that it is booked to."""
    mature: int | None = None
    """The height of the chain at which it is to be credited; None: not yet known, or done."""


# -- opening ------------------------------------------------------------------------------------------------------


def plan_mix(
    command: OpenMix, policy: Policy, key_of: KeyOf, least_fee_ppm: int, dust: int, chance: random.Random
) -> Draft:
    """The draft of a mixer's order; a Rejection names the field that is at fault."""
    coins = policy.coins.get(command.coin)
    if coins is None:
        raise BadCurrency(f"{command.coin!r} is not one of {', '.join(policy.coins)}", "coin")
    _check_number_of(command.outputs, policy)
    _check_addresses(command.outputs, key_of)
    fee_ppm = _service_fee(command, policy, coins, least_fee_ppm)
    terms = Terms(fee_ppm=fee_ppm, per_output=coins.per_output, flat=coins.flat, confirmations=coins.confirmations)
    outputs = [_planned(wish, command, policy, coins, dust, chance) for wish in command.outputs]
    if command.fixed:
        total = sum(output.wanted or 0 for output in outputs)
        quote = plan.QUOTES[policy.fee_rule]
        terms.fee = quote(total, len(outputs), fee_ppm, coins.per_output, coins.flat)
        terms.quote = total + terms.fee
        if coins.max_deposit is not None and terms.quote > coins.max_deposit:
            raise OutOfBounds(
                f"{text(terms.quote, command.coin)} {command.coin} is above the limit of "
                f"{text(coins.max_deposit, command.coin)}",
                command.outputs[0].field,
            )
    else:
        _open_limits(terms, outputs, command, policy, coins, dust)
    return Draft(command.coin, command.coin, terms, outputs, command.fixed, command.code, command.ref)


def _check_number_of(wishes: tuple[Wish, ...], policy: Policy) -> None:
    if not wishes:
        raise Malformed("at least one output is needed", "outputs")
    if len(wishes) > policy.max_outputs:
        container = wishes[0].field.partition("[")[0].partition(".")[0]  # as the client named it
        raise Malformed(f"at most {policy.max_outputs} addresses", container)


def _check_addresses(wishes: tuple[Wish, ...], key_of: KeyOf) -> None:
    seen: set[bytes] = set()
    for wish in wishes:
        try:
            key = key_of(wish.address)
        except BadAddress as error:
            raise BadAddress(error.text, wish.field) from None
        except NotATestNetwork as error:
            raise BadAddress(str(error), wish.field) from None
        if key in seen:
            raise BadAddress("the address occurs twice", wish.field)
        seen.add(key)


def _service_fee(command: OpenMix, policy: Policy, coins: CoinPolicy, least: int) -> int:
    if not policy.choose_fee:
        return policy.fee_ppm
    fee = least if command.fee_ppm is None else command.fee_ppm
    if not least <= fee <= coins.max_fee_ppm:
        raise BadFee(f"the fee goes from {least / 10_000:.4f} to {coins.max_fee_ppm / 10_000:.4f} percent", "fee")
    return fee


def _planned(
    wish: Wish, command: OpenMix, policy: Policy, coins: CoinPolicy, dust: int, chance: random.Random
) -> PlannedOutput:
    if not 0 <= wish.delay <= policy.max_delay:
        raise BadDelay(f"a delay goes from 0 to {policy.max_delay // 60} minutes", wish.field)
    output = PlannedOutput(wish.address, delay=wish.delay)
    if command.fixed:
        output.wanted = _wanted(wish, command.coin, coins, dust)
    elif not command.equal_split:
        if wish.share is None or wish.share <= 0:
            raise BadShares("a share must be above 0", wish.field)
        output.share = wish.share
        floating = policy.floating_network_fee and coins.per_output > 1
        output.network_fee = chance.randint(coins.per_output // 2, coins.per_output) if floating else coins.per_output
    return output


def _wanted(wish: Wish, coin: str, coins: CoinPolicy, dust: int) -> int:
    amount = read_amount(wish.amount, coin, wish.field)
    least = max(coins.min_payout, dust)
    if amount < least:
        raise OutOfBounds(f"{text(amount, coin)} is below the least payout of {text(least, coin)} {coin}", wish.field)
    if coins.max_payout is not None and amount > coins.max_payout:
        raise OutOfBounds(
            f"{text(amount, coin)} is above the greatest payout of {text(coins.max_payout, coin)} {coin}",
            wish.field,
        )
    return amount


def read_amount(value: str | Decimal | int | None, coin: str, name: str) -> int:
    """Base units of a positive amount; BadAmount names the field."""
    if value is None:
        raise BadAmount("the amount is missing", name, coin)
    try:
        amount = parse(value, coin)
    except ValueError as error:
        raise BadAmount(str(error), name, coin) from None
    if amount <= 0:
        raise BadAmount("the amount must be above 0", name, coin)
    return amount


def _open_limits(
    terms: Terms, outputs: list[PlannedOutput], command: OpenMix, policy: Policy, coins: CoinPolicy, dust: int
) -> None:
    """Limits of an order with an open amount: high enough that no output is dust."""
    shares = sum(output.share or 0 for output in outputs)
    if not command.equal_split and shares != plan.WHOLE:
        raise BadShares(f"the percentages add to {shares / 10:g}, not to 100", "output")
    least = dust if policy.fee_rule is FeeRule.ON_RECEIVED else max(coins.min_payout, dust)
    terms.minimum = max(coins.min_deposit, plan.least_received(outputs, terms, policy.fee_rule, least))
    terms.maximum = coins.max_deposit
    if terms.maximum is not None and terms.minimum > terms.maximum:
        raise BadShares("the smallest share would be dust at any amount that is taken", "output")


# -- deposits -----------------------------------------------------------------------------------------------------

CREDIT_TO: dict[State, str] = {
    State.EXPIRED: ledger.LATE,
    State.PAYING: ledger.REPEAT,
    State.COMPLETED: ledger.REPEAT,
    State.FAILED: ledger.UNPAID,
    State.REJECTED: ledger.LATE,
}
"""Where a deposit is booked that comes when the order takes no more; open orders take it themselves."""


def credit(order: Order, deposit: Deposit) -> list[ledger.Posting]:
    """Book a deposit that has its confirmations."""
    account = ledger.owed(order.number) if order.state in OPEN_STATES else CREDIT_TO[order.state]
    if deposit.account is not None and deposit.account.startswith("loss:"):
        account = deposit.account  # what the chain took back after it was paid out has returned
    if account == ledger.owed(order.number):
        order.credited += deposit.amount
    deposit.state, deposit.account = DepositState.CREDITED, account
    return ledger.move(deposit.coin, (ledger.COINS, deposit.amount), (account, -deposit.amount))


def uncredit(order: Order, deposit: Deposit) -> list[ledger.Posting]:
    """Take a booked deposit back: the chain no longer has it (deep enough)."""
    account = deposit.account or ledger.owed(order.number)
    if account == ledger.owed(order.number) and order.state not in OPEN_STATES:
        account = ledger.LOSS
    elif account == ledger.owed(order.number):
        order.credited -= deposit.amount
    deposit.state = DepositState.SEEN
    deposit.account = ledger.LOSS if account == ledger.LOSS else None
    return ledger.move(deposit.coin, (account, deposit.amount), (ledger.COINS, -deposit.amount))


def level(order: Order) -> Event:
    need = plan.needed(order)
    if order.credited >= need and order.credited:
        return Event.CONFIRMED
    if order.seen >= need and order.seen:
        return Event.FUNDED
    return Event.SHORT if order.seen else Event.EMPTY


def assess(order: Order, now: int, rule: FeeRule) -> None:
    """Let the sums of the deposits move the order."""
    before, order.state = order.state, after(order.state, level(order))
    if order.state is not before:
        order.updated = now
    if order.state is State.WAITING:
        if before is not State.WAITING:
            order.funded = now
        _fix(order, rule)
    elif before is State.WAITING:
        _unfix(order)


def _fix(order: Order, rule: FeeRule) -> None:
    assert order.funded is not None
    for output, amount in zip(order.outputs, plan.amounts(order, rule), strict=True):
        output.amount, output.due = amount, order.funded + output.delay


def _unfix(order: Order) -> None:
    order.funded = None
    for output in order.outputs:
        output.amount = output.due = None


def accept_partial(order: Order, now: int, rule: FeeRule) -> None:
    """The customer of a swap takes what an underpayment bought."""
    assert order.swap is not None
    order.terms, order.swap = plan.accept_partial(order, plan.sat_per_xmr(order.swap.price))
    order.updated = now
    assess(order, now, rule)


# -- the end of an order ------------------------------------------------------------------------------------------


def wake(order: Order) -> int | None:
    """When something is next due: the expiry, or the earliest unclaimed output."""
    if order.state in _EXPIRING:
        return order.expires
    if order.state in _PAYING:
        return min(
            (o.due for o in order.outputs if o.state is OutputState.PENDING and o.due is not None),
            default=None,
        )
    return None


def expire(order: Order, now: int) -> list[ledger.Posting]:
    """End an order whose time is over; what came in short stays booked as such."""
    order.state, order.updated = after(order.state, Event.EXPIRE), now
    return ledger.move(order.coin, (ledger.owed(order.number), order.credited), (ledger.SHORT, -order.credited))


def close_bargain(order: Order, policy: Policy, now: int) -> list[ledger.Posting]:
    """When the first payout is claimed: fees are earned, excess is set aside, a swap is swapped."""
    order.state, order.updated = after(order.state, Event.DUE), now
    total = sum(output.amount or 0 for output in order.outputs)
    used = plan.payable(order)
    mine = ledger.owed(order.number)
    excess = order.credited - used
    if order.swap is not None:
        return [
            *ledger.move(order.coin, (mine, order.credited), (ledger.EXCHANGE, -used), (ledger.EXCESS, -excess)),
            *ledger.move(order.payout_coin, (ledger.EXCHANGE, total), (mine, -total)),
        ]
    fee = used - total
    base = total if policy.fee_rule is FeeRule.ON_PAYOUTS else used
    service = min(fee, percent(base, order.terms.fee_ppm))
    share = percent(service, policy.referral_ppm) if order.ref else 0
    return ledger.move(
        order.coin,
        (mine, fee + excess),
        (ledger.FEE, -(service - share)),
        (ledger.referral(order.ref or ""), -share),
        (ledger.NETWORK, -(fee - service)),
        (ledger.EXCESS, -excess),
    )


def settle(order: Order, indexes: list[int], now: int) -> None:
    """These outputs are confirmed; the order is done when all are."""
    for index in indexes:
        order.outputs[index].state = OutputState.CONFIRMED
    if all(output.state is OutputState.CONFIRMED for output in order.outputs):
        order.state = after(order.state, Event.SETTLED)
    order.updated = now


def unsettle(order: Order, indexes: list[int], now: int) -> None:
    """A reorganisation took these payouts out of the chain: they are on their way again."""
    for index in indexes:
        if order.outputs[index].state is OutputState.CONFIRMED:
            order.outputs[index].state = OutputState.CLAIMED
    order.state, order.updated = after(order.state, Event.UNSETTLED), now


def fail(order: Order, now: int) -> list[ledger.Posting]:
    """A payout cannot be sent: what is still owed stays booked as unpaid."""
    before = order.state
    order.state, order.updated = after(order.state, Event.FAIL), now
    left = [output for output in order.outputs if output.state is OutputState.PENDING]
    for output in left:
        output.state = OutputState.FAILED
    mine = ledger.owed(order.number)
    if before is State.WAITING:
        return ledger.move(order.coin, (mine, order.credited), (ledger.UNPAID, -order.credited))
    rest = sum(output.amount or 0 for output in left)
    return ledger.move(order.payout_coin, (mine, rest), (ledger.UNPAID, -rest))
