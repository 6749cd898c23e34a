"""Money over time: one point a day, savings piled up, and when they would reach the investment.

The interval comes from the bootstrap over days (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 13: percentile intervals): recent days are drawn with replacement, and each draw's mean is a pace.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec

from breakeven.gateway.economics.breakeven import Rate, hosting
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.totals import Hour

RECENT_DAYS = 28
_DRAWS = 2000
_LEAST_DAYS = 3


class Point(msgspec.Struct, frozen=True):
    """One step [start, end) in microseconds; money in picodollars, of routed traffic. `total` is piled up."""

    start: int
    end: int
    baseline: int
    spend: int
    hosting: int
    total: int

    @property
    def saved(self) -> int:
        """Picodollars saved in this step."""
        return self.baseline - self.spend - self.hosting


class Projection(msgspec.Struct, frozen=True):
    """When the savings reach the investment at the pace of recent days; None is never at this rate.

    `early` and `late` hold nine of ten draws between them. `days` whole days were looked at.
    """

    days: int
    per_day: int
    expected: int | None
    early: int | None
    late: int | None


def points(hours: Iterable[Hour], rates: Sequence[Rate], since: int, until: int, step: int = DAY) -> list[Point]:
    """One point for each step of [since, until), idle ones too."""
    steps: dict[int, list[int]] = {}
    for hour, baseline, spend in hours:
        money = steps.setdefault(hour * HOUR // step, [0, 0])
        money[0] += baseline
        money[1] += spend
    found: list[Point] = []
    total = 0
    for index in range(min([since // step, *steps]), max([(until - 1) // step, *steps]) + 1):
        start = index * step
        end = max(start, min(start + step, until))  # the last step ends now
        baseline, spend = steps.get(index, (0, 0))
        accrued = hosting(rates, max(start, since), end)
        total += baseline - spend - accrued
        found.append(Point(start, end, baseline, spend, accrued, total))
    return found


def project(days: Sequence[Point], investment: int, *, since: int, now: int, seed: int = 0) -> Projection | None:
    """When the rest of the investment will be saved; None where too few whole days are there to say, where
    nothing was invested, or where it has been saved already. `since` is when hosting began.
    """
    if investment <= 0 or not days or any(day.total >= investment for day in days):
        return None
    whole = [day.saved for day in days if day.end - day.start == DAY and day.start >= since and day.end <= now]
    recent = whole[-RECENT_DAYS:]
    if len(recent) < _LEAST_DAYS:
        return None
    rest = investment - days[-1].total
    generator = random.Random(seed)
    paces = sorted(sum(generator.choices(recent, k=len(recent))) for _ in range(_DRAWS))

    def reached(pace: int) -> int | None:
        return now + rest * len(recent) * DAY // pace if pace > 0 else None

    return Projection(
        days=len(recent),
        per_day=sum(recent) // len(recent),
        expected=reached(sum(recent)),
        early=reached(paces[int(0.95 * _DRAWS)]),
        late=reached(paces[int(0.05 * _DRAWS)]),
    )
