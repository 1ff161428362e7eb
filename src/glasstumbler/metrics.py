"""What the laboratory counts of itself while it works, for Prometheus.

Labels are service, endpoint (its name in the dialect's table, never a path), class of status, coin and reason: few and
known beforehand. No order, address, key or peer is ever a label.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Of one house. `turned` is the monotonic time at which the last turn came to rest."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Histogram(
            "glasstumbler_request_seconds",
            "From the whole request to the answer",
            ("service", "endpoint", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._by_request: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._turns = Histogram(
            "glasstumbler_turn_seconds", "Turns of the house", buckets=_SECONDS, registry=self.registry
        )
        self._groups = Histogram(
            "glasstumbler_commit_units", "Units of work in one commit", buckets=_UNITS, registry=self.registry
        )
        self._errors = Counter(
            "glasstumbler_errors_total", "What nobody expected; the log says more", ("where",), registry=self.registry
        )
        self._dropped = Counter(
            "glasstumbler_connections_dropped_total", "Closed from this side", ("why",), registry=self.registry
        )
        self.connections = Gauge("glasstumbler_connections", "Open now", registry=self.registry)
        self.in_flight = Gauge("glasstumbler_requests_in_flight", "Being worked on now", registry=self.registry)
        self.turned: float | None = None

    def request(self, service: str, endpoint: str, status: int, seconds: float) -> None:
        key = (service, endpoint, status // 100)
        observe = self._by_request.get(key)
        if observe is None:
            labels = (service, endpoint, f"{status // 100}xx")
            observe = self._by_request[key] = self._requests.labels(*labels).observe
        observe(seconds)

    def group(self, units: int) -> None:
        self._groups.observe(units)

    def error(self, where: str) -> None:
        self._errors.labels(where).inc()

    def dropped(self, why: str) -> None:
        self._dropped.labels(why).inc()

    @contextmanager
    def turning(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._turns.observe(time.perf_counter() - started)
        self.turned = time.monotonic()

    def text(self, now: Iterable[Metric] = ()) -> bytes:
        """Everything counted, and beside it what was looked at just now."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Fixed(now))
        return generate_latest(self.registry) + generate_latest(registry)


class _Fixed(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found
