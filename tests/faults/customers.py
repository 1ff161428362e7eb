"""Customers of the five services: how each dialect is asked for an order, and what its replies promise."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from glasstumbler.chains import bolt11
from glasstumbler.chains.eth_format import EthFormat
from glasstumbler.chains.formats import FORMATS
from glasstumbler.chains.keys import KeyRing
from glasstumbler.money import text
from tests.faults.history import History
from tests.faults.wire import Refused, Unknown, Wire

BEARERS = ("btcmix", "coinjoin", "whir")
YEAR = 366 * 24 * 3600


@dataclass
class Promise:
    """An order as it was acknowledged. `outputs`: (coin, address) -> the amount that is to be paid in whole coins, None
    where it follows from the deposit. `invoice`: payment hash of a Lightning order. `terms`: whatever the replies have
    said of the order that must never change. The swap tells address and amount only when it is asked for the order."""

    service: str
    order: str
    coin: str
    address: str | None
    need: Decimal | None
    outputs: dict[tuple[str, str], Decimal | None]
    terms: dict[str, Any] = field(default_factory=dict)
    invoice: str | None = None

    @property
    def name(self) -> tuple[str, str]:
        return self.service, self.order


@dataclass
class Look:
    """What a service says of an order now."""

    address: str
    need: Decimal | None
    terms: dict[str, Any]
    done: bool
    failed: bool
    amounts: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """What each output is paid, where the service says it."""


class Customers:
    """Addresses are the customers' own, each used once. `keys`: API keys by service."""

    def __init__(self, wire: Wire, history: History, keys: Mapping[str, str], seed: str) -> None:
        self._wire, self._history, self._keys = wire, history, keys
        self._ring = KeyRing(seed.encode().ljust(32, b".")[:32])
        self._next = 0

    def address(self, coin: str) -> str:
        self._next += 1
        form, kind = (
            (EthFormat(), "account") if coin == "eth" else (FORMATS[coin], "p2pkh" if coin == "bch" else "p2wpkh")
        )
        return form.address(form.own_key(kind, self._ring.secret(coin, "customers", "lab", self._next)))

    def create(self, client: str, chance: random.Random) -> Promise | None:
        """An order at a service drawn by `chance`; None if it was not acknowledged."""
        make = chance.choices([kind[0] for kind in KINDS], [kind[1] for kind in KINDS])[0]
        return make(self, client, chance)

    def look(self, promise: Promise) -> Look | None:
        """Ask for an order; None if the service does not know it. Unknown if it could not be asked."""
        look = _bearer_look if promise.service in BEARERS else _LOOKS[promise.service]
        try:
            return look(self, promise)
        except Refused as error:
            if error.status is None:
                raise Unknown(str(error)) from None
            return None

    # -- documents 2, 3 and 4 -----------------------------------------------------------------------------------------

    def _bearer(self, client: str, chance: random.Random) -> Promise | None:
        slug = chance.choice(BEARERS)
        amounts = [_btc(chance) for _ in range(chance.randint(1, 3))]
        payouts = {self.address("btc"): str(amount) for amount in amounts}
        body = {"delay": str(chance.randint(0, 3)), "payouts": payouts}
        with self._history.op(client, "create", service=slug, **body) as op:
            made = self._wire.post(f"/{slug}/api/createTransaction", body, self._bearing(slug))
            outputs = {("btc", address): Decimal(amount) for address, amount in payouts.items()}
            terms = {"address": made["depositAddress"], "payouts": payouts, "delay": made["delay"], "fee": made["fee"]}
            promise = Promise(
                slug, made["id"], "btc", made["depositAddress"], Decimal(made["depositAmount"]), dict(outputs), terms
            )
            op.ok(promise=promise)
            return promise
        return None

    def _bearing(self, slug: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._keys[slug]}"}

    # -- document 1 ---------------------------------------------------------------------------------------------------

    def _shares(self, client: str, chance: random.Random) -> Promise | None:
        coin = chance.choice(("btc", "bch", "ltc", "eth"))
        shares = ["100"] if chance.random() < 0.5 else ["37.5", "62.5"]
        outputs = [{"address": self.address(coin), "percent": s, "delay": chance.randint(0, 150)} for s in shares]
        return self._codes(client, "create", coin, outputs)

    def _exact(self, client: str, chance: random.Random) -> Promise | None:
        coin = chance.choice(("btc", "bch", "ltc", "eth"))
        unit = Decimal("0.1") if coin in ("ltc", "eth") else Decimal("0.01")
        outputs = [
            {"address": self.address(coin), "amount": str(unit * chance.randint(1, 9)), "delay": chance.randint(0, 150)}
            for _ in range(chance.randint(1, 3))
        ]
        return self._codes(client, "create_fixed", coin, outputs)

    def _codes(self, client: str, call: str, coin: str, outputs: list[dict[str, Any]]) -> Promise | None:
        body = {"api_key": self._keys["bestmixer"], "coin": coin, "fee": "4.5", "output": outputs}
        what = {name: value for name, value in body.items() if name != "api_key"}
        with self._history.op(client, "create", service="bestmixer", **what) as op:
            made = self._ask_codes(f"order/{call}", body)
            promise = Promise(
                "bestmixer",
                made["order_id"],
                coin,
                made["input_address"],
                Decimal(made.get("exactly_amount", Decimal(made.get("min_amount", 0)) * 2)),
                {(coin, out["address"]): Decimal(out["amount"]) if "amount" in out else None for out in outputs},
                {"address": made["input_address"], "outputs": [_asked(out) for out in outputs]},
            )
            op.ok(promise=promise)
            return promise
        return None

    def _ask_codes(self, call: str, body: dict[str, Any]) -> Any:
        reply = self._wire.post(f"/bestmixer/api/ext/{call}", body)
        if (error := reply["error"]) is not None:
            if error == "Service is temporarily unavailable":  # this dialect says so with status 200
                raise Unknown(error)
            raise Refused(error, 200)
        return reply["data"]

    # -- document 5 ---------------------------------------------------------------------------------------------------

    def _swap(self, client: str, chance: random.Random) -> Promise | None:
        version = chance.choice(("v2", "v3"))
        target, amount = self.address("btc"), _btc(chance)
        asked = {"btc_amount": str(amount)} if version == "v2" else {"amount": str(amount), "amount_currency": "BTC"}
        body = {"btc_dest_address": target, **asked}
        with self._history.op(client, "create", service="xmrto", version=version, **body) as op:
            made = self._wire.post(f"/xmrto/api/{version}/xmr2btc/order_create/", body)
            terms = {"target": made["btc_dest_address"], "amount": Decimal(made["btc_amount"])}
            promise = Promise("xmrto", made["uuid"], "xmr", None, None, {("btc", target): amount}, terms)
            op.ok(promise=promise)
            return promise
        return None

    def _lightning(self, client: str, chance: random.Random) -> Promise | None:
        invoice = None
        with self._history.op(client, "invoice") as op:
            asked = {"amount": "0.0002", "expiry": YEAR}
            invoice = self._wire.post("/lab/v1/lightning/invoice", asked)["ln_invoice"]
            op.ok(invoice=invoice)
        if invoice is None:
            return None
        with self._history.op(client, "create", service="xmrto", invoice=invoice) as op:
            made = self._wire.post("/xmrto/api/v3/xmr2btc/order_create_ln/", {"ln_invoice": invoice})
            terms = {"target": made["btc_dest_address"], "amount": Decimal(made["btc_amount"])}
            hashed = bolt11.decode(invoice).payment_hash.hex()
            promise = Promise("xmrto", made["uuid"], "xmr", None, None, {}, terms, hashed)
            op.ok(promise=promise)
            return promise
        return None


