"""Kernel-weighted kNN: the mean label near and far from the training prompts, and invalid tables."""

from __future__ import annotations

import numpy as np
import pytest

from breakeven.router.features.extract import extract
from breakeven.router.features.kernel_numpy import DIMENSIONS, POINT_LENGTH, WORD_BUCKETS
from breakeven.router.model import neighbours
from breakeven.router.model.heads import Logits, gain
from breakeven.router.model.neighbours import MAX_PROMPTS, KernelKnn, LatentSpace, to_fixed_point
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.design import idf_of
from breakeven.router.training.lsa import fit_space
from breakeven.router.training.train import fit
from tests.unit.router.conftest import make_rows


def unit(*axes: int) -> bytes:
    point = np.zeros(DIMENSIONS)
    point[list(axes)] = POINT_LENGTH / len(axes) ** 0.5
    return np.rint(point).astype(np.int16).tobytes()


def points(*every: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(every), np.int16).reshape(len(every), DIMENSIONS)


def test_the_label_is_the_weighted_mean_of_the_neighbours_and_a_zero() -> None:
    knn = KernelKnn(
        points(unit(0), unit(0), unit(1), unit(0, 1)),
        to_fixed_point(np.array([[1.0, 0.5], [2.0, 0.5], [-5.0, 0.0], [4.0, 0.0]])),
    )
    # At a right angle the weight is zero, at half of one the 16th power of the root of a half.
    near = 0.5**8
    total = 1 + 2 + near
    assert knn(unit(0)) == pytest.approx(((3.0 + 4.0 * near) / total, 1.0 / total), abs=1e-3)
    assert knn(unit(1)) == pytest.approx(((-5.0 + 4.0 * near) / (1 + 1 + near), 0.0), abs=1e-3)
    assert knn(unit(2)) == (0.0, 0.0)
    assert knn(bytes(2 * DIMENSIONS)) == (0.0, 0.0)
    assert KernelKnn(points(), to_fixed_point(np.zeros((0, 2))))(unit(0)) == (0.0, 0.0)


def test_large_labels_are_clipped_so_that_their_sum_does_not_overflow() -> None:
    every = points(unit(0)).repeat(MAX_PROMPTS, axis=0)
    labels = to_fixed_point(np.tile([1e9, -1e9], (MAX_PROMPTS, 1)))
    assert KernelKnn(every, labels)(unit(0)) == pytest.approx((500.0, -500.0), rel=1e-3)


def test_inconsistent_tables_are_an_error() -> None:
    for at, labels in (
        (points(unit(0)), np.zeros((2, 2), np.int32)),
        (points(unit(0)).repeat(MAX_PROMPTS + 1, axis=0), np.zeros((MAX_PROMPTS + 1, 2), np.int32)),
        (np.full((1, DIMENSIONS), 30_000, np.int16), np.zeros((1, 2), np.int32)),
    ):
        with pytest.raises(ValueError, match="kNN"):
            KernelKnn(at, labels)
    table = np.ones((2, DIMENSIONS), np.int16)
    for terms in (np.array([1], np.uint32), np.array([1, WORD_BUCKETS], np.uint32)):
        with pytest.raises(ValueError, match="latent space"):
            LatentSpace({"space_terms": terms, "space_table": table})


def test_texts_on_the_same_topic_are_near_each_other() -> None:
    features = [extract(row["prompt"]) for row in make_rows(400)]
    space = LatentSpace(fit_space(features, idf_of(features), 0))
    hard, other, easy, unknown = (
        np.frombuffer(space.point(extract(text)), np.int16).astype(float) / POINT_LENGTH
        for text in (
            "prove the spectral theorem for hermitian operators",
            "unbounded hermitian operators via cauchy integrals",
            "please greet the friendly visitor and name a color of the sky",
            "\u4f60\u597d",
        )
    )
    assert np.linalg.norm(hard) == pytest.approx(1.0, abs=1e-3)
    assert hard @ other > hard @ easy + 0.3
    assert not unknown.any()


def test_too_few_texts_give_an_empty_space_and_a_label_of_zero() -> None:
    features = [extract(f"only here: {number:x}{number * 7919:x}") for number in range(7)]
    tables = fit_space(features, idf_of(features), 0)
    assert not len(tables["space_terms"])
    assert LatentSpace(tables).point(features[0]) == bytes(2 * DIMENSIONS)
    assert KernelKnn(tables["votes_points"], tables["votes_opinions"])(LatentSpace(tables).point(features[0])) == (
        0.0,
        0.0,
    )


def test_the_knn_part_is_explained_and_not_taken_over_from_a_prior() -> None:
    rows = [
        OutcomeRow(r["id"], r["prompt"], r["student_score"], r["teacher_score"], r["category"], r["split"], r)
        for r in make_rows(400)
    ]
    prior = fit(rows).difficulty()
    text = "prove the spectral theorem for hermitian operators"
    features = extract(text)
    assert prior.neighbours(features).student > 0.05
    assert {"similar training prompts"} & {one.feature for one in prior.explain(text, count=40)}
    fitted = fit(rows[:40], prior=prior)
    assert len(fitted.knn["votes_points"]) == 40
    # The prior's weights are part of the sum, its kNN table is not.
    assert gain(fitted.difficulty().logits_without_neighbours(features)) > gain(Logits(*fitted.bias.tolist())) + 0.5
    assert neighbours.ARRAYS.keys() <= fitted.tables().keys()
