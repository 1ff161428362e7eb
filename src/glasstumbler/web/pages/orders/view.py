"""An order as its page shows it: what to do next, what came in, what goes out and when. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from glasstumbler.engine import ledger, plan
from glasstumbler.engine.commands import OrderView, Sent
from glasstumbler.engine.desk import Deposit, DepositState
from glasstumbler.engine.order import Order, OutputState, PlannedOutput, State
from glasstumbler.engine.policy import FeeRule
from glasstumbler.money import text
from glasstumbler.web.pages.words import money, plural, span

FINAL: Final = frozenset((State.COMPLETED, State.EXPIRED, State.REJECTED, State.FAILED))
"""States that an order leaves only when a chain is reorganised."""
_TAKES: Final = frozenset((State.AWAITING, State.UNDERPAID))
_SCHEME: Final = {"btc": "bitcoin", "ltc": "litecoin", "bch": "", "eth": "ethereum", "xmr": "monero"}
"""Of payment URIs (BIP 21, EIP 681, Monero's own); a Bitcoin Cash address has its scheme already."""
_AMOUNT: Final = {"xmr": "tx_amount", "eth": "value"}


class Step(NamedTuple):
    """One of the stations between deposit and payout."""

    name: str
    mark: str
    """done, now, later or wrong"""


class Pay(NamedTuple):
    """What the customer is to do."""

    address: str
    uri: str
    exact: str
    """An amount without its coin, for copying; "" if the amount is open."""
    wanted: str
    """As people read it."""
    missing: int
    """Base units that the order still needs."""
    expires: int
    open: bool
    """Whether the order still waits for money."""


class In(NamedTuple):
    """A deposit."""

    txid: str
    amount: int
    confirmations: int | None
    """None: in no block."""
    fate: str
    """What became of it where it did not simply count; "" otherwise."""


class Out(NamedTuple):
    """A payout."""

    address: str
    part: str
    """What was asked for: an amount, or a share."""
    amount: str
    """Once known; else ""."""
    state: str
    delay: int
    due: int | None
    """Epoch seconds; None once it is on its way, and before the deposit counts."""
    txid: str
    coin: str
    confirmations: int
    preimage: str


class Page(NamedTuple):
    order: Order
    state: str
    live: bool
    now: int
    headline: str
    todo: str
    """What to do next, in a sentence."""
    steps: tuple[Step, ...]
    pay: Pay
    have: int
    """Confirmations of the deposit so far ..."""
    need: int
    """... and that it needs."""
    deposits: tuple[In, ...]
    outs: tuple[Out, ...]
    facts: tuple[tuple[str, str], ...]
    partial: bool
    """An underpaid swap that its customer may be content with."""


def page(view: OrderView, deposits: Sequence[Deposit], heights: Mapping[str, int], rule: FeeRule) -> Page:
    """`heights`: of the last block that the record knows, by coin."""
    order = view.order
    outs = tuple(_out(view, index, output) for index, output in enumerate(order.outputs))
    came = tuple(_in(deposit, heights.get(order.coin, -1)) for deposit in deposits)
    have = min((deposit.confirmations or 0 for deposit in came if not deposit.fate), default=0)
    return Page(
        order=order,
        state=order.state.value,
        live=order.state not in FINAL,
        now=view.now,
        headline=_HEADLINES[order.state],
        todo=_todo(view, have),
        steps=_steps(order),
        pay=_pay(order),
        have=min(have, order.terms.confirmations),
        need=order.terms.confirmations,
        deposits=came,
        outs=outs,
        facts=tuple(_facts(order, rule)),
        partial=order.swap is not None and order.state is State.UNDERPAID and order.swap.invoice is None,
    )


# -- what to say ------------------------------------------------------------------------------------------------------

_HEADLINES: Final[Mapping[State, str]] = {
    State.CREATED: "Being made",
    State.AWAITING: "Waiting for your deposit",
    State.UNDERPAID: "Not enough has come in",
    State.CONFIRMING: "Your deposit is on its way",
    State.WAITING: "Your deposit is confirmed",
    State.PAYING: "Being paid out",
    State.COMPLETED: "Paid out",
    State.EXPIRED: "Expired",
    State.REJECTED: "Refused",
    State.FAILED: "The payout failed",
}


def _todo(view: OrderView, have: int) -> str:
    order = view.order
    if order.state in (State.CREATED, State.AWAITING):
        return f"Send {_wanted(order)} to the address below; in the laboratory one click pays it."
    if order.state is State.UNDERPAID:
        more = money(_missing(order), order.coin)
        return f"{money(order.seen, order.coin)} came in. Send {more} more to the same address."
    if order.state is State.CONFIRMING:
        missing = max(order.terms.confirmations - have, 1)
        return f"{plural(missing, 'confirmation')} still missing: mine a block, or wait for one."
    if order.state is State.WAITING:
        return _until_due(view)
    if order.state is State.PAYING:
        return _until_paid(view)
    return _ENDS[order.state]


_ENDS: Final[Mapping[State, str]] = {
    State.COMPLETED: "Every output is confirmed. Open the glass to see which coins paid it, and what an observer saw.",
    State.EXPIRED: "The time for the deposit is over. What comes in now is booked as late, and not paid out.",
    State.REJECTED: "The service does not pay to this destination.",
    State.FAILED: "What is still owed stays on the books as unpaid.",
}


def _until_due(view: OrderView) -> str:
    due = min((output.due for output in view.order.outputs if output.due is not None), default=view.now)
    if due <= view.now:
        return "The payout is due and is being prepared."
    return f"The delay runs: the first payout is due in {span(due - view.now)}. Skip an hour, or wait."


def _until_paid(view: OrderView) -> str:
    pending = [output for output in view.order.outputs if output.state is OutputState.PENDING]
    if any(output.state in (OutputState.CLAIMED, OutputState.SENT) for output in view.order.outputs):
        return "A payout waits for its confirmation: mine a block, or wait for one."
    due = min((output.due for output in pending if output.due is not None), default=view.now)
    if pending and due > view.now:
        return f"The next payout is due in {span(due - view.now)}. Skip an hour, or wait."
    return "The payout is on its way: mine a block, or wait for one."


def _missing(order: Order) -> int:
    return max(plan.needed(order) - order.seen, 0)


def _wanted(order: Order) -> str:
    terms = order.terms
    if terms.quote is not None:
        return f"exactly {money(terms.quote, order.coin)}"
    if terms.maximum is None:
        return f"{money(terms.minimum, order.coin)} or more"
    return f"from {text(terms.minimum, order.coin)} to {money(terms.maximum, order.coin)}"


# -- parts ------------------------------------------------------------------------------------------------------------

_STATIONS: Final = ("Deposit", "Confirmed", "Delay", "Paid out", "Done")
_AT: Final[Mapping[State, int]] = {
    State.CREATED: 0,
    State.AWAITING: 0,
    State.UNDERPAID: 0,
    State.CONFIRMING: 1,
    State.WAITING: 2,
    State.PAYING: 3,
    State.COMPLETED: 5,
    State.EXPIRED: 0,
    State.REJECTED: 0,
    State.FAILED: 3,
}
"""The station that an order is at."""


def _steps(order: Order) -> tuple[Step, ...]:
    at = _AT[order.state]
    here = "wrong" if order.state in (State.EXPIRED, State.REJECTED, State.FAILED) else "now"
    marks = ["done" if place < at else here if place == at else "later" for place in range(len(_STATIONS))]
    steps = [Step(name, mark) for name, mark in zip(_STATIONS, marks, strict=True)]
    if order.state is not State.WAITING and not any(output.delay for output in order.outputs):
        del steps[_AT[State.WAITING]]  # nothing is waited for
    return tuple(steps)


def _pay(order: Order) -> Pay:
    missing = _missing(order)
    exact = text(missing if order.state is State.UNDERPAID else order.terms.quote or 0, order.coin)
    is_exact = order.terms.quote is not None or order.state is State.UNDERPAID
    return Pay(
        address=order.address,
        uri=uri(order.coin, order.address, missing if is_exact and missing else None),
        exact=exact if is_exact else "",
        wanted=_wanted(order),
        missing=missing,
        expires=order.expires,
        open=order.state in _TAKES,
    )


def uri(coin: str, address: str, units: int | None) -> str:
    """A payment URI; without an amount where the amount is open."""
    scheme = _SCHEME[coin]
    start = f"{scheme}:{address}" if scheme else address
    if units is None:
        return start
    return f"{start}?{_AMOUNT.get(coin, 'amount')}={units if coin == 'eth' else text(units, coin)}"


_FATES: Final[Mapping[str, str]] = {
    ledger.LATE: "came too late: kept on the books, not paid out",
    ledger.REPEAT: "came when the order was already being paid: kept on the books",
    ledger.UNPAID: "belongs to a payout that failed",
    ledger.LOSS: "was taken back by the chain after it had been paid out",
}


def _in(deposit: Deposit, height: int) -> In:
    confirmations = None if deposit.height is None else max(height - deposit.height + 1, 0)
    fate = "gone from the chain" if deposit.state is DepositState.GONE else _FATES.get(deposit.account or "", "")
    return In(deposit.txid, deposit.amount, confirmations, fate)


def _out(view: OrderView, index: int, output: PlannedOutput) -> Out:
    order = view.order
    sent: Sent | None = next((each for each in view.sent if each.output == index), None)
    amount = order.swap.amount_msat or order.swap.amount if order.swap is not None else output.wanted
    part = money(amount, order.payout_coin) if amount is not None else _share(order, output)
    return Out(
        address=output.address,
        part=part,
        amount="" if output.amount is None else money(output.amount, order.payout_coin),
        state=output.state.value,
        delay=output.delay,
        due=output.due if output.state is OutputState.PENDING else None,
        txid=sent.txid if sent else "",
        coin=order.payout_coin,
        confirmations=max(sent.confirmations, 0) if sent else 0,
        preimage=(sent.preimage or "") if sent else "",
    )


def _share(order: Order, output: PlannedOutput) -> str:
    if output.share is not None:
        return f"{output.share / 10:g} %"
    return f"1 of {len(order.outputs)} equal parts"


def _facts(order: Order, rule: FeeRule) -> list[tuple[str, str]]:
    terms = order.terms
    facts = [("Asked for", _wanted(order))]
    if order.swap is not None:
        facts.append(("Price", f"{order.swap.price} BTC for 1 XMR"))
    else:
        facts.append(
            (
                "Service fee",
                f"{terms.fee_ppm / 10_000:g} % and up to {money(terms.per_output, order.coin)} for each output",
            )
        )
    if terms.fee is not None:
        facts.append(("Fee in all", money(terms.fee, order.coin)))
    elif order.swap is None and order.credited and all(output.amount is not None for output in order.outputs):
        fee = plan.payable(order) - sum(output.amount or 0 for output in order.outputs)
        facts.append(("Fee in all", money(fee, order.coin)))
    if order.seen:
        facts.append(("Came in", money(order.seen, order.coin)))
    if order.code:
        facts.append(("Code", order.code))
    if order.ref:
        facts.append(("Referral code", order.ref))
    return facts
