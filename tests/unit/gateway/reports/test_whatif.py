"""What other thresholds would have meant: the quality is expected from comparisons of this student, or not said."""

from __future__ import annotations

import numpy as np

from breakeven.gateway.reports.labels import LEAST, Labels
from breakeven.gateway.reports.whatif import what_if
from breakeven.router.evaluation.tune import Traffic

SEEN = Traffic(np.array([0.1, 0.3, 0.6, 0.9]), np.zeros(4, dtype=bool))


def labels(count: int) -> Labels:
    """The student is worse on the harder half."""
    score = (np.arange(count) + 0.5) / count
    student = np.where(score < 0.5, 1.0, 0.5)
    return Labels(score, np.zeros(count, dtype=bool), student, np.ones(count), np.ones(count))


def found(threshold: float, compared: Labels | None) -> dict[str, object]:
    return what_if(SEEN, threshold, labels=compared, months=None, hosting_usd_per_month=0.0, investment_usd=0.0)


def test_the_quality_is_that_of_the_comparisons() -> None:
    half, none, every = (found(threshold, labels(100)) for threshold in (0.5, 1.0, 0.0))
    assert (half["teacher_share"], half["expected_retention"]) == (0.5, 1.0)
    assert none["expected_retention"] == 0.75
    low, high = none["expected_retention_interval"]  # type: ignore[misc]
    assert 0.6 < low < 0.75 < high < 0.85
    assert (every["expected_retention"], every["expected_retention_interval"]) == (1.0, [1.0, 1.0])


def test_without_comparisons_enough_nothing_is_said_of_the_quality() -> None:
    for compared in (None, labels(LEAST - 1)):
        point = found(0.5, compared)
        assert point["teacher_share"] == 0.5
        assert (point["expected_retention"], point["expected_retention_interval"]) == (None, None)
