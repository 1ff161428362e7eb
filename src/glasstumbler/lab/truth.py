"""The answer key: which deposits led to which payouts, told twice. This module alone joins the two.

Beneficial truth: whose value a payout is. An order's deposits are divided among its payouts, its fee and its excess
in proportion, in integers that add up exactly both ways.
Custody truth: which coins paid. The payout's transaction is followed backwards through the service's own coins
(custody.py) to deposits, usually of other orders, and to the service's float.

After a custodial mix the two disagree, and a method that follows coins finds custody at best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from glasstumbler.engine import ledger, plan
from glasstumbler.engine.desk import Deposit
from glasstumbler.engine.order import Order, PlannedOutput
from glasstumbler.engine.payment import Payment, PaymentState
from glasstumbler.lab.custody import Book, Hop, Source, Walk, walk
from glasstumbler.money import text
from glasstumbler.store.records import Records

LIGHTNING = "msat"
Met = Callable[[Order, Payment], tuple[int | None, bool]]
"""Hops between an order's deposits and a payment of it, and whether the walk was cut off: see Link."""
_ON_NETWORK = frozenset((PaymentState.SENT, PaymentState.MINED, PaymentState.SETTLED))


class Part(NamedTuple):
    """What one deposit gives to one payout, base units of the payout's coin."""

    txid: str
    vout: int
    amount: int


class Link(NamedTuple):
    """One payout output and what is behind it. Amounts are base units."""

    service: str
    order: str
    output: int
    """Index of the order's output."""
    deposit_coin: str
    parts: tuple[Part, ...]
    """Beneficial: one for each deposit that the order was paid with; amounts add up to `amount`."""
    coin: str
    """Of the payout; `msat` for Lightning."""
    txid: str
    """Of the payout; Lightning: the payment hash."""
    vout: int
    amount: int
    asked: int
    """Delay that was asked for, seconds."""
    passed: int
    """Seconds from the funding of the order to the making of the payment."""
    fee: int
    """This payout's part of the order's fee, in proportion to its amount; the parts add up. 0 in a swap, whose price
    holds the fee."""
    hops: int | None
    """Transactions on the shortest custody path from a deposit of the same order to this payout; None: they never
    meet (or not within custody.MOST_HOPS)."""
    truncated: bool
    height: int | None
    """Block of the payout; None: not mined, or Lightning."""

    @property
    def outpoint(self) -> str:
        return outpoint(self.coin, self.txid, self.vout)


def outpoint(coin: str, txid: str, vout: int) -> str:
    """txid:vout, or lightning:hash."""
    return f"lightning:{txid}" if coin == LIGHTNING else f"{txid}:{vout}"


# -- beneficial -------------------------------------------------------------------------------------------------------


