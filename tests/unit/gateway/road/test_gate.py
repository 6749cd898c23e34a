"""The gate: how often it is wrong at any moment, over many simulated candidates, and that it finds real differences."""

from __future__ import annotations

import numpy as np
import pytest

from breakeven.gateway.road.gate import capital, enough_capital, judged
from tests.support.paired import CONFIDENCE, LENGTH, answers, found_at

SEEDS = 400


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("better", [0.0, -0.02, -0.1])
def test_one_that_is_no_better_is_hardly_ever_said_to_be_at_any_moment(better: float, weighted: bool) -> None:
    wrong = sum(found_at(*answers(seed, better, weighted=weighted)) is not None for seed in range(SEEDS))
    assert wrong / SEEDS <= 0.05


@pytest.mark.parametrize("better", [0.0, 0.02, 0.1])
def test_one_that_is_no_worse_is_hardly_ever_dropped_at_any_moment(better: float) -> None:
    runs = [answers(seed, better) for seed in range(SEEDS)]
    wrong = sum(found_at(-differences, weights) is not None for differences, weights in runs)
    assert wrong / SEEDS <= 0.05


def test_one_that_is_clearly_better_or_worse_is_soon_found() -> None:
    for seed in range(40):
        differences, weights = answers(seed, 0.2, length=600)
        better, worse = judged(differences, weights, CONFIDENCE), judged(-differences, weights, CONFIDENCE)
        assert better is not None
        assert worse is not None
        assert (better.better, better.worse, worse.better, worse.worse) == (True, False, False, True)


def test_the_interval_holds_the_difference_at_all_moments_and_says_what_the_capital_says() -> None:
    missed, moments = 0, (20, 60, 180, 540, LENGTH)
    for seed in range(100):
        differences, weights = answers(seed, 0.05)
        found = [judged(differences[:count], weights[:count], CONFIDENCE) for count in moments]
        intervals = [one.difference for one in found if one is not None]
        missed += any(not one.low <= 0.05 <= one.high for one in intervals)
        widths = [one.high - one.low for one in intervals]
        assert widths[-1] < widths[0]
        path = capital(differences, weights)
        said = [one.better for one in found if one is not None]
        assert said == [bool(path[count - 1] >= enough_capital(CONFIDENCE)) for count in moments]
    assert missed <= 5


def test_the_order_in_which_comparisons_arrive_makes_no_difference() -> None:
    differences, weights = answers(1, 0.1)
    rng = np.random.default_rng(2)
    other = rng.permutation(LENGTH - 1) + 1
    again = np.concatenate([[0], other])
    found, other_found = judged(differences, weights, 0.9), judged(differences[again], weights, 0.9)
    assert found is not None
    assert other_found is not None
    assert found.difference == pytest.approx(other_found.difference)


def test_nothing_is_said_of_few() -> None:
    one = np.array([1.0])
    assert judged(one[:0], one[:0], CONFIDENCE) is None
    found = judged(one, one, CONFIDENCE)
    assert found is not None
    assert (found.difference, found.better, found.worse) == ((1.0, -1.0, 1.0), False, False)


def test_a_large_weight_of_one_request_does_not_decide() -> None:
    differences, weights = np.array([0.0, 1.0, 0.0, 1.0, 0.0]), np.array([1.0, 1000.0, 1.0, 1.0, 1.0])
    found = judged(differences, weights, CONFIDENCE)
    assert found is not None
    assert not found.better
