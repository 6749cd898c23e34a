"""The registry that /metrics exports: that of a single process, or the sums over all workers.

Workers keep their counters in shared files (prometheus-client's multiprocess mode), so that a sum never decreases,
whichever worker is scraped and whichever has exited.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.observability.money import MoneyCollector
from breakeven.gateway.observability.server import ServerMetrics
from breakeven.gateway.observability.state import UpstreamCollector
from breakeven.gateway.upstreams.upstream import Upstream

_PUBLISH_SECONDS = 0.25
# A scrape is answered within a second, whatever the database does.
_PATIENCE_SECONDS = 0.5
# The ledger's metrics that each worker has of its own; the others are the same in all of them.
_PER_PROCESS = (
    "breakeven_ledger_pending",
    "breakeven_ledger_write_failures",
    "breakeven_ledger_up",
    "breakeven_ledger_remade",
)


def shared_by_workers() -> bool:
    """Whether this process is one of several workers that share their counters."""
    return _shared_folder() is not None


def _shared_folder() -> Path | None:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return None if folder is None else Path(folder)


def exported_registry(
    registry: CollectorRegistry, upstreams: Mapping[str, Upstream], ledger: Ledger
) -> CollectorRegistry:
    """The registry to export, for a process whose own metrics are in `registry`.

    `upstreams` is read at each scrape, so that later changes of the mapping are exported.
    """
    folder = _shared_folder()
    money = MoneyCollector(ledger, patience_seconds=_PATIENCE_SECONDS, folder=folder)
    if folder is None:
        registry.register(UpstreamCollector(upstreams))
        registry.register(money)
        return registry
    combined = CollectorRegistry()
    combined.register(_WorkersCollector(None))  # type: ignore[no-untyped-call]
    combined.register(_FilteredCollector(money, _PER_PROCESS))
    return combined


class Publisher:
    """Publishes the state of a worker as gauges in the shared files, so that any worker can export the sums."""

    def __init__(
        self, registry: CollectorRegistry, upstreams: Mapping[str, Upstream], ledger: Ledger, server: ServerMetrics
    ) -> None:
        self._server = server
        self._upstreams = upstreams
        self._ledger = ledger
        self._in_flight = Gauge(
            "breakeven_in_flight",
            "Attempts running at this upstream now.",
            ["upstream"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._circuit = Gauge(
            "breakeven_circuit_open",
            "1 while the upstream's circuit breaker is open after failures, 0 while it is closed.",
            ["upstream"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._pending = Gauge(
            "breakeven_ledger_pending",
            "Settled requests of the workers that are not in the database yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._failures = Counter(
            "breakeven_ledger_write_failures",
            "Failed writes to the database or the journal; they are retried.",
            registry=registry,
        )
        self._failed = 0
        self._up = Gauge(
            "breakeven_ledger_up",
            "0 while a worker cannot use the ledger's database: requests are answered and kept in the journal.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._remade = Counter(
            "breakeven_ledger_remade",
            "Times that the journal's folder or the file of a SQLite ledger was gone or replaced, and made again.",
            registry=registry,
        )
        self._made_again = 0

    def publish(self) -> None:
        """Write the current state to the shared files."""
        for label, upstream in tuple(self._upstreams.items()):
            self._in_flight.labels(label).set(upstream.in_flight)
            self._circuit.labels(label).set(int(upstream.breaker.open))
        self._server.read()
        self._pending.set(self._ledger.pending)
        failed = self._ledger.write_failures
        self._failures.inc(failed - self._failed)
        self._failed = failed
        self._up.set(int(self._ledger.away is None))
        remade = self._ledger.remade
        self._remade.inc(remade - self._made_again)
        self._made_again = remade

    async def run(self) -> None:
        """Publish four times a second until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(_PUBLISH_SECONDS)


class _WorkersCollector(MultiProcessCollector):
    """The library's collector, which raises an error for a file that a worker has created and not yet filled."""

    def collect(self) -> Iterator[Metric]:
        files = [str(file) for file in Path(self._path).glob("*.db") if _size(file)]
        merged: Iterator[Metric] = iter(self.merge(files))  # type: ignore[no-untyped-call]
        return merged


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


class _FilteredCollector(Collector):
    """Another collector without the metric families of some names."""

    def __init__(self, collector: Collector, names: tuple[str, ...]) -> None:
        self._collector = collector
        self._names = names

    def collect(self) -> Iterator[Metric]:
        return (family for family in self._collector.collect() if family.name not in self._names)
