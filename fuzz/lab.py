"""Bodies of the lab API: read into what a call wants, or refused."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from fuzz.target import Target, split
from glasstumbler.behaviour import Behaviour
from glasstumbler.errors import Rejection
from glasstumbler.web import lab_api

KINDS = (
    lab_api.Pay,
    lab_api.Mine,
    lab_api.Reorg,
    lab_api.Address,
    lab_api.Invoice,
    lab_api.Price,
    lab_api.Advance,
    Behaviour,
)


def run_lab(data: bytes) -> None:
    way, rest = split(data)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": rest}

    request = Request({"type": "http", "headers": []}, receive)
    reading = lab_api._body(request, KINDS[way % len(KINDS)])
    try:
        reading.send(None)
    except StopIteration as done:
        wanted = done.value
    else:
        raise AssertionError("it waits for more than there is")
    for field in ("amount", "xmr_btc"):
        if hasattr(wanted, field):
            assert lab_api._amount(getattr(wanted, field), "btc", field) > 0


TARGETS = {"lab": Target(run_lab, (Rejection,), 1500)}
