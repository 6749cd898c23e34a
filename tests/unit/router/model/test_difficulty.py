"""The classifier at serving time: equal to scikit-learn, bit-identical in every process, never raises."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, hstack, vstack
from scipy.special import expit, logit
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize

from breakeven.router.features.extract import SHAPE_UNIT, extract
from breakeven.router.features.kernel_numpy import BUCKETS, DIMENSIONS, POINT_LENGTH, WORD_BUCKETS
from breakeven.router.model.artifact import load
from breakeven.router.model.heads import LAMBDA, Logits, gain
from breakeven.router.outcomes import OutcomeError, OutcomeRow
from breakeven.router.training.design import SHAPE_SCALE, WORD_SCALE
from breakeven.router.training.estimators import (
    DIFFERENCE,
    C,
    fit_calibration,
    fit_stack,
    grouped_folds,
    untrained_forest,
)
from breakeven.router.training.train import _SEED, fit
from breakeven.router.training.words import word_vectors
from tests.support.processes import CHECKOUT
from tests.unit.router.conftest import make_rows

TEXT = st.text(st.characters(codec=None, categories=None), max_size=400)
SHIPPED = load().difficulty


def synthetic(count: int, seed: int = 0) -> list[OutcomeRow]:
    return [
        OutcomeRow(r["id"], r["prompt"], r["student_score"], r["teacher_score"], r["category"], r["split"], r)
        for r in make_rows(count, seed)
    ]


def test_scores_equal_those_of_a_scikit_learn_pipeline() -> None:
    rows, unseen = (
        graded(sorted(synthetic(300), key=lambda row: row.id)),
        [row.text for row in synthetic(50, seed=9)] + ["", "!", "ganz andere W\u00f6rter"],
    )
    errors = 1.0 - np.array([(row.student_score, row.teacher_score) for row in rows])
    worse = errors[:, 0] > errors[:, 1]

    def counts(texts: list[str]) -> list[csr_matrix]:
        features = [extract(text) for text in texts]
        both = []
        for words in (True, False):
            buckets = [item.buckets[: item.word_end] if words else item.buckets[item.word_end :] for item in features]
            ends = np.concatenate([[0], np.cumsum([len(p) for p in buckets])])
            where = np.concatenate(buckets)
            both.append(csr_matrix((np.ones(len(where)), where, ends), shape=(len(texts), BUCKETS)))
        return [*both, np.array([item.shape for item in features]) / SHAPE_UNIT]

    words, runs, shape = counts([row.text for row in rows])
    tfidf = TfidfTransformer(norm=None).fit(((words + runs) > 0).astype(float))
    used = np.flatnonzero((words + runs).sum(axis=0))
    scaler = StandardScaler().fit(shape)
    scaler.scale_[scaler.var_ < 1e-18] = np.inf

    def design(texts: list[str]) -> csr_matrix:
        w, r, s = counts(texts)
        grams = normalize(tfidf.transform(w)) + normalize(tfidf.transform(r))
        means = word_vectors().means(grams) * WORD_SCALE
        return hstack([grams[:, used], csr_matrix(means), csr_matrix(scaler.transform(s) * SHAPE_SCALE)]).tocsr()

    train, test = design([row.text for row in rows]), design(unseen)
    points, new_points = _points(words, counts(unseen)[0], tfidf.idf_)
    measures, new = (np.array([extract(text).shape for text in some]) for some in ([r.text for r in rows], unseen))
    parts = grouped_folds([extract(row.text) for row in rows], worse, _SEED)

    def outputs(rest: np.ndarray, design: csr_matrix, shapes: np.ndarray, at: np.ndarray) -> np.ndarray:
        targets = np.column_stack([errors[rest], DIFFERENCE * (errors[rest, 0] - errors[rest, 1])])
        trees = untrained_forest(_SEED).fit(measures[rest], targets).predict(shapes)[:, :2]
        near = _knn(at, points[rest], errors[rest] - errors[rest].mean(axis=0))
        linear = [_soft(train[rest], errors[rest, head], C[head]).decision_function(design) for head in (0, 1)]
        return np.stack([np.array(linear), trees.T, near.T], axis=1)

    held_out = np.zeros((2, 3, len(rows)))
    for rest, own in parts:
        held_out[..., own] = outputs(rest, train[own], measures[own], points[own])
    weights, biases = fit_stack(held_out, errors)
    assert (weights >= 0.0).all()

    def gains(each: np.ndarray) -> np.ndarray:
        student, teacher = expit(np.einsum("hp,hpn->hn", weights, each) + biases[:, None])
        return logit((student * (1 - teacher) + LAMBDA * (student - teacher) + LAMBDA) / (1 + 2 * LAMBDA))

    sums = gains(held_out)

    def bent(margins: np.ndarray) -> np.ndarray:
        u = (margins - sums.mean()) / sums.std()
        return np.stack([u, u / (1 + abs(u))], axis=1)

    # The linear term alone would have reversed the order.
    assert LogisticRegression(C=np.inf).fit(bent(sums), worse).coef_[0][0] < 0
    calibration = LogisticRegression(C=np.inf).fit(bent(sums)[:, 1:], worse)
    margins = gains(outputs(np.arange(len(rows)), test, new, new_points))
    expected = expit(calibration.decision_function(bent(margins)[:, 1:]))

    difficulty = fit(rows).difficulty()
    assert [difficulty.score(text) for text in unseen] == pytest.approx(expected.tolist(), abs=1e-6)


def graded(rows: list[OutcomeRow]) -> list[OutcomeRow]:
    """Every third row's scores are halfway between."""
    return [
        row._replace(student_score=0.1 + 0.8 * row.student_score, teacher_score=0.75) if number % 3 == 0 else row
        for number, row in enumerate(rows)
    ]


