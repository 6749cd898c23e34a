"""What `breakeven tune` says of its choice, and whether what it says of more rows comes true."""

from __future__ import annotations

import re

import numpy as np
import pytest

from breakeven.gateway.reports.labels import LEAST, Labels
from breakeven.gateway.reports.tuning import Goal, Tuned, tune
from breakeven.gateway.reports.tuning_outlook import outlook, sentences
from breakeven.router.evaluation.tune import Point, Traffic, for_quality

FLOOR = Goal(quality=0.98)


def draw(count: int, seed: int, worst: float = 0.3) -> Traffic:
    """The student fails on more and more requests the higher their score, up to the share `worst`."""
    rng = np.random.default_rng(seed)
    score = rng.random(count)
    student = np.where(rng.random(count) < worst * score, 0.0, 1.0)
    return Traffic(score, np.zeros(count, dtype=bool), student, np.ones(count))


def typical(count: int) -> Traffic:
    """As `draw`, without chance: whether the student fails is by a sequence that is spread evenly."""
    score = (np.arange(count) + 0.5) / count
    even = np.arange(count) * 0.6180339887 % 1.0
    return Traffic(score, np.zeros(count, bool), np.where(even < 0.3 * score, 0.0, 1.0), np.ones(count))


def labels(traffic: Traffic) -> Labels:
    assert traffic.student is not None
    assert traffic.teacher is not None
    return Labels(traffic.score, traffic.novel, traffic.student, traffic.teacher, np.ones(len(traffic.score)))


def tuned(traffic: Traffic, goal: Goal, compared: Labels | None = None) -> Tuned:
    return tune(traffic, goal, "0" * 12, 1.0, None, compared)


def said(traffic: Traffic, goal: Goal, compared: Labels | None = None) -> str:
    chosen = tuned(traffic, goal, compared).chosen
    found = outlook(traffic, goal, chosen, compared)
    assert found is not None
    return "\n".join(sentences(found, goal, chosen))


def answered(traffic: Traffic, goal: Goal, compared: Labels | None = None) -> float:
    return 1.0 - tuned(traffic, goal, compared).chosen.share


@pytest.mark.parametrize("compared", [False, True])
def test_so_many_more_rows_allow_what_is_said(compared: bool) -> None:
    few = typical(400)
    given = labels(few) if compared else None
    found = outlook(few, FLOOR, tuned(few, FLOOR, given).chosen, given)
    assert found is not None
    assert found.labelled == 400
    assert found.more is not None
    assert found.would_answer is not None
    assert found.answered + 0.03 <= found.would_answer <= found.answered + 0.1
    assert found.measured is not None
    assert found.measured > found.would_answer
    # Other draws of so many rows: chance is in each of them.
    reached = []
    for seed in range(2, 9):
        more = draw(400 + found.more, seed)
        reached.append(answered(more, FLOOR, labels(more) if compared else None))
    assert np.median(reached) == pytest.approx(found.would_answer, abs=0.1)
    assert np.median(reached) > found.answered + 0.02


def test_what_is_said_of_more_rows_comes_true_on_average_over_fresh_draws() -> None:
    """Chance is in the few rows too, here: what some of them say is more than others will keep, but not on average."""
    missed = []
    for seed in range(100, 130):
        few = draw(400, seed)
        threshold = for_quality(few, 0.98, 0.95)
        chosen = Point(threshold, float(few.sent_up(threshold).mean()), None, None, None, None)
        found = outlook(few, FLOOR, chosen, None)
        assert found is not None
        if found.more is None or found.would_answer is None:
            continue
        more = draw(400 + found.more, seed + 1000)
        missed.append(found.would_answer - (1.0 - float(more.sent_up(for_quality(more, 0.98, 0.95)).mean())))
    assert len(missed) > 20
    assert np.mean(missed) < 0.03


