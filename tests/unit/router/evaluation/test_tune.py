"""Choosing thresholds: exact for a share and a budget, with a guarantee for a quality floor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.evaluation.tune import (
    GRID,
    Traffic,
    TuneError,
    betting_p_value,
    for_budget,
    for_quality,
    for_quality_and_escalation,
    for_share,
    point,
)

SCORES = st.lists(st.integers(0, 20).map(lambda n: n / 21), min_size=1, max_size=60)


def traffic(scores: list[float], novel: list[bool] | None = None, **parts: list[float]) -> Traffic:
    known = np.array(novel if novel is not None else [False] * len(scores))
    return Traffic(np.array(scores), known, **{name: np.array(values) for name, values in parts.items()})


def draw(count: int, seed: int) -> Traffic:
    """A sample of calibrated scores; the teacher is right on 85%, the student wrong on some of those."""
    rng = np.random.default_rng(seed)
    score = rng.beta(1.2, 4, count)
    teacher = (rng.random(count) < 0.85).astype(float)
    student = np.where(rng.random(count) < score, 0.0, teacher)
    student = np.where((teacher == 0) & (rng.random(count) < 0.2), 1.0, student)
    return Traffic(score, np.zeros(count, dtype=bool), student, teacher)


@given(SCORES, st.floats(0, 1))
def test_the_threshold_for_a_share_is_the_lowest_that_keeps_it(scores: list[float], share: float) -> None:
    seen = traffic(scores)
    threshold = for_share(seen, share)
    assert seen.sent_up(threshold).mean() <= share + 1e-9
    lower = [score for score in scores if score < threshold]
    if lower:
        assert seen.sent_up(max(lower)).mean() > share


def test_novel_requests_count_towards_the_share() -> None:
    seen = traffic([0.1, 0.2, 0.3, 0.4], [True, False, False, False])
    assert seen.sent_up(for_share(seen, 0.5)).tolist() == [True, False, False, True]
    with pytest.raises(TuneError, match=r"25.0% of the requests are novel"):
        for_share(seen, 0.2)


def test_the_threshold_for_a_budget_matches_values_computed_by_hand() -> None:
    seen = traffic([0.9, 0.8, 0.1], cost=[5.0, 2.0, 1.0])
    assert seen.sent_up(for_budget(seen, 8 / 3)).tolist() == [True, True, True]
    assert seen.sent_up(for_budget(seen, 7 / 3)).tolist() == [True, True, False]
    assert seen.sent_up(for_budget(seen, 6 / 3)).tolist() == [True, False, False]
    assert seen.sent_up(for_budget(seen, 4 / 3)).tolist() == [False, False, False]
    with pytest.raises(TuneError, match="no costs"):
        for_budget(traffic([0.5]), 1.0)
    with pytest.raises(TuneError, match="the novel requests alone cost more"):
        for_budget(traffic([0.5, 0.5], [True, False], cost=[9.0, 1.0]), 1.0)


def test_share_retention_and_cost_of_a_threshold_match_values_computed_by_hand() -> None:
    seen = traffic([0.9, 0.1, 0.2, 0.3], student=[0, 1, 1, 0], teacher=[1, 1, 1, 1], cost=[4, 4, 4, 4])
    found = point(seen, 0.5)
    assert (found.share, found.retention, found.teacher_usd) == (0.25, 0.75, 1.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.75 <= found.high
    assert point(traffic([0.5]), 0.5).retention is None


def test_the_p_value_is_valid_at_a_mean_of_zero() -> None:
    # A mean of exactly 0: below .05 in at most 5% of the draws, and sampling error.
    rng = np.random.default_rng(5)
    draws = [rng.choice([-0.9, 0.1], p=[0.1, 0.9], size=500) for _ in range(400)]
    assert np.mean([betting_p_value(values, 0.9) <= 0.05 for values in draws]) <= 0.05 + 0.022
    assert betting_p_value(np.full(500, 0.1), 0.9) < 1e-6
    assert betting_p_value(np.full(500, -0.1), 0.9) == 1.0


@pytest.mark.parametrize("floor", [0.98, 0.9])
def test_the_quality_guarantee_holds_over_200_samples(floor: float) -> None:
    world = draw(200_000, seed=1)
    assert world.student is not None
    assert world.teacher is not None
    broken = solved = 0
    for seed in range(200):
        try:
            threshold = for_quality(draw(800, seed=1000 + seed), floor, 0.95)
        except TuneError:
            continue
        solved += 1
        routed = np.where(world.sent_up(threshold), world.teacher, world.student)
        broken += routed.mean() / world.teacher.mean() < floor
    assert solved >= 150
    # 5% of 200, and two standard deviations.
    assert broken <= 10 + 6


def test_no_promise_contradicts_what_the_rows_measure() -> None:
    """A student at 88% for a floor of 90%, whose failures no score foresees: some draws begin well, and end below."""
    solved = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        rows = Traffic(rng.random(600), np.zeros(600, bool), (rng.random(600) < 0.88).astype(float), np.ones(600))
        try:
            found = point(rows, for_quality(rows, 0.9, 0.95))
        except TuneError:
            continue
        solved += 1
        assert found.retention is not None
        # With a hundredth for the difference between this interval and the test's.
        assert found.low is not None
        assert found.retention > 0.9
        assert found.low > 0.9 - 0.01
    assert solved > 30


def test_too_few_rows_are_an_error_that_estimates_how_many_are_missing() -> None:
    with pytest.raises(TuneError, match=r"60 rows are too few to promise 98.0% with 95% confidence: about \d+ more"):
        for_quality(draw(60, seed=2), 0.98, 0.95)


def test_a_floor_that_more_rows_cannot_reach_is_an_error() -> None:
    bad = traffic([0.5] * 100, student=[0.0] * 100, teacher=[1.0] * 100)
    with pytest.raises(TuneError, match="more rows will not help"):
        for_quality(bad, 0.9, 0.95)
    with pytest.raises(TuneError, match="needs outcome rows"):
        for_quality(traffic([0.5] * 100), 0.9, 0.95)


def cascade(count: int, seed: int) -> Traffic:
    """Random scores, and log-probabilities that separate good answers from bad ones."""
    rng = np.random.default_rng(seed)
    worse = rng.random(count) < 0.3
    logprob = np.where(worse, -1.4, -0.25) * rng.uniform(0.8, 1.2, count)
    return Traffic(rng.random(count), np.zeros(count, bool), (~worse).astype(float), np.ones(count), None, logprob)


def test_escalation_limit_and_threshold_are_chosen_together() -> None:
    rows = cascade(1500, seed=4)
    threshold, floor = for_quality_and_escalation(rows, 0.95, 0.95)
    assert floor in (-1.0, -0.7, -0.5)
    together, alone = point(rows, threshold, floor), point(rows, for_quality(rows, 0.95, 0.95))
    assert together.share < 0.5 < alone.share
    assert together.low is not None
    assert together.low >= 0.94
    with pytest.raises(TuneError, match="student_mean_logprob"):
        for_quality_and_escalation(rows._replace(logprob=None), 0.95, 0.95)


def test_the_quality_guarantee_holds_for_threshold_and_escalation_together() -> None:
    world = cascade(100_000, seed=1)
    assert world.student is not None
    broken = 0
    for seed in range(60):
        threshold, floor = for_quality_and_escalation(cascade(400, seed=100 + seed), 0.9, 0.95)
        routed = np.where(world.sent_up(threshold, floor), 1.0, world.student)
        broken += routed.mean() < 0.9
    assert broken <= 3 + 3


def test_a_student_as_good_as_the_teacher_gets_all_requests() -> None:
    same = traffic([n / 500 for n in range(500)], student=[1.0] * 500, teacher=[1.0] * 500)
    assert for_quality(same, 0.9, 0.95) == GRID[-1]


def test_more_confidence_never_sends_more_to_the_student() -> None:
    rows = draw(2000, seed=3)
    thresholds = [for_quality(rows, 0.9, confidence) for confidence in (0.8, 0.9, 0.99)]
    assert thresholds == sorted(thresholds, reverse=True)
