"""The code mixer BestMixer (document 1). An order's letter of guarantee is checked before the order is handed out."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from glasstumbler.client import errors
from glasstumbler.client.calls import Call, Calls, Reply, call
from glasstumbler.client.reading import Amount, decoded, number, post, refused, text, typed
from glasstumbler.engine import letter as letters
from glasstumbler.errors import Malformed

Coin = Literal["btc", "bch", "ltc", "eth"]
OK = 200
T = TypeVar("T")


class Share(NamedTuple):
    """An output that gets a part of what comes in."""

    address: str
    percent: Amount
    """Tenths at the finest; those of an order add to 100."""
    delay: int = 0
    """Minutes."""


class Exact(NamedTuple):
    """An output that gets an exact amount, in whole coins."""

    address: str
    amount: Amount
    delay: int = 0
    """Minutes."""


class Letter(msgspec.Struct, frozen=True):
    """A letter of guarantee whose signature holds. `key` has signed it: 32 bytes, Ed25519."""

    text: str
    fields: dict[str, str]
    key: bytes


class MixOrder(msgspec.Struct, frozen=True):
    """A new order: deposit between `min_amount` and `max_amount`, or `exactly_amount`; whole coins."""

    order_id: str
    input_address: str
    bm_code: str
    letter: Letter
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    """None: no limit."""
    exactly_amount: Decimal | None = None


class OutputInfo(msgspec.Struct, frozen=True):
    address: str
    delay: int
    """Minutes."""
    delay_countdown: int
    """Minutes left; 0 before the deposit is confirmed, and once the payout is under way."""
    amount: Decimal
    status: Literal["Pending", "Sent", "Confirmed", "Failed"]
    percent: Decimal | None = None


class OrderInfo(msgspec.Struct, frozen=True):
    status: Literal["Awaiting", "Confirming", "Processing", "Completed", "Expired", "Failed"]
    input_address: str
    received: Decimal
    coin: Coin
    fixed: bool
    service_fee: Decimal
    """Percent."""
    fee_per_address: Decimal
    output: list[OutputInfo]
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    exactly_amount: Decimal | None = None


class _Created(msgspec.Struct):
    order_id: str
    input_address: str
    bm_code: str
    letter_of_guarantee: str
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    exactly_amount: Decimal | None = None


class _MinimumFees(msgspec.Struct):
    min_service_fee: dict[str, Decimal]


class _NetworkFees(msgspec.Struct):
    fee_per_address: dict[str, Decimal]


class _Envelope(msgspec.Struct):
    error: str | None
    data: Any


REFUSALS: dict[str, type[errors.Refused]] = {
    "Invalid api_key": errors.AccessDenied,
    "api_key is blocked": errors.AccessDenied,
    "no such order": errors.NotFound,
    "Unknown endpoint": errors.NotFound,
    "Service is temporarily unavailable": errors.Unavailable,
    "Service is overloaded": errors.Unavailable,
}
"""By the error's text: this API has no codes, and HTTP's status is 200 mostly."""


class CodeCalls(Calls):
    """`letter_key`: with which letters must be signed (32 bytes, Ed25519). None: whatever key signs them."""

    def __init__(self, key: str, letter_key: bytes | None = None) -> None:
        self._key, self._letter_key = key, letter_key

    @call
    def code_info(self, bm_code: str) -> Call[dict[str, Decimal]]:
        """The lowest service fee that a code allows, percent by coin."""
        return self._post("code/info", {"bm_code": bm_code}, lambda data: typed(data, _MinimumFees).min_service_fee)

    @call
    def fee_info(self) -> Call[dict[str, Decimal]]:
        """The most that the network part of one output costs, whole coins by coin."""
        return self._post("fee/info", {}, lambda data: typed(data, _NetworkFees).fee_per_address)

    @call
    def order_create(
        self, coin: Coin, fee: Amount, output: Sequence[Share], bm_code: str | None = None
    ) -> Call[MixOrder]:
        """`fee`: service fee in percent."""
        parts = [{"address": to, "percent": number(percent), "delay": delay} for to, percent, delay in output]
        promised = [f"{to}, {_plain(percent)} %, delay {delay} minutes" for to, percent, delay in output]
        return self._order("order/create", coin, fee, parts, promised, bm_code)

    @call
    def order_create_fixed(
        self, coin: Coin, fee: Amount, output: Sequence[Exact], bm_code: str | None = None
    ) -> Call[MixOrder]:
        parts = [{"address": to, "amount": number(amount), "delay": delay} for to, amount, delay in output]
        promised = [f"{to}, {_plain(amount)}, delay {delay} minutes" for to, amount, delay in output]
        return self._order("order/create_fixed", coin, fee, parts, promised, bm_code)

    @call
    def order_info(self, order_id: str) -> Call[OrderInfo]:
        return self._post("order/info", {"order_id": order_id}, lambda data: typed(data, OrderInfo, strict=False))

    def _post(self, verb: str, fields: dict[str, Any], read: Callable[[Any], T]) -> Call[T]:
        request = post(f"/api/ext/{verb}", {"api_key": self._key, **fields})
        return Call(request, lambda reply: read(_data(reply)))

    def _order(
        self, verb: str, coin: str, fee: Amount, parts: list[dict[str, Any]], promised: list[str], code: str | None
    ) -> Call[MixOrder]:
        fields = {"bm_code": code or "", "coin": coin, "fee": number(fee), "output": parts}

        def read(data: Any) -> MixOrder:
            made = typed(data, _Created)
            letter = read_letter(made.letter_of_guarantee, self._letter_key)
            _check_promise(letter.fields, made, coin, text(fee), promised)
            return MixOrder(
                made.order_id,
                made.input_address,
                made.bm_code,
                letter,
                made.min_amount,
                made.max_amount,
                made.exactly_amount,
            )

        return self._post(verb, fields, read)


def read_letter(letter: str | bytes, key: bytes | None = None) -> Letter:
    """A letter, or its base64 form; BadLetter if its signature does not hold, or is another key's than `key`."""
    raw = letter if isinstance(letter, bytes) else letter.encode()
    try:
        fields = letters.verify(raw, key)
    except Malformed as error:
        raise errors.BadLetter(str(error)) from None
    plain = (raw if raw.startswith(letters.HEADER.encode()) else b64decode(raw)).decode()
    signed_by = next(line for line in reversed(plain.splitlines()) if line.startswith("Key: "))
    return Letter(plain, fields, b64decode(signed_by.removeprefix("Key: ")))


