"""The two heads: what each learns, which one number they make, and what is left where one has nothing to learn."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.features.extract import extract
from breakeven.router.model.heads import LAMBDA, Margins, slopes, worth
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.estimators import PARTS, blend
from breakeven.router.training.train import fit
from tests.unit.router.conftest import make_rows

ODDS = st.floats(allow_nan=False, allow_infinity=False)
USUAL = st.floats(-6.0, 6.0)


def outcome(text: str, student: float, teacher: float) -> OutcomeRow:
    return OutcomeRow(text, text, student, teacher, None, None, {})


def synthetic(count: int, seed: int = 0) -> list[OutcomeRow]:
    return [outcome(r["prompt"], r["student_score"], r["teacher_score"]) for r in make_rows(count, seed)]


def three_kinds(count: int, seed: int = 0) -> list[OutcomeRow]:
    """Prompts on which nobody fails, on which the student does, and on which both do."""
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
def test_worth_rises_with_the_student_and_falls_with_the_teacher(one: float, other: float, third: float) -> None:
    low, high = sorted((one, other))
    assert worth(Margins(low, third)) <= worth(Margins(high, third))
    assert worth(Margins(third, low)) >= worth(Margins(third, high))
    assert all(map(math.isfinite, (worth(Margins(one, other)), *slopes(Margins(one, other)))))


def test_worth_is_that_of_the_definition() -> None:
    for student, teacher in ((0.5, 0.5), (0.9, 0.2), (0.1, 0.7)):
        odds = worth(Margins(math.log(student / (1 - student)), math.log(teacher / (1 - teacher))))
        found = (1 + 2 * LAMBDA) / (1 + math.exp(-odds)) - LAMBDA
        assert found == pytest.approx(student * (1 - teacher) + LAMBDA * (student - teacher))


@given(USUAL, USUAL)
def test_slopes(student: float, teacher: float) -> None:
    step, here = 1e-5, Margins(student, teacher)
    up, beside = Margins(student + step, teacher), Margins(student, teacher + step)
    expected = tuple((worth(moved) - worth(here)) / step for moved in (up, beside))
    assert slopes(here) == pytest.approx(expected, rel=1e-2, abs=1e-5)


def test_where_the_teacher_fails_too_it_is_not_asked() -> None:
    difficulty = fit(three_kinds(600)).difficulty()
    easy, hard = "please greet the friendly visitor today", "prove spectral theorem for unbounded hermitian operators"
    hopeless = "predict next lottery jackpot numbers tomorrow noon"
    heads = {text: difficulty.heads(extract(text)) for text in (easy, hard, hopeless)}
    assert heads[hopeless].student > 0.0 > heads[easy].student
    assert heads[hopeless].teacher > heads[hard].teacher + 1.0
    assert difficulty.score(hard) > 0.6 > 0.4 > difficulty.score(hopeless)
    assert difficulty.score(hard) > 0.6 > 0.4 > difficulty.score(easy)
    # What speaks for a failure of both pushes less than what speaks for one of the student alone.
    pushed = {push.feature: push.push for push in difficulty.explain(f"{hard} {hopeless}", count=10_000)}
    assert pushed["word 'spectral'"] > 0.0 > pushed["word 'lottery'"]


@pytest.mark.parametrize("score", [0.5, 1.0])
def test_a_head_whose_rows_all_have_one_score_is_constant(score: float) -> None:
    rows = [row._replace(teacher_score=score) for row in synthetic(100)]
    difficulty = fit(rows).difficulty()
    found = {difficulty.heads(extract(row.text)).teacher for row in rows}
    assert max(found) - min(found) < 1e-6
    errors = 1.0 - np.array([row.teacher_score for row in rows])
    rate = (errors.sum() + 0.5) / (len(rows) + 1)
    assert found.pop() == pytest.approx(math.log(rate / (1 - rate)), abs=0.05)
    hard, easy = "prove the spectral theorem", "greet the friendly visitor"
    assert difficulty.score(hard) > difficulty.score(easy) + 0.2


def test_few_rows_of_which_hardly_any_fails() -> None:
    rows = [
        row._replace(teacher_score=1.0, student_score=float(number not in (3, 30)))
        for number, row in enumerate(synthetic(40))
    ]
    scores = [fit(rows).difficulty().score(row.text) for row in rows]
    assert 0.0 < min(scores) <= max(scores) < 0.5


def test_graded_scores_teach_by_how_much() -> None:
    # The teacher is always right; on hard prompts the student is a little worse or by far, never right.
    hard = [row for row in synthetic(600) if row.student_score == 0.0]
    rows = [
        outcome(f"{row.text} {'alpha' if n % 2 else 'omega'}", 0.1 if n % 2 else 0.9, 1.0) for n, row in enumerate(hard)
    ]
    rows += [outcome(row.text, 1.0, 1.0) for row in synthetic(600) if row.student_score == 1.0]
    difficulty = fit(rows).difficulty()
    assert difficulty.score("spectral theorem alpha") > difficulty.score("spectral theorem omega")


def test_what_says_the_opposite_on_held_out_rows_counts_nothing() -> None:
    rng = np.random.default_rng(0)
    failed = (rng.random(400) < 0.4).astype(float)
    good, noise = failed + rng.normal(0, 1, 400), rng.normal(0, 1, 400)
    said = np.array([[good, -good, np.full(400, 7.0)], [good, noise, np.zeros(400)]])
    shares, biases = blend(said, np.stack([failed, failed], axis=1))
    assert shares.shape == (2, PARTS)
    assert shares[0, 0] > 0.0 == shares[0, 1] == shares[0, 2] == shares[1, 2]
    margins = np.einsum("hp,hpn->hn", shares, said) + biases[:, None]
    assert (1 / (1 + np.exp(-margins))).mean(axis=1) == pytest.approx(failed.mean(), abs=0.01)


def test_a_prior_is_taken_over_by_head() -> None:
    prior = fit(three_kinds(600)).difficulty()
    fitted = fit(three_kinds(60, seed=5), prior=prior).difficulty()
    hard, hopeless = (fitted.heads(extract(text)) for text in ("cauchy integrals", "share prices tomorrow"))
    assert hopeless.teacher > hard.teacher
    assert hopeless.student > -0.5 < hard.student
