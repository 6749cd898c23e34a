"""Learning from comparisons: what is promised holds on fresh requests, and unlucky data is no error."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from breakeven.gateway.road.learn import learn
from breakeven.gateway.road.promise import balanced, ranks
from breakeven.gateway.road.task import Labelled, Learned, Task
from breakeven.router.model import artifact
from breakeven.router.model.calibration import Calibration
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.train import fit
from tests.unit.gateway.road.conftest import comparisons


def task(rows: Sequence[Labelled], floor: float = 0.95, prior: Path | None = None) -> Task:
    return Task(list(rows), floor, 0.025, str(prior) if prior else None)


def handed_over(out: Path, below: float, rows: Sequence[Labelled]) -> tuple[float, float]:
    """The share of rows that the student answers, and the quality kept of the teacher's."""
    loaded = artifact.load(out)
    by_student = np.array([loaded.assess(row.text).score < below for row in rows])
    student, teacher = np.array([row.student for row in rows]), np.array([row.teacher for row in rows])
    return float(by_student.mean()), float(np.where(by_student, student, teacher).sum() / teacher.sum())


def promised(found: Learned) -> float:
    """The threshold, of what must have been promised."""
    assert found.threshold is not None
    assert found.share is not None
    assert found.answered is not None
    assert found.low is not None
    assert found.low <= found.retention  # type: ignore[operator]
    return found.threshold


def test_what_is_promised_holds_on_fresh_requests(tmp_path: Path) -> None:
    found = learn(task(comparisons(400, 1)), tmp_path / "art")
    below = promised(found)
    assert found.trained
    assert found.rows == 400
    assert artifact.load(tmp_path / "art").hash == found.artifact
    share, kept = handed_over(tmp_path / "art", below, comparisons(1500, 2))
    assert 0.3 < share < 0.75, "six in ten are easy"
    assert abs(share - found.answered) < 0.12  # type: ignore[operator]
    assert kept >= 0.95


def test_few_comparisons_say_how_many_are_missing(tmp_path: Path) -> None:
    few, many = (learn(task(comparisons(count, 3), 0.98), tmp_path / str(count)) for count in (120, 600))
    assert (few.answered or 0.0) < (many.answered or 0.0)
    assert few.missing is not None
    assert few.missing > 0
    assert few.would_answer == pytest.approx((few.answered or 0.0) + 0.1)


def test_the_same_comparisons_give_the_same_artifact_and_setting(tmp_path: Path) -> None:
    rows = comparisons(200, 4)
    first, second = (learn(task(rows), tmp_path / name) for name in ("one", "two"))
    made = [(tmp_path / name / "weights.npz").read_bytes() for name in ("one", "two")]
    assert made[0] == made[1]
    # The time of training is part of an artifact's hash.
    assert msgspec.structs.replace(first, artifact=second.artifact) == second


@pytest.mark.parametrize("flawed", [0, 1])
def test_a_student_that_is_almost_never_worse_is_given_everything(tmp_path: Path, flawed: int) -> None:
    rows = [msgspec.structs.replace(row, student=row.teacher) for row in comparisons(300, 5)]
    rows[:flawed] = [msgspec.structs.replace(row, student=0.0, teacher=1.0) for row in rows[:flawed]]
    found = learn(task(rows), tmp_path / "art")
    assert promised(found) == 1.0
    assert (found.share, found.answered, found.trained) == (1.0, 1.0, False)
    assert (found.missing, found.would_answer) == (None, None)
    assert handed_over(tmp_path / "art", 1.0, comparisons(200, 6))[0] == 1.0
    # Novelty is measured against these prompts, not against the shipped reference.
    loaded = artifact.load(tmp_path / "art")
    assert artifact.load().assess(rows[0].text) != loaded.assess(rows[0].text)
    assert np.mean([loaded.assess(row.text).novelty for row in comparisons(100, 7)]) < 0.7


def test_a_student_that_is_always_worse_is_given_nothing(tmp_path: Path) -> None:
    rows = [msgspec.structs.replace(row, student=0.0, teacher=1.0) for row in comparisons(300, 8)]
    found = learn(task(rows), tmp_path / "art")
    assert (found.share, found.threshold, found.missing, found.trained) == (None, None, None, False)
    assert artifact.load(tmp_path / "art").hash == found.artifact


@pytest.mark.parametrize("count", [1, 5, 39, 60])
def test_too_few_comparisons_promise_nothing(tmp_path: Path, count: int) -> None:
    found = learn(task(comparisons(count, 9)), tmp_path / "art")
    assert found.rows == count
    assert found.share is None
    assert artifact.load(tmp_path / "art").hash == found.artifact


@pytest.mark.parametrize("kinds", [1, 20, 60])
def test_prompts_that_repeat_with_chance_outcomes_promise_nothing(tmp_path: Path, kinds: int) -> None:
    """What a model remembers of the same prompt in another fold is no reason to trust it."""
    rng = random.Random(kinds)
    texts = [row.text for row in comparisons(kinds, 10)]
    rows = [Labelled(str(n), n, rng.choice(texts), float(rng.random() < 0.5), 1.0) for n in range(300)]
    found = learn(task(rows), tmp_path / "art")
    assert (found.answered or 0.0) <= 0.05


