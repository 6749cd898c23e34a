"""The estimated baseline against simulated months, in which the teacher's own answers are known to the test only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from breakeven.gateway.economics.baseline import LEAST_PAIRS, Estimate, PricedPair, Traffic, measure
from breakeven.gateway.economics.statement import compare

REQUESTS = 4_000  # a month
WEEKS = 30 / 7
TEACHER_SHARE = 0.2
INPUT, OUTPUT = 2_500_000, 10_000_000  # picodollars per token
# Of each key: share of traffic, median tokens of the teacher's answer, and how much more the student writes.
KEYS = {"support": (0.55, 60, 2.5), "search": (0.3, 25, 0.9), "reports": (0.15, 400, 6.0)}
SPENT = 10**10  # teacher spend and hosting, known exactly


class Month(NamedTuple):
    """One month: the ledger's traffic by key, its compared pairs, and the teacher's true bill by key."""

    traffic: dict[str, Traffic]
    pairs: list[PricedPair]
    truth: dict[str, int]

    @property
    def whole(self) -> Traffic:
        total = Traffic(0, 0, 0)
        for one in self.traffic.values():
            total = total.plus(one)
        return total


def month(seed: int, pairs_a_week: int) -> Month:
    """Lengths are log-normal with a heavy tail; the sampling rate doubles in the middle of the month."""
    rng = np.random.default_rng(seed)
    names = list(KEYS)
    key = rng.choice(len(names), REQUESTS, p=[share for share, _, _ in KEYS.values()])
    median, more = (np.array([KEYS[name][column] for name in names])[key] for column in (1, 2))
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
    drawn = ~to_teacher & (rng.random(REQUESTS) < rate)
    pairs = [
        PricedPair(
            names[key[i]],
            *(int(side[kind][i]) for side in (student, teacher) for kind in ("input", "output")),
            1 / rate[i],
        )
        for i in np.flatnonzero(drawn)
    ]
    traffic, truth = {}, {}
    for index, name in enumerate(names):
        of = key == index
        both = teacher["input"] + teacher["output"]
        asked = of & ~to_teacher
        traffic[name] = Traffic(
            int(both[of & to_teacher].sum()), int(student["input"][asked].sum()), int(student["output"][asked].sum())
        )
        truth[name] = int(both[of].sum())
    return Month(traffic, pairs, truth)


def savings(one: Month) -> Estimate:
    ratios = measure(one.pairs)
    assert ratios is not None
    return ratios.pooled(one.whole).less(SPENT)


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


def test_each_key_is_estimated_by_its_own_pairs() -> None:
    inside = [0, 0]
    for seed in range(60):
        one = month(2000 + seed, 300)
        ratios = measure(one.pairs)
        assert ratios is not None
        for name in KEYS:
            estimate = ratios.estimate({name: one.traffic[name]})
            inside[0] += estimate.low <= one.truth[name] <= estimate.high
        whole = ratios.estimate(one.traffic)
        inside[1] += whole.low <= sum(one.truth.values()) <= whole.high
    assert inside[0] >= 0.93 * 60 * len(KEYS)
    assert inside[1] >= 0.93 * 60


def test_too_few_pairs_give_no_estimate() -> None:
    pair = PricedPair("", 10, 20, 10, 20, 1.0)
    worthless = PricedPair("", 10, 0, 10, 20, 1.0)
    assert measure([pair] * (LEAST_PAIRS - 1) + [worthless] * 9) is None
    assert compare([pair] * 30 + [worthless] * 9).needed == LEAST_PAIRS - 30
    ratios = measure([pair] * LEAST_PAIRS + [worthless] * 9)
    assert ratios is not None
    assert ratios.pooled(Traffic(5, 30, 40)) == Estimate(75, 75, 75, LEAST_PAIRS)


def test_the_lower_end_is_never_below_what_is_known() -> None:
    pairs = [PricedPair("", 10, 10, 10, 10_000 if index == 0 else 1, 1.0) for index in range(LEAST_PAIRS)]
    ratios = measure(pairs)
    assert ratios is not None
    assert ratios.pooled(Traffic(1_000, 50, 50)).low == 1_000
    assert ratios.relative_error(Traffic(1_000, 50, 50)) > 0.9
