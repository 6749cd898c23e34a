"""Cumulative savings over time, and their projection."""

from __future__ import annotations

from breakeven.gateway.economics.breakeven import Rate, hosting
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.projection import Point, points, project
from breakeven.gateway.economics.totals import Hour

RATES = [Rate(0, 10)]


def hour_of(hour: int, baseline: int, spend: int = 0) -> Hour:
    return Hour(hour, baseline, spend)


def days(*saved: int) -> list[Point]:
    found, total = [], 0
    for index, value in enumerate(saved):
        total += value
        found.append(Point(index * DAY, (index + 1) * DAY, value, 0, 0, total))
    return found


def test_each_day_has_a_point_even_without_traffic() -> None:
    made = points([hour_of(1, 500), hour_of(2, 100, 40), hour_of(50, 300)], RATES, 0, 60 * HOUR)
    assert [(p.start, p.end) for p in made] == [(0, DAY), (DAY, 2 * DAY), (2 * DAY, 60 * HOUR)]
    assert [p.saved for p in made] == [560 - 240, -240, 300 - 120]
    assert [p.total for p in made] == [320, 80, 260]


def test_hosting_begins_and_ends_inside_of_a_step() -> None:
    made = points([], RATES, 30 * HOUR, 75 * HOUR)
    assert sum(p.hosting for p in made) == hosting(RATES, 30 * HOUR, 75 * HOUR) == 450
    assert made[-1].total == -450


def test_traffic_before_hosting_and_after_now_is_counted() -> None:
    made = points([hour_of(0, 7), hour_of(100, 9)], RATES, 30 * HOUR, 40 * HOUR)
    assert sum(p.baseline for p in made) == 16
    assert all(p.hosting >= 0 and p.end >= p.start for p in made)
    assert sum(p.hosting for p in made) == 100


def test_equal_days_give_an_interval_of_zero_width() -> None:
    projection = project(days(10, 10, 10, 10), 100, since=0, now=4 * DAY)
    assert projection is not None
    assert projection.expected == projection.early == projection.late == 10 * DAY
    assert (projection.days, projection.per_day) == (4, 10)


def test_unequal_days_give_an_interval() -> None:
    projection = project(days(5, 40, 10, 1, 30, 22, 8), 1000, since=0, now=7 * DAY)
    assert projection is not None
    assert projection.early is not None
    assert projection.expected is not None
    assert projection.late is not None
    assert projection.early < projection.expected < projection.late
    assert projection == project(days(5, 40, 10, 1, 30, 22, 8), 1000, since=0, now=7 * DAY)


def test_negative_savings_never_pay_back() -> None:
    projection = project(days(-5, -4, -6), 100, since=0, now=3 * DAY)
    assert projection is not None
    assert (projection.expected, projection.early, projection.late) == (None, None, None)


def test_only_whole_recent_days_count() -> None:
    old, recent = [1000] * 10, [10] * 28
    series = days(*old, *recent)
    cut = Point(38 * DAY, 38 * DAY + HOUR, 0, 0, 0, series[-1].total - 500)
    projection = project([*series, cut], 10**6, since=0, now=38 * DAY + HOUR)
    assert projection is not None
    assert (projection.days, projection.per_day) == (28, 10)


def test_no_projection_without_days_or_an_open_investment() -> None:
    assert project(days(1, 1), 100, since=0, now=2 * DAY) is None
    assert project(days(60, 60, -50), 100, since=0, now=3 * DAY) is None  # reached, then lost again
    assert project(days(1, 1, 1), 0, since=0, now=3 * DAY) is None
    assert project([], 100, since=0, now=0) is None
