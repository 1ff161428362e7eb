"""The bearer-key mixers BtcMix, CoinJoin and whir (documents 2, 3 and 4): one class for the three.

What they sign is checked before anything of it is used. The signature covers a reply's values and not their names, so
the names have to be the documented ones, in the documented order.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from glasstumbler.client.calls import Call, Calls, Reply, call
from glasstumbler.client.errors import BadSignature, Refused, WrongOrder
from glasstumbler.client.reading import Amount, decoded, get, post, refused, text, typed
from glasstumbler.dialects import php

OK = 200
_BEFORE = ("id", "status", "depositAddress", "depositAmount", "depositTxid", "payouts", "txid", "fee", "delay")
ORDERS = (
    (*_BEFORE, "refCode", "updated", "created", "signature"),
    (*_BEFORE, "updated", "created", "refCode", "signature"),
)
"""Names of a signed reply; any but a few may be left out. BtcMix has refCode in the second place in a detail."""


class ServiceStatus(msgspec.Struct, frozen=True):
    status: str
    timestamp: int
    """Seconds since the epoch, by the laboratory's clock."""
    datetime: datetime


class Transaction(msgspec.Struct, frozen=True, rename="camel"):
    """An order. Amounts in BTC."""

    id: str
    status: Literal["pending", "confirming", "processing", "complete", "expired"]
    deposit_address: str
    payouts: dict[str, Decimal]
    """By address; 0 in the reply to its creation, as documented."""
    delay: int
    """Hours."""
    created: datetime
    updated: datetime
    deposit_amount: Decimal | None = None
    """What to deposit while it is pending, then what came in. None: the order takes what comes, or nothing came."""
    fee: Decimal | None = None
    """None until it is known, where the order takes what comes."""
    deposit_txid: str | None = None
    txid: str | None = None
    ref_code: str | None = None


class Page(msgspec.Struct, frozen=True, rename="camel"):
    transactions: list[Transaction]
    """Newest first."""
    total_transactions: int
    limit: int
    offset: int


class _Valid(msgspec.Struct):
    result: bool


class _Error(msgspec.Struct):
    code: int
    description: str


class BearerCalls(Calls):
    """`secret` is what the service signs its replies with; it is not sent."""

    def __init__(self, key: str, secret: str) -> None:
        self._secret = secret
        self._headers = (("authorization", f"Bearer {key}"),)

    @call
    def status(self) -> Call[ServiceStatus]:
        return Call(get("/api/status"), lambda reply: typed(_read(reply), ServiceStatus))

    @call
    def validate_address(self, address: str) -> Call[bool]:
        request = get(f"/api/validateAddress/{quote(address, safe='')}")
        return Call(request, lambda reply: typed(_read(reply), _Valid, strict=False).result)

    @call
    def create_transaction(
        self, payouts: Mapping[str, Amount] | Sequence[str], delay: int = 0, ref_code: str | None = None
    ) -> Call[Transaction]:
        """`payouts`: BTC by address; CoinJoin and whir take bare addresses too, which share what comes. `delay` in
        hours."""
        parts = {to: text(amount) for to, amount in payouts.items()} if isinstance(payouts, Mapping) else list(payouts)
        body: dict[str, Any] = {"delay": str(delay), "payouts": parts}
        if ref_code is not None:
            body["refCode"] = ref_code

        def read(reply: Reply) -> Transaction:
            made = self._signed(reply)
            if (set(made.payouts), made.delay, made.ref_code or "") != (set(parts), delay, ref_code or ""):
                raise WrongOrder(f"order {made.id} is not what was asked for")
            return made

        return Call(post("/api/createTransaction", body, self._headers), read)

    @call
    def transactions(self, limit: int | None = None, offset: int | None = None) -> Call[Page]:
        """These replies are not signed."""
        request = get("/api/transactions", {"limit": limit, "offset": offset}, self._headers)
        return Call(request, lambda reply: typed(_read(reply), Page, strict=False))

    @call
    def transaction(self, id: str) -> Call[Transaction]:
        def read(reply: Reply) -> Transaction:
            found = self._signed(reply)
            if found.id != id:
                raise WrongOrder(f"asked about {id}, answered about {found.id}")
            return found

        return Call(get(f"/api/transaction/{quote(id, safe='')}", headers=self._headers), read)

    def _signed(self, reply: Reply) -> Transaction:
        fields = typed(_read(reply), dict[str, Any])
        given = typed(fields.get("signature"), str)
        if not hmac.compare_digest(php.sign(fields, self._secret).encode(), given.encode()):
            raise BadSignature("the reply's signature does not hold: it was changed, or the secret is another key's")
        if not any(list(fields) == [name for name in names if name in fields] for names in ORDERS):
            raise BadSignature(
                "the reply's names are not the documented ones in their order, and no signature covers them"
            )
        return typed(fields, Transaction, strict=False)


def _read(reply: Reply) -> Any:
    if reply.status != OK:
        raise _refusal(reply)
    return decoded(reply)


def _refusal(reply: Reply) -> Refused:
    error = typed(decoded(reply), _Error)
    return refused(None, reply, str(error.code), error.description)
