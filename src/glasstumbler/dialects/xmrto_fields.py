"""What XMR.to's replies hold (document 5): one row a field, with its v2 and its v3 name.

Values are made once; amounts are Decimals, which v2 writes as JSON numbers and v3 as strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from glasstumbler import clock, money
from glasstumbler.dialects import wire
from glasstumbler.dialects.settings import XmrtoSettings
from glasstumbler.engine import plan
from glasstumbler.engine.commands import OrderView, Parameters, Price, Sent
from glasstumbler.engine.order import State, Swap

STATES: dict[State, str] = {
    State.CREATED: "TO_BE_CREATED",
    State.AWAITING: "UNPAID",
    State.UNDERPAID: "UNDERPAID",
    State.CONFIRMING: "PAID_UNCONFIRMED",
    State.WAITING: "PAID",
    State.PAYING: "PAID",  # BTC_SENT once the payout is broadcast
    State.COMPLETED: "BTC_SENT",
    State.EXPIRED: "TIMED_OUT",
    State.REJECTED: "REJECTED",
    State.FAILED: "PAYMENT_FAILED",
}


class Field(NamedTuple):
    """None as a name: the version does not have the field."""

    v2: str | None
    v3: str | None
    value: Callable[[Any], object]


class Status(NamedTuple):
    """What the rows of STATUS look at."""

    view: OrderView
    swap: Swap
    settings: XmrtoSettings


def spell(rows: tuple[Field, ...], version: str, source: object) -> dict[str, Any]:
    """The reply of one version ("v2" or "v3"), its keys in the order of the rows."""
    named = [(row.v2 if version == "v2" else row.v3, row) for row in rows]
    fields = {name: row.value(source) for name, row in named if name is not None}
    return fields if version == "v2" else {name: _as_text(value) for name, value in fields.items()}


def _as_text(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value


def state(view: OrderView) -> str:
    return "BTC_SENT" if view.order.state is State.PAYING and view.sent else STATES[view.order.state]


def _btc(sat: int) -> Decimal:
    return wire.decimal(sat, "btc")


def _xmr(piconero: int) -> Decimal:
    return wire.decimal(piconero, "xmr")


def swap_of(view: OrderView) -> Swap:
    if view.order.swap is None:
        raise ValueError(f"order {view.order.number} is no swap")
    return view.order.swap


def ordered(view: OrderView) -> Decimal:
    """BTC of the order; a Lightning invoice may ask for parts of a satoshi."""
    swap = swap_of(view)
    return _btc(swap.amount) if swap.amount_msat is None else wire.decimal(swap.amount_msat, "msat")


def destination(view: OrderView) -> str:
    return swap_of(view).invoice or view.order.outputs[0].address


def _uses_lightning(view: OrderView) -> bool:
    return swap_of(view).invoice is not None


def _partial(status: Status) -> Decimal:
    """What the XMR in sight buys, at most the order."""
    order = status.view.order
    if order.terms.quote is not None and order.seen >= order.terms.quote:
        return ordered(status.view)
    return _btc(plan.partial(order, plan.sat_per_xmr(status.swap.price)))


def _confirmations_missing(status: Status) -> int:
    if status.view.confirmations < 0:
        return -1
    return max(status.view.order.terms.confirmations - status.view.confirmations, 0)


def _extra(name: str) -> Callable[[Status], str]:
    return lambda status: str((status.view.order.extra or {}).get(name, ""))


def _shown(status: Status, sent: Sent) -> int:
    return min(max(sent.confirmations, 0), status.settings.btc_num_confirmations_threshold)


def _payment(status: Status, sent: Sent) -> dict[str, object]:
    payment: dict[str, object] = {
        "method": "Lightning Network" if sent.lightning else "On Chain",
        "amount": money.text(sent.amount, status.view.order.payout_coin),
        "num_confirmations": _shown(status, sent),
        "tx_id": sent.txid,
    }
    if sent.preimage is not None:
        payment["preimage"] = sent.preimage
    return payment


def _total(status: Status) -> Decimal:
    return _xmr(status.view.order.terms.quote or 0)


def _first_confirmations(status: Status) -> int:
    return _shown(status, status.view.sent[0]) if status.view.sent else 0


def _threshold(status: Status) -> int:
    return status.settings.btc_num_confirmations_threshold


def _subaddress(status: Status) -> str:
    return status.view.order.address


CREATED: tuple[Field, ...] = (
    Field("state", "state", lambda view: "TO_BE_CREATED"),  # whatever has happened since: a client insists on it
    Field("btc_amount", "btc_amount", ordered),
    Field("btc_dest_address", "btc_dest_address", destination),
    Field(None, "uses_lightning", _uses_lightning),
    Field("uuid", "uuid", lambda view: view.order.id),
)
"""Of an OrderView."""

CREATED_PP: tuple[Field, ...] = (*CREATED, Field("pp_url", "pp_url", lambda view: swap_of(view).payment_url or ""))

UNALLOTTED: tuple[Field, ...] = (
    Field("state", "state", lambda status: state(status.view)),
    Field("btc_amount", "btc_amount", lambda status: ordered(status.view)),
    Field("btc_dest_address", "btc_dest_address", lambda status: destination(status.view)),
    Field("uuid", "uuid", lambda status: status.view.order.id),
    Field(None, "uses_lightning", lambda status: _uses_lightning(status.view)),
)
"""Of a Status, as long as the order has no deposit address."""

STATUS: tuple[Field, ...] = (
    Field("xmr_price_btc", "incoming_price_btc", lambda status: Decimal(status.swap.price)),
    Field("uuid", "uuid", lambda status: status.view.order.id),
    Field("state", "state", lambda status: state(status.view)),
    Field(None, "state_str", lambda status: state(status.view)),
    Field("btc_amount", "btc_amount", lambda status: ordered(status.view)),
    Field("btc_amount_partial", "btc_amount_partial", _partial),
    Field("btc_dest_address", "btc_dest_address", lambda status: destination(status.view)),
    Field("xmr_required_amount", None, _total),
    Field("xmr_receiving_address", None, _subaddress),
    Field("xmr_receiving_integrated_address", None, _extra("integrated_address")),
    Field("xmr_required_payment_id_long", None, _extra("payment_id_long")),
    Field("xmr_required_payment_id_short", None, _extra("payment_id_short")),
    Field("xmr_receiving_subaddress", "receiving_subaddress", _subaddress),
    Field("created_at", "created_at", lambda status: clock.iso_z(status.view.order.created)),
    Field("expires_at", "expires_at", lambda status: clock.iso_z(status.view.order.expires)),
    Field(
        "seconds_till_timeout",
        "seconds_till_timeout",
        lambda status: max(status.view.order.expires - status.view.now, 0),
    ),
    Field("xmr_amount_total", "incoming_amount_total", _total),
    Field(
        "xmr_amount_remaining",
        "remaining_amount_incoming",
        lambda status: _xmr(max((status.view.order.terms.quote or 0) - status.view.order.seen, 0)),
    ),
    Field("xmr_num_confirmations_remaining", "incoming_num_confirmations_remaining", _confirmations_missing),
    Field("xmr_recommended_mixin", "recommended_mixin", lambda status: status.settings.recommended_mixin),
    Field("btc_num_confirmations_before_purge", None, _threshold),
    Field("btc_num_confirmations_threshold", "btc_num_confirmations_threshold", _threshold),
    Field("btc_num_confirmations", None, _first_confirmations),
    Field("btc_transaction_id", None, lambda status: status.view.sent[0].txid if status.view.sent else ""),
    Field(None, "payments", lambda status: [_payment(status, sent) for sent in status.view.sent]),
    Field(None, "uses_lightning", lambda status: _uses_lightning(status.view)),
)
"""Of a Status; v3 in the order of document 5's example."""

