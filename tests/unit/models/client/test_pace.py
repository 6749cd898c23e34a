"""How many calls run at once."""

from __future__ import annotations

import pytest

from breakeven.models.client.pace import Pace


def test_pace_halves_once_for_all_calls_sent_together_and_grows_again() -> None:
    pace = Pace(64)
    for _ in range(12):
        pace.success()
    assert pace.limit == 16
    for _ in range(16):
        pace.trouble(now=10.0, sent_at=9.0, retry_after=3.0, jitter=0.0)
    assert (pace.limit, pace.not_before) == (8, 13.0)
    for _ in range(9):
        pace.success()
    assert pace.limit == 9, "one more for a round of successes, no slow start again"
    pace.trouble(now=20.0, sent_at=19.0, retry_after=None, jitter=0.0)
    assert pace.not_before == pytest.approx(20.25)
    for _ in range(20):
        pace.trouble(now=20.0, sent_at=1.0, retry_after=None, jitter=0.99)
    assert pace.not_before <= 80.0
    assert pace.limit == 4
