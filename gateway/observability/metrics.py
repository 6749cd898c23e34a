"""Prometheus metrics of this process: counts of requests and attempts, durations, and state.

Metrics of money and tokens come from the ledger instead (`money.py`), so that they survive a restart. Labels are enums,
and names of the config; nothing that a client sends becomes a label.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import Counter as Counts
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from breakeven.gateway.accounting.record import (
    DEFAULT_WORKLOAD,
    AttemptRecord,
    ComparisonResult,
    Endpoint,
    Outcome,
    RequestRecord,
    upstream_label,
)
from breakeven.gateway.errors import Cause
from breakeven.gateway.observability.buffered_histogram import BufferedHistogram
from breakeven.gateway.road.stages import Direction
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import ROUTED, Route

_FRACTION_BUCKETS = tuple(i / 20 for i in range(1, 21))
_FAST_BUCKETS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_SLOW_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """The counts and durations of the records settled since this process started.

    `settle` buffers them as plain numbers, and `flush` adds the buffer to the library's metrics. Both must be called
    from the event loop's thread.
    """

    def __init__(self, registry: CollectorRegistry, *, flush_promptly: bool = False) -> None:
        """`flush_promptly`: flush before the event loop waits again, for a worker whose counts other workers export
        and must not lose when it is killed.
        """
        self._flush_promptly = flush_promptly
        self._flushing = False
        self._register_candidate(registry)
        self._register_counters(registry)
        self._register_histograms(registry)
        self._register_gauges(registry)
        # The library's `labels` costs more than counting, so its children are cached. Their labels are few.
        self._requests_of = functools.cache(self.requests.labels)
        self._attempts_of = functools.cache(self.attempts.labels)
        self._requests: Counts[tuple[str, ...]] = Counts()
        self._attempts: Counts[tuple[str, ...]] = Counts()
        self._score = BufferedHistogram(self.score, _FRACTION_BUCKETS)
        self._novelty = BufferedHistogram(self.novelty, _FRACTION_BUCKETS)
        self._router = BufferedHistogram(self.router, _FAST_BUCKETS)
        self._overhead = BufferedHistogram(self.overhead, _FAST_BUCKETS)
        self._probe = BufferedHistogram(self.probe, _SLOW_BUCKETS)
        self._first_event = {
            str(route): BufferedHistogram(self.first_event.labels(route), _SLOW_BUCKETS) for route in ROUTED
        }
        self._seconds = {route: BufferedHistogram(self.seconds.labels(route), _SLOW_BUCKETS) for route in Route}

    def expect(self, upstreams: Iterable[Upstream]) -> None:
        """Export the metrics of the teacher's other providers and of further models from now on, even those that are 0
        still.
        """
        for upstream in upstreams:
            for cause in Cause:
                self.upstream_failures.labels(upstream.label, cause)
            if upstream.route is Route.MODEL and upstream.label not in self._first_event:
                self._first_event[upstream.label] = BufferedHistogram(
                    self.first_event.labels(upstream.label), _SLOW_BUCKETS
                )
                self.usage_missing.labels(upstream.label)
                self.attempts.labels(upstream.label, Outcome.OK)

    def settle(self, record: RequestRecord) -> None:
        """Count one settled client request and its attempts."""
        self._requests[record.endpoint, record.route or "none", record.reason or "none", record.outcome] += 1
        if record.endpoint is Endpoint.STORED_RESPONSES:
            # Nothing was decided or generated, so that its times are of another kind.
            self.count_attempts(record)
            return
        for attempt in record.attempts:
            if attempt.first_event_seconds is not None:
                self._first_event[_role(attempt)].observe(attempt.first_event_seconds)
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
        self.count_attempts(record)

    def exemplify(self, record: RequestRecord, trace_id: str) -> None:
        """Name the trace of a settled request in the histograms that have its values, for OpenMetrics."""
        if record.endpoint is Endpoint.STORED_RESPONSES:
            return
        labels = {"trace_id": trace_id}
        values = [
            (self._score, record.score),
            (self._novelty, record.novelty),
            (self._router, record.router_seconds),
            (self._overhead, record.overhead_seconds),
            (self._probe, record.probe_seconds),
            *((self._first_event[_role(attempt)], attempt.first_event_seconds) for attempt in record.attempts),
        ]
        if record.route is not None:
            values.append((self._seconds[record.route], record.seconds))
        for histogram, value in values:
            if value is not None:
                histogram.exemplify(value, labels)

    def flush(self) -> None:
        """Add the buffered counts to the library's metrics, which scrapes read."""
        self._flushing = False
        for counts, child in ((self._requests, self._requests_of), (self._attempts, self._attempts_of)):
            for labels, count in counts.items():
                child(*labels).inc(count)
            counts.clear()
        histograms = (self._score, self._novelty, self._router, self._overhead, self._probe)
        for histogram in (*histograms, *self._first_event.values(), *self._seconds.values()):
            histogram.flush()

    def count_attempts(self, record: RequestRecord) -> None:
        """Count only the attempts of a record: for a comparison, which is no client request."""
        for attempt in record.attempts:
            upstream = _role(attempt)
            self._attempts[upstream, attempt.outcome] += 1
            if attempt.usage_missing:
                self.usage_missing.labels(upstream).inc()
            if attempt.cause is not None:
                self.upstream_failures.labels(upstream_label(attempt.upstream, attempt.provider), attempt.cause).inc()
        if self._flush_promptly and not self._flushing:
            # One flush for all requests that end in this iteration of the event loop: the library locks per number.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def compared(self, workload: str, direction: Direction, result: ComparisonResult) -> None:
        """Count what became of a request that was drawn to be compared."""
        self._comparisons.labels(workload, direction, result).inc()

    def candidate_compared(self, result: ComparisonResult) -> None:
        """Count what became of a request of whose comparison the candidate was to be part."""
        self._candidate_comparisons.labels(result).inc()

    def _register_candidate(self, registry: CollectorRegistry) -> None:
        self._candidate_comparisons = Counter(
            "breakeven_candidate_comparisons_total",
            "Compared requests that the candidate was to answer as well, by result.",
            ["result"],
            registry=registry,
        )
        for result in ComparisonResult:
            self._candidate_comparisons.labels(result)

    def _register_counters(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "breakeven_requests_total",
            "Requests settled by this process. The route is the upstream that answered, model for further models.",
            ["endpoint", "route", "reason", "outcome"],
            registry=registry,
        )
        self.attempts = Counter(
            "breakeven_attempts_total",
            "Calls to an upstream by this process: student, teacher, or a further model by its name. A request has one "
            "or more, and each is paid for.",
            ["upstream", "outcome"],
            registry=registry,
        )
        self.usage_missing = Counter(
            "breakeven_usage_missing_total",
            "Attempts that reached the upstream and have no complete token counts: their cost is only estimated.",
            ["upstream"],
            registry=registry,
        )
        self.upstream_failures = Counter(
            "breakeven_upstream_failures_total",
            "Calls to an upstream that failed, by cause; streams that broke off are among them. Each client's request "
            "that was refused as wrong is one, too. A fallback of the teacher is `teacher:` and its name.",
            ["upstream", "cause"],
            registry=registry,
        )
        self._comparisons = Counter(
            "breakeven_comparisons_total",
            "Requests that were drawn to be compared, by who had answered the client and by result; those dropped cost "
            "nothing.",
            ["workload", "direction", "result"],
            registry=registry,
        )
        self.unknown_workload = Counter(
            "breakeven_unknown_workload_total",
            "Requests that named a workload which the config does not have, and were counted in another one. The log "
            "and `breakeven status` have the names.",
            registry=registry,
        )
        self.feedback = Counter(
            "breakeven_feedback_total",
            "Feedback of users on answers, by the upstream that gave the answer.",
            ["route"],
            registry=registry,
        )
        for direction, result in itertools.product(Direction, ComparisonResult):
            self._comparisons.labels(DEFAULT_WORKLOAD, direction, result)
        for route in ROUTED:
            self.feedback.labels(route)
            self.usage_missing.labels(route)
            self.attempts.labels(route, Outcome.OK)
            for cause in Cause:
                self.upstream_failures.labels(route, cause)

    def _register_histograms(self, registry: CollectorRegistry) -> None:
        self.score = Histogram(
            "breakeven_score",
            "How difficult prompts look, from 0 to 1: a rank, or with a trained router a probability.",
            buckets=_FRACTION_BUCKETS,
            registry=registry,
        )
        self.novelty = Histogram(
            "breakeven_novelty",
            "Distance from the prompts that the student was distilled on, as a quantile of the reference set.",
            buckets=_FRACTION_BUCKETS,
            registry=registry,
        )
        self.router = Histogram(
            "breakeven_router_seconds", "Duration of a routing decision.", buckets=_FAST_BUCKETS, registry=registry
        )
        self.overhead = Histogram(
            "breakeven_overhead_seconds",
            "Time from a request's start to its first attempt, spent in the gateway itself.",
            buckets=_FAST_BUCKETS,
            registry=registry,
        )
        self.probe = Histogram(
            "breakeven_probe_seconds",
            "Time for which the start of the student's answer was held back to be judged: the latency that escalation "
            "adds to the first event.",
            buckets=_SLOW_BUCKETS,
            registry=registry,
        )
        self.first_event = Histogram(
            "breakeven_first_event_seconds",
            "Time from the start of an attempt to the first event with content, or body byte, of its response.",
            ["upstream"],
            buckets=_SLOW_BUCKETS,
            registry=registry,
        )
        self.seconds = Histogram(
            "breakeven_request_seconds",
            "Time from the start of a request to the end of its response.",
            ["route"],
            buckets=_SLOW_BUCKETS,
            registry=registry,
        )

    def _register_gauges(self, registry: CollectorRegistry) -> None:
        self.reload_successful = Gauge(
            "breakeven_config_last_reload_successful",
            "1 if the last config reload succeeded, 0 if it was rejected and the previous config is still active.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.reload_successful.set(1)
        self.reloads = Counter(
            "breakeven_config_reloads",
            "Config files that were read while the gateway ran, by outcome: `applied`, or `refused` for a bad one.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("applied", "refused"):
            self.reloads.labels(outcome)
        self.tasks = Gauge(
            "breakeven_tasks",
            "Tasks of the event loop, including running requests; a small constant number when idle.",
            registry=registry,
            multiprocess_mode="livesum",
        )


def _role(attempt: AttemptRecord) -> str:
    """The value of the label `upstream`: student, teacher with all its providers, or the name of a further model."""
    return attempt.provider if attempt.upstream is Route.MODEL else attempt.upstream
