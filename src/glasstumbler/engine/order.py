"""The life of an order as one table, and the order itself.

An order's state depends on its deposits only through one level (EMPTY, SHORT, FUNDED, CONFIRMED), worked out anew
from all deposits at each change: a deposit seen twice, out of order, replaced, double-spent or reorganised away
is then an ordinary row of the table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from glasstumbler.errors import IllegalTransition


class State(StrEnum):
    CREATED = "created"  # planned; OPENED gives it a deposit address
    AWAITING = "awaiting"  # no deposit in sight; EXPIRE ends it
    UNDERPAID = "underpaid"  # something came, not enough; EXPIRE ends it
    CONFIRMING = "confirming"  # enough is in sight; confirmations are missing
    WAITING = "waiting"  # funded; the delays run; DUE starts paying
    PAYING = "paying"  # at least one output is claimed; SETTLED ends it
    COMPLETED = "completed"  # every output confirmed; UNSETTLED (reorg) reopens it
    EXPIRED = "expired"
    REJECTED = "rejected"  # never accepted: the destination is refused
    FAILED = "failed"  # a payout cannot be sent


class Event(StrEnum):
    OPENED = "opened"
    REFUSED = "refused"
    EMPTY = "empty"  # level of the deposits: nothing in sight
    SHORT = "short"  # something, less than the order needs
    FUNDED = "funded"  # enough in sight, not yet confirmed enough
    CONFIRMED = "confirmed"  # enough, and confirmed enough
    EXPIRE = "expire"
    DUE = "due"
    SETTLED = "settled"
    UNSETTLED = "unsettled"
    FAIL = "fail"


_LEVELS = (Event.EMPTY, Event.SHORT, Event.FUNDED, Event.CONFIRMED)
_OPEN = {
    Event.EMPTY: State.AWAITING,
    Event.SHORT: State.UNDERPAID,
    Event.FUNDED: State.CONFIRMING,
    Event.CONFIRMED: State.WAITING,
}

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CREATED, Event.OPENED): State.AWAITING,
    (State.CREATED, Event.REFUSED): State.REJECTED,
    # Deposits decide between these four until something is paid.
    **{
        (state, level): _OPEN[level]
        for state in (State.AWAITING, State.UNDERPAID, State.CONFIRMING, State.WAITING)
        for level in _LEVELS
    },
    (State.AWAITING, Event.EXPIRE): State.EXPIRED,
    (State.UNDERPAID, Event.EXPIRE): State.EXPIRED,
    (State.WAITING, Event.DUE): State.PAYING,
    (State.WAITING, Event.FAIL): State.FAILED,
    # What was begun is finished, whatever becomes of the deposits: the ledger books what they leave behind.
    **{
        (state, level): state
        for state in (State.PAYING, State.COMPLETED, State.EXPIRED, State.FAILED)
        for level in _LEVELS
    },
    (State.PAYING, Event.DUE): State.PAYING,
    (State.PAYING, Event.SETTLED): State.COMPLETED,
    (State.PAYING, Event.UNSETTLED): State.PAYING,
    (State.PAYING, Event.FAIL): State.FAILED,
    (State.COMPLETED, Event.UNSETTLED): State.PAYING,
    (State.FAILED, Event.UNSETTLED): State.FAILED,  # outputs that were paid before the others failed
}

OPEN_STATES = frozenset(_OPEN.values())
"""States in which deposits still move the order."""


def after(state: State, event: Event) -> State:
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} in state {state}") from None


class OutputState(StrEnum):
    PENDING = "pending"  # not due, or the order is not funded
    CLAIMED = "claimed"  # reserved, signed and stored (or the intent is stored)
    SENT = "sent"  # broadcast: shown in views, the payment knows it
    CONFIRMED = "confirmed"  # settled
    FAILED = "failed"


class PlannedOutput(msgspec.Struct, omit_defaults=True):
    """One payout of an order. Either `share` (per mille of the pool) or `wanted` (base units) says how much."""

    address: str
    share: int | None = None
    wanted: int | None = None
    delay: int = 0
    """Seconds after the order is funded."""
    network_fee: int = 0
    """What a share gives up to the network part, base units: fixed at creation, floats below the maximum."""
    amount: int | None = None
    """Base units of the payout coin, once known."""
    due: int | None = None
    """Epoch seconds, once the order is funded."""
    state: OutputState = OutputState.PENDING
    payment: int | None = None
    """Number of the payment that carries it."""


class Terms(msgspec.Struct, omit_defaults=True):
    """The bargain, fixed when the order is made."""

    fee_ppm: int = 0
    """Service fee, parts per million (1.0001 % is 10001)."""
    per_output: int = 0
    """Network part per output, base units of the payout coin; the codes family's `fee_per_address`."""
    flat: int = 0
    quote: int | None = None
    """What must be deposited, base units of the deposit coin; None for an open amount between the limits."""
    fee: int | None = None
    """Total fee of a quoted order, base units of the deposit coin."""
    minimum: int = 0
    maximum: int | None = None
    confirmations: int = 1
    """That a deposit needs. 0: taken from the mempool."""


class Swap(msgspec.Struct, omit_defaults=True):
    """The part of an order that only a swap has."""

    price: str
    """BTC for 1 XMR as a plain decimal, fixed at creation."""
    amount: int
    """BTC that the order pays out, sat."""
    amount_msat: int | None = None
    invoice: str | None = None
    """BOLT11, where the payout goes by Lightning."""
    payment_url: str | None = None


class Order(msgspec.Struct, omit_defaults=True):
    """One order, whole. Amounts `seen`, `credited` are base units of the deposit coin."""

    number: int
    """The store's own number; also the index of the deposit key."""
    service: str
    id: str
    """The public name, as the dialect shows it."""
    account: str
    """Whose: the id of the API key; "" where the service has no keys."""
    coin: str
    """Of the deposit."""
    payout_coin: str
    """Coin of the payouts: that of the deposit, or `btc` (on chain) or `msat` (Lightning) for a swap."""
    state: State
    created: int
    updated: int
    expires: int
    address: str
    """Deposit address."""
    terms: Terms
    outputs: list[PlannedOutput]
    seen: int = 0
    """All live deposits, mempool included."""
    credited: int = 0
    """Those with enough confirmations."""
    fixed: bool = False
    """Exact amounts were asked for."""
    code: str | None = None
    """The code that keeps a customer from their own earlier coins."""
    ref: str | None = None
    """Referral code."""
    swap: Swap | None = None
    deposit_txid: str | None = None
    """Of the first deposit that counts."""
    letter: str | None = None
    """Letter of guarantee, plain text with its signature block."""
    funded: int | None = None
    """When the order was funded (the first confirmation that sufficed), epoch seconds."""
    extra: dict[str, Any] | None = None
    """What only the dialect reads: e.g. that payouts were given as a bare list."""
