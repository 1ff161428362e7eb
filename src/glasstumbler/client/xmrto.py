"""The swap XMR.to, versions 2 and 3 (document 5): the same calls, each version with its own names.

No reply is signed and there is no key; what a reply repeats of its request is held against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from glasstumbler.client import errors
from glasstumbler.client.calls import Call, Calls, Reply, Request, call
from glasstumbler.client.reading import Amount, decoded, get, number, post, refused, text, typed

Currency = Literal["BTC", "XMR"]
State = Literal[
    "TO_BE_CREATED", "UNPAID", "UNDERPAID", "PAID_UNCONFIRMED", "PAID", "BTC_SENT", "TIMED_OUT", "REJECTED",
    "PAYMENT_FAILED",
]  # fmt: skip
_DONE = (200, 201)
_PNG = b"\x89PNG\r\n\x1a\n"


class ParametersV2(msgspec.Struct, frozen=True):
    """Limits in BTC; `price` is BTC for one XMR."""

    price: Decimal
    upper_limit: Decimal
    lower_limit: Decimal
    zero_conf_enabled: bool
    zero_conf_max_amount: Decimal


class ParametersV3(ParametersV2, frozen=True):
    ln_upper_limit: Decimal
    ln_lower_limit: Decimal


class CreatedV2(msgspec.Struct, frozen=True):
    """`btc_dest_address` is the invoice where Lightning pays."""

    state: State
    btc_amount: Decimal
    btc_dest_address: str
    uuid: str
    pp_url: str | None = None


class CreatedV3(CreatedV2, frozen=True):
    uses_lightning: bool = False


class StatusV2(msgspec.Struct, frozen=True):
    """What is None is not known until the order has a deposit address."""

    state: State
    uuid: str
    btc_amount: Decimal
    btc_dest_address: str
    btc_amount_partial: Decimal | None = None
    xmr_price_btc: Decimal | None = None
    xmr_required_amount: Decimal | None = None
    xmr_receiving_address: str | None = None
    xmr_receiving_integrated_address: str | None = None
    xmr_required_payment_id_long: str | None = None
    xmr_required_payment_id_short: str | None = None
    xmr_receiving_subaddress: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    seconds_till_timeout: int | None = None
    xmr_amount_total: Decimal | None = None
    xmr_amount_remaining: Decimal | None = None
    xmr_num_confirmations_remaining: int | None = None
    """-1 until the whole amount is in sight."""
    xmr_recommended_mixin: int | None = None
    btc_num_confirmations_before_purge: int | None = None
    btc_num_confirmations_threshold: int | None = None
    btc_num_confirmations: int | None = None
    btc_transaction_id: str | None = None


class Payment(msgspec.Struct, frozen=True):
    """`tx_id`: of Lightning it is the payment hash."""

    method: Literal["On Chain", "Lightning Network"]
    amount: Decimal
    num_confirmations: int
    tx_id: str
    preimage: str | None = None


class StatusV3(msgspec.Struct, frozen=True):
    """What is None is not known until the order has a deposit address."""

    state: State
    uuid: str
    btc_amount: Decimal
    btc_dest_address: str
    uses_lightning: bool
    btc_amount_partial: Decimal | None = None
    incoming_price_btc: Decimal | None = None
    receiving_subaddress: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    seconds_till_timeout: int | None = None
    incoming_amount_total: Decimal | None = None
    remaining_amount_incoming: Decimal | None = None
    incoming_num_confirmations_remaining: int | None = None
    """-1 until the whole amount is in sight."""
    recommended_mixin: int | None = None
    btc_num_confirmations_threshold: int | None = None
    payments: list[Payment] = []


class PriceV2(msgspec.Struct, frozen=True):
    btc_amount: Decimal
    xmr_amount_total: Decimal
    xmr_num_confirmations_remaining: int
    xmr_price_btc: Decimal


class PriceV3(msgspec.Struct, frozen=True):
    btc_amount: Decimal
    incoming_amount_total: Decimal
    incoming_num_confirmations_remaining: int
    incoming_price_btc: Decimal


class Route(msgspec.Struct, frozen=True):
    num_routes: int
    success_probability: Decimal


class _Error(msgspec.Struct):
    error: str
    error_msg: str


_KINDS: dict[type[errors.Refused], tuple[str, ...]] = {
    errors.InvalidRequest: ("002", "003", "004", "005", "009", "010", "011", "015", "016", "017", "018", "019", "020"),
    errors.AccessDenied: ("013", "014"),
    errors.NotFound: ("006",),
    errors.RateLimited: ("012",),
    errors.Unavailable: ("001", "007", "008"),
}
REFUSALS: Mapping[str, type[errors.Refused]] = {
    f"XMRTO-ERROR-{code}": kind for kind, codes in _KINDS.items() for code in codes
}
"""What each code of the catalogue is raised as."""


class _Order(Protocol):
    @property
    def uuid(self) -> str: ...
    @property
    def btc_dest_address(self) -> str: ...


ParametersT = TypeVar("ParametersT")
CreatedT = TypeVar("CreatedT", bound=_Order)
StatusT = TypeVar("StatusT", bound=_Order)
PriceT = TypeVar("PriceT")


class _SwapCalls(Calls, Generic[ParametersT, CreatedT, StatusT, PriceT]):
    version: ClassVar[str]
    _parameters: type[ParametersT]
    _created: type[CreatedT]
    _status: type[StatusT]
    _price: type[PriceT]

    @call
    def order_parameter_query(self) -> Call[ParametersT]:
        return Call(self._get("order_parameter_query"), lambda reply: typed(_read(reply), self._parameters))

    @call
    def order_create(self, btc_dest_address: str, amount: Amount, currency: Currency = "BTC") -> Call[CreatedT]:
        body = {"btc_dest_address": btc_dest_address, **self._amount(amount, currency)}
        return self._create("order_create", body, btc_dest_address)

    @call
    def order_create_pp(self, pp_url: str) -> Call[CreatedT]:
        """A payment-protocol URL of the laboratory's own (`/lab/v1/bip70`)."""
        return self._create("order_create_pp", {"pp_url": pp_url})

    @call
    def order_status_query(self, uuid: str) -> Call[StatusT]:
        return self._about("order_status_query", uuid)

    @call
    def order_check_price(self, amount: Amount, currency: Currency = "BTC") -> Call[PriceT]:
        request = self._post("order_check_price", self._amount(amount, currency))
        return Call(request, lambda reply: typed(_read(reply), self._price))

    @call
    def order_partial_payment(self, uuid: str) -> Call[StatusT]:
        """Go on with what was paid so far; the new status."""
        return self._about("order_partial_payment", uuid)

    @call
    def gen_qrcode(self, data: str) -> Call[bytes]:
        """PNG."""
        return Call(self._get("gen_qrcode", data=data), _read_png)

    @call
    def status_page(self, uuid: str) -> Call[str]:
        """HTML, for people."""
        return Call(get(f"/nojs/status/{quote(uuid, safe='')}"), _read_page)

    def _amount(self, amount: Amount, currency: Currency) -> dict[str, Any]:
        raise NotImplementedError

    def _path(self, name: str) -> str:
        return f"/api/{self.version}/xmr2btc/{name}/"

    def _get(self, name: str, **query: str) -> Request:
        return get(self._path(name), query)

    def _post(self, name: str, body: dict[str, Any]) -> Request:
        return post(self._path(name), body)

    def _create(self, name: str, body: dict[str, Any], destination: str | None = None) -> Call[CreatedT]:
        def read(reply: Reply) -> CreatedT:
            made = typed(_read(reply), self._created)
            if destination not in (None, made.btc_dest_address):
                raise errors.WrongOrder(f"order {made.uuid} pays to {made.btc_dest_address}, not to {destination}")
            return made

        return Call(self._post(name, body), read)

    def _about(self, name: str, uuid: str) -> Call[StatusT]:
        def read(reply: Reply) -> StatusT:
            found = typed(_read(reply), self._status)
            if found.uuid != uuid:
                raise errors.WrongOrder(f"asked about {uuid}, answered about {found.uuid}")
            return found

        return Call(self._post(name, {"uuid": uuid}), read)


