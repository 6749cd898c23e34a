"""The votes of the training prompts: what they say near and far, and which tables are refused."""

from __future__ import annotations

import numpy as np
import pytest

from breakeven.router.features.extract import extract
from breakeven.router.features.kernel_numpy import DIMENSIONS, HALF, LENGTH
from breakeven.router.model import neighbours
from breakeven.router.model.heads import Margins, worth
from breakeven.router.model.neighbours import MOST, Space, Votes, whole
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.lsa import fit_space
from breakeven.router.training.train import _idf, fit
from tests.unit.router.conftest import make_rows


def unit(*axes: int) -> bytes:
    point = np.zeros(DIMENSIONS)
    point[list(axes)] = LENGTH / len(axes) ** 0.5
    return np.rint(point).astype(np.int16).tobytes()


def points(*every: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(every), np.int16).reshape(len(every), DIMENSIONS)


def test_the_mean_opinion_of_those_around_and_one_that_has_none() -> None:
    poll = Votes(
        points(unit(0), unit(0), unit(1), unit(0, 1)),
        whole(np.array([[1.0, 0.5], [2.0, 0.5], [-5.0, 0.0], [4.0, 0.0]])),
    )
    # A right angle counts nothing, half of one the 16th power of the root of a half.
    near = 0.5**8
    every = 1 + 2 + near
    assert poll(unit(0)) == pytest.approx(((3.0 + 4.0 * near) / every, 1.0 / every), abs=1e-3)
    assert poll(unit(1)) == pytest.approx(((-5.0 + 4.0 * near) / (1 + 1 + near), 0.0), abs=1e-3)
    assert poll(unit(2)) == (0.0, 0.0)
    assert poll(bytes(2 * DIMENSIONS)) == (0.0, 0.0)
    assert Votes(points(), whole(np.zeros((0, 2))))(unit(0)) == (0.0, 0.0)


def test_opinions_that_do_not_fit_are_cut_and_their_sum_fits() -> None:
    every = points(unit(0)).repeat(MOST, axis=0)
    opinions = whole(np.tile([1e9, -1e9], (MOST, 1)))
    assert Votes(every, opinions)(unit(0)) == pytest.approx((500.0, -500.0), rel=1e-3)


def test_tables_that_contradict_each_other_are_refused() -> None:
    for at, opinions in (
        (points(unit(0)), np.zeros((2, 2), np.int32)),
        (points(unit(0)).repeat(MOST + 1, axis=0), np.zeros((MOST + 1, 2), np.int32)),
        (np.full((1, DIMENSIONS), 30_000, np.int16), np.zeros((1, 2), np.int32)),
    ):
        with pytest.raises(ValueError, match="votes"):
            Votes(at, opinions)
    table = np.ones((2, DIMENSIONS), np.int16)
    for terms in (np.array([1], np.uint32), np.array([1, HALF], np.uint32)):
        with pytest.raises(ValueError, match="latent space"):
            Space({"space_terms": terms, "space_table": table})


def test_texts_on_the_same_are_near_each_other() -> None:
    features = [extract(row["prompt"]) for row in make_rows(400)]
    space = Space(fit_space(features, _idf(features), 0))
    hard, other, easy, unknown = (
        np.frombuffer(space.of(extract(text)), np.int16).astype(float) / LENGTH
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


def test_too_few_texts_have_no_space_and_nobody_votes() -> None:
    features = [extract(f"only here: {number:x}{number * 7919:x}") for number in range(7)]
    tables = fit_space(features, _idf(features), 0)
    assert not len(tables["space_terms"])
    assert Space(tables).of(features[0]) == bytes(2 * DIMENSIONS)
    assert Votes(tables["votes_points"], tables["votes_opinions"])(Space(tables).of(features[0])) == (0.0, 0.0)


def test_what_the_votes_say_is_explained_and_stays_behind_in_a_prior() -> None:
    rows = [
        OutcomeRow(r["id"], r["prompt"], r["student_score"], r["teacher_score"], r["category"], r["split"], r)
        for r in make_rows(400)
    ]
    prior = fit(rows).difficulty()
    text = "prove the spectral theorem for hermitian operators"
    features = extract(text)
    assert prior.votes(features).student > 0.05
    assert {"prompts like it"} & {push.feature for push in prior.explain(text, count=40)}
    fitted = fit(rows[:40], prior=prior)
    assert len(fitted.voters["votes_points"]) == 40
    # The prior's weights are in the sum, its voters are not.
    assert worth(fitted.difficulty().sums(features)) > worth(Margins(*fitted.bias.tolist())) + 0.5
    assert neighbours.ARRAYS.keys() <= fitted.tables().keys()
