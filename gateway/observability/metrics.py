"""Prometheus metrics of this process: what happened, how long it took, what is in flight.

Money and tokens come from the ledger instead (`money_metrics.py`), so that they survive a restart. Labels
are enums; nothing that a client sends becomes a label.
"""

from __future__ import annotations

import asyncio
import functools
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from breakeven.gateway.accounting.record import Outcome, RequestRecord, ShadowResult
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Policy, Route

_SHARES = tuple(i / 20 for i in range(1, 21))
_FAST = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_SLOW = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)


class _Tally:
    """Counts what a histogram observes until it is flushed; the histogram's own locks and steps cost ten times that."""

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._any = False

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value
        self._any = True

    def flush(self) -> None:
        if not self._any:
            return
        self._any = False
        self._histogram._sum.inc(self._sum)
        for bucket, count in zip(self._histogram._buckets, self._counts, strict=True):
            if count:
                bucket.inc(count)
        self._counts = [0] * len(self._counts)
        self._sum = 0.0


class Metrics:
    """What the settled records add up to since this process started.

    Settling counts in plain numbers; `flush` brings them to the library's metrics. Both belong to the event loop's
    thread.
    """

    def __init__(self, registry: CollectorRegistry, *, at_once: bool = False) -> None:
        """`at_once`: flush before the event loop waits again, for a worker whose numbers others read, and must have
        when it dies.
        """
        self._at_once = at_once
        self._flushing = False
        self.requests = Counter(
            "breakeven_requests_total",
            "Requests settled by this process. The route is the one that answered.",
            ["endpoint", "route", "reason", "outcome"],
            registry=registry,
        )
        self.attempts = Counter(
            "breakeven_attempts_total",
            "Calls to an upstream by this process; a request has one or more and each is paid for.",
            ["upstream", "outcome"],
            registry=registry,
        )
        self.usage_missing = Counter(
            "breakeven_usage_missing_total",
            "Attempts that reached the upstream and have no complete token counts; their cost is only estimated.",
            ["upstream"],
            registry=registry,
        )
        self.score = Histogram(
            "breakeven_score",
            "Estimated probability that the student's answer is worse than the teacher's.",
            buckets=_SHARES,
            registry=registry,
        )
        self.novelty = Histogram(
            "breakeven_novelty",
            "Distance from what the student was distilled on, as a quantile of the reference set.",
            buckets=_SHARES,
            registry=registry,
        )
        self.router = Histogram(
            "breakeven_router_seconds", "Time that a routing decision took.", buckets=_FAST, registry=registry
        )
        self.overhead = Histogram(
            "breakeven_overhead_seconds",
            "Time that the gateway itself took before the first attempt was sent.",
            buckets=_FAST,
            registry=registry,
        )
        self.probe = Histogram(
            "breakeven_probe_seconds",
            "Time that the start of the student's answer was held back to be judged: what escalation adds to the first "
            "event.",
            buckets=_SLOW,
            registry=registry,
        )
        self.first_event = Histogram(
            "breakeven_first_event_seconds",
            "From an attempt's start to the first event or body byte of its answer.",
            ["upstream"],
            buckets=_SLOW,
            registry=registry,
        )
        self.seconds = Histogram(
            "breakeven_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_SLOW,
            registry=registry,
        )
        self.reload_successful = Gauge(
            "breakeven_config_last_reload_successful",
            "1 when the config that was read last is in force, 0 when it was wrong and the one before stays.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.reload_successful.set(1)
        self.tasks = Gauge(
            "breakeven_tasks",
            "Tasks of the event loop, running requests among them; at rest a handful, and always the same.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.shadow = Counter(
            "breakeven_shadow_total",
            "Student answers that were drawn to be put to the teacher too, by what became of them.",
            ["result"],
            registry=registry,
        )
        self.feedback = Counter(
            "breakeven_feedback_total",
            "Verdicts of users on answers, by the upstream that gave the answer.",
            ["route"],
            registry=registry,
        )
        for result in ShadowResult:
            self.shadow.labels(result)
        for route in Route:
            self.feedback.labels(route)
            self.usage_missing.labels(route)
            self.attempts.labels(route, Outcome.OK)
        # The library's `labels` costs more than the counting: its children are kept at hand. All are enums, so few.
        self._requests_of = functools.cache(self.requests.labels)
        self._attempts_of = functools.cache(self.attempts.labels)
        self._requests: Counts[tuple[str, ...]] = Counts()
        self._attempts: Counts[tuple[str, ...]] = Counts()
        self._score = _Tally(self.score, _SHARES)
        self._novelty = _Tally(self.novelty, _SHARES)
        self._router = _Tally(self.router, _FAST)
        self._overhead = _Tally(self.overhead, _FAST)
        self._probe = _Tally(self.probe, _SLOW)
        self._first_event = {route: _Tally(self.first_event.labels(route), _SLOW) for route in Route}
        self._seconds = {route: _Tally(self.seconds.labels(route), _SLOW) for route in Route}

    def settle(self, record: RequestRecord) -> None:
        """Count one settled request and its attempts."""
        self._requests[record.endpoint, record.route or "none", record.reason or "none", record.outcome] += 1
        for attempt in record.attempts:
            if attempt.first_event_seconds is not None:
                self._first_event[attempt.upstream].observe(attempt.first_event_seconds)
        if record.score is not None:
            self._score.observe(record.score)
        if record.novelty is not None:
            self._novelty.observe(record.novelty)
        if record.router_seconds is not None:
            self._router.observe(record.router_seconds)
        if record.probe_seconds is not None:
            self._probe.observe(record.probe_seconds)
        if record.overhead_seconds is not None:
            self._overhead.observe(record.overhead_seconds)
        if record.route is not None:
            self._seconds[record.route].observe(record.seconds)
        self.attempted(record)

    def flush(self) -> None:
        """Bring what was counted to where it is read."""
        self._flushing = False
        for counts, child in ((self._requests, self._requests_of), (self._attempts, self._attempts_of)):
            for labels, count in counts.items():
                child(*labels).inc(count)
            counts.clear()
        tallies = (self._score, self._novelty, self._router, self._overhead, self._probe)
        for tally in (*tallies, *self._first_event.values(), *self._seconds.values()):
            tally.flush()

    def attempted(self, record: RequestRecord) -> None:
        """Count the calls of a record: all that there is of one that no client asked for."""
        for attempt in record.attempts:
            self._attempts[attempt.upstream, attempt.outcome] += 1
            if attempt.usage_missing:
                self.usage_missing.labels(attempt.upstream).inc()
        if self._at_once and not self._flushing:
            # Requests that end in one turn of the loop share the cost: the library locks and packs each number.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)


class UpstreamCollector(Collector):
    """State of the upstreams, read at the scrape."""

    def __init__(self, upstreams: Mapping[Route, Upstream]) -> None:
        self._upstreams = upstreams

    def collect(self) -> Iterable[Metric]:
        in_flight = GaugeMetricFamily(
            "breakeven_in_flight", "Attempts now running at this upstream.", labels=["upstream"]
        )
        circuit = GaugeMetricFamily(
            "breakeven_circuit_open",
            "1 while the upstream is left alone after failures, 0 while it is used.",
            labels=["upstream"],
        )
        for route, upstream in self._upstreams.items():
            in_flight.add_metric([route], upstream.in_flight)
            circuit.add_metric([route], int(upstream.breaker.open))
        return (in_flight, circuit)


class PolicyCollector(Collector):
    """The thresholds in force, read at the scrape."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy

    def collect(self) -> Iterable[Metric]:
        policy = self._policy()
        threshold = GaugeMetricFamily("breakeven_threshold", "A score at or above it goes to the teacher.")
        threshold.add_metric([], policy.threshold)
        novelty = GaugeMetricFamily(
            "breakeven_novelty_threshold", "A novelty at or above it goes to the teacher; 1 is never."
        )
        novelty.add_metric([], policy.novelty_threshold)
        return (threshold, novelty)
