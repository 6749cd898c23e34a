"""The two heads: what each learns, the gain they are combined into, and constant heads."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.features.extract import extract
from breakeven.router.model.heads import LAMBDA, Logits, gain, gain_gradient
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.estimators import PARTS, fit_stack
from breakeven.router.training.train import fit
from tests.unit.router.conftest import make_rows

ODDS = st.floats(allow_nan=False, allow_infinity=False)
USUAL = st.floats(-6.0, 6.0)


def outcome(text: str, student: float, teacher: float) -> OutcomeRow:
    return OutcomeRow(text, text, student, teacher, None, None, {})


def synthetic(count: int, seed: int = 0) -> list[OutcomeRow]:
    return [outcome(r["prompt"], r["student_score"], r["teacher_score"]) for r in make_rows(count, seed)]


def three_kinds(count: int, seed: int = 0) -> list[OutcomeRow]:
    """Prompts on which neither model fails, only the student fails, or both fail."""
    rng = random.Random(seed)
    kinds = {
        "please greet the friendly visitor today and name a color of sky": (0.05, 0.05),
        "prove spectral theorem for unbounded hermitian operators via cauchy integrals": (0.9, 0.1),
        "predict next lottery jackpot numbers and exact share prices tomorrow noon": (0.95, 0.9),
    }
    rows = []
    for _ in range(count):
        words, fails = rng.choice(list(kinds.items()))
        student, teacher = (float(rng.random() >= often) for often in fails)
        rows.append(outcome(" ".join(rng.choices(words.split(), k=7)), student, teacher))
    return rows


@given(ODDS, ODDS, ODDS)
def test_gain_rises_with_the_students_logit_and_falls_with_the_teachers(one: float, other: float, third: float) -> None:
    low, high = sorted((one, other))
    assert gain(Logits(low, third)) <= gain(Logits(high, third))
    assert gain(Logits(third, low)) >= gain(Logits(third, high))
    assert all(map(math.isfinite, (gain(Logits(one, other)), *gain_gradient(Logits(one, other)))))


def test_gain_matches_its_definition() -> None:
    for student, teacher in ((0.5, 0.5), (0.9, 0.2), (0.1, 0.7)):
        odds = gain(Logits(math.log(student / (1 - student)), math.log(teacher / (1 - teacher))))
        found = (1 + 2 * LAMBDA) / (1 + math.exp(-odds)) - LAMBDA
        assert found == pytest.approx(student * (1 - teacher) + LAMBDA * (student - teacher))


@given(USUAL, USUAL)
def test_the_gradient_matches_finite_differences(student: float, teacher: float) -> None:
    step, here = 1e-5, Logits(student, teacher)
    up, beside = Logits(student + step, teacher), Logits(student, teacher + step)
    expected = tuple((gain(moved) - gain(here)) / step for moved in (up, beside))
    assert gain_gradient(here) == pytest.approx(expected, rel=1e-2, abs=1e-5)


def test_prompts_on_which_the_teacher_fails_too_have_a_low_score() -> None:
    difficulty = fit(three_kinds(600)).difficulty()
    easy, hard = "please greet the friendly visitor today", "prove spectral theorem for unbounded hermitian operators"
    hopeless = "predict next lottery jackpot numbers tomorrow noon"
    heads = {text: difficulty.logits(extract(text)) for text in (easy, hard, hopeless)}
    assert heads[hopeless].student > 0.0 > heads[easy].student
    assert heads[hopeless].teacher > heads[hard].teacher + 1.0
    assert difficulty.score(hard) > 0.6 > 0.4 > difficulty.score(hopeless)
    assert difficulty.score(hard) > 0.6 > 0.4 > difficulty.score(easy)
    # A word that predicts a failure of both contributes less than one that predicts a failure of the student alone.
    explained = difficulty.explain(f"{hard} {hopeless}", count=10_000)
    contributions = {one.feature: one.push for one in explained}
    assert contributions["word 'spectral'"] > 0.0 > contributions["word 'lottery'"]


@pytest.mark.parametrize("score", [0.5, 1.0])
def test_a_head_whose_rows_all_have_one_score_is_constant(score: float) -> None:
    rows = [row._replace(teacher_score=score) for row in synthetic(100)]
    difficulty = fit(rows).difficulty()
    found = {difficulty.logits(extract(row.text)).teacher for row in rows}
    assert max(found) - min(found) < 1e-6
    errors = 1.0 - np.array([row.teacher_score for row in rows])
    rate = (errors.sum() + 0.5) / (len(rows) + 1)
    assert found.pop() == pytest.approx(math.log(rate / (1 - rate)), abs=0.05)
    hard, easy = "prove the spectral theorem", "greet the friendly visitor"
    assert difficulty.score(hard) > difficulty.score(easy) + 0.2


def test_few_rows_with_hardly_any_failure_give_low_scores() -> None:
    rows = [
        row._replace(teacher_score=1.0, student_score=float(number not in (3, 30)))
        for number, row in enumerate(synthetic(40))
    ]
    scores = [fit(rows).difficulty().score(row.text) for row in rows]
    assert 0.0 < min(scores) <= max(scores) < 0.5


def test_the_size_of_the_score_gap_is_learned() -> None:
    # The teacher is always right; on hard prompts the student is a little worse or by far, never right.
    hard = [row for row in synthetic(600) if row.student_score == 0.0]
    rows = [
        outcome(f"{row.text} {'alpha' if n % 2 else 'omega'}", 0.1 if n % 2 else 0.9, 1.0) for n, row in enumerate(hard)
    ]
    rows += [outcome(row.text, 1.0, 1.0) for row in synthetic(600) if row.student_score == 1.0]
    difficulty = fit(rows).difficulty()
    assert difficulty.score("spectral theorem alpha") > difficulty.score("spectral theorem omega")


def test_parts_that_predict_the_opposite_on_held_out_rows_get_no_weight() -> None:
    rng = np.random.default_rng(0)
    failed = (rng.random(400) < 0.4).astype(float)
    good, noise = failed + rng.normal(0, 1, 400), rng.normal(0, 1, 400)
    outputs = np.array([[good, -good, np.full(400, 7.0)], [good, noise, np.zeros(400)]])
    weights, biases = fit_stack(outputs, np.stack([failed, failed], axis=1))
    assert weights.shape == (2, PARTS)
    assert weights[0, 0] > 0.0 == weights[0, 1] == weights[0, 2] == weights[1, 2]
    logits = np.einsum("hp,hpn->hn", weights, outputs) + biases[:, None]
    assert (1 / (1 + np.exp(-logits))).mean(axis=1) == pytest.approx(failed.mean(), abs=0.01)


def test_a_prior_is_used_for_each_head() -> None:
    prior = fit(three_kinds(600)).difficulty()
    fitted = fit(three_kinds(60, seed=5), prior=prior).difficulty()
    hard, hopeless = (fitted.logits(extract(text)) for text in ("cauchy integrals", "share prices tomorrow"))
    assert hopeless.teacher > hard.teacher
    assert hopeless.student > -0.5 < hard.student