def _soft(design: csr_matrix, error: np.ndarray, strength: float) -> LogisticRegression:
    """A logistic regression with soft labels: each row once as a failure and once as a success, weighted."""
    labels = np.repeat([1, 0], len(error))
    weights = np.concatenate([error, 1.0 - error])
    return LogisticRegression(C=strength, max_iter=500).fit(vstack([design, design]), labels, weights)


def _points(words: csr_matrix, new_words: csr_matrix, idf: np.ndarray) -> list:
    """The points of the rows and of new texts in the latent space, from their n-gram counts."""
    terms = np.flatnonzero(np.asarray((words[:, :WORD_BUCKETS] > 0).sum(axis=0)).ravel() >= 8)
    weight = idf[terms]
    known, new = (some[:, terms].multiply(weight).tocsr() for some in (words, new_words))
    components = TruncatedSVD(DIMENSIONS, random_state=_SEED).fit(normalize(known)).components_.T * weight[:, None]
    table = np.rint(components * (32767 / np.abs(components).max()))
    return [np.rint(normalize((some > 0) @ table) * POINT_LENGTH).astype(np.int16) for some in (known, new)]


def _knn(points: np.ndarray, neighbours: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The kernel-weighted mean label of each of n points, (n, 2)."""
    cosines = points.astype(float) @ neighbours.T.astype(float) / POINT_LENGTH**2
    weights = np.clip(cosines, 0.0, 1.0) ** 16
    return (weights @ labels) / (weights.sum(axis=1, keepdims=True) + 1.0)


@given(TEXT)
def test_every_text_has_a_score(text: str) -> None:
    assert 0.0 <= SHIPPED.score(text) <= 1.0
    assert len(SHIPPED.explain(text)) == 8


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = graded(synthetic(200))
    one, other = fit(rows), fit(rows[::-1])
    assert one.numbers() == other.numbers()
    tables = other.tables()
    for name, array in one.tables().items():
        assert np.array_equal(array, tables[name]), name


def test_hard_words_raise_the_score() -> None:
    difficulty = fit(synthetic(400)).difficulty()
    hard = difficulty.score("What is the spectral theorem for hermitian operators under unbounded integrals?")
    easy = difficulty.score("What is the color of the sky when a friendly visitor greets with name today?")
    assert easy < 0.3 < 0.7 < hard
    contributions = difficulty.explain("the spectral theorem")
    assert {"word 'spectral'", "word 'theorem'"} & {one.feature for one in contributions if one.push > 0}


def test_contributions_are_a_first_order_attribution_of_the_score() -> None:
    # In these texts every n-gram occurs once: with the biases, the features sum to the log-odds of both heads.
    difficulty = fit(graded(synthetic(100))).difficulty()
    for text in ("spectral theorem", "greet the sky", "!"):
        logits, step = difficulty.logits(extract(text)), 1e-6
        steps = ((step, 0.0), (0.0, step))
        odds = [logit(difficulty.calibrate(gain(Logits(logits[0] + a, logits[1] + b)))) for a, b in ((0, 0), *steps)]
        steep = (np.array(odds[1:]) - odds[0]) / step
        assert steep[0] >= 0.0 >= steep[1]
        every = difficulty.explain(text, count=10_000)
        expected = steep @ (np.array(logits) - np.array(difficulty._bias))
        assert sum(one.push for one in every) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_calibration_keeps_the_order_where_held_out_rows_suggest_the_reverse() -> None:
    margins, worse = np.linspace(-1.0, 1.0, 40), np.arange(40) < 10
    flat = fit_calibration(margins, worse)
    scores = [flat(margin) for margin in margins]
    assert scores == sorted(scores)
    assert 0.22 < scores[0] < scores[-1] < 0.28
    steep = fit_calibration(margins, np.arange(40) >= 30)
    assert steep(-0.9) < 0.01 < 0.99 < steep(0.9)


# Fitting takes longer than hypothesis allows on a busy machine.
@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-3, 3))
def test_a_calibrated_score_never_decreases_with_the_gain(seed: int, power: int) -> None:
    # Also where the share of difficult prompts rises and falls, which fits a bend of either sign.
    rng = np.random.default_rng(seed)
    margins = np.exp(rng.normal(0, 1 + seed % 2, 200)) * 10.0**power
    worse = rng.random(200) < rng.random(4)[(np.argsort(np.argsort(margins)) // 50)]
    worse[:2] = [True, False]
    calibration = fit_calibration(margins, worse)
    scores = [calibration(margin) for margin in np.sort(np.concatenate([margins, -margins, [0.0, 1e300, -1e300]]))]
    assert scores == sorted(scores)
    assert 0.0 <= scores[0] <= scores[-1] <= 1.0


def test_too_few_or_uniform_rows_are_an_error() -> None:
    with pytest.raises(OutcomeError, match="20 rows"):
        fit(synthetic(20))
    equal = [row._replace(student_score=1.0, teacher_score=1.0) for row in synthetic(100)]
    with pytest.raises(OutcomeError, match="on 0 of which the student is worse"):
        fit(equal)


def prompts(count: int) -> list[str]:
    return [f"{row.text} \u4f60\u597d {number} " * (1 + number % 7) for number, row in enumerate(synthetic(count))]


def test_threads_and_processes_agree_to_the_bit() -> None:
    texts = prompts(250)
    expected = [SHIPPED.score(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(SHIPPED.score, texts * 5)) == expected * 5
    code = (
        "from tests.unit.router.model.test_difficulty import SHIPPED, prompts; "
        "print([SHIPPED.score(t).hex() for t in prompts(250)])"
    )
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=env
    )
    assert other.stdout.strip() == str([value.hex() for value in expected])
