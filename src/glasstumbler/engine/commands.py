"""What a client can ask of a service, and what it gets: the words between dialects and desk.

A dialect turns a request into a `Call`; the desk answers with a result of the kind named beside each command, or
raises a `Rejection` or an `Unavailable` (errors.py). No wire format, no service name stands here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from glasstumbler.engine.order import Order


class Wish(NamedTuple):
    """One output as the client asks for it. `share` is per mille; `amount` the number as the client wrote it."""

    address: str
    share: int | None = None
    amount: str | Decimal | int | None = None
    delay: int = 0
    field: str = ""
    """Path of this output in the request, for errors: "output[0]", "payouts.mr9if7..."."""


class Command(msgspec.Struct, frozen=True, tag=True):
    pass


class OpenMix(Command, frozen=True):
    """-> OrderView. An order of a mixer."""

    coin: str
    outputs: tuple[Wish, ...]
    fixed: bool
    """True: the wishes carry amounts. False: they carry shares of what will come in."""
    fee_ppm: int | None = None
    """The service fee that the client chose; None: the service's own."""
    code: str | None = None
    ref: str | None = None
    equal_split: bool = False
    """True: bare addresses; an open amount in equal parts after the fee."""


class OpenSwap(Command, frozen=True):
    """-> OrderView. Exactly one of address, invoice, payment_url."""

    amount: str | Decimal | int | None = None
    currency: str = "BTC"
    address: str | None = None
    invoice: str | None = None
    payment_url: str | None = None
    address_field: str = "btc_dest_address"
    amount_field: str = "amount"


class FindOrder(Command, frozen=True):
    """-> OrderView; UnknownOrder also for another customer's."""

    id: str


class ListOrders(Command, frozen=True):
    """-> Page, newest first."""

    limit: int
    offset: int


class AcceptPartial(Command, frozen=True):
    """-> OrderView. The customer is content with what an underpaid swap bought so far."""

    id: str


class CheckPrice(Command, frozen=True):
    """-> Price."""

    amount: str | Decimal | int
    currency: str
    amount_field: str = "amount"


class CheckRoute(Command, frozen=True):
    """-> Route."""

    invoice: str


class AskParameters(Command, frozen=True):
    """-> Parameters of a swap."""


class AskStatus(Command, frozen=True):
    """-> Now."""


class CheckAddress(Command, frozen=True):
    """-> bool: is it an address of this coin, in test form."""

    address: str
    coin: str = "btc"


class AskCode(Command, frozen=True):
    """-> Fees (percent per coin, as ppm): the lowest service fee that a code allows."""

    code: str


class AskFees(Command, frozen=True):
    """-> Fees (base units per coin): the most that the network part of one output costs."""


class Call(NamedTuple):
    """A command and who asks. `key` is the API key as sent: None where the endpoint is public."""

    command: Command
    key: str | None = None
    private: bool = False
    """True: the endpoint wants a key."""
    limit: str | None = None
    """Name of the rate limit that this endpoint falls under (the dialect's LIMITS table)."""
    endpoint: str = ""
    """Name of the dialect's endpoint row: says how the reply is written and whether it answers in maintenance."""
    echo: str = ""
    """A value of the request that the reply repeats as the client wrote it. Only the dialect reads it."""


class Account(NamedTuple):
    """An API key's owner. `secret` signs replies."""

    id: str
    secret: str
    blocked: bool = False


class Sent(NamedTuple):
    """A payout on its way: index of the order's output, transaction (or Lightning payment hash), confirmations."""

    output: int
    amount: int
    txid: str
    confirmations: int
    lightning: bool = False
    preimage: str | None = None


class OrderView(NamedTuple):
    """An order as of `now`, with what the chain says of it."""

    order: Order
    now: int
    sent: tuple[Sent, ...] = ()
    confirmations: int = -1
    """Of the newest deposit that the order needs; -1: no full payment seen."""
    min_fee: dict[str, int] | None = None


class Page(NamedTuple):
    orders: tuple[OrderView, ...]
    total: int
    limit: int
    offset: int


class Price(NamedTuple):
    """`btc` in sat, `xmr` in piconero, `price` BTC per XMR as a plain decimal."""

    btc: int
    xmr: int
    price: str
    confirmations: int


class Route(NamedTuple):
    routes: int
    probability: float


class Parameters(NamedTuple):
    """Limits of a swap in sat (Lightning limits too)."""

    price: str
    lower: int
    upper: int
    zero_conf: bool
    zero_conf_max: int
    ln_lower: int
    ln_upper: int


class Now(NamedTuple):
    now: int


class Fees(NamedTuple):
    by_coin: dict[str, int]
