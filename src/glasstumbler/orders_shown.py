"""Orders and links as a terminal shows them: documents of the record become rows, lines, and what goes out as JSON.

Amounts are decimal text with their coin, times epoch seconds in JSON and UTC on the terminal. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from glasstumbler.clock import iso_z
from glasstumbler.engine.order import Order, State
from glasstumbler.lab import links
from glasstumbler.lab.truth import LIGHTNING, Link, outpoint
from glasstumbler.money import text

STYLES: Final[Mapping[str, str]] = {
    State.AWAITING: "",
    State.UNDERPAID: "yellow",
    State.CONFIRMING: "yellow",
    State.WAITING: "cyan",
    State.PAYING: "cyan",
    State.COMPLETED: "green",
    State.EXPIRED: "dim",
    State.REJECTED: "red",
    State.FAILED: "bold red",
}
"""The word says it too: no colour is needed to read it."""
WITH_PAYOUTS: Final = (State.PAYING, State.COMPLETED, State.FAILED)
_MOST_ORIGINS = 5
"""That are named of one payout; all of them are in the JSON."""
Line = tuple[str, str]
"""A label and what stands behind it; without a label: a heading."""


class Column(NamedTuple):
    heading: str
    cell: Callable[[Any], str]
    right: bool = False
    widths: range = range(10_000)
    """Of the terminals on which it is shown."""
    style: Callable[[Any], str] = lambda row: ""


_MIDDLE, _WIDE = 100, 160
_FROM_MIDDLE, _FROM_WIDE = range(_MIDDLE, 10_000), range(_WIDE, 10_000)
_LONG = 12
"""Letters of a txid on either side of the gap, where there is room."""


def shown(columns: Iterable[Column], width: int) -> list[Column]:
    return [column for column in columns if width in column.widths]


def money(units: int, coin: str) -> str:
    """0.001 btc; Lightning amounts are BTC, as everywhere outside the record."""
    return f"{text(units, coin)} {'btc' if coin == LIGHTNING else coin}"


def when(seconds: int | None) -> str:
    """2017-07-01 08:11; in the order of what happened when sorted as text."""
    return "–" if seconds is None else iso_z(seconds)[:16].replace("T", " ")


# -- many orders ------------------------------------------------------------------------------------------------------


def asked(order: Order) -> str:
    """What is to be paid in: the quote, or the bounds of an open amount."""
    if order.terms.quote is not None:
        return links.brief(money(order.terms.quote, order.coin))
    return f"≥ {links.brief(money(order.terms.minimum, order.coin))}"


ORDERS: Final = (
    Column("No.", lambda order: str(order.number), right=True),
    Column("Service", lambda order: order.service),
    Column("Order", lambda order: order.id),
    Column("State", lambda order: order.state.value, style=lambda order: STYLES.get(order.state, "")),
    Column("Made (UTC)", lambda order: when(order.created)[5:]),
    Column("Asked", asked, right=True),
    Column("Out", lambda order: str(len(order.outputs)), right=True),
    Column("Came in", lambda order: links.brief(money(order.seen, order.coin)), right=True, widths=_FROM_MIDDLE),
    Column("Deposit address", lambda order: order.address, widths=_FROM_WIDE),
)
"""Of a table of orders; the last ones where there is room."""


def order_line(order: Order) -> dict[str, Any]:
    """One line of JSON. `seen` counts the mempool too, `credited` only what is confirmed."""
    quote = order.terms.quote
    return {
        "number": order.number,
        "service": order.service,
        "order": order.id,
        "state": order.state.value,
        "created": order.created,
        "updated": order.updated,
        "expires": order.expires,
        "coin": order.coin,
        "deposit_address": order.address,
        "quote": None if quote is None else text(quote, order.coin),
        "minimum": text(order.terms.minimum, order.coin),
        "seen": text(order.seen, order.coin),
        "credited": text(order.credited, order.coin),
        "payout_coin": "btc" if order.payout_coin == LIGHTNING else order.payout_coin,
        "payouts": len(order.outputs),
    }


# -- links ------------------------------------------------------------------------------------------------------------


class Linked(NamedTuple):
    """A payout, and the number of its order."""

    number: int
    link: Link


def _deposits(row: Linked, ends: int = 3) -> str:
    coin = row.link.deposit_coin
    return " ".join(links.short(outpoint(coin, part.txid, part.vout), ends) for part in row.link.parts) or "–"


def _fee(row: Linked) -> str:
    """A swap's is in its price."""
    link = row.link
    return links.brief(money(link.fee, link.deposit_coin)) if link.deposit_coin == link.coin else "in price"


def _hops(row: Linked) -> str:
    if row.link.coin == LIGHTNING:
        return "channel"
    return ("cut off" if row.link.truncated else "never") if row.link.hops is None else str(row.link.hops)


LINKS: Final = (
    Column("No.", lambda row: str(row.number), right=True),
    Column("Service", lambda row: row.link.service),
    Column("Order", lambda row: row.link.order),
    Column("Deposit", _deposits, widths=range(_WIDE)),
    Column("Payout", lambda row: links.short(row.link.outpoint), widths=range(_WIDE)),
    Column("Deposit", lambda row: _deposits(row, _LONG), widths=_FROM_WIDE),
    Column("Payout", lambda row: links.short(row.link.outpoint, _LONG), widths=_FROM_WIDE),
    Column("Paid", lambda row: links.brief(money(row.link.amount, row.link.coin)), right=True, widths=_FROM_MIDDLE),
    Column("Delay", lambda row: links.span(row.link.passed), right=True),
    Column("Fee", _fee, right=True, widths=_FROM_MIDDLE),
    Column("Hops", _hops, right=True),
)
"""Of a table of links; names of transactions are cut in the middle, JSON has them whole."""


