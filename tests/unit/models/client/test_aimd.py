"""AIMD concurrency control."""

from __future__ import annotations

import pytest

from breakeven.models.client.aimd import AimdLimit


def test_the_limit_halves_once_for_calls_sent_together_and_grows_again() -> None:
    limit = AimdLimit(64)
    for _ in range(12):
        limit.success()
    assert limit.limit == 16
    for _ in range(16):
        limit.rejected(now=10.0, sent_at=9.0, retry_after=3.0, jitter=0.0)
    assert (limit.limit, limit.not_before) == (8, 13.0)
    for _ in range(9):
        limit.success()
    assert limit.limit == 9, "one more for a round of successes, no slow start again"
    limit.rejected(now=20.0, sent_at=19.0, retry_after=None, jitter=0.0)
    assert limit.not_before == pytest.approx(20.25)
    for _ in range(20):
        limit.rejected(now=20.0, sent_at=1.0, retry_after=None, jitter=0.99)
    assert limit.not_before <= 80.0
    assert limit.limit == 4
