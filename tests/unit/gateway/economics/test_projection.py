"""Cumulative savings over time, and their projection."""

from __future__ import annotations

import pytest

from breakeven.gateway.economics.baseline import PricedPair, Ratios
from breakeven.gateway.economics.hosting import Hosting, Rate
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.projection import Point, points, project
from breakeven.gateway.economics.totals import Hour
from breakeven.gateway.economics.traffic import traffic
from tests.support.pairs import EXACT

HOSTING = Hosting([Rate(0, 10)])


def hour_of(hour: int, baseline: int, spend: int = 0) -> Hour:
    return Hour(hour, traffic(baseline, 0, 0), spend)


def days(*saved: int) -> list[Point]:
    found, total = [], 0
    for index, value in enumerate(saved):
        total += value
        found.append(Point(index * DAY, (index + 1) * DAY, value, value, 0, 0, total, total, total))
    return found


def test_each_day_has_a_point_even_without_traffic() -> None:
    made = points([hour_of(1, 500), hour_of(2, 100, 40), hour_of(50, 300)], HOSTING, 0, 60 * HOUR, EXACT)
    assert [(p.start, p.end) for p in made] == [(0, DAY), (DAY, 2 * DAY), (2 * DAY, 60 * HOUR)]
    assert [p.saved for p in made] == [560 - 240, -240, 300 - 120]
    assert [p.total for p in made] == [320, 80, 260]


def test_hosting_begins_and_ends_inside_of_a_step() -> None:
    made = points([], HOSTING, 30 * HOUR, 75 * HOUR, EXACT)
    assert sum(p.hosting for p in made) == HOSTING.cost(30 * HOUR, 75 * HOUR) == 450
    assert made[-1].total == -450


def test_traffic_before_hosting_and_after_now_is_counted() -> None:
    made = points([hour_of(0, 7), hour_of(100, 9)], HOSTING, 30 * HOUR, 40 * HOUR, EXACT)
    assert sum(p.baseline for p in made) == 16
    assert all(p.hosting >= 0 and p.end >= p.start for p in made)
    assert sum(p.hosting for p in made) == 100


def test_equal_days_give_an_interval_of_zero_width() -> None:
    projection = project(days(10, 10, 10, 10), 100, since=0, now=4 * DAY, error=0.0)
    assert projection is not None
    assert projection.expected == projection.early == projection.late == 10 * DAY
    assert (projection.days, projection.per_day) == (4, 10)


def test_unequal_days_give_an_interval() -> None:
    projection = project(days(5, 40, 10, 1, 30, 22, 8), 1000, since=0, now=7 * DAY, error=0.0)
    assert projection is not None
    assert projection.early < projection.expected < projection.late
    assert projection == project(days(5, 40, 10, 1, 30, 22, 8), 1000, since=0, now=7 * DAY, error=0.0)


def test_the_error_of_the_estimate_widens_the_interval() -> None:
    alike = days(*[10_000] * 10)
    projection = project(alike, 10**6, since=0, now=10 * DAY, error=0.1)
    assert projection is not None
    assert projection.expected == 100 * DAY
    # The baseline is a tenth too low or too high, from the beginning: 1.645 times that in nine of ten draws.
    assert projection.early == pytest.approx(100 / 1.1645 * DAY, rel=0.02)
    assert projection.late == pytest.approx(100 / 0.8355 * DAY, rel=0.02)


def test_no_projection_where_the_interval_has_no_end() -> None:
    assert project(days(-5, -4, -6), 100, since=0, now=3 * DAY, error=0.0) is None
    assert project(days(-30, 40, -20, 25), 1000, since=0, now=4 * DAY, error=0.0) is None
    # Savings are certain, but the baseline that they are against is not.
    assert project(days(10, 10, 10, 10), 100, since=0, now=4 * DAY, error=1.0) is None


def test_points_have_the_interval_of_the_estimate() -> None:
    pairs = [PricedPair("", 10, 10, 10, length, 1.0) for length in range(1, 101)]
    (point,) = points([Hour(0, traffic(1000, 200, 500), 7)], HOSTING, 0, HOUR, Ratios(pairs))
    estimate = Ratios(pairs).estimate(traffic(1000, 200, 500))
    assert (point.baseline, point.student) == (estimate.value, estimate.value - 1000)
    assert (point.low, point.total, point.high) == tuple(
        end - 17 for end in (estimate.low, estimate.value, estimate.high)
    )
    assert point.low < point.total < point.high


def test_only_whole_recent_days_count() -> None:
    old, recent = [1000] * 10, [10] * 28
    series = days(*old, *recent)
    last = series[-1].total - 500
    cut = Point(38 * DAY, 38 * DAY + HOUR, 0, 0, 0, 0, last, last, last)
    projection = project([*series, cut], 10**6, since=0, now=38 * DAY + HOUR, error=0.0)
    assert projection is not None
    assert (projection.days, projection.per_day) == (28, 10)


def test_no_projection_without_days_or_an_open_investment() -> None:
    assert project(days(1, 1), 100, since=0, now=2 * DAY, error=0.0) is None
    assert project(days(60, 60, -50), 100, since=0, now=3 * DAY, error=0.0) is None  # reached, then lost again
    assert project(days(1, 1, 1), 0, since=0, now=3 * DAY, error=0.0) is None
    assert project([], 100, since=0, now=0, error=0.0) is None
