"""The probabilities of comparing: their mean is the rate, their ratio is bounded, and their cost is in the budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.road.sampling import LEAST_RATE, STRATA_RATIO, Flow, most_probable, probability, rates_within
from breakeven.gateway.road.stages import Rates
from breakeven.router.policy import Assessment

USUAL, HARDEST, NOVEL = Assessment(0.3, 0.5), Assessment(0.9, None), Assessment(0.1, 0.97)
MONTH = 30 * 86400.0


@given(st.floats(1e-6, 1.0))
def test_the_mean_is_the_base_rate_and_no_stratum_is_forgotten(base: float) -> None:
    usual, often = probability(base, USUAL), probability(base, HARDEST)
    assert probability(base, NOVEL) == often == most_probable(base)
    assert 0.76 * usual + 0.24 * often == pytest.approx(base)
    assert 0 < usual <= often <= 1.0
    assert often <= usual * STRATA_RATIO * (1 + 1e-9)


def test_at_rate_one_everything_is_compared() -> None:
    assert {probability(1.0, one) for one in (USUAL, HARDEST, NOVEL)} == {1.0}


def test_what_is_hard_may_be_said_by_the_traffic() -> None:
    assert probability(0.1, USUAL, hard=0.2) == probability(0.1, HARDEST) > probability(0.1, USUAL)


def test_rates_that_the_budget_allows_are_as_wanted() -> None:
    wanted, flow = Rates(1.0, 0.02), Flow(0.01, 0.001)
    assert rates_within(wanted, flow, flow, usd_left=50, seconds_left=MONTH) == wanted


@given(st.floats(0.01, 100), st.floats(1e-4, 1.0), st.floats(0, 500), st.floats(60, MONTH))
def test_rates_spend_at_most_twice_the_even_pace_unless_at_their_floor(
    per_second: float, usd: float, left: float, seconds: float
) -> None:
    one, other = Flow(per_second, usd), Flow(per_second / 3, usd * 2)
    found = rates_within(Rates(1.0, 0.1), one, other, usd_left=left, seconds_left=seconds)
    spent = found.teacher_answered * one.per_second * one.usd + found.student_answered * other.per_second * other.usd
    floor = LEAST_RATE * (one.per_second * one.usd + other.per_second * other.usd)
    assert spent <= (2 * left / seconds + floor) * (1 + 1e-9)
    assert LEAST_RATE <= found.student_answered <= 0.1
    assert LEAST_RATE <= found.teacher_answered <= 1.0


def test_what_costs_nothing_is_not_reduced_and_what_is_off_stays_off() -> None:
    free, dear = Flow(10, 0.0), Flow(10, 1.0)
    assert rates_within(Rates(1.0, 0.1), free, dear, usd_left=1, seconds_left=MONTH) == Rates(1.0, LEAST_RATE)
    assert rates_within(Rates(0.0, 0.1), dear, dear, usd_left=0, seconds_left=MONTH).teacher_answered == 0.0


def test_a_month_spends_its_budget_early_and_lasts_nearly_to_the_end() -> None:
    flow, left, minutes = Flow(1.0, 0.002), 50.0, 30 * 1440
    rest = []
    for minute in range(minutes):
        rates = rates_within(Rates(1.0, 0.0), flow, Flow(), usd_left=left, seconds_left=MONTH - 60 * minute)
        left -= rates.teacher_answered * 60 * flow.usd
        rest.append(left)
    # What is left falls with the square of the time, down to the floor of the rates.
    assert rest[minutes // 2] == pytest.approx(12.5, abs=0.2)
    ended = next(minute for minute, of in enumerate(rest) if of <= 0)
    assert ended > 0.95 * minutes
