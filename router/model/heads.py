"""Two heads, the student's and the teacher's: from how probable it is that either answer fails to what asking the
teacher is worth.

With p_s and p_t, the probabilities of the two, as if they were independent:

worth = p_s * (1 - p_t) + LAMBDA * (p_s - p_t)

The first term is the probability that only the student fails. The second is what the teacher gains on average: it may
also be the one that fails alone. It comes back as log-odds, which keep the order and are what a calibration is
straightest on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# The student's, then the teacher's.
HEADS = 2
# Ranks best what recovers quality where it is large, and "worse or not" where it is zero (decisions 0068 and 0069).
LAMBDA = 0.2
# Log-odds beyond these are as good as certain, and their exponentials stay finite.
_CERTAIN = 30.0


class Margins(NamedTuple):
    """Of each head one number: log-odds that the model's answer fails, or a share of them."""

    student: float
    teacher: float


def worth(of: Margins) -> float:
    """Log-odds for the log-odds of either head: rises with the student's, falls with the teacher's. Never raises."""
    _, _, found = _plain(of)
    # Between -LAMBDA and 1 + LAMBDA, both never reached.
    return math.log((LAMBDA + found) / (1.0 + LAMBDA - found))


def slopes(of: Margins) -> Margins:
    """By how much `worth` rises for a small step of either head."""
    student, teacher, found = _plain(of)
    steep = (1.0 + 2.0 * LAMBDA) / ((LAMBDA + found) * (1.0 + LAMBDA - found))
    return Margins(
        steep * (1.0 - teacher + LAMBDA) * student * (1.0 - student),
        -steep * (student + LAMBDA) * teacher * (1.0 - teacher),
    )


def _plain(of: Margins) -> tuple[float, float, float]:
    """Both probabilities, and the worth of them that is not log-odds yet."""
    student, teacher = _probability(of.student), _probability(of.teacher)
    return student, teacher, student * (1.0 - teacher) + LAMBDA * (student - teacher)


def _probability(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(min(max(-odds, -_CERTAIN), _CERTAIN)))
