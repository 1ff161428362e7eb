"""The five dialects: a whole HTTP request becomes a call, a plan, or a refusal in the service's own shape.

An input is a request as text: `METHOD /path?query`, headers, an empty line, the body. What the server's HTTP parser
does before (chunks, lengths) is not ours; tests/web/test_broken_http.py looks at it on a live server.
"""

from __future__ import annotations

import json
import random
from functools import partial
from urllib.parse import unquote

from fuzz.target import NOW, Target
from glasstumbler import payment_url
from glasstumbler import swap as swaps
from glasstumbler.chains.base import Format
from glasstumbler.chains.eth_format import EthFormat
from glasstumbler.chains.formats import FORMATS
from glasstumbler.dialects.base import Dialect, Request, Response
from glasstumbler.engine import commands as ask
from glasstumbler.engine import desk
from glasstumbler.engine.policy import Policy
from glasstumbler.errors import NotATestNetwork, Rejection
from glasstumbler.services import SERVICES
from glasstumbler.web.asgi import to_request

RATE = 700_000
FORMATS_BY_COIN: dict[str, Format] = {**FORMATS, "eth": EthFormat()}


def read_request(data: bytes) -> Request:
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, where = first.partition(b" ")
    path, _, query = where.partition(b"?")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope = {
        "method": method.decode("latin-1"),
        "path": unquote(path.decode("latin-1")),
        "query_string": query,
        "headers": headers,
    }
    return to_request(scope, body)


def run(dialect: Dialect, policy: Policy, data: bytes) -> None:
    request = read_request(data)
    try:
        answer = dialect.read(request)
        if isinstance(answer, ask.Call):
            assert answer.endpoint in dialect.endpoints
            assert dialect.read(request) == answer, "read twice, read otherwise"
            plan(answer.command, policy)
            return
    except (Rejection, NotATestNetwork) as error:
        answer = dialect.refuse(error, request)
        assert answer.status < 500, f"{error!r} is the client's fault"
    check_response(answer)


def check_response(answer: Response) -> None:
    assert 200 <= answer.status < 600
    kinds = [value for name, value in answer.headers if name == "content-type"]
    for name, value in answer.headers:
        assert name == name.lower()
        assert value.isprintable(), f"{name}: {value!r}"
        value.encode("latin-1")
    if kinds == ["application/json"]:
        json.loads(answer.body)


def plan(command: ask.Command, policy: Policy) -> None:
    """What a service does with a call before it touches the store."""
    swap = policy.swap
    match command:
        case ask.OpenMix():
            form = FORMATS_BY_COIN[command.coin]
            desk.plan_mix(command, policy, form.key, 10_000, form.dust, random.Random(1))
        case ask.OpenSwap(invoice=str(invoice)):
            assert swap is not None
            swaps.plan_lightning(swaps.read_invoice(invoice, NOW), invoice, swap, RATE)
        case ask.OpenSwap(payment_url=str(url)):
            payment_url.resolve(url, FORMATS["btc"], NOW)
        case ask.OpenSwap():
            assert swap is not None
            swaps.plan_on_chain(command, swap, RATE, FORMATS["btc"])
        case ask.CheckPrice():
            assert swap is not None
            swaps.quote(command.amount, command.currency, command.amount_field, swap, RATE)
        case ask.CheckRoute():
            swaps.read_invoice(command.invoice, NOW)
        case ask.CheckAddress():
            FORMATS_BY_COIN[command.coin].key(command.address)
        case _:
            pass


TARGETS = {
    slug: Target(partial(run, kind.dialect(kind.settings()), kind.policy), (), 8192) for slug, kind in SERVICES.items()
}
