"""What every Lightning network promises (ground.py), in-process or real: subclass `LightningContract`, name the class
Test..., and give fixtures `net` and `clock`. The first of `payers` pays, the lab issues the invoices.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import ClassVar, Protocol

import pytest

from glasstumbler.chains import bolt11
from glasstumbler.chains.bolt11 import Invoice
from glasstumbler.chains.lightning import LAB
from glasstumbler.clock import Clock
from glasstumbler.engine.commands import Route
from glasstumbler.errors import (
    BadInvoice,
    ChainError,
    InvoiceExpired,
    InvoiceUsed,
    NoRoute,
    NotATestNetwork,
    PaymentFailed,
)
from glasstumbler.ground import Lightning

SOME = 100_000_000
"""Millisatoshi."""
STRANGER = b"\x09" * 32
MAIN_NETWORK = (
    "lnbc25m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5vdhkven9v5sxyetpdeessp5zyg3zyg3zyg3zyg3"
    "zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9q5sqqqqqqqqqqqqqqqqsgq2a25dxl5hrntdtn6zvydt7d66hyzsyhqs4wdynavys42xgl6sgx9c4"
    "g7me86a27t07mdtfry458rtjr0v92cnmswpsjscgt2vcse3sgpz3uapa"
)


def soon(there: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


class Net(Lightning, Protocol):
    def lookup(self, payment_hash: str) -> str | None: ...


def payment_hash(invoice: str) -> str:
    return bolt11.decode(invoice).payment_hash.hex()


class LightningContract:
    payer: ClassVar[str]

    def refused_by_payee(self, net: Net) -> str:
        """An invoice that the lab's node signed and knows nothing of any more."""
        raise NotImplementedError

    def pay(self, net: Net, invoice: str) -> object:
        return net.pay(self.payer, invoice, payment_hash(invoice))

    def test_it_says_what_it_is(self, net: Net) -> None:
        assert net.network == "regtest"
        assert net.node
        assert isinstance(net.model, bool)

    @pytest.mark.parametrize("amount", [SOME, 20_000_001, 1000])
    def test_a_payment_moves_money_and_proves_it(self, net: Net, amount: int) -> None:
        invoice, before, labs = net.invoice(amount), net.sendable(self.payer), net.sendable(LAB)
        route = net.check_route(invoice, self.payer)
        assert route.routes >= 1
        assert 0 < route.probability <= 1
        assert net.lookup(payment_hash(invoice)) == "open"
        done = net.pay(self.payer, invoice, payment_hash(invoice))
        assert sha256(bytes.fromhex(done.preimage)).hexdigest() == done.payment_hash == payment_hash(invoice)
        assert done.amount_msat == amount
        assert (done.route[0], done.route[-1]) == (self.payer, LAB)
        assert done.time > 0
        assert net.sendable(self.payer) == before - amount - done.fee_msat
        soon(lambda: net.sendable(LAB) == labs + amount)  # the payer has the proof before the payee has the money
        assert net.lookup(payment_hash(invoice)) == "paid"

    def test_an_invoice_says_what_it_was_asked_for(self, net: Net, clock: Clock) -> None:
        asked = bolt11.decode(net.invoice(123_456, 600, "two coffees, 1 ☕"))
        assert (asked.amount_msat, asked.description) == (123_456, "two coffees, 1 ☕")
        assert 0 <= asked.expires - 600 - clock.now() + 5 <= 10

    def test_asking_again_tells_the_same_and_pays_nothing(self, net: Net) -> None:
        invoice = net.invoice(SOME)
        done, after = self.pay(net, invoice), net.sendable(self.payer)
        assert self.pay(net, invoice) == done == net.paid(payment_hash(invoice))
        assert net.sendable(self.payer) == after
        assert net.paid(payment_hash(net.invoice(SOME))) is None
        with pytest.raises(ChainError):
            net.pay(self.payer, net.invoice(SOME), payment_hash(invoice))

    def test_asked_by_many_at_once_it_pays_once(self, net: Net) -> None:
        invoice, before = net.invoice(SOME), net.sendable(self.payer)

        def attempt(_: int) -> str:
            try:
                return net.pay(self.payer, invoice, payment_hash(invoice)).preimage
            except ChainError:
                return "later"

        with ThreadPoolExecutor(4) as several:
            said = set(several.map(attempt, range(4)))
        done = net.paid(payment_hash(invoice))
        assert done is not None
        assert done.preimage in said <= {done.preimage, "later"}
        assert net.sendable(self.payer) == before - SOME - done.fee_msat

    def test_a_paid_invoice_has_no_further_route(self, net: Net) -> None:
        invoice = net.invoice(SOME)
        self.pay(net, invoice)
        with pytest.raises(InvoiceUsed):
            net.check_route(invoice, self.payer)

    def test_an_invoice_of_no_amount_is_none(self, net: Net, clock: Clock) -> None:
        for amount in (0, -1):
            with pytest.raises(BadInvoice, match="positive"):
                net.invoice(amount)
        open_amount = bolt11.encode(Invoice(b"\x07" * 32, bytes(32), clock.now()), STRANGER)
        self.refused(net, open_amount, BadInvoice, "no amount")

    def test_expiry_follows_the_laboratorys_clock(self, net: Net, clock: Clock) -> None:
        invoice = net.invoice(SOME, expiry=60)
        clock.advance(120)
        self.refused(net, invoice, InvoiceExpired, "expired")
        late = net.invoice(SOME, expiry=60)
        assert net.check_route(late, self.payer).routes >= 1, "it is good from now on"
        self.pay(net, late)
        clock.advance(120)
        self.pay(net, late)  # what was paid stays paid

    def test_what_nobody_can_carry_leaves_no_trace(self, net: Net, clock: Clock) -> None:
        stranger = bolt11.encode(Invoice(b"\x08" * 32, bytes(32), clock.now(), SOME), STRANGER)
        large, before = net.invoice(100_000 * SOME), net.sendable(self.payer)
        for invoice in (stranger, large):
            assert net.check_route(invoice, self.payer) == Route(0, 0.0)
            with pytest.raises(NoRoute):
                self.pay(net, invoice)
            assert net.paid(payment_hash(invoice)) is None
        assert net.sendable(self.payer) == before

    def test_what_the_payee_refuses_has_failed_for_good(self, net: Net) -> None:
        invoice, before = self.refused_by_payee(net), net.sendable(self.payer)
        for _ in range(2):
            with pytest.raises(PaymentFailed, match="no such payment hash"):
                self.pay(net, invoice)
            with pytest.raises(PaymentFailed):
                net.paid(payment_hash(invoice))
        assert net.sendable(self.payer) == before

    def test_other_networks_and_garbage_are_refused(self, net: Net) -> None:
        invoice = net.invoice(SOME)
        for given, error in ((MAIN_NETWORK, NotATestNetwork), ("", BadInvoice), ("lnbcrt1qqqq", BadInvoice)):
            self.refused(net, given, error)
        self.refused(net, invoice[:-1] + "b", BadInvoice)

    def test_nobodys_node_pays_nothing(self, net: Net) -> None:
        invoice = net.invoice(SOME)
        for attempt in (
            lambda: net.check_route(invoice, "nobody"),
            lambda: net.pay("nobody", invoice, payment_hash(invoice)),
        ):
            with pytest.raises(ChainError, match="nobody"):
                attempt()

    def refused(self, net: Net, invoice: str, error: type[Exception], text: str | None = None) -> None:
        attempts: tuple[Callable[[], object], ...] = (
            lambda: net.check_route(invoice, self.payer),
            lambda: net.pay(self.payer, invoice, _key(invoice)),
        )
        for attempt in attempts:
            with pytest.raises(error, match=text):
                attempt()


def _key(invoice: str) -> str:
    try:
        return payment_hash(invoice)
    except (BadInvoice, NotATestNetwork):
        return "00" * 32
