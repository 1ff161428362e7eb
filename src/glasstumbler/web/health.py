"""Is it alive, is it ready, what does it count: /healthz, /readyz, /metrics and /lab/v1/status of the hub."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response

from glasstumbler import condition
from glasstumbler.condition import Condition
from glasstumbler.errors import GlassTumblerError
from glasstumbler.house import House
from glasstumbler.metrics import CONTENT_TYPE

_STORE_SECONDS = 2
"""In which the store has to take a change."""
_FRESH_SECONDS = 1.0
"""Two looks within this time count the record once."""
_encode = msgspec.json.Encoder().encode


def _json(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status, media_type="application/json", headers={"cache-control": "no-store"})


async def healthz(request: Request) -> Response:
    """The event loop answers."""
    return _json({"alive": True})


async def starting(request: Request) -> Response:
    return readiness(("starting",))


def readiness(missing: tuple[str, ...]) -> Response:
    return _json({"ready": not missing, "not_ready": missing}, 503 if missing else 200)


class Health:
    """Of a started house. `turning`: whether it turns by itself."""

    def __init__(self, house: House, turning: bool) -> None:
        self._house, self._turning = house, turning
        self._began = time.monotonic()
        self._seen: tuple[float, Condition] | None = None

    async def readyz(self, request: Request) -> Response:
        try:
            missing = (await self._look()).not_ready
        except GlassTumblerError as error:
            missing = (f"the store cannot be read: {error}",)
        return readiness(missing + await self._unwritable())

    async def metrics(self, request: Request) -> Response:
        now = await self._look()
        body = await asyncio.to_thread(self._house.metrics.text, list(_families(now)))
        return Response(body, headers={"content-type": CONTENT_TYPE})

    async def status(self, request: Request) -> Condition:
        now = await self._look()
        return msgspec.structs.replace(now, not_ready=now.not_ready + await self._unwritable())

    async def _look(self) -> Condition:
        if self._seen is None or time.monotonic() - self._seen[0] > _FRESH_SECONDS:
            found = await asyncio.to_thread(condition.of_house, self._house, self._began, self._turning)
            self._seen = (time.monotonic(), found)
        return self._seen[1]

    async def _unwritable(self) -> tuple[str, ...]:
        """A unit of work that changes nothing goes the writer's whole way, but not to the disk."""
        try:
            await asyncio.wait_for(self._house.store.write_soon(lambda records: None), _STORE_SECONDS)
        except TimeoutError:
            return ("the store takes no change",)
        except GlassTumblerError as error:
            return (str(error),)
        return ()


def _families(now: Condition) -> Iterator[Metric]:
    orders = GaugeMetricFamily("glasstumbler_orders", "Orders", labels=("service", "state"))
    for service, states in now.orders.items():
        for state, number in states.items():
            orders.add_metric((service, state), number)
    yield orders
    payouts = GaugeMetricFamily("glasstumbler_payments_open", "Payments that are not settled", labels=("coin",))
    for coin, number in now.payouts.items():
        payouts.add_metric((coin,), number)
    yield payouts
    height = GaugeMetricFamily("glasstumbler_chain_height", "Blocks of the chain", labels=("coin",))
    lag = GaugeMetricFamily("glasstumbler_chain_lag_blocks", "Blocks that the record lacks", labels=("coin",))
    up = GaugeMetricFamily("glasstumbler_chain_up", "Whether its node answers", labels=("coin",))
    for chain in now.chains:
        up.add_metric((chain.coin,), chain.away is None)
        height.add_metric((chain.coin,), chain.height or 0)
        lag.add_metric((chain.coin,), chain.lag)
    yield from (up, height, lag)
    yield GaugeMetricFamily("glasstumbler_due_lag_seconds", "Since something should have been done", now.due_lag)
    yield GaugeMetricFamily("glasstumbler_store_queue", "Units of work waiting for the writer", now.queue or 0)
    yield GaugeMetricFamily("glasstumbler_record_entries", "Entries of the record", now.entries)
    yield GaugeMetricFamily("glasstumbler_uptime_seconds", "Since it was opened", now.uptime or 0)
    if now.since_turn is not None:
        yield GaugeMetricFamily("glasstumbler_since_turn_seconds", "Since a turn came to rest", now.since_turn)
