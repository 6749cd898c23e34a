"""The estimated baseline against simulated months, in which the teacher's own answers are known to the test only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from breakeven.gateway.economics.baseline import LEAST_PAIRS, Estimate, PricedPair, measure
from breakeven.gateway.economics.statement import compare
from breakeven.gateway.economics.traffic import Traffic, Value, size_of, stratum, together, traffic

REQUESTS = 4_000  # a month
WEEKS = 30 / 7
TEACHER_SHARE = 0.2
INPUT, OUTPUT = 2_500_000, 10_000_000  # picodollars per token
# Of each: share of traffic, median tokens of the teacher's answer, and how much more the student writes.
WORKLOADS = {"support": (0.55, 60, 2.5), "search": (0.3, 25, 0.9), "reports": (0.15, 400, 6.0)}
SPENT = 10**10  # teacher spend and hosting, known exactly


class Month(NamedTuple):
    """One month: the ledger's traffic by workload, its compared pairs, and the teacher's true bill by workload."""

    traffic: dict[str, Traffic]
    pairs: list[PricedPair]
    truth: dict[str, int]

    @property
    def whole(self) -> Traffic:
        return together(self.traffic.values())


def month(seed: int, pairs_a_week: int, *, long_answers: float = 1.0) -> Month:
    """Lengths are log-normal with a heavy tail; the sampling rate doubles in the middle of the month.

    Pairs of answers above 256 tokens are drawn `long_answers` times as often, as if all had been drawn alike: then only
    the size tells.
    """
    rng = np.random.default_rng(seed)
    names = list(WORKLOADS)
    workload = rng.choice(len(names), REQUESTS, p=[share for share, _, _ in WORKLOADS.values()])
    median, more = (np.array([WORKLOADS[name][column] for name in names])[workload] for column in (1, 2))
    prompt = np.ceil(rng.lognormal(np.log(200), 1.2, REQUESTS))
    teacher = {
        "input": np.ceil(prompt * rng.normal(0.9, 0.05, REQUESTS).clip(0.7)) * INPUT,
        "output": np.ceil(median * rng.lognormal(0, 1.0, REQUESTS)) * OUTPUT,
    }
    student = {
        "input": prompt * INPUT,
        "output": np.ceil(teacher["output"] / OUTPUT * more * rng.lognormal(0, 0.5, REQUESTS)) * OUTPUT,
    }
    to_teacher = rng.random(REQUESTS) < TEACHER_SHARE
    rate = (
        pairs_a_week * WEEKS / (REQUESTS * (1 - TEACHER_SHARE)) * np.where(np.arange(REQUESTS) * 2 < REQUESTS, 2, 4) / 3
    )
    size = np.array([size_of(int(tokens)) for tokens in student["output"] / OUTPUT])
    drawn = ~to_teacher & (rng.random(REQUESTS) < rate * np.where(size > 2, long_answers, 1.0))
    pairs = [
        PricedPair(
            "",
            *(int(side[kind][i]) for side in (student, teacher) for kind in ("input", "output")),
            1 / rate[i],
            names[workload[i]],
            int(size[i]),
        )
        for i in np.flatnonzero(drawn)
    ]
    found, truth = {}, {}
    for index, name in enumerate(names):
        of = workload == index
        both = teacher["input"] + teacher["output"]
        parts = [traffic(int(both[of & to_teacher].sum()), 0, 0)]
        for one in range(1, 5):
            asked = of & ~to_teacher & (size == one)
            sums = (int(student[kind][asked].sum()) for kind in ("input", "output"))
            parts.append(traffic(0, *sums, stratum(name, "", one)))
        found[name] = together(parts)
        truth[name] = int(both[of].sum())
    return Month(found, pairs, truth)


def savings(one: Month) -> Estimate:
    ratios = measure(one.pairs)
    assert ratios is not None
    return ratios.estimate(one.whole).less(SPENT)


def test_savings_are_within_their_interval_at_50_pairs_a_week() -> None:
    inside = 0
    for seed in range(200):
        one = month(seed, 50)
        estimate = savings(one)
        inside += estimate.low <= sum(one.truth.values()) - SPENT <= estimate.high
        assert estimate.pairs == len(one.pairs)
    assert inside >= 0.93 * 200


def test_the_point_is_within_5_percent_at_500_pairs_a_week() -> None:
    for seed in range(20):
        one = month(1000 + seed, 500)
        assert savings(one).value == pytest.approx(sum(one.truth.values()) - SPENT, rel=0.05)


def test_the_students_tokens_are_far_off() -> None:
    """What the estimate is for: the same traffic, priced by the student's tokens."""
    one = month(1, 500)
    assert one.whole.upper_bound > 2 * sum(one.truth.values())


