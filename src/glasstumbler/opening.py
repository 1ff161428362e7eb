"""Opening an order: a draft gets its number, name, code, letter and deposit address in one unit of work."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from glasstumbler.chains.base import Chain
from glasstumbler.clock import token
from glasstumbler.engine import letter
from glasstumbler.engine.desk import Draft
from glasstumbler.engine.ledger import Entry
from glasstumbler.engine.order import Event, Order, State, after
from glasstumbler.engine.policy import Policy
from glasstumbler.errors import InvoiceUsed
from glasstumbler.store.records import Code, Records, Watched
from glasstumbler.wallet import Wallet

CODE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
CODE_LENGTH = 10


class Opener(NamedTuple):
    """What opening an order of one service takes besides its draft."""

    service: str
    policy: Policy
    chains: Mapping[str, Chain]
    wallet: Wallet
    chance: random.Random
    letter_key: Ed25519PrivateKey

    def open(self, draft: Draft, account: str, now: int, records: Records) -> Order:
        """One unit of work; the order as stored."""
        coins = self.policy.coins[draft.coin]
        number = records.next("order")
        key = self.wallet.key(draft.coin, self.service, coins.deposit_kind, "deposit", number)
        order = Order(
            number=number,
            service=self.service,
            id=self._fresh_id(records),
            account=account,
            coin=draft.coin,
            payout_coin=draft.payout_coin,
            state=after(State.CREATED, Event.OPENED),
            created=now,
            updated=now,
            expires=now + self.policy.expiry,
            address=self.chains[draft.coin].format.address(key),
            terms=draft.terms,
            outputs=draft.outputs,
            fixed=draft.fixed,
            code=self._code(draft, records) if self.policy.codes else None,
            ref=draft.ref,
            swap=draft.swap,
            extra=self._extra(draft, number) or None,
        )
        if self.policy.letters:
            order.letter = letter.sign(letter.compose(order, self.policy.letter_days), self.letter_key)
        self._claim_invoice(order, records)
        records.watch(Watched(draft.coin, key, self.service, "deposit", number, coins.deposit_kind, number))
        records.add_order(order)
        records.append(Entry("order", now, self.service, number))
        return order

    def _claim_invoice(self, order: Order, records: Records) -> None:
        """An invoice is paid once, so one order has it; InvoiceUsed otherwise."""
        if order.swap is None or order.swap.invoice is None:
            return
        payment_hash = bytes.fromhex(str((order.extra or {})["payment_hash"]))
        self.check_invoice(payment_hash, records)
        records.watch(Watched("msat", payment_hash, self.service, "invoice", order.number, "invoice", None))

    def check_invoice(self, payment_hash: bytes, records: Records) -> None:
        """InvoiceUsed if an order has it."""
        if records.watched("msat", [payment_hash]):
            raise InvoiceUsed("another order has this invoice", "ln_invoice")

    def _fresh_id(self, records: Records) -> str:
        while True:
            name = self.policy.id_prefix + token(self.chance, self.policy.id_alphabet, self.policy.id_length)
            if not records.has_order(self.service, name):
                return name

    def _code(self, draft: Draft, records: Records) -> str:
        """The customer's code; a first order is given one."""
        if draft.code is not None:
            return draft.code
        while True:
            name = token(self.chance, CODE_ALPHABET, CODE_LENGTH)
            if records.code(self.service, name) is None:
                records.put_code(Code(records.next("code"), self.service, name))
                return name

    def _extra(self, draft: Draft, number: int) -> dict[str, object]:
        """v2 of the swap's API still shows integrated addresses and payment ids: the same subaddress again."""
        if draft.coin != "xmr":
            return dict(draft.extra)
        payment_id = number.to_bytes(8, "big")
        return {
            **draft.extra,
            "integrated_address": self.wallet.integrated(draft.coin, self.service, payment_id, number),
            "payment_id_short": payment_id.hex(),
            "payment_id_long": payment_id.hex().ljust(64, "0"),
        }
