"""Results of shadow traffic as Prometheus metrics: quality retention, and the baseline adjusted for answer length."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from breakeven.gateway.accounting.money import usd
from breakeven.gateway.economics.statement import Statement, adjusted
from breakeven.gateway.ledger.statements import Quality
from breakeven.router.statistics import Interval


def quality_families(statement: Statement, quality: Quality) -> Iterator[Metric]:
    """The metrics of shadow traffic; those of quality are absent until a pair of answers was compared."""
    spent = CounterMetricFamily(
        "breakeven_shadow_usd",
        "USD of the teacher's spend that was for shadow traffic: second answers and their judging.",
    )
    spent.add_metric([], float(usd(statement.shadow_spend)))
    yield spent
    kept, ratio = quality
    if kept is not None:
        yield _gauge("breakeven_shadow_pairs", "Compared pairs of answers behind the quality metrics.", kept.pairs)
        yield from _interval(
            "breakeven_quality_retention",
            "share of the teacher's quality that routed traffic keeps, from shadow traffic; the teacher's own answers "
            "count as 1.",
            kept.routed,
        )
        yield from _interval(
            "breakeven_student_quality_retention",
            "share of the teacher's quality that the student's answers keep, from shadow traffic.",
            kept.student,
        )
    better = adjusted(statement, ratio)
    if better is not None:
        yield _gauge(
            "breakeven_output_token_ratio",
            "Output tokens of the teacher per output token of the student, from shadow traffic.",
            float(better.ratio),
        )
        yield _gauge(
            "breakeven_baseline_adjusted_usd",
            "USD baseline with the length of the teacher's own answers, as measured by shadow traffic. Counterfactual: "
            "do not add it to spend.",
            float(usd(better.baseline)),
        )
        yield _gauge(
            "breakeven_savings_adjusted_usd", "USD saved against the adjusted baseline.", float(usd(better.savings))
        )


def _interval(name: str, what: str, interval: Interval) -> Iterator[Metric]:
    for suffix, value, title in (
        ("", interval.value, "Estimated "),
        ("_lower", interval.low, "Lower end of the 95% interval: "),
        ("_upper", interval.high, "Upper end of the 95% interval: "),
    ):
        yield _gauge(name + suffix, title + what, value)


def _gauge(name: str, what: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, what)
    family.add_metric([], value)
    return family
