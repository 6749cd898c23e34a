"""Statistics of token log-probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.deferral import confidence

VALUES = st.lists(st.floats(-30, 1), min_size=1, max_size=50)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=50))
def test_any_log_probabilities_give_bounded_statistics(values: list[float]) -> None:
    found = confidence(values)
    if found is None:
        assert all(math.isnan(value) for value in values)
    else:
        assert -20.0 <= found.low <= 0.0
        assert -20.0 <= found.mean <= 0.0
        assert math.isfinite(found.slope)


@given(VALUES)
def test_mean_and_slope_agree_with_numpy(values: list[float]) -> None:
    found = confidence(values)
    assert found is not None
    clipped = np.clip(values, -20, 0)
    assert found.mean == pytest.approx(clipped.mean(), abs=1e-9)
    slope = np.polyfit(np.arange(len(values)), clipped, 1)[0] if len(values) > 1 else 0.0
    assert found.slope == pytest.approx(slope, abs=1e-6)


def test_the_statistics_do_not_depend_on_length_alone() -> None:
    short, long = confidence([-1.0] * 5), confidence([-1.0] * 50)
    assert short == long == (-1.0, -1.0, 0.0)


def test_the_low_quantile_matches_a_value_computed_by_hand() -> None:
    found = confidence([-1.0, -2.0, -3.0, -4.0, -5.0, -0.5, -0.5, -0.5, -0.5, -0.5])
    assert found is not None
    assert found.low == -3.0