class SwapV2Calls(_SwapCalls[ParametersV2, CreatedV2, StatusV2, PriceV2]):
    version = "v2"
    _parameters, _created, _status, _price = ParametersV2, CreatedV2, StatusV2, PriceV2

    def _amount(self, amount: Amount, currency: Currency) -> dict[str, Any]:
        return {f"{currency.lower()}_amount": number(amount)}


class SwapV3Calls(_SwapCalls[ParametersV3, CreatedV3, StatusV3, PriceV3]):
    version = "v3"
    _parameters, _created, _status, _price = ParametersV3, CreatedV3, StatusV3, PriceV3

    def _amount(self, amount: Amount, currency: Currency) -> dict[str, Any]:
        return {"amount": text(amount), "amount_currency": currency}

    @call
    def order_create_ln(self, ln_invoice: str) -> Call[CreatedV3]:
        return self._create("order_create_ln", {"ln_invoice": ln_invoice}, ln_invoice)

    @call
    def order_ln_check_route(self, ln_invoice: str) -> Call[Route]:
        request = self._get("order_ln_check_route", ln_invoice=ln_invoice)
        return Call(request, lambda reply: typed(_read(reply), Route))


def _read(reply: Reply) -> Any:
    if reply.status not in _DONE:
        raise _refusal(reply)
    return decoded(reply)


def _read_png(reply: Reply) -> bytes:
    if reply.status not in _DONE:
        raise _refusal(reply)
    if not reply.body.startswith(_PNG):
        raise ValueError("no PNG")
    return reply.body


def _read_page(reply: Reply) -> str:
    if reply.status not in _DONE:
        raise _refusal(reply)
    if not reply.headers.get("content-type", "").startswith("text/html"):
        raise ValueError("no page")
    return reply.body.decode()


def _refusal(reply: Reply) -> errors.Refused:
    """The message is a fixed one; a header says what was wrong."""
    said = typed(decoded(reply), _Error)
    return refused(
        REFUSALS.get(said.error), reply, said.error, said.error_msg, reply.headers.get("x-glasstumbler-reason", "")
    )
