"""Quality retention: the share of the teacher's quality that answers keep, from comparisons.

Pairs are sampled from the answers of either model, each with a known probability. Weighting each by the inverse of
its probability makes the ratio of weighted means (Hajek's estimator) an estimate for all of them, also where the
sampling rate changed. Answers by the teacher lose nothing, so routed traffic as a whole retains one minus the
student's share of traffic times the student's loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from breakeven.router.statistics import Interval, retained


class Compared(NamedTuple):
    """One pair: scores in [0, 1], reported output tokens, and the inverse of its sampling probability. `by_student`:
    whether the client got the student's answer.
    """

    student_score: float
    teacher_score: float
    student_tokens: int
    teacher_tokens: int
    weight: float
    by_student: bool = True


class Retention(NamedTuple):
    """The retention of the student's answers and of routed traffic, with 95% intervals, from a number of pairs."""

    pairs: int
    student: Interval
    routed: Interval


def retention(pairs: Sequence[Compared], student_share: float) -> Retention | None:
    """Estimate quality retention. `student_share` is the share of routed requests that the student answered.

    Pairs of requests that the teacher answered say nothing of it. None without others, and where the teacher's scores
    are all 0.
    """
    own = [pair for pair in pairs if pair.by_student]
    student = retained([(pair.student_score, pair.teacher_score, pair.weight) for pair in own])
    if student is None:
        return None
    routed = Interval(*(1.0 - student_share * (1.0 - value) for value in student))
    return Retention(len(own), student, routed)


def unrouted(pairs: Sequence[Compared]) -> tuple[int, Interval] | None:
    """The number of pairs of requests that the teacher answered, and the share of its quality that the student's
    answers to them keep; None without any.
    """
    others = [pair for pair in pairs if not pair.by_student]
    found = retained([(pair.student_score, pair.teacher_score, pair.weight) for pair in others])
    return None if found is None else (len(others), found)


def output_ratio(pairs: Sequence[Compared]) -> Fraction | None:
    """The teacher's output tokens divided by the student's, weighted; None where the student's are 0."""
    # There are few distinct weights: sum integers for each, and use (slow) exact fractions only at the end.
    students: Counter[float] = Counter()
    teachers: Counter[float] = Counter()
    for pair in pairs:
        students[pair.weight] += pair.student_tokens
        teachers[pair.weight] += pair.teacher_tokens
    student, teacher = (
        sum((Fraction(weight) * tokens for weight, tokens in counts.items()), Fraction(0))
        for counts in (students, teachers)
    )
    return teacher / student if student else None
