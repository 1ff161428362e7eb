"""The Lightning network of LND nodes: one for each service that pays, one of the laboratory's that issues invoices.

LND pays, and knows a payment by its hash; so before anything is sent, and again after an answer was lost, its node is
asked what became of that hash. Times: LND lives by the machine's clock, the laboratory by one that may be ahead of it.
An invoice is good until both have passed its end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from glasstumbler.chains import bolt11
from glasstumbler.chains.bolt11 import Invoice
from glasstumbler.chains.lightning import LAB, LightningPayment
from glasstumbler.clock import Clock
from glasstumbler.engine.commands import Route
from glasstumbler.errors import (
    BadInvoice,
    ChainError,
    InvoiceExpired,
    InvoiceUsed,
    NoRoute,
    PaymentFailed,
    PaymentWaits,
)
from glasstumbler.nodes.endpoint import Endpoint
from glasstumbler.nodes.lnd_book import Book
from glasstumbler.nodes.lnd_channels import Faucet, open_channels
from glasstumbler.nodes.lnd_node import Attempt, LndNode

_MOST_ROUTES: Final = 8
_STATES: Final = {"OPEN": "open", "ACCEPTED": "open", "SETTLED": "paid", "CANCELED": "expired"}


class LndNetwork:
    """A `Lightning` network (ground.py). Safe from any thread.

    NodeAway from every call while a node that is needed is away, PaymentWaits while its channels are not up again:
    nothing was sent, or it will be found when it is asked for again.
    """

    coin = "msat"
    network = "regtest"
    model = False

    def __init__(self, endpoints: Mapping[str, Endpoint], clock: Clock, folder: Path | None = None) -> None:
        """`endpoints`: by alias, the services' nodes and "lab". `folder` keeps the book of payments (None: in memory).
        SettingsError if a certificate cannot be read; StoreError."""
        if LAB not in endpoints:
            raise ChainError(f"no Lightning node is called {LAB}, which issues the invoices")
        self._nodes = {alias: LndNode(alias, endpoint) for alias, endpoint in endpoints.items()}
        self._clock, self._book = clock, Book(folder)

    @property
    def node(self) -> str:
        return f"lnd {self._nodes[LAB].version}"

    def prepare(self, faucet: Faucet) -> None:
        """Channels from the lab to every service, most of each on the service's side, opened where they are not there
        yet; the nodes are connected to each other. May be asked at every start. NodeAway if they do not come up."""
        open_channels(self._nodes[LAB], [node for alias, node in self._nodes.items() if alias != LAB], faucet)
        for alias, node in self._nodes.items():
            if alias != LAB:
                self._book.opened(alias, node.balance())

    def invoice(self, amount_msat: int, expiry: int = bolt11.DEFAULT_EXPIRY, description: str = "") -> str:
        """A BOLT11 invoice of the lab's node; `expiry` in seconds. BadInvoice if the amount is not positive."""
        if amount_msat <= 0:
            raise BadInvoice("an invoice is for a positive amount")
        ahead = max(self._clock.now() - int(time.time()), 0)
        return self._nodes[LAB].invoice(amount_msat, expiry + ahead, description)

    def lookup(self, payment_hash: str) -> str | None:
        """State of an invoice of the lab's node: open, paid or expired; None if it never issued one."""
        state = self._nodes[LAB].invoice_state(payment_hash)
        return None if state is None else _STATES[state]

    def check_route(self, invoice: str, payer: str) -> Route:
        """How many ways without a common channel could carry it, and the chance of the likeliest; Route(0, 0.0) if
        there is none. BadInvoice, NotATestNetwork, InvoiceExpired, InvoiceUsed."""
        asked, node = bolt11.decode(invoice), self._payer(payer)
        self._check(asked)
        return self._routes(node, asked)

    def paid(self, key: str) -> LightningPayment | None:
        """What became of the payment of this hash; None if it was never tried, or never left its node. PaymentFailed
        if it failed; PaymentWaits while it is on its way."""
        outcomes = (self._settled(alias, key) for alias in self._nodes if alias != LAB)
        return next((told for told in outcomes if told is not None), None)

    def pay(self, payer: str, invoice: str, key: str) -> LightningPayment:
        """Pay an invoice from this node. `key` is its payment hash (hex), by which LND knows the payment: asked again,
        the first outcome is told again and nothing is paid twice. From another node, a paid invoice is InvoiceUsed.

        BadInvoice, NotATestNetwork, InvoiceExpired, NoRoute leave no trace; PaymentFailed is the outcome for good.
        PaymentWaits while it is on its way, or if it did not get as far as the first channel: to be asked again. So
        too while LND avoids the only way for a failure that it remembers, a peer's restart say: NoRoute would be
        the end of an order that can be paid soon.
        """
        asked, node = bolt11.decode(invoice), self._payer(payer)
        if key != asked.payment_hash.hex():
            raise ChainError(f"the key {key} is not the payment hash of the invoice")
        if (told := self._settled(payer, key)) is not None:
            return told
        try:
            self._check(asked)
        except InvoiceUsed:
            if (told := self._settled(payer, key)) is not None:  # paid between the two questions, by this very node
                return told
            raise
        if not self._routes(node, asked, remembering=False).routes:
            raise NoRoute(f"no channels from {payer} to the payee can carry {asked.amount_msat} msat")
        told = self._told(payer, key, node.send(invoice, asked))
        if told is None:
            raise PaymentWaits(f"the payment {key} did not leave {payer}'s node")
        return told

    def sendable(self, payer: str) -> int:
        """What a node's own channels hold on its side, msat."""
        return self._payer(payer).balance()

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()
        self._book.close()

    # Inside.

    def _payer(self, alias: str) -> LndNode:
        if alias not in self._nodes:
            raise ChainError(f"no Lightning node is called {alias}")
        return self._nodes[alias]

    def _settled(self, payer: str, key: str) -> LightningPayment | None:
        attempt = self._nodes[payer].payment(key)
        return None if attempt is None else self._told(payer, key, attempt)

    def _told(self, payer: str, payment_hash: str, attempt: Attempt) -> LightningPayment | None:
        """None if it may be sent (again)."""
        if attempt.moving:
            raise PaymentWaits(f"the payment {payment_hash} is still on its way")
        if attempt.final:
            raise PaymentFailed(attempt.failed)
        if attempt.failed:
            return None
        names = {node.key: alias for alias, node in self._nodes.items()}
        route = (payer, *(names.get(key, key) for key in attempt.route))
        told = LightningPayment(payment_hash, attempt.preimage, attempt.amount, attempt.fee, route, attempt.time)
        self._book.paid(payer, told)
        return told

    def _check(self, asked: Invoice) -> None:
        if not asked.amount_msat:
            raise BadInvoice("the invoice names no amount")
        if self._is_paid(asked.payment_hash.hex()):
            raise InvoiceUsed("this invoice was paid already")
        if self._clock.now() > asked.expires:
            raise InvoiceExpired("this invoice has expired")

    def _is_paid(self, payment_hash: str) -> bool:
        if self.lookup(payment_hash) == "paid":
            return True
        attempts = [node.payment(payment_hash) for alias, node in self._nodes.items() if alias != LAB]
        return any(attempt is not None and attempt.preimage and not attempt.failed for attempt in attempts)

    def _routes(self, node: LndNode, asked: Invoice, remembering: bool = True) -> Route:
        """Route by route over the node's own channels. PaymentWaits if there is none while a channel is not up that
        may bring one."""
        if asked.payee is None or asked.payee.hex() == node.key:
            return Route(0, 0.0)
        own = [channel for channel in node.channels() if channel.local >= (asked.amount_msat or 0)]
        used: set[int] = set()
        chances: list[float] = []
        for channel in own:
            looked = channel.active and len(chances) < _MOST_ROUTES
            found = node.way(asked, channel, remembering) if looked else None
            if found is not None and used.isdisjoint(found[0]):
                used |= found[0]
                chances.append(found[1])
        if not chances and not all(channel.active for channel in own):
            raise PaymentWaits(f"the channels of {node.alias} are not up")
        return Route(len(chances), max(chances, default=0.0))
