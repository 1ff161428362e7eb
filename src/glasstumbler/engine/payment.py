"""A payment: one transaction (or Lightning payment) that carries outputs of orders."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class PaymentState(StrEnum):
    STORED = "stored"  # signed and stored, or the intent is stored; not yet seen on the network
    SENT = "sent"  # broadcast
    MINED = "mined"  # in a block, not deep enough
    SETTLED = "settled"
    REPLACED = "replaced"  # another payment with a higher fee, spending the same coins, took its place
    FAILED = "failed"  # cannot be sent; its outputs are owed again or failed


class Carried(msgspec.Struct, omit_defaults=True):
    """One payout inside a payment."""

    order: int
    output: int
    amount: int
    vout: int


class Payment(msgspec.Struct, omit_defaults=True):
    number: int
    service: str
    coin: str
    """Chain of the transaction; `msat` for Lightning."""
    txid: str
    """Lightning: the payment hash, which is also the idempotency key."""
    raw: str
    """Hex of the signed transaction; Lightning: the invoice."""
    fee: int
    created: int
    inputs: list[tuple[str, int]]
    coins: list[int]
    """Numbers of the coins that it spends."""
    carried: list[Carried]
    """Empty for a sweep."""
    change: int | None = None
    """Number of the coin that it creates."""
    rate: int = 0
    state: PaymentState = PaymentState.STORED
    height: int | None = None
    mature: int | None = None
    """The height of the chain at which it is settled, while it is mined and not deep enough."""
    sent_at: int | None = None
    """Height of the chain when it was first broadcast."""
    replaces: int | None = None
    excluded: list[tuple[str, int]] = []
    """Coins that were not used because they descend from deposits under the payee's code."""
    codes: list[int] = []
    """The payees' codes."""
    preimage: str | None = None
    reason: str | None = None
