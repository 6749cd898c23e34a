"""The cost of hosting: hours of the schedule, and observed replicas where there are any."""

from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.economics.hosting import Hosting, Observation, Rate
from breakeven.gateway.economics.periods import HOUR

MINUTE = HOUR // 60


def seen(hour: int, replicas: float, *, busy: float = 0, begin: int = 0, end: int = 60, gap: int = 0) -> Observation:
    """An hour in which `replicas` ran, `busy` of them with requests, from minute `begin` to `end`; `gap`: minutes of
    these that were not observed.
    """
    time = (end - begin - gap) * MINUTE
    every = int(replicas * time)
    return Observation(
        hour * HOUR + begin * MINUTE, hour * HOUR + end * MINUTE, hour * HOUR + (end + 2) * MINUTE, time,
        every, every, int(busy * time), every, int(busy * time), replicas,
    )  # fmt: skip


def plain(rates: Sequence[Rate], since: int, until: int) -> int:
    """The cost by the schedule only, added up rate by rate."""
    accrued = Fraction(0)
    for index, rate in enumerate(rates):
        start = max(rate.since, since)
        end = min(rates[index + 1].since, until) if index + 1 < len(rates) else until
        accrued += Fraction(rate.per_hour * max(0, end - start), HOUR)
    return int(accrued)


