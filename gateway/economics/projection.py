"""Cumulative savings by day, and a projection of when they reach the investment.

The interval is a percentile bootstrap over days (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 13): recent days are resampled with replacement, and the mean savings a day of each resample is extrapolated.
Each resample also draws the error of the estimated baseline, which all days share.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec

from breakeven.gateway.economics.baseline import Ratios
from breakeven.gateway.economics.hosting import Hosting
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.totals import Hour
from breakeven.gateway.economics.traffic import NO_TRAFFIC, Traffic, together

RECENT_DAYS = 28
MIN_DAYS = 3
_RESAMPLES = 2000


class Point(msgspec.Struct, frozen=True):
    """One step [start, end) in microseconds. Money is picodollars of routed traffic, the baseline as estimated.

    `student` is the part of `baseline` for the student's answers, the only part that is estimated; `total` is
    cumulative savings, `low` and `high` their 95% interval.
    """

    start: int
    end: int
    baseline: int
    student: int
    spend: int
    hosting: int
    total: int
    low: int
    high: int

    @property
    def saved(self) -> int:
        """Savings of this step in picodollars."""
        return self.baseline - self.spend - self.hosting


class Projection(msgspec.Struct, frozen=True):
    """When savings reach the investment if recent days continue, in microseconds since the epoch.

    `early` and `late` bound a 90% interval. `days` is the number of whole days used, `per_day` their mean savings in
    picodollars.
    """

    days: int
    per_day: int
    expected: int
    early: int
    late: int


def points(
    hours: Iterable[Hour], hosting: Hosting, since: int, until: int, ratios: Ratios, step: int = DAY
) -> list[Point]:
    """One point for each step of [since, until), also without traffic; times and `step` are in microseconds."""
    steps: dict[int, tuple[Traffic, int]] = {}
    for hour in hours:
        traffic, spend = steps.get(hour.hour * HOUR // step, (NO_TRAFFIC, 0))
        steps[hour.hour * HOUR // step] = together((traffic, hour.traffic)), spend + hour.spend
    found: list[Point] = []
    sum_of, paid, before = NO_TRAFFIC, 0, 0
    for index in range(min([since // step, *steps]), max([(until - 1) // step, *steps]) + 1):
        start = index * step
        end = max(start, min(start + step, until))  # the last step ends now
        traffic, spend = steps.get(index, (NO_TRAFFIC, 0))
        accrued = hosting.cost(max(start, since), end)
        # Estimated from the sum, so that the last point is the savings of the report to the picodollar.
        sum_of, paid = together((sum_of, traffic)), paid + spend + accrued
        whole = ratios.estimate(sum_of)
        student = whole.value - before - traffic.known
        total = whole.less(paid)
        found.append(
            Point(
                start, end, whole.value - before, student, spend, accrued,
                total=total.value, low=total.low, high=total.high,
            )
        )  # fmt: skip
        before = whole.value
    return found


def project(
    days: Sequence[Point], investment: int, *, since: int, now: int, error: float, seed: int = 0
) -> Projection | None:
    """When the rest of the investment (picodollars) will be saved.

    `since` is when hosting began, `now` the current time, both in microseconds; `error` is the standard error of the
    estimated part of the baseline, as a share of it. None with fewer than three whole days, with no investment, where
    it has been reached already, and where the interval has no end.
    """
    if investment <= 0 or not days or any(day.total >= investment for day in days):
        return None
    whole = [day for day in days if day.end - day.start == DAY and day.start >= since and day.end <= now]
    recent = [(day.saved, day.student) for day in whole[-RECENT_DAYS:]]
    if len(recent) < MIN_DAYS:
        return None
    rest, estimated = investment - days[-1].total, sum(day.student for day in days)
    generator = random.Random(seed)

    def reached(drawn: Sequence[tuple[int, int]], off: float) -> float:
        """When `drawn` days reach the rest, if the estimated part is `off` too low."""
        left = rest - off * estimated
        saved = sum(saved for saved, _ in drawn) + off * sum(student for _, student in drawn)
        if left <= 0:
            return now
        return now + left * len(drawn) * DAY / saved if saved > 0 else float("inf")

    draws = sorted(
        reached(generator.choices(recent, k=len(recent)), generator.gauss(0.0, error)) for _ in range(_RESAMPLES)
    )
    expected, early, late = reached(recent, 0.0), draws[int(0.05 * _RESAMPLES)], draws[int(0.95 * _RESAMPLES)]
    if max(expected, late) == float("inf"):
        return None
    return Projection(
        days=len(recent),
        per_day=sum(saved for saved, _ in recent) // len(recent),
        expected=round(expected),
        early=round(early),
        late=round(late),
    )
