"""What /metrics shows: one process's own registry, or the sums over all workers.

Workers write their counters to files that they share (prometheus-client's multiprocess mode), so that a sum
never goes backwards, whichever worker is scraped and whichever has died.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.observability.metrics import UpstreamCollector
from breakeven.gateway.observability.money import MoneyCollector
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route

_PUBLISH_SECONDS = 0.25
# What belongs to one process in the ledger's metrics; the rest is the same for all of them.
_OF_A_PROCESS = ("breakeven_ledger_pending", "breakeven_ledger_write_failures")


def shared_by_workers() -> bool:
    """Whether this process is one of several that share their counters."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def exposed(registry: CollectorRegistry, upstreams: Mapping[Route, Upstream], ledger: Ledger) -> CollectorRegistry:
    """The registry to export, for a process whose own metrics are in `registry`."""
    money = MoneyCollector(ledger)
    if not shared_by_workers():
        registry.register(UpstreamCollector(upstreams))
        registry.register(money)
        return registry
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    together.register(_Without(money, _OF_A_PROCESS))
    return together


class Publisher:
    """Keeps a worker's state where the others can sum it up."""

    def __init__(self, registry: CollectorRegistry, upstreams: Mapping[Route, Upstream], ledger: Ledger) -> None:
        self._upstreams = upstreams
        self._ledger = ledger
        self._in_flight = Gauge(
            "breakeven_in_flight",
            "Attempts now running at this upstream.",
            ["upstream"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._circuit = Gauge(
            "breakeven_circuit_open",
            "1 while the upstream is left alone after failures, 0 while it is used.",
            ["upstream"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._pending = Gauge(
            "breakeven_ledger_pending",
            "Settled requests of the workers that are not yet in the database.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._failures = Counter(
            "breakeven_ledger_write_failures",
            "Writes that the database or the journal refused; they are retried.",
            registry=registry,
        )
        self._failed = 0

    def publish(self) -> None:
        """Write what holds now."""
        for route, upstream in self._upstreams.items():
            self._in_flight.labels(route).set(upstream.in_flight)
            self._circuit.labels(route).set(int(upstream.breaker.open))
        self._pending.set(self._ledger.pending)
        failed = self._ledger.write_failures
        self._failures.inc(failed - self._failed)
        self._failed = failed

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(_PUBLISH_SECONDS)


class _Without(Collector):
    """A collector but for the families of these names."""

    def __init__(self, collector: Collector, names: tuple[str, ...]) -> None:
        self._collector = collector
        self._names = names

    def collect(self) -> Iterator[Metric]:
        return (family for family in self._collector.collect() if family.name not in self._names)
