"""Results of comparisons as Prometheus metrics: quality retention, and the ratio of answer lengths."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from breakeven.gateway.accounting.money import usd
from breakeven.gateway.ledger.statements import Books
from breakeven.router.statistics import Interval


def quality_families(books: Books) -> Iterator[Metric]:
    """The metrics of comparisons; those of quality are absent until a pair of answers was compared."""
    spent = CounterMetricFamily(
        "breakeven_shadow_usd",
        "USD of the spend that was for comparisons: the teacher's second answers, and judging.",
    )
    spent.add_metric([], float(usd(books.statement.shadow_spend)))
    yield spent
    kept, ratio = books.quality[:2]
    if kept is not None:
        yield gauge(
            "breakeven_shadow_pairs", "Comparisons of the student's answers behind the quality metrics.", kept.pairs
        )
        yield from _interval(
            "breakeven_quality_retention",
            "share of the teacher's quality that routed traffic keeps, from comparisons; the teacher's own answers "
            "count as 1.",
            kept.routed,
        )
        yield from _interval(
            "breakeven_student_quality_retention",
            "share of the teacher's quality that the student's answers keep, from comparisons.",
            kept.student,
        )
    if ratio is not None:
        yield gauge(
            "breakeven_output_token_ratio",
            "Output tokens of the teacher per output token of the student, from comparisons.",
            float(ratio),
        )


def _interval(name: str, what: str, interval: Interval) -> Iterator[Metric]:
    for suffix, value, title in (
        ("", interval.value, "Estimated "),
        ("_lower", interval.low, "Lower end of the 95% interval: "),
        ("_upper", interval.high, "Upper end of the 95% interval: "),
    ):
        yield gauge(name + suffix, title + what, value)


def gauge(name: str, what: str, value: float) -> Metric:
    """A gauge without labels."""
    family = GaugeMetricFamily(name, what)
    family.add_metric([], value)
    return family
