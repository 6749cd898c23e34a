"""The statement of a period."""

from __future__ import annotations

from breakeven.gateway.economics.breakeven import Rate
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.statement import state
from breakeven.gateway.economics.totals import Hour, Sum, add
from breakeven.router.policy import Route


def sums(
    upstream: str, pinned: bool = False, reason: str = "easy", *, baseline: int = 0, cost: int = 0, tokens: int = 0
) -> Sum:
    return Sum(
        (upstream, pinned, reason), requests=1, attempts=1, input_tokens=tokens, cost_input=cost, baseline=baseline
    )


GROUPS = [
    sums("student", baseline=200, tokens=1_000_000),
    sums("teacher", baseline=40, cost=30, tokens=7),
    sums("teacher", reason="shadow", cost=10, tokens=7),
    sums("teacher", True, "pinned", cost=1000, tokens=7),
]
HOURS = [Hour(0, 140, 40), Hour(1, 100, 0)]


def test_pinned_traffic_is_excluded_from_baseline_and_spend() -> None:
    one = state(GROUPS, HOURS, [Rate(0, 10)], 50, since=None, until=2 * HOUR)
    assert (one.baseline, one.routed_spend, one.pinned_spend, one.hosting) == (240, 40, 1000, 20)
    assert one.savings == 240 - 40 - 20
    assert one.requests == 4
    assert one.upstreams[Route.TEACHER].cost == 1040
    assert one.shadow_spend == 10
    assert one.student_per_million == 20
    assert one.payback_ratio == 180 / 50
    assert one.payback_at == HOUR


def test_the_payback_of_a_period_is_that_of_the_whole_history() -> None:
    rates = [Rate(0, 10)]
    period = state([sums("student", baseline=100)], HOURS, rates, 120, since=HOUR, until=2 * HOUR)
    assert (period.savings, period.hosting, period.since) == (90, 10, HOUR)
    assert (period.payback_ratio, period.payback_at) == (180 / 120, 2 * HOUR)


def test_an_empty_ledger() -> None:
    one = state([], [], [], 0, since=None, until=HOUR)
    assert (one.requests, one.savings, one.hosting) == (0, 0, 0)
    assert (one.payback_ratio, one.payback_at, one.student_per_million) == (None, None, None)


def test_hosting_without_traffic_is_a_loss() -> None:
    one = state([], [], [Rate(0, 10)], 100, since=None, until=24 * HOUR)
    assert (one.savings, one.payback_ratio, one.payback_at) == (-240, -2.4, None)


def test_sums_add_up() -> None:
    total = add(GROUPS)
    assert (total.requests, total.tokens, total.cost, total.baseline) == (4, 1_000_021, 1040, 240)


def test_payback_without_hosting_or_before_it_began() -> None:
    for rates in ([], [Rate(10 * HOUR, 0)]):
        one = state(GROUPS, HOURS, rates, 400, since=None, until=4 * HOUR)
        assert (one.since, one.savings) == (0, 200)
        assert one.payback_at == 8 * HOUR


def test_the_average_starts_when_hosting_began_within_the_first_hour() -> None:
    # 10 saved in the last minute of an hour: 100 are reached ten minutes after hosting began, not after hours.
    minute = HOUR // 60
    began = 59 * minute
    one = state([sums("student", baseline=10)], [Hour(0, 10, 0)], [Rate(began, 0)], 100, since=None, until=HOUR)
    assert (one.since, one.payback_at) == (began, began + 10 * minute)