def test_hosting_accrues_while_idle_and_at_the_rate_in_force() -> None:
    hosting = Hosting([Rate(0, 1_200), Rate(10 * HOUR, 2_400), Rate(20 * HOUR, 0)])
    assert hosting.cost(0, 10 * HOUR) == 12_000
    assert hosting.cost(5 * HOUR, 15 * HOUR) == 6_000 + 12_000
    assert hosting.cost(0, 100 * HOUR) == 12_000 + 24_000
    assert hosting.cost(0, HOUR // 2) == 600


def test_hosting_never_accrues_negatively() -> None:
    hosting = Hosting([Rate(10 * HOUR, 1_200), Rate(20 * HOUR, 2_400)])
    assert hosting.cost(0, 5 * HOUR) == 0  # before the first rate
    assert hosting.cost(15 * HOUR, 12 * HOUR) == 0  # the clock was set back
    assert Hosting([]).cost(0, HOUR) == 0


_RATES = st.lists(st.tuples(st.integers(0, 10**14), st.integers(0, 10**14)), min_size=1, max_size=6)
_CUTS = st.lists(st.integers(0, 10**14), min_size=3, max_size=3)


@given(_RATES, _CUTS)
def test_the_schedule_alone_is_added_up_to_the_picodollar(
    rates: Sequence[tuple[int, int]], cuts: Sequence[int]
) -> None:
    ordered = [Rate(*rate, rate[1]) for rate in sorted(rates)]
    start, middle, end = sorted(cuts)
    hosting = Hosting(ordered)
    whole = hosting.cost(start, end)
    assert whole == plain(ordered, start, end)
    assert 0 <= whole - hosting.cost(start, middle) - hosting.cost(middle, end) <= 1  # each is rounded down


@given(
    st.lists(st.integers(0, 200 * MINUTE), max_size=4, unique=True),
    st.lists(st.tuples(st.integers(0, 59), st.integers(1, 60), st.integers(0, 5)), min_size=4, max_size=4),
    st.lists(st.integers(0, 300 * MINUTE), min_size=3, max_size=3),
)
def test_observed_time_and_the_rest_add_up_over_any_cut(
    changes: Sequence[int], hours: Sequence[tuple[int, int, int]], cuts: Sequence[int]
) -> None:
    rates = [Rate(since, 1_000 * (index + 1), 700) for index, since in enumerate(sorted([0, *changes]))]
    found = [seen(n, count, begin=min(a, b - 1), end=b) for n, (a, b, count) in enumerate(hours) if b]
    hosting = Hosting(rates, found)
    start, middle, end = sorted(cuts)
    whole = hosting.cost(start, end)
    assert 0 <= whole - hosting.cost(start, middle) - hosting.cost(middle, end) <= 1
    assert whole >= 0


def test_observed_hours_cost_the_replicas_that_ran() -> None:
    # Paid for by the schedule: two replicas at 100. Seen: three, none, and two.
    hosting = Hosting([Rate(0, 200, 100)], [seen(0, 3, busy=1.5), seen(1, 0), seen(2, 2, busy=0.5)])
    assert [hosting.cost(n * HOUR, (n + 1) * HOUR) for n in range(4)] == [300, 0, 200, 200]
    assert hosting.cost(0, 4 * HOUR) == 700
    observed = hosting.observed(0, 4 * HOUR)
    assert (observed.share, observed.mean_replicas, observed.idle_share) == (0.75, 5 / 3, 0.6)
    assert observed.last is None  # nobody says what now is


def test_an_observer_that_stopped_leaves_its_hours_to_the_schedule() -> None:
    hosting = Hosting([Rate(0, 200, 100)], [seen(0, 3, end=30), seen(2, 1, begin=15)], now=3 * HOUR)
    assert hosting.cost(0, HOUR) == 150 + 100
    assert hosting.cost(HOUR, 2 * HOUR) == 200
    assert hosting.cost(2 * HOUR, 3 * HOUR) == 50 + 75
    assert hosting.observed(0, 3 * HOUR).share == 75 / 180


def test_a_gap_within_an_hour_costs_what_the_schedule_says() -> None:
    hosting = Hosting([Rate(0, 600, 300)], [seen(0, 0, gap=20)])
    assert hosting.cost(0, HOUR) == 200
    assert hosting.cost(0, HOUR // 2) == 100, "observations of an hour count as evenly spread over it"


def test_a_price_that_changes_within_an_observed_hour() -> None:
    rates = [Rate(0, 100, 100), Rate(HOUR + 15 * MINUTE, 200, 200), Rate(HOUR + 45 * MINUTE, 0, 0)]
    hosting = Hosting(rates, [seen(1, 4)])
    assert hosting.cost(HOUR, 2 * HOUR) == 4 * (100 // 4 + 200 // 2)
    assert hosting.cost(0, HOUR) == 100


def test_replicas_cost_nothing_before_hosting_begins() -> None:
    hosting = Hosting([Rate(HOUR + 30 * MINUTE, 100, 100)], [seen(0, 4), seen(1, 4)])
    assert hosting.cost(0, HOUR) == 0
    assert hosting.cost(0, 2 * HOUR) == 200
    assert hosting.observed(0, 2 * HOUR)[:3] == (HOUR // 2, HOUR // 2, 2 * HOUR)


def test_without_the_price_of_one_replica_the_schedule_holds() -> None:
    hosting = Hosting([Rate(0, 200), Rate(HOUR, 200, 100)], [seen(0, 5), seen(1, 5)])
    assert [hosting.cost(n * HOUR, (n + 1) * HOUR) for n in range(2)] == [200, 500]
    assert hosting.observed(0, 2 * HOUR).share == 0.5


def test_a_scheduled_count_of_zero_still_pays_for_what_was_seen() -> None:
    assert Hosting([Rate(0, 0, 100)], [seen(1, 2)]).cost(0, 3 * HOUR) == 200


def test_the_cost_so_far_never_goes_down() -> None:
    """Time after the last observation is paid for once the next one is there, or is late."""
    costs = []
    for minute in range(60, 181):
        # One replica fewer than in the schedule, seen up to minute 120, every two minutes; then the observer stops.
        until = min(minute // 2 * 2, 120)
        observations = [seen(0, 1), seen(1, 1, end=until - 60)]
        costs.append(Hosting([Rate(0, 1200, 600)], observations, now=minute * MINUTE).cost(0, minute * MINUTE))
    assert costs == sorted(costs)
    assert costs[1] == costs[0] == 600
    assert (costs[60], costs[61], costs[62]) == (1200, 1200, 1240), "late after two minutes: by the schedule since"
    assert costs[-1] == 1200 + 1200


def test_replicas_that_run_now() -> None:
    hosting = Hosting([Rate(0, 100, 100)], [seen(0, 3, end=30)], now=31 * MINUTE)
    assert hosting.observed(0, 31 * MINUTE).last == 3
    assert hosting.observed(0, 31 * MINUTE).share == 1.0
    assert hosting.observed(0, 20 * MINUTE).last is None
    assert Hosting([Rate(0, 100, 100)], [seen(0, 3, end=30)], now=33 * MINUTE).observed(0, 33 * MINUTE).last is None


def test_the_hourly_cost_at_present() -> None:
    rates = [Rate(0, 200, 100), Rate(10 * HOUR, 400, 200), Rate(90 * HOUR, 7, 7)]
    assert Hosting(rates).per_hour(20 * HOUR) == 400
    assert Hosting(rates, [seen(1, 3), seen(2, 0)]).per_hour(20 * HOUR) == 300
    assert Hosting(rates, [seen(1, 3)]).per_hour(80 * 24 * HOUR) == 7, "observed too long ago"
    assert Hosting([]).per_hour(HOUR) == 0


def test_the_price_at_full_load_takes_an_observed_period() -> None:
    rates = [Rate(0, 200, 100)]
    price = Fraction(60)
    whole = Hosting(rates, [seen(0, 2, busy=0.5), seen(1, 2, busy=0.5)])
    assert whole.observed(0, 2 * HOUR).at_full_load(price) == 15
    assert whole.observed(0, 2 * HOUR).at_full_load(None) is None
    assert whole.observed(0, 3 * HOUR).at_full_load(price) is None, "a third of it was not observed"
    assert Hosting(rates, [seen(0, 2)]).observed(0, HOUR).at_full_load(price) is None, "it was never busy"
    without_busy = [seen(0, 2)._replace(busy_measured=0, busy=0, active_measured=0, active=0)]
    observed = Hosting(rates, without_busy).observed(0, HOUR)
    assert (observed.idle_share, observed.share_without_tokens, observed.at_full_load(price)) == (None, None, None)


def test_a_curve_over_years_of_observed_hours_is_fast() -> None:
    count = 3 * 8760
    hosting = Hosting([Rate(0, 200, 100)], [seen(n, n % 4) for n in range(count)])
    began = time.perf_counter()
    assert sum(hosting.cost(n * HOUR, (n + 1) * HOUR) for n in range(count)) == 100 * sum(n % 4 for n in range(count))
    assert time.perf_counter() - began < 2.0  # 0.1 s on a slow core; adding up the hours each time takes minutes


@pytest.mark.parametrize("moment", [0, HOUR // 2, HOUR])
def test_an_empty_period_costs_nothing(moment: int) -> None:
    assert Hosting([Rate(0, 200, 100)], [seen(0, 2)]).cost(moment, moment) == 0
