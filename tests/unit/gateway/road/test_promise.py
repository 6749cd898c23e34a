"""The promise: its test keeps its error probability where losses are rare, and its settings keep their floor."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from breakeven.gateway.road.promise import (
    SHARES,
    Comparisons,
    Setting,
    error_of_look,
    missing,
    next_look,
    p_value,
    ranks,
    retention,
    solve,
    threshold,
)

TEACHER_RIGHT = 0.8


def answers(
    rng: np.random.Generator, count: int, lost: np.ndarray | float, gained: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """The student's and the teacher's scores: `lost` and `gained` are the probabilities that only one is right."""
    drawn = rng.random(count)
    student, teacher = np.ones(count), np.ones(count)
    only_teacher = drawn < lost
    only_student = ~only_teacher & (drawn < lost + gained)
    neither = (drawn >= lost + gained) & (drawn < lost + 1.0 - TEACHER_RIGHT)
    student[only_teacher | neither] = 0.0
    teacher[only_student | neither] = 0.0
    return student, teacher


@pytest.mark.parametrize("count", [150, 500])
@pytest.mark.parametrize(("share", "floor"), [(0.1, 0.95), (0.1, 0.98), (0.3, 0.95), (0.8, 0.98)])
def test_a_floor_that_is_just_broken_is_rejected_as_rarely_as_promised(count: int, share: float, floor: float) -> None:
    rng = np.random.default_rng([count, round(share * 100), round(floor * 100)])
    # So many losses among the student's requests that the mean excess is 0.
    lost = ((1 - floor) * TEACHER_RIGHT + share * 0.05) / share
    found = []
    for _ in range(600):
        student, teacher = answers(rng, count, lost)
        routed = np.where(rng.random(count) < share, student, teacher)
        found.append(p_value(routed - floor * teacher, -floor))
    for level in (0.1, 0.05, 0.02):
        deviation = math.sqrt(level * (1 - level) / len(found))
        assert np.mean(np.array(found) <= level) <= level + 2.5 * deviation


def test_no_losses_among_few_requests_prove_little_and_among_many_much() -> None:
    assert p_value(np.full(20, 0.05), -0.95) > 0.2
    assert p_value(np.full(400, 0.05), -0.95) < 1e-4


def test_values_taken_several_times_prove_as_much_as_so_many_values() -> None:
    values = np.array([0.05] * 150 + [-0.95] * 3)
    assert p_value(values, -0.95, 3.0) == pytest.approx(p_value(np.tile(values, 3), -0.95), rel=1e-9)
    assert p_value(values, -0.95, 3.0) < p_value(values, -0.95)


@pytest.mark.parametrize("values", [[-0.5, -0.1], [0.0, 0.0], [0.05, -0.95]])
def test_what_is_not_above_zero_proves_nothing(values: list[float]) -> None:
    assert p_value(np.array(values), -0.95) == 1.0


def compared(rng: np.random.Generator, count: int, skill: float) -> Comparisons:
    """Requests that are lost the more often the harder they are; with `skill` 0 the rank says nothing about that."""
    hardness = rng.random(count)
    rank = skill * hardness + (1 - skill) * rng.random(count)
    student, teacher = answers(rng, count, 0.3 * hardness)
    uniform = (rank.argsort().argsort() + 0.5) / count
    return Comparisons(uniform, student, teacher, np.ones(count))


def kept(share: float, skill: float) -> float:
    """The quality kept of the teacher's, measured on a million requests that the code does not see."""
    large = compared(np.random.default_rng(7), 200_000, skill)
    return retention(large, Setting(share, None, share))


def test_promises_are_kept_in_all_runs_together_over_all_looks() -> None:
    truth = {share: kept(share, 0.7) for share in SHARES}
    broken = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        every = compared(rng, 1500, 0.7)
        at, promised = 0, []
        for look in itertools.count(1):
            at = next_look(at, 300)
            if at > len(every.rank):
                break
            seen = Comparisons(*(part[:at] for part in every[:4]))
            promise = solve(seen, 0.95, error_of_look(look, 0.95))
            promised += [promise.setting.share] if promise else []
        assert promised, "1,500 comparisons are enough for a part of the traffic"
        broken += any(truth[share] < 0.95 for share in promised)
    assert broken <= 40 * 0.05 + 2 * math.sqrt(40 * 0.05 * 0.95)


