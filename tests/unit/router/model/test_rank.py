"""Ranks: they order as the gains do, also beyond the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.model.rank import Rank

REFERENCE = [-2.0, -1.0, -1.0, -1.0, 0.0, 1.0, 4.0]


@given(st.floats(-500, 500), st.floats(-500, 500))
def test_the_order_of_gains_is_kept_within_zero_and_one(one: float, other: float) -> None:
    rank = Rank(REFERENCE)
    assert 0.0 < rank(one) < 1.0
    if one < other:
        assert rank(one) <= rank(other)


def test_a_rank_is_the_share_of_easier_reference_prompts() -> None:
    rank = Rank(REFERENCE)
    assert rank(0.0) == pytest.approx(5 / 8)
    assert rank(0.5) == pytest.approx(5.5 / 8)
    assert rank(4.0) >= 7 / 8
    assert rank(5.0) > rank(4.5)
    assert rank(-3.0) < rank(-2.0) == pytest.approx(1 / 8)


@pytest.mark.parametrize("gains", [[1.0, 0.0], [1.0, 1.0], [float("nan"), 1.0], [0.0]])
def test_a_reference_that_does_not_rank_is_rejected(gains: list[float]) -> None:
    with pytest.raises(ValueError, match="not ascending"):
        Rank(gains)
