"""Requests and orders that the dialects' tests read and write."""

from __future__ import annotations

import json
from typing import Any

from glasstumbler.dialects.base import Request
from glasstumbler.engine.commands import Account, OrderView, Sent
from glasstumbler.engine.order import Order, OutputState, PlannedOutput, State, Swap, Terms

KEY = "b4a1c3d2e5f60718"
ACCOUNT = Account("1", "test-secret-key")
BEARER = {"authorization": f"Bearer {KEY}"}
DEPOSIT = "bcrt1qpshndaszceaf2z8y04vzdtxjhy8qadqdqsugve"
PAYOUT = "bcrt1qk06mfqpdeju8u77sw77xx8ueslfhw37qqcc2gl"
OTHER = "bcrt1q0w4r67xf9x38xdrz4702y34njmm6tqlkg2ul3y"
SUBADDRESS = "75UETRgttqo4uDzAotVuXoJiG3ZrY5HEMAU3eJSictDEFVKnFYumthJSYM2Ji3XvVZ9azaD86WMtNNMUWMgLStzyKxWPfn7"
TXID = "0ea6f3a702a368ed09830d959f1c82b7d8f65f53a783965514380e123fc8ca4e"
CREATED = 1651740965  # 2022-05-05T08:56:05Z


def get(path: str, *query: tuple[str, str], headers: dict[str, str] | None = None) -> Request:
    return Request("GET", path, list(query), headers or {}, b"", "127.0.0.1")


def post(path: str, body: Any, headers: dict[str, str] | None = None) -> Request:
    """`body` as bytes or text stands as it is; anything else becomes JSON."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Request("POST", path, [], {"content-type": "application/json"} | (headers or {}), raw, "127.0.0.1")


def mix(state: State = State.AWAITING, **changes: Any) -> Order:
    """An order of a bearer mixer: document 2's createTransaction, on regtest."""
    fields: dict[str, Any] = {
        "number": 1,
        "service": "btcmix",
        "id": "JEVG1TKFP4L95EDX",
        "account": "1",
        "coin": "btc",
        "payout_coin": "btc",
        "state": state,
        "created": CREATED,
        "updated": CREATED,
        "expires": CREATED + 259200,
        "address": DEPOSIT,
        "terms": Terms(fee_ppm=20_000, per_output=5_000, quote=316_000, fee=16_000),
        "outputs": [
            PlannedOutput("mr9if7VDsVfEZ1qUo2u3trv6rU9eH7Yx4u", wanted=100_000, delay=3600),
            PlannedOutput("mia3h2FdYvR2LbDR1to9u6TC62hiTbDKM9", wanted=200_000, delay=3600),
        ],
        "fixed": True,
        "ref": "qljncygz",
    }
    return Order(**(fields | changes))


def code_order(state: State = State.AWAITING, **changes: Any) -> Order:
    """An order of the code mixer: document 1's order/create, on regtest."""
    outputs = [
        PlannedOutput(DEPOSIT, share=55, delay=33 * 60),
        PlannedOutput(PAYOUT, share=45, delay=0),
        PlannedOutput(OTHER, share=900, delay=121 * 60),
    ]
    terms = Terms(fee_ppm=10_001, per_output=20_000, minimum=500_000, maximum=12_345_600_000)
    fields = {"id": "K7M2P9Q4R1", "terms": terms, "outputs": outputs, "fixed": False, "ref": None}
    return mix(state, **(fields | {"code": "ZX81QW90KL", "letter": "TEST NETWORK"} | changes))


def swap(state: State = State.AWAITING, **changes: Any) -> Order:
    """An order of the swap: 0.1 BTC at document 5's price, on regtest and stagenet."""
    fields: dict[str, Any] = {
        "id": "xmrto-XCZEsu",
        "account": "",
        "coin": "xmr",
        "expires": CREATED + 900,
        "address": SUBADDRESS,
        "terms": Terms(quote=5_680_540_200_000, confirmations=1),
        "outputs": [PlannedOutput(PAYOUT)],
        "ref": None,
        "swap": Swap(price="0.01760396", amount=10_000_000),
        "extra": {"integrated_address": "5J", "payment_id_long": "00" * 32, "payment_id_short": "3efc91e28f0b969f"},
    }
    return mix(state, **(fields | changes))


def view(order: Order, *sent: Sent, later: int = 0, confirmations: int = -1) -> OrderView:
    return OrderView(order, CREATED + later, sent, confirmations)


def paid(order: Order, amount: int, confirmations: int = 0) -> OrderView:
    """The order as completed by one transaction."""
    order.outputs[0].amount, order.outputs[0].state = amount, OutputState.CONFIRMED
    return view(order, Sent(0, amount, TXID, confirmations), confirmations=3)
