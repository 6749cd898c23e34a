"""Cumulative savings by day, and a projection of when they reach the investment.

The interval is a percentile bootstrap over days (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 13): recent days are resampled with replacement, and the mean savings a day of each resample is extrapolated.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec

from breakeven.gateway.economics.breakeven import Rate, hosting
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.totals import Hour

RECENT_DAYS = 28
_RESAMPLES = 2000
_MIN_DAYS = 3


class Point(msgspec.Struct, frozen=True):
    """One step [start, end) in microseconds. Money is picodollars of routed traffic; `total` is cumulative savings."""

    start: int
    end: int
    baseline: int
    spend: int
    hosting: int
    total: int

    @property
    def saved(self) -> int:
        """Savings of this step in picodollars."""
        return self.baseline - self.spend - self.hosting


class Projection(msgspec.Struct, frozen=True):
    """When savings reach the investment if recent days continue, in microseconds since the epoch; None is never.

    `early` and `late` bound a 90% interval. `days` is the number of whole days used, `per_day` their mean savings in
    picodollars.
    """

    days: int
    per_day: int
    expected: int | None
    early: int | None
    late: int | None


def points(hours: Iterable[Hour], rates: Sequence[Rate], since: int, until: int, step: int = DAY) -> list[Point]:
    """One point for each step of [since, until), also without traffic; times and `step` are in microseconds."""
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
    """When the rest of the investment (picodollars) will be saved.

    `since` is when hosting began, `now` the current time, both in microseconds. None with fewer than three whole days,
    with no investment, or where it has been reached already.
    """
    if investment <= 0 or not days or any(day.total >= investment for day in days):
        return None
    whole = [day.saved for day in days if day.end - day.start == DAY and day.start >= since and day.end <= now]
    recent = whole[-RECENT_DAYS:]
    if len(recent) < _MIN_DAYS:
        return None
    rest = investment - days[-1].total
    generator = random.Random(seed)
    sums = sorted(sum(generator.choices(recent, k=len(recent))) for _ in range(_RESAMPLES))

    def reached(saved: int) -> int | None:
        return now + rest * len(recent) * DAY // saved if saved > 0 else None

    return Projection(
        days=len(recent),
        per_day=sum(recent) // len(recent),
        expected=reached(sum(recent)),
        early=reached(sums[int(0.95 * _RESAMPLES)]),
        late=reached(sums[int(0.05 * _RESAMPLES)]),
    )
