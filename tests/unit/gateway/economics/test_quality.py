"""Quality retention from pairs: the ratio, its weights, and the coverage of its interval."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from breakeven.gateway.economics.quality import Compared, output_ratio, retention


def pair(student: float, teacher: float = 1.0, weight: float = 1.0, tokens: tuple[int, int] = (10, 10)) -> Compared:
    return Compared(student, teacher, *tokens, weight)


def test_a_small_example() -> None:
    found = retention([pair(0.5), pair(1.0), pair(0.6, 0.8)], 0.75)
    assert found is not None
    assert found.pairs == 3
    assert found.student.value == pytest.approx(2.1 / 2.8)
    # A quarter of the traffic is the teacher's and loses nothing: 1 - 0.75 * 0.25.
    assert found.routed.value == pytest.approx(0.8125)


def test_pairs_sampled_at_a_lower_rate_weigh_more() -> None:
    """A pair sampled at a rate of 1% has weight 100, one sampled at 100% has weight 1."""
    found = retention([pair(0.0, weight=100.0), pair(1.0, weight=1.0)], 1.0)
    assert found is not None
    assert found.routed.value == pytest.approx(1 / 101)


def test_no_pairs_give_no_estimate() -> None:
    assert retention([], 0.5) is None
    assert retention([pair(0.0, 0.0)], 0.5) is None
    assert output_ratio([]) is None


def test_few_pairs_without_a_loss_have_a_wide_interval() -> None:
    few, many = retention([pair(1.0)] * 5, 1.0), retention([pair(1.0)] * 500, 1.0)
    assert few is not None
    assert many is not None
    assert few.student.value == many.student.value == 1.0
    assert few.student.low < 0.7
    assert many.student.high < few.student.high < 1.2
    assert 0.985 < many.student.low < 1.0


def test_a_student_that_is_better_retains_more_than_100_percent() -> None:
    found = retention([pair(1.0, 0.5)] * 50, 0.5)
    assert found is not None
    assert found.student.value == pytest.approx(2.0)
    assert found.routed.value == pytest.approx(1.5)


@pytest.mark.parametrize("loss", [0.02, 0.2])
def test_the_interval_has_its_nominal_coverage(loss: float) -> None:
    """In 400 samples of 150 pairs at two sampling rates, the 95% interval must cover the truth in at least 92%."""
    rng = random.Random(5)
    covered = 0
    for _ in range(400):
        pairs = [
            pair(float(rng.random() >= loss), weight=weight)
            for weight in (rng.choices((1.0, 4.0), weights=(4, 1))[0] for _ in range(150))
        ]
        found = retention(pairs, 1.0)
        assert found is not None
        covered += found.routed.low <= 1 - loss <= found.routed.high
    assert covered >= 0.92 * 400


def test_the_ratio_of_tokens_is_exact() -> None:
    assert output_ratio([pair(1, tokens=(3, 9)), pair(1, weight=2.0, tokens=(4, 2))]) == Fraction(13, 11)
    assert output_ratio([pair(1, tokens=(0, 9))]) is None
