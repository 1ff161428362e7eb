"""What an order would cost, from its draft. Pure."""

from __future__ import annotations

from typing import NamedTuple

from glasstumbler.engine import plan
from glasstumbler.engine.desk import Draft
from glasstumbler.engine.policy import FeeRule
from glasstumbler.money import text
from glasstumbler.web.pages.words import money


class Part(NamedTuple):
    """What one output gets."""

    address: str
    amount: str
    delay: int
    """Seconds after the deposit is confirmed."""


class Quote(NamedTuple):
    send: str
    """What is to be sent: an exact amount, or the limits."""
    fee: str
    parts: tuple[Part, ...]
    example: str
    """For an open amount: what the parts are reckoned for; "" otherwise."""
    confirmations: int
    price: str
    """Of a swap."""


def quote(draft: Draft, rule: FeeRule) -> Quote:
    if draft.swap is not None:
        return _swap(draft)
    return _exact(draft) if draft.terms.quote is not None else _open(draft, rule)


def _exact(draft: Draft) -> Quote:
    terms, coin = draft.terms, draft.coin
    parts = tuple(Part(each.address, money(each.wanted or 0, coin), each.delay) for each in draft.outputs)
    return Quote(money(terms.quote or 0, coin), money(terms.fee or 0, coin), parts, "", terms.confirmations, "")


def _open(draft: Draft, rule: FeeRule) -> Quote:
    terms, coin = draft.terms, draft.coin
    most = f" to {money(terms.maximum, coin)}" if terms.maximum is not None else " or more"
    received = _round_amount(terms.minimum, terms.maximum)
    amounts = plan.SPLITS[rule](received, draft.outputs, terms)
    parts = tuple(
        Part(output.address, money(amount, coin), output.delay)
        for output, amount in zip(draft.outputs, amounts, strict=True)
    )
    fee = money(received - sum(amounts), coin)
    return Quote(f"{text(terms.minimum, coin)}{most}", fee, parts, money(received, coin), terms.confirmations, "")


def _swap(draft: Draft) -> Quote:
    assert draft.swap is not None
    swap, output = draft.swap, draft.outputs[0]
    gets = money(swap.amount_msat, "msat") if swap.amount_msat is not None else money(swap.amount, "btc")
    price = f"{swap.price} BTC for 1 XMR"
    send = money(draft.terms.quote or 0, draft.coin)
    return Quote(send, "in the price", (Part(output.address, gets, 0),), "", draft.terms.confirmations, price)


def _round_amount(least: int, most: int | None) -> int:
    """The first of 1, 2, 5, 10, 20, ... that is at least twice the least amount, within the limits."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if step * size >= 2 * least:
                return step * size if most is None else max(min(step * size, most), least)
        size *= 10
