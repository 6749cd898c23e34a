"""Watching a promise: few false alarms, and an alarm soon after something is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from breakeven.gateway.road.watch import NOVEL, FloorWatch, TrafficWatch


def requests_until_broken(
    seed: int, lost: float, requests: int, by_student: float = 0.2, by_teacher: float = 1.0
) -> int:
    """Requests until the alarm, `requests` without one. The student answers 40% of them and is wrong on a share `lost`
    of these; comparisons are drawn with the last two probabilities.
    """
    rng = np.random.default_rng(seed)
    watch = FloorWatch(0.95)
    for number in range(requests):
        student = rng.random() < 0.4
        drawn = by_student if student else by_teacher
        if rng.random() >= drawn:
            continue
        score = 0.0 if student and rng.random() < lost else 1.0
        watch.observe(score, 1.0, by_student=student, weight=1 / drawn, largest=1 / min(by_student, by_teacher))
        if watch.broken:
            return number
    return requests


def test_a_floor_that_is_just_kept_raises_no_alarm() -> None:
    # 40% of the requests, of which an eighth is lost, cost 5% of the quality.
    assert [requests_until_broken(seed, 0.125, 5000) for seed in range(6)] == [5000] * 6


@pytest.mark.parametrize(("lost", "within"), [(0.3, 4000), (0.5, 1200)])
def test_a_broken_floor_raises_one(lost: float, within: int) -> None:
    assert np.median([requests_until_broken(seed, lost, 8000) for seed in range(6)]) < within


def requests_until_changed(seed: int, novel: float, requests: int) -> int:
    rng = np.random.default_rng(seed)
    watch = TrafficWatch()
    for number in range(requests):
        watch.observe(NOVEL if rng.random() < novel else 0.3)
        if watch.changed:
            return number
    return requests


def test_traffic_as_before_raises_no_alarm_even_with_twice_as_many_novel_requests() -> None:
    assert [requests_until_changed(seed, share, 20_000) for seed in range(4) for share in (0.05, 0.1)] == [20_000] * 8


@pytest.mark.parametrize(("novel", "within"), [(0.3, 400), (0.9, 30)])
def test_other_traffic_raises_one(novel: float, within: int) -> None:
    assert max(requests_until_changed(seed, novel, 5000) for seed in range(6)) < within
