"""`glasstumbler status`: how a laboratory is, told to a person or as JSON; of one that runs, or of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from glasstumbler.condition import Condition, of_record
from glasstumbler.errors import Unavailable
from glasstumbler.lock import running
from glasstumbler.vault import Vault

READY, NOT_READY, NOT_RUNNING = 0, 1, 3
"""Exit codes."""
_SECONDS = 10
_MINUTE, _HOUR, _DAY = 60, 3600, 24 * 3600


def of_server(url: str, token: str) -> Condition:
    """Unavailable if nothing answers there, or not as a hub does."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        reply = httpx.get(f"{url.rstrip('/')}/lab/v1/status", headers=headers, timeout=_SECONDS, trust_env=False)
        said = reply.json()
        if reply.status_code != httpx.codes.OK:
            raise Unavailable(f"{url}: {said['message']}")
        return msgspec.convert(said, Condition)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"nothing answers on {url}: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise Unavailable(f"what answers on {url} is no hub of Glass Tumbler") from None


def look(data: Path, store: str | None, url: str | None, token: str) -> tuple[str, Condition]:
    """Where it is, and how it is. With a URL only the server is asked, and the folder plays no part."""
    if url is not None:
        return url, of_server(url, token)
    vault, hub = Vault.of_folder(data, make=False), running(data)
    record = store or data / "record.db"
    if hub:
        try:
            return hub, of_server(hub, vault.lab_token)
        except Unavailable as error:
            return hub, msgspec.structs.replace(of_record(record), running=True, not_ready=(str(error),))
    found = of_record(record)
    if hub is not None:
        found = msgspec.structs.replace(found, running=True, not_ready=("starting",))
    return str(data), found


def code(now: Condition) -> int:
    if not now.running:
        return NOT_RUNNING
    return NOT_READY if now.not_ready else READY


def lines(where: str, now: Condition) -> Iterator[str]:
    """For a person."""
    if not now.running:
        yield f"not running: nothing serves {where}; its record stands as follows"
    else:
        state = "ready" if not now.not_ready else f"NOT READY ({'; '.join(now.not_ready)})"
        up = "" if now.uptime is None else f", up {_span(now.uptime)}"
        yield f"running, {state}: Glass Tumbler {now.version} on {where}{up}"
    for chain in now.chains:
        height = chain.recorded if chain.height is None else chain.height
        behind = f", the record is {chain.lag} behind" if chain.lag else ""
        away = f", {chain.away}" if chain.away else ""
        yield f"chain     {chain.coin}: block {height}{behind}{away}"
    for service, states in sorted(now.orders.items()):
        yield f"orders    {service}: {', '.join(f'{number} {state}' for state, number in sorted(states.items()))}"
    if not now.orders:
        yield "orders    none"
    for coin, number in sorted(now.payouts.items()):
        yield f"payments  {coin}: {number} not settled"
    yield f"due       {f'late by {_span(now.due_lag)}' if now.due_lag else 'nothing is late'}"
    if now.queue is not None:
        turned = "never" if now.since_turn is None else f"{_span(int(now.since_turn))} ago"
        yield f"work      {now.queue} units wait for the store; the last turn ended {turned}"
    yield f"record    {now.entries} entries, the last one's hash {now.head}; `glasstumbler audit` checks them"


def _span(seconds: int) -> str:
    for name, size, inner, below in (("d", _DAY, "h", _HOUR), ("h", _HOUR, "min", _MINUTE), ("min", _MINUTE, "s", 1)):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // below} {inner}"
    return f"{seconds} s"
