"""Baseline, savings and payback."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from breakeven.gateway.accounting.money import picodollars
from breakeven.gateway.accounting.prices import FREE, Cost, cost, price
from breakeven.gateway.accounting.record import AttemptRecord, Outcome
from breakeven.gateway.accounting.usage import NO_USAGE, Usage
from breakeven.gateway.economics.breakeven import (
    baseline,
    payback_moment,
    payback_months,
    payback_ratio,
    per_million,
)
from breakeven.gateway.economics.hosting import Hosting, Rate
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.totals import Hour
from breakeven.gateway.economics.traffic import traffic
from breakeven.router.policy import Route
from tests.support.pairs import EXACT

PRICE = price(Decimal("15"), Decimal("1.5"), Decimal("60"))


def attempt(upstream: Route, usage: Usage, paid: Cost = FREE, outcome: Outcome = Outcome.OK) -> AttemptRecord:
    return AttemptRecord(upstream, outcome, 200, usage, paid, 0.1, 0.2)


def test_baseline_is_the_answered_tokens_at_the_teachers_prices() -> None:
    usage = Usage(1000, 0, 100, True)
    assert baseline([attempt(Route.STUDENT, usage)], PRICE, pinned=False) == cost(usage, PRICE).total


def test_baseline_of_a_fallback_counts_the_answer_once() -> None:
    failed = attempt(Route.STUDENT, NO_USAGE, outcome=Outcome.UPSTREAM_ERROR)
    answered = attempt(Route.TEACHER, Usage(1000, 0, 100, True), Cost(15_000_000_000, 0, 6_000_000_000))
    assert baseline([failed, answered], PRICE, pinned=False) == answered.cost.total


def test_pinned_and_unreported_requests_have_no_baseline() -> None:
    assert baseline([attempt(Route.TEACHER, Usage(9, 0, 9, True))], PRICE, pinned=True) == 0
    assert baseline([attempt(Route.STUDENT, NO_USAGE)], PRICE, pinned=False) == 0
    assert baseline([], PRICE, pinned=False) == 0


def test_the_worked_example_of_the_documentation() -> None:
    api = picodollars(Decimal(100) * 15)
    student = picodollars(Decimal(100) * Decimal("0.50"))
    assert (api, student) == (1500 * 10**12, 50 * 10**12)
    months = [payback_months(picodollars(Decimal(invested)), api, student) for invested in (500, 5000)]
    assert months == [pytest.approx(0.345, abs=5e-4), pytest.approx(3.45, abs=5e-3)]
    assert payback_months(1, 50, 50) is None
    assert payback_months(1, 50, 60) is None


def test_the_students_effective_price() -> None:
    assert per_million(50 * 10**12, 100 * 10**6) == Fraction(10**12, 2)
    assert per_million(50, 0) is None


def test_payback_ratio() -> None:
    assert payback_ratio(50, 200) == 0.25
    assert payback_ratio(-50, 200) == -0.25
    assert payback_ratio(50, 0) is None


def known(hour: int, baseline: int, spend: int = 0) -> Hour:
    """An hour of which the teacher answered all."""
    return Hour(hour, traffic(baseline, 0, 0), spend)


def test_payback_is_the_end_of_the_hour_in_which_it_was_reached() -> None:
    rates = Hosting([Rate(0, 10)])
    hours = [known(0, 60), known(1, 65, 5), known(5, 60)]
    # After hour 0: 60 - 10 = 50; after hour 1: 120 - 20 = 100.
    assert payback_moment(hours, rates, 100, 10 * HOUR, EXACT) == 2 * HOUR
    assert payback_moment(hours, rates, 50, 10 * HOUR, EXACT) == HOUR


def test_payback_is_by_the_estimate_and_not_by_the_students_tokens() -> None:
    # Answers are worth half of what the student wrote, prompts three quarters of what it counted.
    hours = [Hour(0, traffic(10, 40, 100), 0), Hour(1, traffic(10, 40, 100), 0)]
    assert payback_moment(hours, Hosting([]), 90, 10 * HOUR, EXACT) == HOUR
    assert payback_moment(hours, Hosting([]), 91, 10 * HOUR, EXACT) == 2 * HOUR


def test_payback_in_the_past_stays_when_savings_fall_again() -> None:
    assert payback_moment([known(0, 110)], Hosting([Rate(0, 10)]), 100, 1000 * HOUR, EXACT) == HOUR


def test_payback_within_the_current_hour_is_now() -> None:
    assert payback_moment([known(3, 500)], Hosting([Rate(0, 0)]), 100, 3 * HOUR + 7, EXACT) == 3 * HOUR + 7


def test_payback_that_was_not_reached_is_none() -> None:
    assert payback_moment([known(0, 20), known(3, 20)], Hosting([Rate(0, 0)]), 100, 4 * HOUR, EXACT) is None
    assert payback_moment([known(0, 20)], Hosting([Rate(0, 30)]), 100, 4 * HOUR, EXACT) is None
    assert payback_moment([], Hosting([Rate(0, 30)]), 100, 4 * HOUR, EXACT) is None
    assert payback_moment([known(0, 20)], Hosting([]), 0, 4 * HOUR, EXACT) is None  # nothing was invested