PRICE: tuple[Field, ...] = (
    Field("btc_amount", "btc_amount", lambda price: _btc(price.btc)),
    Field("xmr_amount_total", "incoming_amount_total", lambda price: _xmr(price.xmr)),
    Field(
        "xmr_num_confirmations_remaining",
        "incoming_num_confirmations_remaining",
        lambda price: price.confirmations,
    ),
    Field("xmr_price_btc", "incoming_price_btc", lambda price: Decimal(price.price)),
)
"""Of a Price."""

PARAMETERS: tuple[Field, ...] = (
    Field("price", "price", lambda parameters: Decimal(parameters.price)),
    Field("upper_limit", "upper_limit", lambda parameters: _btc(parameters.upper)),
    Field("lower_limit", "lower_limit", lambda parameters: _btc(parameters.lower)),
    Field(None, "ln_upper_limit", lambda parameters: _btc(parameters.ln_upper)),
    Field(None, "ln_lower_limit", lambda parameters: _btc(parameters.ln_lower)),
    Field("zero_conf_enabled", "zero_conf_enabled", lambda parameters: parameters.zero_conf),
    Field("zero_conf_max_amount", "zero_conf_max_amount", lambda parameters: _btc(parameters.zero_conf_max)),
)
"""Of Parameters, in the order of document 5's example."""


def created(version: str, view: OrderView, rows: tuple[Field, ...] = CREATED) -> dict[str, Any]:
    return spell(rows, version, view)


def status(version: str, view: OrderView, settings: XmrtoSettings) -> dict[str, Any]:
    """An order's status; few fields until it has a deposit address."""
    early = view.order.state is State.CREATED
    fields = spell(UNALLOTTED if early else STATUS, version, Status(view, swap_of(view), settings))
    if not settings.state_str:
        fields.pop("state_str", None)
    return fields


def price(version: str, result: Price) -> dict[str, Any]:
    return spell(PRICE, version, result)


def parameters(version: str, result: Parameters) -> dict[str, Any]:
    return spell(PARAMETERS, version, result)


AMOUNT_NAMES: Mapping[str, str] = {"btc_amount": "BTC", "xmr_amount": "XMR"}
"""v2 tells the currency by the field's name; v3 has `amount` and `amount_currency`."""
