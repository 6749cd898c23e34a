"""The corrected share of the teacher's quality: coverage of a truth that it does not see, and values by hand."""

from __future__ import annotations

import numpy as np
import pytest

from breakeven.router.corrected import LEAST, Case, agrees, corrected
from breakeven.router.statistics import retained

SEEDS = 200
PAIRS = 500
NAMES = {1: "student", 0: "tie", -1: "teacher"}


def cases(rng: np.random.Generator, labels: int, loss: float, wrong: float, towards: int, *, sized: bool) -> list[Case]:
    """Pairs of which people prefer the teacher's with probability `loss`; a checker that gives 0 or 1 is wrong in a
    share of them, towards the student (1: a loss passes for a tie) or against it (-1: a tie passes for a loss).
    """
    lost = rng.random(PAIRS) < loss
    mistaken = rng.random(PAIRS) < wrong
    seen = lost & ~mistaken if towards > 0 else lost | mistaken
    # Asked by lot, or three times as often where the checker sees a loss.
    size = np.where(seen, 3.0, 1.0) if sized else np.ones(PAIRS)
    priority = rng.random(PAIRS) / size
    threshold = np.sort(priority)[labels]
    return [
        Case(
            float(not seen[one]),
            1.0,
            1.0,
            NAMES[-int(lost[one])] if priority[one] < threshold else None,
            min(1.0, float(size[one] * threshold)),
        )
        for one in range(PAIRS)
    ]


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("labels", [30, 100])
@pytest.mark.parametrize(
    ("loss", "wrong", "towards"), [(0.02, 0.5, 1), (0.15, 0.6, 1), (0.02, 0.1, -1), (0.1, 0.3, -1)]
)
def test_the_corrected_interval_has_the_truth_in_it_where_the_scorer_errs_to_one_side(
    loss: float, wrong: float, towards: int, labels: int, sized: bool
) -> None:
    truth = 1.0 - loss
    hits, uncorrected, values, widths = 0, 0, [], []
    for seed in range(SEEDS):
        drawn = cases(np.random.default_rng(seed), labels, loss, wrong, towards, sized=sized)
        made, plain = corrected(drawn), retained([one[:3] for one in drawn])
        assert made is not None
        assert plain is not None
        assert made.labels == labels
        hits += made.retained.low <= truth <= made.retained.high
        uncorrected += plain.low <= truth <= plain.high
        values.append(made.retained.value)
        widths.append(made.retained.high - made.retained.low)
    assert hits >= 0.93 * SEEDS
    assert uncorrected < 0.9 * SEEDS
    # Right on average, and not by being as wide as can be.
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / SEEDS**0.5 + 0.004)
    assert np.mean(widths) < (0.32 if labels == 30 else 0.15)


def test_graded_scores_of_a_kind_judge_are_corrected_too() -> None:
    hits = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        people = rng.choice([-1, 0, 1], PAIRS, p=[0.2, 0.7, 0.1])
        # A third of what people find worse is found as good, and a third of what they find as good better.
        judged = np.where(rng.random(PAIRS) < 1 / 3, np.minimum(people + 1, 1), people)
        drawn = [
            Case(0.7 + 0.1 * int(by), 0.7, 1.0, NAMES[int(said)] if number < 80 else None)
            for number, (by, said) in enumerate(zip(judged, people, strict=True))
        ]
        made = corrected(drawn)
        assert made is not None
        hits += made.retained.low <= 1.0 - 0.1 * 0.1 / 0.7 <= made.retained.high
    assert hits >= 0.93 * SEEDS


def test_all_labels_give_what_people_say() -> None:
    said = ["teacher"] * 10 + ["tie"] * 30
    made = corrected([Case(1.0, 1.0, 1.0, one) for one in said])
    assert made is not None
    assert made.retained.value == pytest.approx(0.75)
    # Where people say what the scorer says, its mean is kept.
    agreed = corrected([Case(0.5, 1.0, 1.0, "teacher")] * 20 + [Case(1.0, 1.0, 1.0, "tie")] * 20)
    assert agreed is not None
    assert agreed.retained.value == pytest.approx(0.75)


def test_a_label_counts_one_over_its_probability_and_its_weight() -> None:
    # The checker finds everything as good. Half of the traffic is asked about four times as often, and lost.
    often = [Case(1.0, 1.0, 1.0, "teacher", 0.4)] * 40 + [Case(1.0, 1.0)] * 60
    rarely = [Case(1.0, 1.0, 1.0, "tie", 0.1)] * 10 + [Case(1.0, 1.0)] * 90
    made = corrected(often + rarely)
    assert made is not None
    assert made.retained.value == pytest.approx(0.5)
    heavy = corrected([one._replace(weight=3.0) for one in often] + rarely)
    assert heavy is not None
    assert heavy.retained.value == pytest.approx(0.25)


def test_a_few_labels_without_a_contradiction_leave_a_width_and_more_of_them_less() -> None:
    few, many = (
        corrected([Case(1.0, 1.0, 1.0, "tie" if number < labels else None) for number in range(4000)])
        for labels in (LEAST, 2000)
    )
    assert few is not None
    assert many is not None
    assert few.retained.value == many.retained.value == 1.0
    assert few.retained.low < 0.9 < 0.99 < many.retained.low < 1.0


def test_with_too_few_labels_nothing_is_corrected() -> None:
    assert corrected([Case(1.0, 1.0, 1.0, "tie")] * (LEAST - 1)) is None
    assert corrected([Case(0.0, 0.0, 1.0, "tie")] * LEAST) is None
    assert corrected([]) is None


def test_a_full_score_cannot_say_that_the_student_is_better() -> None:
    assert agrees(1.0, 1.0, "student")
    assert not agrees(0.7, 0.7, "student")
