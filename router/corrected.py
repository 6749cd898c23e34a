"""The share of the teacher's quality that a student keeps, corrected by what people say of a part of the pairs.

A scorer of answers may err, to one side more than to the other, on all pairs alike: an interval over its scores alone
says nothing of that. People judged some pairs. With the difference d between the two scores of every pair, and y what a
person makes of it, the mean of y is estimated as

    mean(t * d, all pairs) + mean(y - t * d, labelled pairs)

which is right on average for every scorer and every fixed t: prediction-powered inference (Angelopoulos, Duchi and
Zrnic, "PPI++: Efficient prediction-powered inference", arXiv 2311.01453, 2023). The labelled pairs are a part of all
pairs here, so that the best t is the slope of y on d (the regression estimator; Särndal, Swensson and Wretman, Model
Assisted Survey Sampling, 1992, chapter 6). It is estimated from the labels as if _PRIOR more of them had slope 1. The
variance is that of the linearised ratio. Two labels are added, one with which the scorer is too kind in by a whole
difference and one that it is too hard in: without them a few labels without a contradiction would give an interval of
no width. Measured coverage: `python -m tests.bench.labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.statistics import Interval

Array = NDArray[np.float64]
# With fewer labels nothing is corrected.
LEAST = 20
# What the slope 1 counts, in labels.
_PRIOR = 20.0
# What a verdict says of the student, as a difference of scores whose size is not known.
SIGNS = {"student": 1.0, "tie": 0.0, "teacher": -1.0}


class Case(NamedTuple):
    """A compared pair: the scores of both answers in [0, 1], and `weight`, one over the probability with which it was
    compared. `verdict`: student, teacher or tie, what a person found better; None where nobody said it. `chosen`: the
    probability with which a person was to be asked about it, up to a factor that is the same for all.
    """

    student: float
    teacher: float
    weight: float = 1.0
    verdict: str | None = None
    chosen: float = 1.0


class Corrected(NamedTuple):
    """The corrected share of the teacher's quality with its 95% interval, from so many `labels`; `slope`: how much of
    the scorer's differences is used, from 0 (labels alone) to 1.
    """

    retained: Interval
    labels: int
    slope: float


def agrees(student: float, teacher: float, verdict: str) -> bool:
    """Whether scores say what a person says. With the full score for both they cannot say that the student's answer is
    better, so that a person who prefers it does not contradict them.
    """
    if student == teacher:
        return verdict == "tie" or (teacher >= 1.0 and verdict == "student")
    return verdict == ("student" if student > teacher else "teacher")


def worth(differences: Array) -> float:
    """What a person's preference is worth in a scorer's own scores: the mean size of the differences that it finds; 1
    where it finds none.
    """
    found = np.abs(differences[differences != 0.0])
    return float(found.mean()) if len(found) else 1.0


def corrected(cases: Sequence[Case]) -> Corrected | None:
    """The corrected share; None with fewer than LEAST labels, and where the teacher's scores are all 0."""
    asked = np.array([one.verdict is not None for one in cases], dtype=bool)
    if asked.sum() < LEAST:
        return None
    student, teacher, weight, chosen = np.array([(*one[:3], one.chosen) for one in cases], dtype=float).T
    share = weight / weight.sum()
    whole = float(share @ teacher)
    if whole <= 0.0:
        return None
    difference = student - teacher
    each = worth(difference)
    seen = difference[asked]
    said = np.array([_said(one, each) for one in cases if one.verdict is not None])
    part = weight[asked] / chosen[asked]
    part = part / part.sum()
    slope = _slope(seen, said, part, float(share @ (difference - share @ difference) ** 2))
    error = said - slope * seen
    value = 1.0 + (slope * float(share @ difference) + float(part @ error)) / whole
    # Linearised: what each pair adds to the ratio by its scores, and each label by what it says of them.
    by_scores = slope * difference + teacher * (1.0 - value)
    by_scores = share * (by_scores - share @ by_scores)
    together = float(by_scores @ by_scores) + 2.0 * float(by_scores[asked] @ (part * (error - part @ error)))
    of_labels, effective = _variance(error, part, each)
    half = _quantile(effective - 1.0) * (max(0.0, together + of_labels)) ** 0.5 / whole
    return Corrected(Interval(value, max(0.0, value - half), value + half), int(asked.sum()), slope)


def _said(one: Case, each: float) -> float:
    """What a person makes of a pair, as a difference of scores: the scorer's own where both say the same."""
    verdict = str(one.verdict)
    return one.student - one.teacher if agrees(one.student, one.teacher, verdict) else each * SIGNS[verdict]


def _slope(seen: Array, said: Array, part: Array, spread: float) -> float:
    """The slope of what people say on what the scorer says, in [0, 1]; `spread`: the variance of the scorer's
    differences over all pairs.
    """
    labels = 1.0 / float(part @ part)
    centred = seen - part @ seen
    together, own = float(part @ (centred * (said - part @ said))), float(part @ centred**2)
    below = labels * own + _PRIOR * spread
    return min(1.0, max(0.0, (labels * together + _PRIOR * spread) / below)) if below > 0.0 else 1.0


def _variance(error: Array, part: Array, each: float) -> tuple[float, float]:
    """The variance of the weighted mean of the errors with two labels added, and the effective number of labels (Kish,
    Survey Sampling, 1965).
    """
    mean = float(part.mean())
    padded, parts = np.append(error, [each, -each]), np.append(part, [mean, mean])
    parts = parts / parts.sum()
    squares = float((parts**2) @ (padded - parts @ padded) ** 2)
    return squares * len(padded) / (len(padded) - 1), 1.0 / float(parts @ parts)


def _quantile(freedom: float) -> float:
    """The quantile .975 of Student's distribution, by the expansion of Cornish and Fisher (Abramowitz and Stegun, 1964,
    26.7.5): to a thousandth from 6 degrees of freedom on.
    """
    z, n = NormalDist().inv_cdf(0.975), max(freedom, 3.0)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3