def _btc(chance: random.Random) -> Decimal:
    return Decimal(text(chance.randint(200_000, 2_000_000), "btc"))


def _asked(output: Mapping[str, Any]) -> list[str]:
    share = output.get("percent")
    return [output["address"], *([] if share is None else [f"{Decimal(share):.1f}"])]


def _bearer_look(ask: Customers, promise: Promise) -> Look:
    slug = promise.service
    now = ask._wire.get(f"/{slug}/api/transaction/{promise.order}", ask._bearing(slug))
    terms = {name: now[key] for name, key in _BEARER_TERMS.items()}
    return Look(now["depositAddress"], promise.need, terms, now["status"] == "complete", now["status"] == "expired")


_BEARER_TERMS = {"address": "depositAddress", "payouts": "payouts", "delay": "delay", "fee": "fee"}


def _codes_look(ask: Customers, promise: Promise) -> Look:
    now = ask._ask_codes("order/info", {"api_key": ask._keys["bestmixer"], "order_id": promise.order})
    terms = {"address": now["input_address"], "outputs": [_asked(out) for out in now["output"]]}
    amounts = {(now["coin"], out["address"]): Decimal(out["amount"]) for out in now["output"]}
    status = now["status"]
    return Look(
        now["input_address"], promise.need, terms, status == "Completed", status in ("Expired", "Failed"), amounts
    )


def _swap_look(ask: Customers, promise: Promise) -> Look:
    now = ask._wire.post("/xmrto/api/v3/xmr2btc/order_status_query/", {"uuid": promise.order})
    address, total = now["receiving_subaddress"], Decimal(now["incoming_amount_total"])
    terms = {"target": now["btc_dest_address"], "amount": Decimal(now["btc_amount"])}
    terms |= {"address": address, "total": total}
    state = now["state"]
    return Look(address, total, terms, state == "BTC_SENT", state in ("TIMED_OUT", "PAYMENT_FAILED"))


_LOOKS: dict[str, Callable[[Customers, Promise], Look]] = {"bestmixer": _codes_look, "xmrto": _swap_look}
KINDS: tuple[tuple[Callable[[Customers, str, random.Random], Promise | None], int], ...] = (
    (Customers._bearer, 4),
    (Customers._shares, 2),
    (Customers._exact, 2),
    (Customers._swap, 2),
    (Customers._lightning, 1),
)
"""Ways to ask for an order, and how often each is drawn."""
