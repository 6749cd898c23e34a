"""How much of the teacher's quality is kept, from pairs that shadow traffic compared. Pure arithmetic.

Pairs are drawn among the student's answers only, each with its own probability: a weight of one over it makes the
ratio of weighted means (Hajek's) an estimate for all of them, also where the rate of drawing changed. The teacher's
own answers keep everything, so the whole of routed traffic keeps one minus the student's share of what is lost.

The interval is the ratio's linearised one (Cochran, Sampling Techniques, 1977, section 6.4), with two pairs added, one
that the student wins and one that it loses altogether: without them a handful of pairs without a loss would promise
an interval of no width (as Agresti and Coull, 1998, do for a share).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from breakeven.router.statistics import Interval

_Z = 1.959964  # 95%


class Compared(NamedTuple):
    """One pair: scores in [0, 1], output tokens as reported, and one over the probability that it was drawn."""

    student_score: float
    teacher_score: float
    student_tokens: int
    teacher_tokens: int
    weight: float


class Retention(NamedTuple):
    """From `pairs`: what the student's answers keep of the teacher's quality, and what routed traffic keeps."""

    pairs: int
    student: Interval
    routed: Interval


def retention(pairs: Sequence[Compared], student_share: float) -> Retention | None:
    """None without pairs, and where the teacher's answers are worth nothing. `student_share`: of routed requests."""
    student = _ratio([(pair.student_score, pair.teacher_score, pair.weight) for pair in pairs])
    if student is None:
        return None
    routed = Interval(*(1.0 - student_share * (1.0 - value) for value in student))
    return Retention(len(pairs), student, routed)


def output_ratio(pairs: Sequence[Compared]) -> Fraction | None:
    """Output tokens of the teacher for one of the student; None where the student has written nothing."""
    # Few rates were ever in force: whole numbers are added for each, and exact fractions only at the end.
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


def _ratio(scored: list[tuple[float, float, float]]) -> Interval | None:
    whole = math.fsum(weight for _, _, weight in scored)
    kept = math.fsum(weight * student for student, _, weight in scored)
    worth = math.fsum(weight * teacher for _, teacher, weight in scored)
    if worth <= 0:
        return None
    mean = whole / len(scored)
    padded = [*scored, (1.0, 1.0, mean), (0.0, 1.0, mean)]
    total = math.fsum(weight * teacher for _, teacher, weight in padded)
    middle = math.fsum(weight * student for student, _, weight in padded) / total
    squares = math.fsum((weight * (student - middle * teacher)) ** 2 for student, teacher, weight in padded)
    half = _Z * math.sqrt(squares * len(padded) / (len(padded) - 1)) / total
    estimate = kept / worth
    return Interval(estimate, min(estimate, max(0.0, middle - half)), max(estimate, middle + half))
