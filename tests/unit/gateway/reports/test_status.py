"""The first lines of `breakeven status`: requests are counted, and not said to be answered, since failed ones count."""

from __future__ import annotations

import pytest

from breakeven.gateway.reports.status import Overview
from breakeven.router.policy import Route


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ({}, "November 2026: 0 requests; the teacher was paid $0.00"),
        ({Route.STUDENT: 1}, "November 2026: 1 request, 100% at the student; the teacher was paid $0.00"),
        (
            {Route.STUDENT: 250, Route.TEACHER: 1000},
            "November 2026: 1,250 requests, 20% at the student; the teacher was paid $0.00",
        ),
    ],
)
def test_the_first_line_counts_requests(requests: dict[str, int], said: str) -> None:
    first, second, *_ = Overview("November 2026", requests, 0, None, 50).lines()
    assert first == said
    assert second == "savings: not measured yet; 50 more comparisons"
