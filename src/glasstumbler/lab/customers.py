"""Customers of the five services: each sends the requests that its service's document shows, in a sensible order.

A customer places orders, pays their deposits through the laboratory, and says when they are done. What it can check
from outside (signatures, letters, echoes) it notes as `Check`s.
"""

from __future__ import annotations

from base64 import b64decode
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from glasstumbler.dialects import php
from glasstumbler.engine import letter
from glasstumbler.errors import Malformed
from glasstumbler.lab.hub import Hub, UnexpectedReply


class Keys(NamedTuple):
    """What a service gave its customer."""

    api: str
    secret: str
    """Signs replies; used by the bearer family only."""


class Check(NamedTuple):
    service: str
    what: str
    holds: bool


class Customer(Protocol):
    service: str
    orders: list[str]
    checks: list[Check]

    def place(self) -> None:
        """Ask what there is to ask, order, and pay every deposit."""
        ...

    def done(self) -> bool:
        """True once the service calls every order complete."""
        ...


# -- documents 2, 3 and 4 ---------------------------------------------------------------------------------------------


class BearerCustomer:
    """BtcMix, CoinJoin, whir: two payouts and a delay of one hour. `amounts` in BTC."""

    def __init__(self, hub: Hub, service: str, keys: Keys, amounts: tuple[str, str], ref: str | None = None) -> None:
        self.service, self.orders, self.checks = service, [], []  # type: tuple[str, list[str], list[Check]]
        self._hub, self._keys, self._amounts, self._ref = hub, keys, amounts, ref
        self._headers = {"authorization": f"Bearer {keys.api}"}

    def place(self) -> None:
        base = f"/{self.service}/api"
        self._check("GET status says ok", self._hub.get(f"{base}/status")["status"] == "ok")
        addresses = [self._hub.address("btc") for _ in range(2)]
        valid = self._hub.get(f"{base}/validateAddress/{addresses[0]}")["result"]
        self._check("validateAddress knows its own", str(valid).lower() == "true")
        payouts = dict(zip(addresses, self._amounts, strict=True))
        body = {"delay": "1", "payouts": payouts} | ({"refCode": self._ref} if self._ref else {})
        made = self._hub.post(f"{base}/createTransaction", body, self._headers)
        self._signed(made, "createTransaction")
        self.orders.append(made["id"])
        self._hub.pay("btc", made["depositAddress"], made["depositAmount"])
        page = self._hub.get(f"{base}/transactions", self._headers, limit="2", offset="0")
        self._check("transactions lists it first", page["transactions"][0]["id"] == made["id"])

    def done(self) -> bool:
        detail = self._hub.get(f"/{self.service}/api/transaction/{self.orders[0]}", self._headers)
        if detail["status"] != "complete":
            return False
        self._signed(detail, "transaction")
        return True

    def _signed(self, reply: dict[str, Any], call: str) -> None:
        self._check(f"HMAC of {call}", php.sign(reply, self._keys.secret) == reply["signature"])

    def _check(self, what: str, holds: bool) -> None:
        self.checks.append(Check(self.service, what, holds))


# -- document 1 -------------------------------------------------------------------------------------------------------


class _Coin(NamedTuple):
    """How one coin is mixed: the service fee in percent, a deposit to be shared out, exact payouts."""

    fee: Decimal
    deposit: str
    exact: tuple[str, ...]


_COINS = {
    "btc": _Coin(Decimal("1.0001"), "0.25", ("0.1", "0.05", "0.025")),
    "bch": _Coin(Decimal("3.25"), "1.5", ("0.4", "0.3", "0.2")),
    "ltc": _Coin(Decimal("3.5"), "4", ("1.25", "0.75", "0.5")),
    "eth": _Coin(Decimal("3.0001"), "2", ("0.6", "0.5", "0.25")),
}
_SHARES = (Decimal("50.5"), Decimal("29.5"), Decimal("20"))
_DELAYS = (0, 45, 150)
"""Minutes."""


