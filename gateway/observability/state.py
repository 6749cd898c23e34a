"""State of the upstreams and the policy in force as Prometheus metrics, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Policy


class UpstreamCollector(Collector):
    """Requests in flight and circuit breaker state of the upstreams, read at each scrape."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams

    def collect(self) -> Iterable[Metric]:
        in_flight = GaugeMetricFamily(
            "breakeven_in_flight",
            "Attempts running at this upstream now.",
            labels=["upstream"],
        )
        circuit = GaugeMetricFamily(
            "breakeven_circuit_open",
            "1 while the upstream's circuit breaker is open after failures, 0 while it is closed.",
            labels=["upstream"],
        )
        for label, upstream in tuple(self._upstreams.items()):
            in_flight.add_metric([label], upstream.in_flight)
            circuit.add_metric([label], int(upstream.breaker.open))
        return (in_flight, circuit)


class PolicyCollector(Collector):
    """The novelty threshold in force, read at each scrape; those of the scores are each workload's (`road`)."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy

    def collect(self) -> Iterable[Metric]:
        novelty = GaugeMetricFamily(
            "breakeven_novelty_threshold", "Requests with a novelty at or above it go to the teacher; 1: none."
        )
        novelty.add_metric([], self._policy().novelty_threshold)
        return (novelty,)
