"""Buffered counting gives the same metrics as the library's own methods."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from breakeven.gateway.accounting.prices import FREE
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.observability.metrics import Metrics
from breakeven.router.policy import Reason, Route

SCORES = (0.0, 0.05, 0.050001, 0.37, 0.37, 1.0)


def record(score: float, outcome: Outcome = Outcome.OK) -> RequestRecord:
    attempt = AttemptRecord(Route.STUDENT, outcome, 200, Usage(1, 0, 1, True), FREE, 0.3, 0.4)
    return RequestRecord(
        id="0" * 32,
        request_id="x",
        at=1,
        endpoint=Endpoint.RESPONSES,
        key=None,
        stream=False,
        route=Route.STUDENT,
        reason=Reason.EASY,
        pinned=False,
        score=score,
        threshold=0.5,
        novelty=0.1,
        artifact=None,
        outcome=outcome,
        status=200,
        attempts=(attempt, attempt),
        baseline=0,
        router_seconds=0.001,
        overhead_seconds=0.002,
        seconds=7.0,
    )


def settled() -> tuple[Metrics, CollectorRegistry]:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for score in SCORES:
        metrics.settle(record(score))
        # Several flushes must not count anything twice.
        metrics.flush()
    metrics.settle(record(0.9, Outcome.TRUNCATED))
    metrics.flush()
    metrics.flush()
    return metrics, registry


def test_a_buffered_histogram_equals_the_librarys() -> None:
    _, registry = settled()
    plain = CollectorRegistry()
    histogram = Histogram("breakeven_score", "x", buckets=tuple(i / 20 for i in range(1, 21)), registry=plain)
    for score in (*SCORES, 0.9):
        histogram.observe(score)

    def samples(of: CollectorRegistry) -> list[str]:
        lines = generate_latest(of).decode().splitlines()
        return [line for line in lines if line.startswith("breakeven_score_") and "_created" not in line]

    assert samples(registry) == samples(plain)


def test_requests_and_attempts_are_counted_by_their_labels() -> None:
    _, registry = settled()
    labels = {"endpoint": "responses", "route": "student", "reason": "easy"}
    value = registry.get_sample_value
    assert value("breakeven_requests_total", {**labels, "outcome": "ok"}) == 6
    assert value("breakeven_requests_total", {**labels, "outcome": "truncated"}) == 1
    assert value("breakeven_attempts_total", {"upstream": "student", "outcome": "ok"}) == 12
    assert value("breakeven_first_event_seconds_count", {"upstream": "student"}) == 14
    assert value("breakeven_first_event_seconds_count", {"upstream": "teacher"}) == 0
    assert value("breakeven_request_seconds_bucket", {"route": "student", "le": "10.0"}) == 7


def test_a_worker_flushes_settled_requests_before_the_event_loop_waits() -> None:
    registry = CollectorRegistry()

    async def settle() -> None:
        metrics = Metrics(registry, flush_promptly=True)
        for _ in range(2):  # the second one needs a flush of its own
            metrics.settle(record(0.2))
            await asyncio.sleep(0)

    asyncio.run(settle())
    assert registry.get_sample_value("breakeven_score_count") == 2
    assert registry.get_sample_value("breakeven_attempts_total", {"upstream": "student", "outcome": "ok"}) == 4


def test_a_worker_flushes_attempts_of_shadow_comparisons_before_the_event_loop_waits() -> None:
    registry = CollectorRegistry()

    async def count_attempts() -> None:
        Metrics(registry, flush_promptly=True).count_attempts(record(0.2))
        await asyncio.sleep(0)

    asyncio.run(count_attempts())
    assert registry.get_sample_value("breakeven_attempts_total", {"upstream": "student", "outcome": "ok"}) == 2