def test_a_better_ranking_hands_over_more() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for skill in (0.0, 0.7, 1.0):
        promise = solve(compared(rng, 4000, skill), 0.95, 0.05)
        assert promise is not None
        assert promise.low <= promise.retention
        assert promise.low >= 0.95
        shares.append(promise.setting.share)
    assert shares == sorted(shares)
    assert shares[0] < shares[2]


def test_a_hopeless_student_is_given_nothing() -> None:
    rng = np.random.default_rng(5)
    student, teacher = answers(rng, 3000, 0.75)
    every = Comparisons(rng.random(3000), student, teacher, np.ones(3000))
    assert solve(every, 0.98, 0.05) is None
    assert missing(every, 0.98, 0.05, 0.3) is None


def test_what_is_missing_is_about_enough() -> None:
    few = compared(np.random.default_rng(11), 300, 1.0)
    assert solve(few, 0.98, 0.01) is None or solve(few, 0.98, 0.01).setting.answered < 0.3  # type: ignore[union-attr]
    more = missing(few, 0.98, 0.01, 0.3)
    assert more is not None
    assert more > 0


def test_rows_count_by_their_weights() -> None:
    # Half of the requests, which the student always loses, were compared with a tenth of the probability.
    rng = np.random.default_rng(13)
    easy, hard = 2000, 200
    rank = np.concatenate([rng.random(easy) / 2, 0.5 + rng.random(hard) / 2])
    student = np.concatenate([np.ones(easy), np.zeros(hard)])
    weight = np.concatenate([np.ones(easy), np.full(hard, 10.0)])
    promise = solve(Comparisons(rank, student, np.ones(easy + hard), weight), 0.95, 0.05)
    assert promise is not None
    assert promise.setting.share == pytest.approx(0.5)
    assert promise.setting.answered == pytest.approx(0.5, abs=0.03)
    assert threshold(0.5, rank, weight) == pytest.approx(0.5, abs=0.03)


def test_escalation_is_solved_together_with_the_share() -> None:
    # The rank says nothing, the log-probability of the student's own answer nearly all.
    rng = np.random.default_rng(17)
    count = 3000
    wrong = rng.random(count) < 0.3
    logprob = np.where(wrong, -1.0, -0.01) + rng.normal(0, 0.02, count)
    student = 1.0 - wrong
    every = Comparisons(rng.random(count), student, np.ones(count), np.ones(count), logprob)
    alone, both = solve(every._replace(logprob=None), 0.98, 0.05), solve(every, 0.98, 0.05)
    assert both is not None
    assert both.setting.limit is not None
    assert both.setting.answered == pytest.approx(0.7, abs=0.05)
    assert alone is None or alone.setting.answered < 0.1


def test_ranks_are_among_the_own_fold() -> None:
    found = ranks(np.array([5.0, 1.0, -3.0, -9.0]), np.array([0, 0, 1, 1]))
    assert found.tolist() == [0.75, 0.25, 0.75, 0.25]


def test_looks_share_the_error_probability_and_come_ever_more_rarely() -> None:
    assert sum(error_of_look(look, 0.95) for look in range(1, 10_000)) == pytest.approx(0.05, abs=1e-5)
    looks = [next_look(0, 300)]
    while looks[-1] < 1000:
        looks.append(next_look(looks[-1], 300))
    assert looks == [300, 375, 469, 587, 734, 918, 1148]
    assert next_look(500, 300) == 587


def test_a_threshold_gives_its_share_and_all_is_without_one() -> None:
    scores = np.arange(100) / 100
    assert (scores < threshold(0.2, scores, np.ones(100))).mean() == pytest.approx(0.2, abs=0.011)
    assert threshold(1.0, scores, np.ones(100)) == math.inf
