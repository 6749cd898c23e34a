"""How far long work is."""

from __future__ import annotations

import numpy as np

from breakeven.router.evaluation.evaluate import evaluate, measure
from breakeven.router.model.artifact import load
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.train import fit


def rows(count: int) -> list[OutcomeRow]:
    rng = np.random.default_rng(1)
    made = []
    for number in range(count):
        hard = bool(rng.random() < 0.4)
        text = f"prove the lemma {number} by induction" if hard else f"hello number {number}, how are you"
        student = 0.0 if hard and rng.random() < 0.8 else 1.0
        made.append(OutcomeRow(str(number), text, student, 1.0, None, None, {}))
    return made


def test_training_and_evaluation_say_how_far_they_are_and_end_at_the_end() -> None:
    trained: list[tuple[int, int]] = []
    fitted = fit(rows(80), progress=lambda done, of: trained.append((done, of)))
    assert [done for done, _ in trained] == list(range(1, len(trained) + 1))
    assert {of for _, of in trained} == {len(trained)}
    worse = np.array([row.student_score < 1.0 for row in rows(80)])
    found = fitted.held_out_auroc(worse)
    assert found is not None
    assert found > 0.7
    assert fitted.held_out_auroc(np.zeros(80, dtype=bool)) is None

    measured: list[float] = []
    measure(rows(80), load().assess, progress=lambda done, of: measured.append(done / of))
    assert measured == sorted(measured)
    assert measured[79] == 0.5
    assert measured[-1] == 1.0


def test_without_anybody_to_show_it_nothing_differs() -> None:
    score = np.linspace(0.0, 1.0, 50)
    student, teacher = np.tile([1.0, 0.0], 25), np.ones(50)
    seen: list[int] = []
    shown = evaluate(score, score, student, teacher, resamples=20, progress=lambda done, of: seen.append(done))
    assert shown.measures == evaluate(score, score, student, teacher, resamples=20).measures
    assert seen == [1, 2, 3]
