"""The corrected interval covers the truth on the worlds of the benchmark, where that of the scores alone does not."""

from __future__ import annotations

import pytest

from tests.bench.labels import JUDGES, measured, page


@pytest.mark.parametrize("judge", JUDGES[:2])
def test_corrected_intervals_cover_the_truth_and_chosen_labels_narrow_them(judge: tuple[str, float, int]) -> None:
    row = measured(200, 100, 0.1, judge, graded=True)
    assert row.covered < 0.5
    assert row.corrected_covered >= 0.93
    assert row.chosen_covered >= 0.93
    assert row.chosen_width < row.corrected_width
    assert "| 100 |" in page([row], 200)