def test_log_probabilities_are_used_where_they_are_known(tmp_path: Path) -> None:
    rng = random.Random(11)
    # The prompt says nothing, the log-probability everything.
    rows = comparisons(400, 11, worse=(0.3, 0.3))
    rows = [msgspec.structs.replace(row, logprob=-0.05 if row.student else -2.0) for row in rows]
    found = learn(task(rows), tmp_path / "art")
    assert found.limit is not None
    assert promised(found) == 1.0
    assert found.answered == pytest.approx(0.7, abs=0.07)
    without = {row.request for row in rng.sample(rows, 100)}
    some = [msgspec.structs.replace(row, logprob=None) if row.request in without else row for row in rows]
    assert learn(task(some), tmp_path / "some").limit is None


def test_answers_without_log_probability_count_as_kept(tmp_path: Path) -> None:
    rows = comparisons(400, 12, worse=(0.1, 0.1))
    # Where it is missing the student always fails: such answers are not discarded, and cost quality.
    rows = [
        msgspec.structs.replace(row, student=0.0, teacher=1.0, logprob=None)
        if number % 12 == 0
        else msgspec.structs.replace(row, student=row.teacher, logprob=-0.05)
        for number, row in enumerate(rows)
    ]
    found = learn(task(rows, 0.95), tmp_path / "art")
    assert (found.share or 0.0) < 1.0


def test_a_prior_is_started_from(tmp_path: Path) -> None:
    learn(task(comparisons(200, 13)), tmp_path / "first")
    digest = artifact.load(tmp_path / "first").hash
    learn(task(comparisons(200, 14), prior=tmp_path / "first"), tmp_path / "second")
    assert artifact.load(tmp_path / "second").metadata["prior"] == digest
    with pytest.raises(artifact.ArtifactError):
        learn(task(comparisons(200, 14), prior=tmp_path / "absent"), tmp_path / "third")


@pytest.mark.parametrize(
    "wrong",
    [{"student": 1.5}, {"teacher": -0.1}, {"student": float("nan")}, {"weight": 0.0}, {"weight": float("inf")}],
)
def test_rows_without_meaning_are_refused_without_their_prompt(tmp_path: Path, wrong: dict[str, float]) -> None:
    rows = comparisons(60, 15)
    rows[7] = msgspec.structs.replace(rows[7], **wrong)
    with pytest.raises(ValueError, match="request r7") as raised:
        learn(task(rows), tmp_path / "art")
    assert rows[7].text not in str(raised.value)
    with pytest.raises(ValueError, match="needs comparisons"):
        learn(task([]), tmp_path / "art")


def test_held_out_gains_and_folds_are_in_the_order_of_the_rows() -> None:
    rows = [OutcomeRow(row.request, row.text, row.student, row.teacher, None, None, {}) for row in comparisons(120, 16)]
    order = random.Random(0).sample(range(120), 120)
    straight, shuffled = fit(rows), fit([rows[number] for number in order])
    assert (straight.gains[order] == shuffled.gains).all()
    assert (straight.folds[order] == shuffled.folds).all()
    assert set(straight.folds.tolist()) == {0, 1, 2, 3, 4}
    assert len({*straight.gains.tolist()}) > 100


def test_the_same_prompt_is_in_one_fold() -> None:
    rows = comparisons(120, 17)
    twice = [
        OutcomeRow(f"{copy}{row.request}", row.text, row.student, row.teacher, None, None, {})
        for copy in "ab"
        for row in rows
    ]
    folds = fit(twice).folds
    assert (folds[:120] == folds[120:]).all()


def test_ranks_are_shares_of_the_traffic() -> None:
    scores, weight = np.array([0.3, 0.1, 0.2, 5.0, 4.0]), np.array([1.0, 2.0, 1.0, 3.0, 1.0])
    folds = np.array([0, 0, 0, 1, 1])
    assert ranks(scores, folds, weight).tolist() == [0.875, 0.25, 0.625, 0.625, 0.125]
    assert ranks(scores, folds).tolist() == pytest.approx([5 / 6, 1 / 6, 3 / 6, 0.75, 0.25])


def test_no_score_reaches_one() -> None:
    assert Calibration(5.0, 1.0, 0.0, 0.0, 1.0)(1e9) < 1.0


def test_comparisons_of_units_with_other_rates_do_not_hide_each_other() -> None:
    weight = np.array([1.0, 1.0, 1.0, 1.0, 50.0, 50.0])
    units = np.array([0, 0, 0, 0, 1, 1])
    assert balanced(weight, units).tolist() == [1.0] * 6
    # Within a unit their ratios stay, and it counts as much as its effective sample size.
    found = balanced(np.array([5.0, 50.0, 5.0]), np.array([1, 1, 1]))
    assert found[1] / found[0] == pytest.approx(10.0)
    assert found.sum() == pytest.approx(60.0**2 / 2550.0)


def test_rarely_compared_requests_do_not_take_back_a_promise(tmp_path: Path) -> None:
    rows = comparisons(300, 18)
    before = learn(task(rows), tmp_path / "before")
    rare = [msgspec.structs.replace(row, weight=50.0, unit="first") for row in comparisons(20, 19)]
    after = learn(task(rows + rare), tmp_path / "after")
    assert after.answered == pytest.approx(before.answered, abs=0.12)  # type: ignore[arg-type]