class CodeCustomer:
    """BestMixer: three shares and three exact amounts in each coin; in btc once more under the first order's code."""

    service = "bestmixer"

    def __init__(self, hub: Hub, keys: Keys) -> None:
        self.orders: list[str] = []
        self.checks: list[Check] = []
        self.letter = ""
        """The first letter of guarantee, plain text."""
        self._hub, self._keys = hub, keys

    def place(self) -> None:
        fees = self._call("fee/info", {})["fee_per_address"]
        self._check("fee/info names every coin", set(fees) == set(_COINS))
        codes: dict[str, str] = {}
        for coin, habits in _COINS.items():
            codes[coin] = self._shares(coin, habits)
            self._exact(coin, habits)
        least = self._call("code/info", {"bm_code": codes["btc"]})["min_service_fee"]
        self._check("code/info names the least fees", set(least) == {"btc", "bch", "ltc"})
        self._shares("btc", _COINS["btc"], codes["btc"])

    def done(self) -> bool:
        found = [self._call("order/info", {"order_id": order}) for order in self.orders]
        if any(info["status"] != "Completed" for info in found):
            return False
        sent = all(output["status"] == "Confirmed" for info in found for output in info["output"])
        self._check("order/info: every output Confirmed", sent)
        return True

    def _shares(self, coin: str, habits: _Coin, code: str | None = None) -> str:
        """The order's code."""
        outputs = [
            {"address": self._hub.address(coin), "percent": share, "delay": delay}
            for share, delay in zip(_SHARES, _DELAYS, strict=True)
        ]
        made = self._order("order/create", coin, habits, outputs, code)
        self._hub.pay(coin, made["input_address"], habits.deposit)
        return str(made["bm_code"])

    def _exact(self, coin: str, habits: _Coin) -> None:
        outputs = [
            {"address": self._hub.address(coin), "amount": Decimal(amount), "delay": delay}
            for amount, delay in zip(habits.exact, reversed(_DELAYS), strict=True)
        ]
        made = self._order("order/create_fixed", coin, habits, outputs)
        self._hub.pay(coin, made["input_address"], made["exactly_amount"])

    def _order(
        self, call: str, coin: str, habits: _Coin, outputs: list[dict[str, Any]], code: str | None = None
    ) -> dict[str, Any]:
        body = {"coin": coin, "fee": habits.fee, "output": outputs} | ({"bm_code": code} if code else {})
        made = self._call(call, body)
        self.orders.append(made["order_id"])
        self._guaranteed(made)
        info = self._call("order/info", {"order_id": made["order_id"]})
        self._check(f"{call} {coin}: Awaiting", info["status"] == "Awaiting")
        return made

    def _guaranteed(self, made: dict[str, Any]) -> None:
        raw = made["letter_of_guarantee"].encode()
        try:
            lines = letter.verify(raw)
        except Malformed:
            lines = {}
        named = (lines.get("Order"), lines.get("Deposit-Address")) == (made["order_id"], made["input_address"])
        self._check(f"letter of {made['order_id']}", named)
        self.letter = self.letter or b64decode(raw).decode()

    def _call(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self._hub.post(f"/{self.service}/api/ext/{call}", {"api_key": self._keys.api, **body})
        if reply["error"] is not None:
            raise UnexpectedReply(f"{call}: {reply['error']}")
        data: dict[str, Any] = reply["data"]
        return data

    def _check(self, what: str, holds: bool) -> None:
        self.checks.append(Check(self.service, what, holds))


# -- document 5 -------------------------------------------------------------------------------------------------------


class SwapCustomer:
    """XMR.to, both versions: an amount in either coin, an invoice, and a deposit that falls short."""

    service = "xmrto"

    def __init__(self, hub: Hub) -> None:
        self.orders: list[str] = []
        self.checks: list[Check] = []
        self._hub = hub

    def place(self) -> None:
        for version in ("v2", "v3"):
            limits = self._hub.get(self._path(version, "order_parameter_query"))
            self._check(
                f"{version} limits are in order", Decimal(limits["lower_limit"]) < Decimal(limits["upper_limit"])
            )
        self._swap("v2", {"btc_amount": Decimal("0.02")})
        self._swap("v2", {"xmr_amount": Decimal("4")})
        self._swap("v3", {"amount": "0.15", "amount_currency": "BTC"})
        self._swap("v3", {"amount": "3.5", "amount_currency": "XMR"})
        self._too_little()
        self._lightning("0.0005")

    def done(self) -> bool:
        states = {self._status("v3", order)["state"] for order in self.orders}
        return states == {"BTC_SENT"}

    def _swap(self, version: str, amount: dict[str, Any]) -> None:
        price = self._hub.post(self._path(version, "order_check_price"), amount)
        order = self._create(version, amount)
        status = self._status(version, order)
        total = "xmr_amount_total" if version == "v2" else "incoming_amount_total"
        self._check(f"{version} {order}: total as priced", Decimal(status[total]) == Decimal(price[total]))
        self._pay(status, version)

    def _too_little(self) -> None:
        """Pays three fifths, then takes what that has bought."""
        order = self._create("v3", {"amount": "0.05", "amount_currency": "BTC"})
        status = self._status("v3", order)
        part = (Decimal(status["incoming_amount_total"]) * Decimal("0.6")).quantize(Decimal("0.000001"))
        self._hub.pay("xmr", status["receiving_subaddress"], part)
        self._check("v3 a part is UNDERPAID", self._status("v3", order)["state"] == "UNDERPAID")
        self._hub.post(self._path("v3", "order_partial_payment"), {"uuid": order})
        after = self._status("v3", order)
        self._check("v3 partial payment is taken", Decimal(after["remaining_amount_incoming"]) == 0)

    def _lightning(self, amount: str) -> None:
        invoice = self._hub.invoice(amount)
        route = self._hub.get(self._path("v3", "order_ln_check_route"), None, ln_invoice=invoice)
        self._check("v3 a Lightning route is found", route["num_routes"] > 0)
        made = self._hub.post(self._path("v3", "order_create_ln"), {"ln_invoice": invoice}, status=201)
        self.orders.append(made["uuid"])
        self._check("v3 order_create_ln uses Lightning", made["uses_lightning"] is True)
        self._pay(self._status("v3", made["uuid"]), "v3")

    def _create(self, version: str, amount: dict[str, Any]) -> str:
        body = {"btc_dest_address": self._hub.address("btc"), **amount}
        made = self._hub.post(self._path(version, "order_create"), body, status=201)
        self._check(f"{version} order_create is TO_BE_CREATED", made["state"] == "TO_BE_CREATED")
        self.orders.append(made["uuid"])
        return str(made["uuid"])

    def _pay(self, status: dict[str, Any], version: str) -> None:
        old = version == "v2"
        address = status["xmr_receiving_subaddress" if old else "receiving_subaddress"]
        self._hub.pay("xmr", address, status["xmr_amount_remaining" if old else "remaining_amount_incoming"])

    def _status(self, version: str, order: str) -> dict[str, Any]:
        found: dict[str, Any] = self._hub.post(self._path(version, "order_status_query"), {"uuid": order})
        self._check(f"{version} status echoes the uuid", found["uuid"] == order)
        return found

    def _path(self, version: str, call: str) -> str:
        return f"/{self.service}/api/{version}/xmr2btc/{call}/"

    def _check(self, what: str, holds: bool) -> None:
        self.checks.append(Check(self.service, what, holds))