def divide(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in proportion to the weights; what rounding leaves goes to the largest remainders, first come first."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    lost = total - sum(parts)
    if not lost:
        return parts
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for index in order[:lost]:
        parts[index] += 1
    return parts


def apportion(rows: Sequence[int], columns: Sequence[int]) -> list[list[int]]:
    """A table of whole numbers >= 0 with these sums of rows and of columns, as near to proportional as that allows.

    Row by row, each in proportion to what the columns still lack. The two totals must be the same.
    """
    if sum(rows) != sum(columns):
        raise ValueError(f"rows add to {sum(rows)}, columns to {sum(columns)}")
    left = list(columns)
    table: list[list[int]] = []
    for row in rows:
        table.append(divide(row, left))
        left = [lacking - given for lacking, given in zip(left, table[-1], strict=True)]
    return table


class Shares(NamedTuple):
    """An order's value as it was divided; base units of the deposit's coin unless said otherwise."""

    deposits: list[Deposit]
    """Those that the order was paid with, first seen first."""
    parts: list[list[int]]
    """By deposit, by output: base units of the payout's coin."""
    fees: list[int]
    """By output; they add up to the order's fee."""
    excess: int
    """What came in above what the order takes."""


def shares(order: Order, deposits: Sequence[Deposit]) -> Shares:
    """Of an order whose payouts are known."""
    mine = ledger.owed(order.number)
    counted = [d for d in deposits if d.account in (mine, ledger.LOSS)]  # LOSS: it paid, then the chain took it back
    amounts = [output.amount or 0 for output in order.outputs]
    brought = [deposit.amount for deposit in counted]
    if order.swap is not None:
        rows = divide(sum(amounts), brought)
        excess = sum(brought) - plan.payable(order)
        return Shares(counted, apportion(rows, amounts) if rows else [], [0] * len(amounts), excess)
    excess = max(sum(brought) - plan.payable(order), 0)
    fee = sum(brought) - excess - sum(amounts)
    if not counted or not any(amounts):
        return Shares(counted, [[0] * len(amounts) for _ in counted], [0] * len(amounts), 0)
    table = apportion(brought, [*amounts, fee, excess])
    return Shares(counted, [row[: len(amounts)] for row in table], divide(fee, amounts), excess)


# -- links ------------------------------------------------------------------------------------------------------------


def links(records: Records) -> Iterator[Link]:
    """Every payout output that is on its network, in the order of orders and outputs."""
    book = Book.whole(records)
    for order in book.orders():
        yield from order_links(book, order)


def order_links(book: Book, order: Order, met: Met | None = None, divided: Shares | None = None) -> Iterator[Link]:
    """`met`, `divided`: where they are known already."""
    paid = [(index, payment) for index, payment in _payments(book, order) if payment.state in _ON_NETWORK]
    if not paid:
        return
    met, divided = met or partial(_walked, book), divided or shares(order, book.deposits(order))
    for index, payment in paid:
        output = order.outputs[index]
        hops, truncated = met(order, payment)
        yield Link(
            service=order.service,
            order=order.id,
            output=index,
            deposit_coin=order.coin,
            parts=_parts(divided, index),
            coin=payment.coin,
            txid=payment.txid,
            vout=_vout(payment, order, index),
            amount=output.amount or 0,
            asked=output.delay,
            passed=_passed(order, payment),
            fee=divided.fees[index],
            hops=hops,
            truncated=truncated,
            height=payment.height,
        )


def _payments(book: Book, order: Order) -> Iterator[tuple[int, Payment]]:
    for index, output in enumerate(order.outputs):
        if output.payment is not None:
            yield index, book.payment(output.payment)


def _parts(divided: Shares, index: int) -> tuple[Part, ...]:
    return tuple(
        Part(deposit.txid, deposit.vout, row[index])
        for deposit, row in zip(divided.deposits, divided.parts, strict=True)
    )


def _vout(payment: Payment, order: Order, index: int) -> int:
    return next(each.vout for each in payment.carried if (each.order, each.output) == (order.number, index))


def _passed(order: Order, payment: Payment) -> int:
    return payment.created - (order.funded if order.funded is not None else order.created)


def _walked(book: Book, order: Order, payment: Payment) -> tuple[int | None, bool]:
    """See Link: hops, truncated."""
    return _met({payment.number: walk(book, payment)}, order, payment)


def _met(walks: Mapping[int, Walk], order: Order, payment: Payment) -> tuple[int | None, bool]:
    """A Lightning payment has no walk."""
    walked = walks.get(payment.number)
    if walked is None:
        return None, False
    own = (level for source, level in walked.origins.items() if source.order == order.number)
    return min(own, default=None), walked.truncated


# -- one order, for the lab API ---------------------------------------------------------------------------------------


def order_truth(records: Records, order: Order, most_hops: int | None = None) -> dict[str, Any]:
    """Both truths of one order, ready for JSON: amounts as decimal strings with their coin, times in epoch seconds.
    `most_hops`: see custody.walk."""
    book = Book(records)
    deposits = book.deposits(order)
    divided = shares(order, deposits)
    payments = dict(_payments(book, order))
    walks = {
        payment.number: walk(book, payment, most_hops)
        for payment in payments.values()
        if payment.state in _ON_NETWORK and payment.coin != LIGHTNING
    }
    met = partial(_met, walks)
    found = {link.output: link for link in order_links(book, order, met, divided)}
    return {
        "service": order.service,
        "order": order.id,
        "state": order.state.value,
        "created": order.created,
        "funded": order.funded,
        "deposit_address": order.address,
        "deposits": [_deposit(book, order, deposit) for deposit in deposits],
        "fee": _money(sum(divided.fees), order.coin),
        "excess": _money(divided.excess, order.coin),
        "payouts": [
            _payout(book, order, output, found.get(index), payments.get(index), walks)
            for index, output in enumerate(order.outputs)
        ],
    }


def _money(units: int, coin: str) -> dict[str, str]:
    """Lightning amounts are BTC, as everywhere outside the record."""
    return {"amount": text(units, coin), "coin": "btc" if coin == LIGHTNING else coin}


def _deposit(book: Book, order: Order, deposit: Deposit) -> dict[str, Any]:
    return {
        "outpoint": outpoint(deposit.coin, deposit.txid, deposit.vout),
        **_money(deposit.amount, deposit.coin),
        "state": deposit.state.value,
        "booked": deposit.account,
        "height": deposit.height,
        "first_seen": deposit.first_seen,
        "spent_in": _spent_in(book, order, deposit),
    }


def _spent_in(book: Book, order: Order, deposit: Deposit) -> dict[str, Any] | None:
    """Where the deposit's own coin went: to whom the service paid it out."""
    payment = book.spender(order, deposit)
    if payment is None:
        return None
    paid = dict.fromkeys(book.order(each.order).id for each in payment.carried)
    return {"txid": payment.txid, "kind": "payout" if payment.carried else "sweep", "orders": list(paid)}


def _payout(
    book: Book,
    order: Order,
    output: PlannedOutput,
    link: Link | None,
    payment: Payment | None,
    walks: Mapping[int, Walk],
) -> dict[str, Any]:
    planned = {
        "address": output.address,
        **(_money(output.amount, order.payout_coin) if output.amount is not None else {"amount": None, "coin": None}),
        "state": output.state.value,
        "due": output.due,
        "delay": {"asked": output.delay, "passed": link.passed if link else None},
    }
    if link is None or payment is None:
        return {**planned, "outpoint": None, "height": None, "fee": None, "beneficial": [], "custody": None}
    return {
        **planned,
        "outpoint": link.outpoint,
        "height": link.height,
        "fee": _money(link.fee, order.coin),
        "beneficial": [
            {"deposit": outpoint(order.coin, part.txid, part.vout), **_money(part.amount, link.coin)}
            for part in link.parts
        ],
        "custody": _custody(book, payment, link, walks.get(payment.number)),
    }


def _custody(book: Book, payment: Payment, link: Link, walked: Walk | None) -> dict[str, Any]:
    if walked is None:
        return {
            "kind": "channel",
            "note": "paid from the service's Lightning channels: no coin on a chain moved",
            "hops_between": None,
            "truncated": False,
        }
    return {
        "kind": "chain",
        "hops": [_hop(book, payment.coin, hop) for hop in walked.hops],
        "origins": [_origin(book, source, level) for source, level in walked.origins.items()],
        "hops_between": link.hops,
        "truncated": walked.truncated,
        "most_hops": walked.most,
        "excluded": [f"{txid}:{vout}" for txid, vout in payment.excluded],
    }


def _hop(book: Book, coin: str, hop: Hop) -> dict[str, Any]:
    inputs = [
        {
            "outpoint": f"{each.txid}:{each.vout}",
            **_money(each.amount, coin),
            "origin": each.origin.value,
            "order": _name(book, each.order),
            "made_by": list(each.made_by),
            "came_in": [f"{source.txid}:{source.vout}" for source in each.came_in],
        }
        for each in hop.inputs
    ]
    return {"level": hop.level, "txid": hop.txid, "kind": hop.kind, "inputs": inputs}


def _origin(book: Book, source: Source, level: int) -> dict[str, Any]:
    return {
        "kind": source.kind,
        "outpoint": f"{source.txid}:{source.vout}",
        **_money(source.amount, source.coin),
        "order": _name(book, source.order),
        "level": level,
    }


def _name(book: Book, number: int | None) -> str | None:
    """Orders of one wallet are of one service, so the public name is enough."""
    return None if number is None else book.order(number).id
