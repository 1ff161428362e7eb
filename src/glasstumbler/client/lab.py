"""The laboratory's own API, `/lab/v1`: pay, mine, reorganise, let time pass, tell a service to misbehave, and look at
the truth of an order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from glasstumbler.client.calls import Call, Calls, Reply, Request, call
from glasstumbler.client.reading import Amount, decoded, get, post, refused, text, typed

OK = 200


class Chain(msgspec.Struct, frozen=True):
    coin: str
    network: str
    node: str
    model: bool
    height: int | None
    """None: a Lightning network, or the node is away."""
    away: str = ""
    """Why the node does not answer."""


class Behaviour(msgspec.Struct, frozen=True):
    """What a service is told to do wrong."""

    maintenance: bool
    answer: str | int | None
    times: int
    payout: Literal["fail", "stall"] | None


class Money(msgspec.Struct, frozen=True):
    amount: Decimal
    coin: str


class Deposit(msgspec.Struct, frozen=True):
    outpoint: str
    amount: Decimal
    coin: str
    state: str
    booked: str
    """Account of the ledger that holds it."""
    height: int | None
    first_seen: int


class Part(msgspec.Struct, frozen=True):
    """What one deposit gave to one payout."""

    deposit: str
    amount: Decimal
    coin: str


class Input(msgspec.Struct, frozen=True):
    outpoint: str
    amount: Decimal
    coin: str
    origin: str
    order: str | None


class Hop(msgspec.Struct, frozen=True):
    level: int
    txid: str
    kind: str
    inputs: list[Input]


class Origin(msgspec.Struct, frozen=True):
    """Where coins of a payout came into the service."""

    kind: str
    outpoint: str
    amount: Decimal
    coin: str
    order: str | None
    level: int


class Custody(msgspec.Struct, frozen=True):
    """Which coins really paid. `kind`: chain, or channel, where no coin moved."""

    kind: str
    hops_between: int | None
    """From a deposit of the same order; None: they never meet."""
    truncated: bool
    hops: list[Hop] = []
    origins: list[Origin] = []
    excluded: list[str] = []
    note: str = ""


class Delay(msgspec.Struct, frozen=True):
    """Seconds."""

    asked: int
    passed: int | None


class Payout(msgspec.Struct, frozen=True):
    """What is None is not known until the payout is on its network."""

    address: str
    state: str
    delay: Delay
    amount: Decimal | None
    coin: str | None
    due: int | None
    outpoint: str | None
    height: int | None
    fee: Money | None
    beneficial: list[Part]
    """Whose value it is."""
    custody: Custody | None


class OrderTruth(msgspec.Struct, frozen=True):
    """An order with both its truths. Times are seconds since the epoch."""

    service: str
    order: str
    state: str
    created: int
    funded: int | None
    deposit_address: str
    deposits: list[Deposit]
    fee: Money
    excess: Money
    payouts: list[Payout]


class _Txid(msgspec.Struct):
    txid: str


class _Height(msgspec.Struct):
    height: int


class _Address(msgspec.Struct):
    address: str


class _Invoice(msgspec.Struct):
    ln_invoice: str


class _Price(msgspec.Struct):
    xmr_btc: Decimal | None


class _Now(msgspec.Struct):
    now: int


class _Error(msgspec.Struct):
    error: str
    message: str
    field: str | None = None


class LabCalls(Calls):
    """`token`: the lab token, which a laboratory wants from anywhere but its own machine."""

    def __init__(self, token: str = "") -> None:
        self._headers = (("authorization", f"Bearer {token}"),) if token else ()

    @call
    def chains(self) -> Call[list[Chain]]:
        return Call(self._get("chains"), lambda reply: typed(_read(reply), list[Chain]))

    @call
    def pay(self, address: str, amount: Amount, coin: str = "btc") -> Call[str]:
        """From the faucet; the txid. `amount` in whole coins."""
        request = self._post(f"chains/{_part(coin)}/pay", {"address": address, "amount": text(amount)})
        return Call(request, lambda reply: typed(_read(reply), _Txid).txid)

    @call
    def mine(self, coin: str = "btc", blocks: int = 1) -> Call[int]:
        """The new height."""
        return Call(self._post(f"chains/{_part(coin)}/mine", {"blocks": blocks}), _read_height)

    @call
    def reorg(self, coin: str = "btc", depth: int = 1) -> Call[int]:
        """Replace the last `depth` blocks by empty ones; the new height."""
        return Call(self._post(f"chains/{_part(coin)}/reorg", {"depth": depth}), _read_height)

    @call
    def address(self, coin: str = "btc", kind: str | None = None) -> Call[str]:
        """A fresh address of nobody's service."""
        request = self._post(f"chains/{_part(coin)}/address", {"kind": kind})
        return Call(request, lambda reply: typed(_read(reply), _Address).address)

    @call
    def invoice(self, amount: Amount, expiry: int = 3600) -> Call[str]:
        """A Lightning invoice to be paid; BTC, and seconds."""
        request = self._post("lightning/invoice", {"amount": text(amount), "expiry": expiry})
        return Call(request, lambda reply: typed(_read(reply), _Invoice).ln_invoice)

    @call
    def price(self, xmr_btc: Amount | None) -> Call[Decimal | None]:
        """Fix the price of one XMR in BTC; None lets it follow its walk again."""
        body = {"xmr_btc": None if xmr_btc is None else text(xmr_btc)}
        return Call(self._post("price", body), lambda reply: typed(_read(reply), _Price).xmr_btc)

    @call
    def behave(
        self,
        service: str,
        *,
        maintenance: bool = False,
        answer: str | int | None = None,
        times: int = 1,
        payout: Literal["fail", "stall"] | None = None,
    ) -> Call[Behaviour]:
        """`answer`: a documented error code, for the next `times` requests. Without arguments the service behaves."""
        body = {"maintenance": maintenance, "answer": answer, "times": times if answer is not None else 0}
        request = self._post(f"services/{_part(service)}/behave", {**body, "payout": payout})
        return Call(request, lambda reply: typed(_read(reply), Behaviour))

    @call
    def advance(self, seconds: int) -> Call[int]:
        """Let time pass, with all that becomes due in it; the time, in seconds since the epoch."""
        return Call(self._post("clock/advance", {"seconds": seconds}), lambda reply: typed(_read(reply), _Now).now)

    @call
    def order(self, service: str, order: str) -> Call[OrderTruth]:
        request = self._get(f"orders/{_part(service)}/{_part(order)}")
        return Call(request, lambda reply: typed(_read(reply), OrderTruth))

    def _get(self, path: str) -> Request:
        return get(f"/lab/v1/{path}", headers=self._headers)

    def _post(self, path: str, body: dict[str, Any]) -> Request:
        return post(f"/lab/v1/{path}", body, self._headers)


def _part(name: str) -> str:
    return quote(name, safe="")


def _read_height(reply: Reply) -> int:
    return typed(_read(reply), _Height).height


def _read(reply: Reply) -> Any:
    if reply.status == OK:
        return decoded(reply)
    said = typed(decoded(reply), _Error)
    raise refused(None, reply, said.error, said.message, field=said.field or "")
