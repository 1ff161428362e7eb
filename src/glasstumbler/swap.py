"""Quotes of the swap: an amount in either coin, or a Lightning invoice, becomes the draft of an order."""

from __future__ import annotations

from decimal import Decimal

from glasstumbler.chains import bolt11
from glasstumbler.chains.base import Format
from glasstumbler.engine import desk, plan
from glasstumbler.engine.commands import OpenSwap
from glasstumbler.engine.desk import Draft
from glasstumbler.engine.order import PlannedOutput, Swap, Terms
from glasstumbler.engine.policy import SwapPolicy
from glasstumbler.errors import BadAddress, BadCurrency, BadInvoice, InvoiceExpired, NotATestNetwork, OutOfBounds
from glasstumbler.money import MSAT_PER_SAT, ceil_div, text

Amount = str | Decimal | int
_CURRENCIES = {"BTC": "btc", "XMR": "xmr"}


def quote(amount: Amount | None, currency: str, field: str, policy: SwapPolicy, rate: int) -> tuple[int, int]:
    """(sat, piconero) of an amount in either currency, at `rate` sat for 1 XMR."""
    coin = _CURRENCIES.get(currency.upper())
    if coin is None:
        raise BadCurrency(f"{currency!r} is neither BTC nor XMR", "amount_currency")
    units = desk.read_amount(amount, coin, field)
    if coin == "xmr":
        return plan.btc_for(units, rate), units
    return units, plan.xmr_for(units, rate, policy.xmr_places)


def check_bounds(sat: int, lower: int, upper: int, field: str) -> None:
    if not lower <= sat <= upper:
        raise OutOfBounds(f"{text(sat, 'btc')} BTC is not from {text(lower, 'btc')} to {text(upper, 'btc')}", field)


def plan_on_chain(command: OpenSwap, policy: SwapPolicy, rate: int, form: Format) -> Draft:
    """A swap that pays to an address."""
    address = command.address or ""
    try:
        form.key(address)
    except (BadAddress, NotATestNetwork) as error:
        why = error.text if isinstance(error, BadAddress) else str(error)
        raise BadAddress(why, command.address_field) from None
    sat, piconero = quote(command.amount, command.currency, command.amount_field, policy, rate)
    check_bounds(sat, policy.lower, policy.upper, command.amount_field)
    return Draft(
        coin="xmr",
        payout_coin="btc",
        terms=Terms(quote=piconero, confirmations=plan.confirmations_for(sat, policy)),
        outputs=[PlannedOutput(address)],
        fixed=True,
        swap=Swap(price=text(rate, "btc"), amount=sat, payment_url=command.payment_url),
    )


def plan_lightning(invoice: bolt11.Invoice, given: str, policy: SwapPolicy, rate: int) -> Draft:
    """A swap that pays an invoice; quoted on whole satoshis, rounded up."""
    msat = invoice.amount_msat or 0
    sat = ceil_div(msat, MSAT_PER_SAT)
    check_bounds(sat, policy.ln_lower, policy.ln_upper, "ln_invoice")
    return Draft(
        coin="xmr",
        payout_coin="msat",
        terms=Terms(
            quote=plan.xmr_for(sat, rate, policy.xmr_places), confirmations=plan.confirmations_for(sat, policy)
        ),
        outputs=[PlannedOutput(given)],
        fixed=True,
        swap=Swap(price=text(rate, "btc"), amount=sat, amount_msat=msat, invoice=given),
        extra={"payment_hash": invoice.payment_hash.hex()},
    )


def read_invoice(given: str, now: int) -> bolt11.Invoice:
    """An invoice of this network with an amount, not expired; BadInvoice or InvoiceExpired otherwise."""
    try:
        invoice = bolt11.decode(given)
    except (BadInvoice, NotATestNetwork) as error:
        why = error.text if isinstance(error, BadInvoice) else str(error)
        raise BadInvoice(why, "ln_invoice") from None
    if invoice.amount_msat is None:
        raise BadInvoice("an invoice without an amount cannot be swapped for", "ln_invoice")
    if now >= invoice.expires:
        raise InvoiceExpired("the invoice has expired", "ln_invoice")
    return invoice
