"""The two heads of the classifier, one for each model's answer, and the expected gain of asking the teacher.

Each head estimates the probability that its model's answer fails, p_s for the student and p_t for the teacher. Taken as
independent,

gain = p_s * (1 - p_t) + LAMBDA * (p_s - p_t)

The first term is the probability that only the student fails. The second is the teacher's mean advantage, which also
counts prompts where only the teacher fails. The gain is returned as log-odds, which preserve the order and are what a
logistic calibration fits best.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# The student's, then the teacher's.
HEADS = 2
# Chosen on dev rows: a larger value recovers more quality, 0 ranks best by "worse or not" (decisions 0068 and 0069).
LAMBDA = 0.2
# Log-odds beyond these are as good as certain; the limit keeps their exponentials finite.
_CERTAIN = 30.0


class Logits(NamedTuple):
    """One number for each head: the log-odds that the model's answer fails, or one part of that sum."""

    student: float
    teacher: float


def gain(logits: Logits) -> float:
    """The expected gain of asking the teacher, as log-odds, from the log-odds of both heads.

    Increases with the student's, decreases with the teacher's. Never raises for finite numbers.
    """
    _, _, found = _probabilities(logits)
    # Strictly between -LAMBDA and 1 + LAMBDA.
    return math.log((LAMBDA + found) / (1.0 + LAMBDA - found))


def gain_gradient(logits: Logits) -> Logits:
    """The partial derivatives of `gain` with respect to the log-odds of each head."""
    student, teacher, found = _probabilities(logits)
    steep = (1.0 + 2.0 * LAMBDA) / ((LAMBDA + found) * (1.0 + LAMBDA - found))
    return Logits(
        steep * (1.0 - teacher + LAMBDA) * student * (1.0 - student),
        -steep * (student + LAMBDA) * teacher * (1.0 - teacher),
    )


def _probabilities(logits: Logits) -> tuple[float, float, float]:
    """p_s, p_t and the gain, which is not yet log-odds."""
    student, teacher = _probability(logits.student), _probability(logits.teacher)
    return student, teacher, student * (1.0 - teacher) + LAMBDA * (student - teacher)


def _probability(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(min(max(-odds, -_CERTAIN), _CERTAIN)))
