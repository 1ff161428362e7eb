"""What a client reads: the reply to any of its calls, from whoever sent it.

The first byte chooses the call, the second the HTTP status; the rest is the body. A signature keeps random bodies out,
so with the first byte's highest bit a body that is an object is signed before it is read.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from fuzz.target import Target, split
from glasstumbler.client import (
    BearerCalls,
    Call,
    ClientError,
    CodeCalls,
    Exact,
    LabCalls,
    Reply,
    Share,
    SwapV2Calls,
    SwapV3Calls,
)
from glasstumbler.dialects import php

SECRET, ID, TO = "test-secret-key", "JEVG1TKFP4L95EDX", "mr9if7VDsVfEZ1qUo2u3trv6rU9eH7Yx4u"
UUID = "xmrto-VkT2yM"
BEARER, CODES, V2, V3, LAB = BearerCalls("key", SECRET), CodeCalls("key"), SwapV2Calls(), SwapV3Calls(), LabCalls()
CALLS: tuple[Call[object], ...] = (
    BEARER.status(),
    BEARER.validate_address(TO),
    BEARER.create_transaction({TO: "0.001"}, 1),
    BEARER.transactions(),
    BEARER.transaction(ID),
    CODES.code_info("A"),
    CODES.fee_info(),
    CODES.order_create("btc", 2, [Share(TO, 100)]),
    CODES.order_create_fixed("btc", 2, [Exact(TO, "0.1")]),
    CODES.order_info("A"),
    V2.order_parameter_query(),
    V2.order_create(TO, 1),
    V2.order_status_query(UUID),
    V2.order_check_price(1),
    V3.order_parameter_query(),
    V3.order_create(TO, 1),
    V3.order_status_query(UUID),
    V3.order_check_price(1),
    V3.order_ln_check_route("lnbcrt1"),
    V3.gen_qrcode(TO),
    V3.status_page(UUID),
    LAB.chains(),
    LAB.pay(TO, 1),
    LAB.behave("whir"),
    LAB.order("whir", ID),
)
STATUS = (200, 201, 400, 404, 503)
SIGN = 128


def run_reply(data: bytes) -> None:
    way, rest = split(data)
    place, body = split(rest)
    if way >= SIGN:
        body = _signed(body)
    reply = Reply(STATUS[place % len(STATUS)], {"content-type": "text/html", "retry-after": "5"}, body)
    call = CALLS[way % SIGN % len(CALLS)]
    assert call.read(reply) == call.read(reply), "read twice, read otherwise"


def _signed(body: bytes) -> bytes:
    """As a service would sign it, if it can be."""
    try:
        fields = msgspec.json.Decoder(dict[str, object], float_hook=Decimal).decode(body)
        return msgspec.json.Encoder(decimal_format="number").encode(fields | {"signature": php.sign(fields, SECRET)})
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        return body


TARGETS = {"reply": Target(run_reply, (ClientError,), 4096)}