def test_a_choice_that_saves_hardly_anything_says_why() -> None:
    few = typical(400)
    goal = Goal(quality=0.985)
    assert answered(few, goal) < 0.1
    text = said(few, goal)
    assert re.search(
        r"nearly everything goes to the teacher.*: 400 rows measure that the floor is kept up to \d\d%", text
    )
    assert re.search(r"about [\d,]+ more rows like these would allow about 1\d% for the student", text)


def test_a_student_that_fails_on_the_rest_is_said_to() -> None:
    """The student is right on a twentieth of the requests, and wrong on all others: rows are not what is missing."""
    score = np.arange(2000) / 2000
    rows = Traffic(score, np.zeros(2000, bool), np.where(score < 0.05, 1.0, 0.0), np.ones(2000))
    text = said(rows, Goal(quality=0.99))
    assert "nearly everything goes to the teacher" in text
    assert "the student's answers to the other requests do not keep the floor" in text
    assert "more rows like these would hardly allow a larger share" in text


def even(count: int) -> tuple[Traffic, Point]:
    """At a floor of 98% these rows keep it with everything answered by the student, by a hair: chance hides that. And
    the point at which the student answers a third.
    """
    score = (np.arange(count) + 0.5) / count
    teacher = np.arange(count) % 2.0
    # Right where the teacher is not, in all but a 51st of the cases.
    student = np.where(np.arange(count) % 102 == 0, 0.0, 1.0 - teacher)
    rows = Traffic(score, np.zeros(count, bool), student, teacher)
    return rows, Point(0.333, 0.667, None, None, None, None)


def test_nothing_is_said_of_more_rows_where_none_could_be_tried() -> None:
    rows, chosen = even(60_000)
    found = outlook(rows, FLOOR, chosen, None)
    assert found is not None
    assert found.measured == 1.0
    assert (found.more, found.would_answer, found.tried) == (None, None, 0)
    assert [line for line in sentences(found, FLOOR, chosen) if "more rows" in line] == []


def test_what_no_number_of_rows_allowed_that_was_tried_says_the_number() -> None:
    rows, chosen = even(200)
    found = outlook(rows, FLOOR, chosen, None)
    assert found is not None
    assert (found.more, found.tried) == (None, 3000)
    assert "even 3,000 more rows like these would hardly allow a larger share" in sentences(found, FLOOR, chosen)[-1]


def test_a_student_that_answers_everything_needs_no_more_rows() -> None:
    rows = draw(1000, 3, worst=0.0)
    assert said(rows, FLOOR).splitlines() == [
        "the student answers 100.0% of the requests, the teacher 0.0%: with 95% confidence at least 98.0% of the "
        "teacher's quality is kept, from 1,000 rows"
    ]


def test_without_a_floor_the_interval_is_said_and_what_makes_it_half_as_wide() -> None:
    goal = Goal(teacher_share=0.3)
    few = draw(500, 4)
    text = said(few, goal)
    assert "is measured, and not promised: 95% interval" in text
    found = re.search(
        r"about 1,500 more rows would make the interval half as wide, about (\d+\.\d)% to each side", text
    )
    assert found
    chosen = tuned(draw(2000, 5), goal).chosen
    assert chosen.low is not None
    assert chosen.high is not None
    assert float(found[1]) == pytest.approx(100 * (chosen.high - chosen.low) / 2, rel=0.3)


def test_comparisons_of_live_traffic_are_named_so() -> None:
    few = draw(400, 1)
    assert "from 400 comparisons" in said(few, FLOOR, labels(few))


def test_nothing_is_said_of_what_was_not_measured() -> None:
    few = draw(LEAST - 1, 1)
    unscored = few._replace(student=None, teacher=None)
    goal = Goal(teacher_share=0.2)
    assert outlook(unscored, goal, tuned(unscored, goal).chosen, None) is None
    assert outlook(unscored, goal, tuned(unscored, goal).chosen, labels(few)) is None
