"""The threshold of `start: share`: the hardest part of a workload's own traffic goes to the teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

# Own scores from which a threshold is derived; before, the scores are taken as ranks among reference prompts.
MIN_SCORES = 200
# The newest own scores, which the threshold is a quantile of.
NEWEST_SCORES = 2_000
# So many decisions that nothing followed are assumed beside those seen, so that a few long conversations count little.
_ASSUMED = 10


class Turns(NamedTuple):
    """Requests that one upstream got: those that were `decided` by what was asked, and the later turns that `followed`
    in their conversations without a decision of their own.
    """

    decided: int = 0
    followed: int = 0

    @property
    def length(self) -> float:
        """Requests for each decision."""
        return 1.0 + self.followed / (self.decided + _ASSUMED)


def share_of_decisions(share: float, teacher: Turns, student: Turns) -> float:
    """The share of the decisions that is to be for the teacher, so that of all requests `share` are, in [0, 1]: its
    conversations stay there, while those on the student are decided at each turn.
    """
    to_teacher, to_student = share / teacher.length, (1.0 - share) / student.length
    return to_teacher / (to_teacher + to_student)


def share_threshold(seen: Sequence[tuple[float, float]], novelty_threshold: float, share: float) -> float | None:
    """The threshold with which the share of the teacher among these requests is as close as possible to `share`, in
    [0, 1]; of two that are as close, the one with the smaller share. None for fewer than MIN_SCORES requests.

    `seen` has score and novelty of each request, in any order; the same requests give the same threshold. Novel ones go
    to the teacher at any threshold, and are counted. Requests of one score cannot be told apart: the share may miss
    `share` by half of them.
    """
    if len(seen) < MIN_SCORES:
        return None
    wanted = share * len(seen)
    to_teacher = sum(novelty >= novelty_threshold for _, novelty in seen)
    scores = sorted((score for score, novelty in seen if novelty < novelty_threshold), reverse=True)
    # None of them reaches the first threshold.
    best = math.nextafter(scores[0], 2.0) if scores else 1.0
    missed = abs(wanted - to_teacher)
    for position, score in enumerate(scores, 1):
        if position < len(scores) and scores[position] == score:
            continue
        if abs(wanted - to_teacher - position) >= missed:
            break
        best, missed = score, abs(wanted - to_teacher - position)
    return best


def harder_than(score: float, seen: Sequence[tuple[float, float]]) -> float | None:
    """The share of these requests, each with score and novelty, that have a lower score; None for fewer than
    MIN_SCORES. Requests of the same score count half.
    """
    if len(seen) < MIN_SCORES:
        return None
    lower = sum(other < score for other, _ in seen)
    return (lower + sum(other == score for other, _ in seen) / 2) / len(seen)