def _check_promise(said: dict[str, str], made: _Created, coin: str, fee: str, outputs: list[str]) -> None:
    """The letter promises what was ordered and what the reply says; BadLetter names the line that does not."""
    wanted: dict[str, str | Decimal | None] = {
        "Order": made.order_id,
        "Deposit-Address": made.input_address,
        "Coin": coin,
        "Service-Fee": Decimal(fee),
        "Deposit-Exactly": made.exactly_amount,
        "Deposit-Minimum": made.min_amount,
        "Deposit-Maximum": made.max_amount,
        **{f"Output-{place}": output for place, output in enumerate(outputs, 1)},
        f"Output-{len(outputs) + 1}": None,
    }
    for name, value in wanted.items():
        given: str | Decimal | None = said.get(name)
        if isinstance(value, Decimal) and isinstance(given, str):
            given = Decimal(given.removesuffix(" %"))
        if given != value:
            raise errors.BadLetter(f"the letter's line {name} says {given}, not {value}")


def _plain(amount: Amount) -> str:
    """Without trailing zeros, as the letter writes it."""
    shown = text(amount)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _data(reply: Reply) -> Any:
    envelope = typed(decoded(reply), _Envelope)
    if envelope.error is None and reply.status == OK:
        return envelope.data
    if not envelope.error:
        raise ValueError("an error without a text")
    raise refused(REFUSALS.get(envelope.error), reply, "", envelope.error)
