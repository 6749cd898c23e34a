"""What other thresholds would have meant: quality is expected only where scores are probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from breakeven.gateway.reports.whatif import what_if
from breakeven.router.evaluation.tune import Traffic

SEEN = Traffic(np.array([0.1, 0.3, 0.6, 0.9]), np.zeros(4, dtype=bool))


def test_probabilities_say_how_many_answers_will_be_worse() -> None:
    found = what_if(SEEN, 0.5, probabilities=True, months=None, hosting_usd_per_month=0.0, investment_usd=0.0)
    assert found["teacher_share"] == 0.5
    assert found["expected_worse_share"] == pytest.approx(0.1)
    low, high = found["expected_worse_interval"]
    assert low <= 0.1 <= high


def test_ranks_say_nothing_about_quality() -> None:
    found = what_if(SEEN, 0.5, probabilities=False, months=None, hosting_usd_per_month=0.0, investment_usd=0.0)
    assert found["teacher_share"] == 0.5
    assert (found["expected_worse_share"], found["expected_worse_interval"]) == (None, None)