def link_line(row: Linked) -> dict[str, Any]:
    """One line of JSON: a payout, and beside it what each deposit of its order gave to it."""
    link = row.link
    coin = "btc" if link.coin == LIGHTNING else link.coin
    return {
        "number": row.number,
        "service": link.service,
        "order": link.order,
        "output": link.output,
        "deposits": [
            {
                "outpoint": outpoint(link.deposit_coin, part.txid, part.vout),
                "gives": {"amount": text(part.amount, link.coin), "coin": coin},
            }
            for part in link.parts
        ],
        "deposit_coin": link.deposit_coin,
        "payout": {"outpoint": link.outpoint, "amount": text(link.amount, link.coin), "coin": coin},
        "height": link.height,
        "delay": {"asked": link.asked, "passed": link.passed},
        "fee": {"amount": text(link.fee, link.deposit_coin), "coin": link.deposit_coin},
        "custody": "channel" if link.coin == LIGHTNING else "chain",
        "hops": link.hops,
        "truncated": link.truncated,
    }


# -- one order --------------------------------------------------------------------------------------------------------


def order_document(order: Order, truth: Mapping[str, Any]) -> dict[str, Any]:
    """The laboratory's answer about an order (GET /lab/v1/orders/...), with its terms beside it."""
    return {**order_line(order), "code": order.code, "referral": order.ref, "letter": order.letter, **truth}


def order_page(order: Order, truth: Mapping[str, Any]) -> Iterator[Line]:
    """One order for a person: what was agreed, what came in, what went out, and both truths of it in short."""
    yield "", f"Order {order.id} at {order.service}"
    yield "state", order.state.value
    yield "number", str(order.number)
    yield "made", f"{when(order.created)} UTC"
    yield "changed", f"{when(order.updated)} UTC"
    yield "expires", f"{when(order.expires)} UTC"
    yield "pay to", order.address
    yield "asked", f"{_asked_whole(order)}, {_many(order.terms.confirmations, 'confirmation')}"
    yield "came in", f"{money(order.seen, order.coin)}, of it confirmed {money(order.credited, order.coin)}"
    yield "fee", links.money(truth["fee"])
    if order.swap is not None:
        yield "price", f"{order.swap.price} btc for 1 xmr"
    for label, value in (("code", order.code), ("referral", order.ref)):
        if value:
            yield label, value
    yield from _deposits_in(truth["deposits"])
    names = {deposit["outpoint"]: f"deposit {number}" for number, deposit in enumerate(truth["deposits"], 1)}
    for number, payout in enumerate(truth["payouts"], 1):
        yield from _paid_out(number, payout, names)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _asked_whole(order: Order) -> str:
    if order.terms.quote is not None:
        return money(order.terms.quote, order.coin)
    upper = order.terms.maximum
    most = "" if upper is None else f", at most {money(upper, order.coin)}"
    return f"at least {money(order.terms.minimum, order.coin)}{most}"


def _deposits_in(deposits: Iterable[Mapping[str, Any]]) -> Iterator[Line]:
    for number, deposit in enumerate(deposits, 1):
        yield "", f"Deposit {number}: {links.money(deposit)}, {deposit['state']}"
        yield "outpoint", deposit["outpoint"]
        yield "block", "–" if deposit["height"] is None else str(deposit["height"])
        yield "seen", f"{when(deposit['first_seen'])} UTC"
        yield "booked", deposit["booked"] or "not yet"


def _paid_out(number: int, payout: Mapping[str, Any], deposits: Mapping[str, str]) -> Iterator[Line]:
    amount = "amount not known yet" if payout["amount"] is None else links.money(payout)
    yield "", f"Payout {number}: {amount}, {payout['state']}"
    yield "to", payout["address"]
    delay = payout["delay"]
    passed = "" if delay["passed"] is None else f", {links.span(delay['passed'])} passed"
    yield "delay", f"{links.span(delay['asked'])} asked{passed}; due {when(payout['due'])}"
    if payout["outpoint"] is None:
        return
    yield "outpoint", payout["outpoint"]
    yield "block", "–" if payout["height"] is None else str(payout["height"])
    yield "fee", links.money(payout["fee"])
    for part in payout["beneficial"]:
        yield "whose", f"{links.money(part)} from {deposits[part['deposit']]}"
    yield from _custody(payout["custody"])


def _custody(custody: Mapping[str, Any]) -> Iterator[Line]:
    if custody["kind"] == "channel":
        yield "coins", custody["note"]
        return
    origins = sorted(custody["origins"], key=lambda origin: int(origin["level"]))
    met = custody["hops_between"]
    own = "never" if met is None else f"after {met}"
    cut = f"; cut off after {custody['most_hops']}" if custody["truncated"] else ""
    back = f"{_many(len(custody['hops']), 'transaction')} back to {_many(len(origins), 'origin')}"
    yield "coins", f"{back}; its own deposit: {own}{cut}"
    for origin in origins[:_MOST_ORIGINS]:
        whose = f" of order {origin['order']}" if origin["order"] else ""
        where = links.short(origin["outpoint"], _LONG)
        yield f"  {origin['level']} back", f"{origin['kind']}{whose}, {links.money(origin)}, {where}"
    if len(origins) > _MOST_ORIGINS:
        yield "", f"... and {len(origins) - _MOST_ORIGINS} more origins: --json has them all"
