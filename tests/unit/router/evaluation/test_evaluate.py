"""The measures compared with values computed by hand and with scikit-learn."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from breakeven.router.evaluation.evaluate import apgr, auroc, brier, cpt, curve, draw, drawn, ece, evaluate

STUDENT = np.array([0.0, 1.0, 1.0, 0.0])
TEACHER = np.array([1.0, 1.0, 0.0, 1.0])


def test_the_curve_matches_values_computed_by_hand() -> None:
    # In order of score: a gain, no change, a gain, a loss.
    points = curve(np.array([0.9, 0.8, 0.1, 0.5]), STUDENT, TEACHER)
    assert points.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert points.quality.tolist() == [0.5, 0.75, 0.75, 1.0, 0.75]


def test_equal_scores_give_a_straight_line() -> None:
    points = curve(np.full(4, 0.5), STUDENT, TEACHER)
    assert points.quality == pytest.approx([0.5, 0.5625, 0.625, 0.6875, 0.75])
    assert apgr(np.full(4, 0.5), STUDENT, TEACHER) == pytest.approx(0.5)
    assert cpt(0.5, np.full(4, 0.5), STUDENT, TEACHER) == 0.5


def test_apgr_and_cpt_match_values_computed_by_hand() -> None:
    score = np.array([0.9, 0.8, 0.1, 0.5])
    # Recovered at shares 0, .25, .5, .75, 1: 0, 1, 1, 2, 1; at tenths by interpolation, then trapezoid.
    recovered = np.interp(np.linspace(0, 1, 11), [0, 0.25, 0.5, 0.75, 1], [0, 1, 1, 2, 1])
    by_hand = sum((a + b) / 2 * 0.1 for a, b in itertools.pairwise(recovered))
    assert apgr(score, STUDENT, TEACHER) == pytest.approx(by_hand)
    assert cpt(0.5, score, STUDENT, TEACHER) == 0.25
    assert cpt(1.0, score, STUDENT, TEACHER) == 0.25
    assert cpt(2.0, score, STUDENT, TEACHER) == 0.75
    assert cpt(3.0, score, STUDENT, TEACHER) == 1.0


def test_apgr_without_a_gap_is_nan() -> None:
    assert math.isnan(apgr(np.arange(4.0), STUDENT, STUDENT))


@pytest.mark.parametrize("seed", range(5))
def test_auroc_and_brier_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 12, 200) / 12  # with ties
    worse = rng.random(200) < score
    assert auroc(score, worse) == pytest.approx(roc_auc_score(worse, score))
    assert brier(score, worse) == pytest.approx(brier_score_loss(worse, score))


def test_auroc_of_a_single_class_is_nan() -> None:
    assert math.isnan(auroc(np.arange(3.0), np.ones(3, dtype=bool)))


def test_ece_matches_values_computed_by_hand() -> None:
    # Ten bins of two prompts: in each the mean score is .5 and one of two is worse.
    assert ece(np.full(20, 0.5), np.tile([True, False], 10)) == pytest.approx(0.0)
    assert ece(np.full(20, 0.9), np.tile([True, False], 10)) == pytest.approx(0.4)
    assert ece(np.repeat([0.0, 1.0], 10), np.repeat([False, True], 10)) == 0.0
    assert ece(np.repeat([0.0, 1.0], 10), np.repeat([True, False], 10)) == pytest.approx(1.0)


def test_evaluate_compares_the_router_with_its_baselines(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(1500)
    student = (rng.random(1500) > truth).astype(float)
    result = evaluate(truth, rng.random(1500), student, np.ones(1500), resamples=100)
    router, chance = result.measures["router"], result.measures["random"]
    assert router["APGR"].low > chance["APGR"].high
    assert chance["APGR"].low < 0.5 < chance["APGR"].high
    assert router["ECE"].value < 0.05
    assert "ECE" not in chance
    assert all(i.low <= i.value <= i.high for i in (router["APGR"], router["AUROC"], router["Brier"]))
    draw(result, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert result.to_dict()["measures"]["router"]["APGR"]["value"] == router["APGR"].value


def test_the_plot_shows_what_was_measured_of_the_router_and_of_random_routing() -> None:
    rng = np.random.default_rng(4)
    truth = rng.random(400)
    student = (rng.random(400) > truth).astype(float)
    result = evaluate(truth, rng.random(400), student, np.ones(400), resamples=50)
    (axes,) = drawn(result).axes
    lines = {str(one.get_label()).split(":")[0]: one for one in axes.lines}
    assert set(lines) == {"router", "length", "random"}
    for name, one in lines.items():
        assert np.asarray(one.get_xdata()) == pytest.approx(100 * result.curves[name].share)
        assert np.asarray(one.get_ydata()) == pytest.approx(result.curves[name].quality)
        assert f"APGR {result.measures[name]['APGR'].value:.3f} [" in str(one.get_label())
    band = result.band
    quality = np.interp(band.share, result.curves["router"].share, result.curves["router"].quality)
    assert np.mean((band.low <= quality) & (quality <= band.high)) > 0.95
    assert np.all(band.high[10:90] - band.low[10:90] > 0)
    assert "%" in axes.get_xlabel()
    assert axes.get_title()


def test_rows_without_a_quality_gap_are_an_error() -> None:
    with pytest.raises(ValueError, match="no gap to recover"):
        evaluate(np.arange(4.0), np.arange(4.0), TEACHER, STUDENT)