def test_each_workload_is_estimated_by_its_own_pairs() -> None:
    inside = [0, 0]
    for seed in range(60):
        one = month(2000 + seed, 300)
        ratios = measure(one.pairs)
        assert ratios is not None
        estimates = {name: ratios.estimate(one.traffic[name]) for name in WORKLOADS}
        inside[0] += sum(of.low <= one.truth[name] <= of.high for name, of in estimates.items())
        whole = ratios.estimate(one.whole)
        inside[1] += whole.low <= sum(one.truth.values()) <= whole.high
        # The parts add up to the whole.
        assert sum(of.value for of in estimates.values()) == pytest.approx(whole.value, abs=10)
    assert inside[0] >= 0.93 * 60 * len(WORKLOADS)
    assert inside[1] >= 0.93 * 60


def test_pairs_of_another_mix_of_sizes_give_the_same() -> None:
    """The size tells how much longer the student writes, so that a mix of pairs unlike the traffic's does no harm."""
    inside, errors = 0, []
    for seed in range(60):
        one = month(3000 + seed, 200, long_answers=3.0)
        estimate, truth = savings(one), sum(one.truth.values()) - SPENT
        inside += estimate.low <= truth <= estimate.high
        errors.append(estimate.value / truth - 1)
    assert inside >= 0.93 * 60
    assert abs(np.mean(errors)) < 0.01


def pair_of(workload: str = "default", key: str = "", size: int = 0, *, output: int = 20) -> PricedPair:
    return PricedPair(key, 10, 20, 10, output, 1.0, workload, size)


def value_of(pairs: list[PricedPair], workload: str, key: str, size: int) -> int:
    ratios = measure(pairs)
    assert ratios is not None
    return ratios.value(traffic(0, 0, 1000, stratum(workload, key, size)))


def test_a_stratum_without_pairs_enough_joins_the_ones_that_are_most_like_it() -> None:
    own = [pair_of("support", size=1, output=40)] * 60
    other_sizes = [pair_of("support", size=2, output=10)] * 30 + [pair_of("support", size=3, output=10)] * 30
    others = [pair_of("search", size=1, output=20)] * 25 + [pair_of("default", "team-a", 1, output=30)] * 25
    pairs = own + other_sizes + others
    assert value_of(pairs, "support", "", 1) == 2000
    assert value_of(pairs, "support", "", 2) == value_of(pairs, "support", "", 3) == 500
    # A size never compared is like the workload's others; a workload with few pairs is like the others with few.
    assert value_of(pairs, "support", "", 4) == 500
    assert value_of(pairs, "search", "", 1) == value_of(pairs, "new", "", 2) == 1250
    # Where there are none but strata with pairs enough, one without is like all traffic.
    assert value_of(own + [pair_of("search", output=10)] * 60, "new", "", 1) == 1250


def test_a_client_key_is_a_stratum_of_the_default_workload_only() -> None:
    pairs = [pair_of(key="team-a", output=40)] * 60 + [pair_of(key="team-b", output=10)] * 60
    assert [value_of(pairs, "default", key, 0) for key in ("team-a", "team-b")] == [2000, 500]
    named = [pair._replace(workload="support") for pair in pairs]
    assert [value_of(named, "support", key, 0) for key in ("team-a", "team-b")] == [1250, 1250]


def test_too_few_pairs_give_no_estimate() -> None:
    pair = PricedPair("", 10, 20, 10, 20, 1.0)
    worthless = PricedPair("", 10, 0, 10, 20, 1.0)
    assert measure([pair] * (LEAST_PAIRS - 1) + [worthless] * 9) is None
    assert compare([pair] * 30 + [worthless] * 9).needed == LEAST_PAIRS - 30
    ratios = measure([pair] * LEAST_PAIRS + [worthless] * 9)
    assert ratios is not None
    assert ratios.estimate(traffic(5, 30, 40)) == Estimate(75, 75, 75, LEAST_PAIRS)


def test_the_lower_end_is_never_below_what_is_known() -> None:
    pairs = [PricedPair("", 10, 10, 10, 10_000 if index == 0 else 1, 1.0) for index in range(LEAST_PAIRS)]
    ratios = measure(pairs)
    assert ratios is not None
    assert ratios.estimate(traffic(1_000, 50, 50)).low == 1_000
    assert ratios.relative_error(traffic(1_000, 50, 50)) > 0.9


def test_where_the_students_own_answers_are_enough_the_teachers_do_not_count() -> None:
    others = [PricedPair("", 10, 10, 10, 30, 1.0, served=False)] * LEAST_PAIRS
    served = [PricedPair("", 10, 10, 10, 20, 9.0)] * LEAST_PAIRS
    traffic = Traffic(0, {("default", "", 0): Value(100, 100)})
    found = [
        ratios.value(traffic) for ratios in map(measure, (others, [*others, *served], [*others, *served[1:]])) if ratios
    ]
    assert found[:2] == [100 + 300, 100 + 200]
    assert found[1] < found[2] < found[0]
